"""One buffer version with every hole as a watched call: one check gives σ, Γ and what fills are held to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from astral_lsp.holes.mend import TOO_MUCH, CannotMend
from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.workers.protocol import HoleTypes
from astral_lsp.workers.types.expected import Observer, Wanted
from astral_lsp.workers.types.messages import Message
from astral_lsp.workers.types.places import Site, bound_names, site
from astral_lsp.workers.types.program import CannotCheck, Program
from astral_lsp.workers.types.text import HOLE, Skeleton, Unreadable, call, mend, skeleton

_STATEMENT = "pass"
_MENDING_SECONDS = 2.0
"""Most that looking for lines to leave out may take."""
UNSEEN = "mypy does not check this place (unreachable, or not an expression)"
"""The note of a hole that mypy never came to."""


@dataclass(frozen=True)
class Frame:
    """What mypy says of a buffer whose holes are Any."""

    path: str
    written: str
    """The buffer as it came."""
    holes: tuple[Span, ...]
    """Every hole of it, in order."""
    text: str
    """The text that mypy saw."""
    spans: tuple[Span, ...]
    """Where the holes' stand-ins are in ``text``."""
    messages: tuple[Message, ...]
    types: tuple[HoleTypes, ...]
    note: str
    """What was left out, for people."""

    def index(self, hole: Span) -> int:
        """Return which hole ``hole`` is."""
        return self.holes.index(hole)


@dataclass(frozen=True)
class Readable:
    """A buffer that mypy's parser reads, with something in each of its holes."""

    holes: tuple[Span, ...]
    source: Skeleton
    stand_ins: tuple[str, ...]
    """What is in each hole."""

    def stands(self, hole: Span) -> bool:
        """Whether something of ours is in ``hole`` and no line had to be left out."""
        form = self.stand_ins[self.holes.index(hole)]
        return not self.source.left_out and (form.startswith(HOLE) or form == _STATEMENT)


class Frames:
    """Makes frames and keeps the last one, as long as it is what the program shows."""

    def __init__(self, program: Program, observer: Observer) -> None:
        self._program, self._observer = program, observer
        self._last: Frame | None = None
        self._read: tuple[tuple[str, str, tuple[Span, ...]], Readable | Exception] | None = None
        """The buffer that was parsed last, and what came of it."""

    def stands(self, path: str, text: str, holes: tuple[Span, ...], hole: Span) -> bool:
        """Whether something of ours can stand in ``hole`` with the rest of the buffer as it is; raises
        Unreadable. Much cheaper than `readable` where it cannot."""
        key = (path, text, holes)
        if self._read is None or self._read[0] != key:
            source, index = skeleton(text, holes, []), holes.index(hole)
            calls = [call(i, source.written(i)) for i in range(len(holes))]
            if self._parses(path, source, calls):
                self._read = (key, Readable(holes, source, tuple(calls)))
                return True
            others = ([*calls[:index], form, *calls[index + 1 :]] for form in (HOLE, _STATEMENT))
            return any(self._parses(path, source, stand_ins) for stand_ins in others)
        found = self._read[1]
        return isinstance(found, Readable) and found.stands(hole)

    def _parses(self, path: str, source: Skeleton, stand_ins: Sequence[str]) -> bool:
        return self._program.syntax_error(path, source.fill(stand_ins)[0]) is None

    def readable(self, path: str, text: str, holes: tuple[Span, ...]) -> Readable:
        """The buffer with stand-ins, parsed once for all who ask; raises CannotCheck or Unreadable."""
        key = (path, text, holes)
        if self._read is None or self._read[0] != key:
            try:
                source, stand_ins = _readable(self._program, skeleton(text, holes, []), path)
                self._read = (key, Readable(holes, source, tuple(stand_ins)))
            except (CannotCheck, Unreadable) as why:
                self._read = (key, why)
        found = self._read[1]
        if isinstance(found, Exception):
            raise found
        return found

    def get(self, path: str, text: str, asked: Sequence[Span], others: Sequence[Span]) -> Frame:
        """The frame of a buffer; raises CannotCheck or Unreadable."""
        holes = all_holes(asked, others)
        if self._last is not None and self.holds(path, text, holes) and not self._program.stale():
            return self._last
        self._last = None
        self._last = self._make(path, text, holes)
        return self._last

    def forget(self) -> None:
        """Something beside the buffer is another now."""
        self._last = None

    def holds(self, path: str, text: str, holes: tuple[Span, ...]) -> bool:
        """Whether the last frame is of this buffer (the disk apart)."""
        last = self._last
        same = last is not None and (last.path, last.written, last.holes) == (path, text, holes)
        return last is not None and same and self._program.shows(path, last.text)

    def _make(self, path: str, text: str, holes: tuple[Span, ...]) -> Frame:
        found = self.readable(path, text, holes)
        source, plain = found.source, found.stand_ins
        shown, spans = source.fill(plain)
        watched, wanted, unseen = watch(parse(shown), spans, [source.written(i) for i in range(len(plain))])
        watched = [text if plain[i].startswith(f"{HOLE}(") else plain[i] for i, text in enumerate(watched)]
        shown, spans = source.fill(watched)
        self._observer.expect(path, wanted)
        try:
            messages = self._program.show(path, shown, force=True)
        finally:
            seen = self._observer.answer()
        types = tuple(seen.get(i) or types for i, types in enumerate(unseen))
        lines = ", ".join(map(str, source.left_out))
        note = f"line {lines} left out: syntax error" if lines else ""
        return Frame(path, text, holes, shown, spans, tuple(messages), types, note)


def _readable(program: Program, source: Skeleton, path: str) -> tuple[Skeleton, list[str]]:
    """The skeleton mended, and a stand-in for each hole so that all parses; raises CannotCheck."""
    end = time.monotonic() + _MENDING_SECONDS

    def first_error(text: str) -> int | None:
        if time.monotonic() > end:
            raise CannotMend(TOO_MUCH)
        return program.syntax_error(path, text)

    count = len(source.targets)
    stand_in = [call(i, source.written(i)) for i in range(count)]
    mended, why = mend(source, stand_in, first_error)
    if why is None:
        return mended, stand_in
    # where no call may stand: a name, a statement, or what the author selected
    for index in range(count):
        for form in (HOLE, _STATEMENT, source.written(index)):
            if why == TOO_MUCH:  # no other form changes that
                break
            trial = [*stand_in[:index], form, *stand_in[index + 1 :]]
            mended, still = mend(source, trial, first_error)
            if still is None:
                return mended, trial
    raise CannotCheck(why)


def shown_text(program: Program, path: str, text: str, holes: Sequence[Span]) -> str | None:
    """What mypy is to read of a buffer that nothing is asked about; None when it does not parse."""
    try:
        source, stand_in = _readable(program, skeleton(text, all_holes(holes, []), []), path)
    except (CannotCheck, Unreadable):
        return None
    return None if source.left_out else source.fill(stand_in)[0]


def watch(
    tree: SyntaxTree, spans: Sequence[Span], written: Sequence[str]
) -> tuple[list[str], dict[int, Wanted], list[HoleTypes]]:
    """For the stand-ins at ``spans``: calls that mypy can be watched at, what to ask there, and what to say
    of a place that it does not come to."""
    sites = [site(tree, span) for span in spans]
    calls = [call(i, written[i], *_siblings(found)) for i, found in enumerate(sites)]
    wanted = {i: _wanted(found, bound_names(tree, spans[i].start)) for i, found in enumerate(sites)}
    return calls, wanted, [HoleTypes(found.expected, [], UNSEEN) for found in sites]


def all_holes(asked: Sequence[Span], others: Sequence[Span]) -> tuple[Span, ...]:
    """The asked holes and all others that do not overlap them, in order."""
    wanted = sorted(set(asked), key=_start)
    apart = [s for s in set(others) if not any(_meet(s, w) for w in wanted)]
    return tuple(sorted([*wanted, *apart], key=_start))


def _start(span: Span) -> int:
    return span.start


def _meet(one: Span, other: Span) -> bool:
    return (one.start < other.end and other.start < one.end) or one == other


def _wanted(found: Site, bound: frozenset[str]) -> Wanted:
    return Wanted(
        found.rule,
        found.expected,
        found.note,
        bound,
        not found.statement,
        found.narrowest,
        found.in_function,
        found.position,
        found.arguments,
    )


def _siblings(found: Site) -> list[str]:
    return [f"({found.sibling})"] if found.sibling else []
