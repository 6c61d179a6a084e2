"""Fills of a hole in which no stand-in can stand: the head of a block, halves of statements, parts of words.

mypy cannot be asked what it says of the file without a fill. What it says of the whole file with the fill
still tells much: no error is a pass, an error inside the fill is the fill's. An error elsewhere is the file's
own if it is there with what stood in the hole before, and the fill's if that, or another fill, does without
it. Where neither is known nobody can tell, and the verdict says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from astral_lsp.holes.mend import first_bad_line
from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import parse
from astral_lsp.report import Finding, Verdict, not_run, unavailable
from astral_lsp.workers.protocol import CheckTypes
from astral_lsp.workers.types.localise import Localiser
from astral_lsp.workers.types.messages import NOT_COUNTED, Message
from astral_lsp.workers.types.program import CannotCheck, Program
from astral_lsp.workers.types.text import HOLE, Lines, Unreadable, call, skeleton

NOTHING_STANDS = "without a fill the file does not parse"
ALONE = f"judged by the whole file: {NOTHING_STANDS}"

_Key = tuple[str, str, int]
"""Text, code and place of an error outside the fill."""


class Bare:
    """Judges such fills against one program; remembers the last hole it was asked about."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._asked: tuple[str, str, Span] | None = None
        self._is_bare = False
        self._own: frozenset[_Key] | None = None
        """Errors of the file with what stood in the hole before, None where it did not parse."""
        self._seen: list[frozenset[_Key]] = []
        """Errors outside the fill, for each fill that was judged."""

    def verdicts(self, params: CheckTypes, path: str, cancelled: Callable[[], bool]) -> dict[str, Verdict]:
        """Verdicts of those fills with which the file parses; {} for a hole in which a stand-in can stand."""
        if not self._look(params, path):
            return {}
        deadline = time.monotonic() + params.budget_ms / 1000
        found: dict[str, Verdict] = {}
        for fill in params.fills:
            text, span = _filled(params, fill)
            if not _parses(text):
                continue
            if cancelled() or time.monotonic() > deadline:
                found[fill] = not_run("cancelled" if cancelled() else "out of time")
            else:
                began = time.perf_counter()
                verdict = self._verdict(path, text, span)
                ms = (time.perf_counter() - began) * 1000
                found[fill] = Verdict(verdict.status, verdict.detail, verdict.findings, 0, ms)
        return found

    def _look(self, params: CheckTypes, path: str) -> bool:
        """Whether no stand-in can be in the hole; learns what is the file's own."""
        key = (path, params.text, params.hole)
        if key == self._asked:
            return self._is_bare
        written = params.text[params.hole.start : params.hole.end]
        forms = (call(0, written), HOLE, "pass")
        self._asked, self._own, self._seen = key, None, []
        self._is_bare = not any(_parses(_filled(params, form)[0]) for form in forms)
        if self._is_bare:
            self._own = self._own_errors(path, *_filled(params, written))
        return self._is_bare

    def _own_errors(self, path: str, text: str, written: Span) -> frozenset[_Key] | None:
        errors = self._errors(path, text) if _parses(text) else ""
        return None if isinstance(errors, str) else _outside(errors, text, written)

    def _errors(self, path: str, text: str) -> list[Message] | str:
        try:
            messages = self._program.show(path, text)
        except CannotCheck as error:
            return str(error)
        return [m for m in messages if m.path == path and m.code not in NOT_COUNTED]

    def _verdict(self, path: str, text: str, fill: Span) -> Verdict:
        errors = self._errors(path, text)
        if isinstance(errors, str):
            return unavailable(errors)
        outside = _outside(errors, text, fill)
        others = [self._own] if self._own is not None else self._seen
        added = outside - frozenset.intersection(*others) if others else frozenset()
        self._seen = [*self._seen, outside]
        mine = [m for m in errors if _key(m, text, fill) is None or _key(m, text, fill) in added]
        if mine:
            return Verdict("failed", f"{_count(len(mine))}; {ALONE}", _findings(path, text, fill, mine))
        if outside and self._own is None:
            first = next(m for m in errors if _key(m, text, fill) in outside)
            why = f"{_count(len(outside))} outside the fill, and {NOTHING_STANDS}: whose they are is unknown"
            return Verdict("unavailable", f"{why} (line {first.line}: {first.text})")
        return Verdict("passed", ALONE)


def _filled(params: CheckTypes, fill: str) -> tuple[str, Span]:
    """The buffer with ``fill`` in the hole and Any in the others; the hole's text where it cannot be read."""
    try:
        text, (span,) = skeleton(params.text, [params.hole], params.other_holes).fill([fill])
    except Unreadable:
        return "(", Span(0, 0)  # no module: the judge says why
    return text, span


def _parses(text: str) -> bool:
    return first_bad_line(text) is None


def _key(message: Message, text: str, fill: Span) -> _Key | None:
    """Identity of an error outside the fill; None on a line that the fill touches. Lines behind the fill
    count from the end of the file: fills differ in length."""
    lines = Lines(text)
    if message.line < lines.line(fill.start):
        return message.text, message.code, message.line
    if message.line > lines.line(max(fill.start, fill.end - 1)):
        return message.text, message.code, message.line - text.count("\n") - 2
    return None


def _outside(messages: Sequence[Message], text: str, fill: Span) -> frozenset[_Key]:
    return frozenset(key for m in messages if (key := _key(m, text, fill)) is not None)


def _findings(path: str, text: str, fill: Span, messages: Sequence[Message]) -> tuple[Finding, ...]:
    return Localiser(path, text, fill, lambda: parse(text)).findings(messages)


def _count(errors: int) -> str:
    return f"{errors} type error{'s' if errors > 1 else ''}"
