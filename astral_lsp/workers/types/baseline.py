"""A frame seen from one of its holes: what the fills of that hole are measured against."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.workers.types.frame import UNSEEN, Frame
from astral_lsp.workers.types.messages import Message, Place
from astral_lsp.workers.types.text import Lines, breaks


class Baseline:
    """One buffer version and one hole of it."""

    def __init__(self, frame: Frame, hole: Span, unchecked: str = "") -> None:
        """``unchecked``: what the program leaves out that a fill may bear on."""
        self.frame = frame
        self.path, self.text = frame.path, frame.text
        self.written_hole = hole
        """Where it is in the buffer as it came."""
        self.note = "; ".join(note for note in (frame.note, _stub_note(frame.path), unchecked) if note)
        self.hole = frame.spans[frame.index(hole)]
        """Where the stand-in for the hole is in ``text``."""
        self.unseen = frame.types[frame.index(hole)].note == UNSEEN
        """mypy did not come to the stand-in."""
        self.probes: dict[str, list[Message] | None] = {}
        """Errors with other stand-ins in the hole."""
        self.place = place(self.path, self.text, self.hole)
        self.messages = frame.messages
        """All errors of the program with the stand-in in place."""
        self.own = not_about(frame.messages, self.path, self.text, self.hole)
        """Those that are the file's own: not about the stand-in itself."""

    @cached_property
    def tree(self) -> SyntaxTree:
        """The syntax of ``text``; a candidate's is made from it by one edit."""
        return parse(self.text)

    def with_fill(self, fill: str) -> tuple[str, Span]:
        """The text with ``fill`` in the hole, and where it stands."""
        text = self.text[: self.hole.start] + fill + self.text[self.hole.end :]
        return text, Span(self.hole.start, self.hole.start + len(fill))

    def tree_with(self, fill: str) -> SyntaxTree:
        """The syntax of the text with ``fill`` in the hole."""
        return self.tree.edited(self.hole.start, self.hole.end, fill)

    def place_of(self, fill: str) -> Place:
        """The lines that ``fill`` touches in the hole."""
        last = self.place.first + len(breaks(fill).replace("\r\n", "\n"))
        return Place(self.path, self.place.first, last)


def _stub_note(path: str) -> str:
    """Say so when mypy, asked about the package, would read a stub in place of this file."""
    stub = path + "i"
    if not path.endswith(".py") or not os.path.exists(stub):
        return ""
    return f"by this file's own text; elsewhere {os.path.basename(stub)} counts"


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
