"""The buffer with its hole as Any, checked: what fills are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.workers.protocol import CheckTypes
from astral_lsp.workers.types.messages import Message, Place
from astral_lsp.workers.types.program import CannotCheck, Program
from astral_lsp.workers.types.text import HOLE, Lines, Skeleton, breaks, call, mend, skeleton


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
    """All errors of the program with the stand-in in place."""
    own: tuple[Message, ...]
    """Those that are the file's own: not about the stand-in itself."""
    note: str
    """What was left out, for people."""

    @cached_property
    def tree(self) -> SyntaxTree:
        """The syntax of ``text``; a candidate's is made from it by one edit."""
        return parse(self.text)

    def tree_with(self, fill: str) -> SyntaxTree:
        """The syntax of the text with ``fill`` in the hole."""
        return self.tree.edited(self.hole.start, self.hole.end, fill)

    def place_of(self, fill: str) -> Place:
        """The lines that ``fill`` touches in the hole."""
        return Place(self.path, self.place.first, self.place.first + len(breaks(fill).replace("\r\n", "\n")))


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
        own = tuple(not_about(messages, path, text, hole))
        return Baseline(path, mended, text, hole, place(path, text, hole), messages, own, note)
    raise CannotCheck(first_reason)


def not_about(messages: Sequence[Message], path: str, text: str, hole: Span) -> list[Message]:
    """Leave out the errors that lie within ``hole``: they are about what stands there, and excuse no fill."""
    lines = Lines(text)

    def within(message: Message) -> bool:
        if message.path != path or not message.end_line or not lines.get(message.line).isascii():
            return False
        start = lines.offset(message.line, message.column - 1)
        return hole.start <= start and lines.offset(message.end_line, message.end_column) <= hole.end

    return [message for message in messages if not within(message)]


def place(path: str, text: str, span: Span) -> Place:
    """Return the lines that ``span`` touches."""
    lines = Lines(text)
    return Place(path, lines.line(span.start), lines.line(span.end))
