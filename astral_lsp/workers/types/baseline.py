"""The buffer with its hole as Any, checked: what fills are measured against."""

from __future__ import annotations

from dataclasses import dataclass

from astral_lsp.holes.model import Span
from astral_lsp.workers.protocol import CheckTypes
from astral_lsp.workers.types.messages import Message, Place
from astral_lsp.workers.types.program import CannotCheck, Program
from astral_lsp.workers.types.text import HOLE, Lines, Skeleton, call, mend, skeleton


@dataclass(frozen=True)
class Baseline:
    """One buffer version and one hole of it."""

    path: str
    source: Skeleton
    text: str
    """The whole text as mypy saw it."""
    hole: Span
    """Where the stand-in for the hole is in ``text``."""
    place: Place
    messages: tuple[Message, ...]
    note: str
    """What was left out, for people."""


def key(path: str, params: CheckTypes) -> object:
    """Tells baselines apart."""
    return (path, params.text, params.hole, tuple(params.other_holes))


def make(program: Program, path: str, params: CheckTypes) -> Baseline:
    """Show the buffer with the hole as Any; raises CannotCheck or Unreadable."""
    source = skeleton(params.text, [params.hole], params.other_holes)
    first_reason = ""
    # an expression or statement; a name; a statement where no call may stand; the selected text itself
    for stand_in in (call(1, source.written(0)), HOLE, "pass", source.written(0)):
        mended, why = mend(source, [stand_in], lambda text: program.syntax_error(path, text))
        if why is not None:
            first_reason = first_reason or why
            continue
        text, (hole,) = mended.fill([stand_in])
        messages = tuple(program.show(path, text))
        lines = ", ".join(map(str, mended.left_out))
        note = f"line {lines} left out: syntax error" if lines else ""
        return Baseline(path, mended, text, hole, place(path, text, hole), messages, note)
    raise CannotCheck(first_reason)


def place(path: str, text: str, span: Span) -> Place:
    """Return the lines that ``span`` touches."""
    lines = Lines(text)
    return Place(path, lines.line(span.start), lines.line(span.end))
