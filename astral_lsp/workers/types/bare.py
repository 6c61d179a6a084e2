"""Fills of a hole in which no stand-in can stand: the head of a block, halves of statements, parts of words.

mypy cannot be asked what it says of the file without a fill. What it says of the whole file with the fill
still tells much: no error is a pass, an error inside the fill is the fill's. An error elsewhere is the file's
own if it is there with what stood in the hole before, and the fill's if that, or another fill, does without
it. Where neither is known nobody can tell, and the verdict says so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.report import Finding, Verdict, not_run, unavailable
from astral_lsp.workers.protocol import CheckTypes
from astral_lsp.workers.types.fork import CAN_FORK, BranchFailed
from astral_lsp.workers.types.frame import Frames, all_holes
from astral_lsp.workers.types.localise import Localiser
from astral_lsp.workers.types.messages import Message
from astral_lsp.workers.types.program import CannotCheck, Program
from astral_lsp.workers.types.text import Lines, Unreadable, skeleton
from astral_lsp.workers.types.untyped import LEFT_ALONE, leaves_alone, untyped_functions, would_say
from astral_lsp.workers.types.whole import Whole, trimmed

NOTHING_STANDS = "without a fill the file does not parse"
ALONE = f"judged by the whole file: {NOTHING_STANDS}"

_Key = tuple[str, str, int]
"""Text, code and place of an error outside the fill."""


class Bare:
    """Judges such fills against one program; remembers the last hole it was asked about."""

    def __init__(self, program: Program, frames: Frames) -> None:
        self._program, self._frames = program, frames
        self._asked: tuple[str, str, Span] | None = None
        self._hole: _BareHole | None = None
        """None where a stand-in can stand."""

    def verdicts(self, params: CheckTypes, path: str, cancelled: Callable[[], bool]) -> dict[str, Verdict]:
        """Verdicts of those fills with which the file parses; {} for a hole in which a stand-in can stand."""
        hole = self._look(params, path)
        if hole is None:
            return {}
        deadline = time.monotonic() + params.budget_ms / 1000
        found: dict[str, Verdict] = {}
        for fill in params.fills:
            filled = _filled(path, params, fill)
            if filled is None or self._program.syntax_error(path, filled.text) is not None:
                continue
            left = deadline - time.monotonic()
            if cancelled() or left <= 0:
                found[fill] = not_run("cancelled" if left > 0 else "out of time")
            else:
                began = time.perf_counter()
                verdict = hole.verdict(filled, left, params.confirm)
                ms = (time.perf_counter() - began) * 1000
                found[fill] = Verdict(
                    verdict.status, verdict.detail, verdict.findings, 0, ms, verdict.applies
                )
        return found

    def close(self) -> None:
        """End what was started for the last hole, and forget it."""
        if self._hole is not None:
            self._hole.close()
        self._asked = self._hole = None

    def _look(self, params: CheckTypes, path: str) -> _BareHole | None:
        key = (path, params.text, params.hole)
        if key == self._asked and (self._hole is None or not self._program.stale()):
            return self._hole
        self.close()
        holes = all_holes([params.hole], params.other_holes)
        try:
            stands = self._frames.stands(path, params.text, holes, params.hole)
        except Unreadable:
            stands = True  # the judge says why
        self._asked = key
        if not stands:
            written = _filled(path, params, params.text[params.hole.start : params.hole.end])
            self._hole = _BareHole(self._program, path, written)
        return self._hole


@dataclass(frozen=True)
class _Filled:
    """A buffer with a text in its hole."""

    path: str
    text: str
    fill: Span

    @cached_property
    def tree(self) -> SyntaxTree:
        return parse(self.text)

    def key(self, message: Message) -> _Key | None:
        """Identity of an error outside the fill; None on a line that the fill touches. Lines behind the fill
        count from the end of the file: fills differ in length."""
        lines = Lines(self.text)
        if message.line < lines.line(self.fill.start):
            return message.text, message.code, message.line
        if message.line > lines.line(max(self.fill.start, self.fill.end - 1)):
            return message.text, message.code, message.line - self.text.count("\n") - 2
        return None

    def findings(self, messages: Sequence[Message]) -> tuple[Finding, ...]:
        return Localiser(self.path, self.text, self.fill, lambda: self.tree).findings(messages)


@dataclass(frozen=True)
class _Found:
    """What one check says of a fill."""

    mine: list[Message]
    """The fill's errors."""
    unknown: list[Message]
    """Errors of which nobody can tell whose they are."""

    @property
    def any(self) -> list[Message]:
        return self.mine or self.unknown


@dataclass
class _Side:
    """Checks of one kind, and what they said before."""

    whole: Whole
    written: _Filled | None
    """The buffer with what stood in the hole before, None where that does not parse."""
    own: frozenset[_Key] | None = None
    """The errors outside the fill there, None where they are not known."""
    seen: list[frozenset[_Key]] = field(default_factory=list)
    """Errors outside the fill, for each fill that was judged."""
    looked: bool = False

    def look(self, filled: _Filled, seconds: float) -> _Found | str:
        """What is held against this fill; a string is mypy's blocking error. Raises BranchFailed."""
        if not self.looked and self.written is not None:
            errors = self.whole.errors(self.written.text, self.written.fill, seconds)
            self.own = None if isinstance(errors, str) else _outside(errors, self.written)
        self.looked = True
        errors = self.whole.errors(filled.text, filled.fill, seconds)
        if isinstance(errors, str):
            return errors
        outside = _outside(errors, filled)
        others = [self.own] if self.own is not None else self.seen
        added = outside - frozenset.intersection(*others) if others else frozenset()
        self.seen.append(outside)
        keys = [(filled.key(m), m) for m in errors]
        mine = [m for key, m in keys if key is None or key in added]
        rest = [m for key, m in keys if key in outside and key not in added]
        return _Found(mine, rest if self.own is None else [])


class _BareHole:
    """One hole in which only a fill can stand."""

    def __init__(self, program: Program, path: str, written: _Filled | None) -> None:
        self._program, self._path = program, path
        if written is not None and program.syntax_error(path, written.text) is not None:
            written = None
        self._stood = written
        self._strict = _Side(Whole(program, path, as_written=False), written)
        self._written = _Side(Whole(program, path, as_written=True), written)

    def verdict(self, filled: _Filled, seconds: float, confirm: bool) -> Verdict:
        """The verdict of a fill with which the file parses."""
        try:
            self._make_ready(filled)
            return self._judge(filled, seconds, confirm)
        except (CannotCheck, BranchFailed) as why:
            return unavailable(str(why))

    def _make_ready(self, filled: _Filled) -> None:
        """Have the file in the program, with what stood in the hole if it can be; raises CannotCheck."""
        if self._program.holds(self._path):
            return
        if self._stood is not None:
            with contextlib.suppress(CannotCheck):
                self._program.show(self._path, self._stood.text)
                return
        self._program.show(self._path, filled.text)

    def close(self) -> None:
        self._strict.whole.close()
        self._written.whole.close()

    def _judge(self, filled: _Filled, seconds: float, confirm: bool) -> Verdict:
        strict = self._strict.look(filled, seconds)
        if isinstance(strict, str):
            return unavailable(strict)
        found = strict
        if (strict.any or confirm) and self._may_differ(filled):
            written = self._written.look(filled, seconds)
            found = strict if isinstance(written, str) else written
        if found.mine:
            return Verdict("failed", f"{_count(len(found.mine))}; {ALONE}", filled.findings(found.mine))
        if found.unknown:
            first = found.unknown[0]
            many = _count(len(found.unknown))
            why = f"{many} outside the fill, and {NOTHING_STANDS}: whose they are is unknown"
            return unavailable(f"{why} (line {first.line}: {first.text})")
        if not strict.any:
            return Verdict("passed", ALONE)
        kept = strict.any[0]
        if self._written.whole.skips and leaves_alone(filled.tree, trimmed(filled.text, filled.fill)):
            why = f"{LEFT_ALONE}; with it: {kept.text}"
            return Verdict("not_run", why, filled.findings(strict.any), applies=False)
        return Verdict("passed", f"{ALONE}; {would_say(kept)}")

    def _may_differ(self, filled: _Filled) -> bool:
        """Whether the user's mypy may keep errors to itself that ours finds, or find others."""
        if not CAN_FORK or self._program.checks_untyped(self._path):
            return False
        return any(True for _ in untyped_functions(filled.tree.root))


def _filled(path: str, params: CheckTypes, fill: str) -> _Filled | None:
    """The buffer with ``fill`` in the hole and Any in the others; None where it cannot be read."""
    try:
        text, (span,) = skeleton(params.text, [params.hole], params.other_holes).fill([fill])
    except Unreadable:
        return None
    return _Filled(path, text, span)


def _outside(messages: Sequence[Message], filled: _Filled) -> frozenset[_Key]:
    return frozenset(key for m in messages if (key := filled.key(m)) is not None)


def _count(errors: int) -> str:
    return f"{errors} type error{'s' if errors > 1 else ''}"
