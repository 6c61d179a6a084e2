"""The buffer with its holes: what is imported in place of the saved file. Pure functions.

Offsets count code points of the buffer text; lines are 1-based, as the Python tokenizer counts them.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

HOLE_CALL = "__astral_hole__"
"""Builtin of the guest that stands for a hole: it notes that it was reached, and raises."""

LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Span:
    """Half-open range of code points."""

    start: int
    end: int


@dataclass(frozen=True)
class Buffer:
    """A buffer around one hole, every other hole turned into a call that raises when it is reached."""

    before: str
    after: str
    other_lines: dict[int, int]
    """Number of each other hole -> its line."""

    @property
    def first_line(self) -> int:
        """The line that a fill starts on."""
        return count_lines(self.before)

    def filled(self, fill: str) -> str:
        """The whole text with ``fill`` inserted."""
        return self.before + fill + self.after

    def fill_region(self, fill: str) -> tuple[Position, Position]:
        """Beginning and end of ``fill``."""
        return position(self.before), position(self.before + fill)

    def fill_lines(self, fill: str) -> tuple[int, int]:
        """First and last line that ``fill`` stands on."""
        extra = len(LINE_END.findall(fill))
        if fill.endswith(("\n", "\r")):
            extra -= 1  # what follows the last line ending is not the fill's
        return self.first_line, self.first_line + max(extra, 0)


Position = tuple[int, int]
"""(line from 1, column from 0 in UTF-8 bytes), as in syntax trees."""


def position(text: str) -> Position:
    """Where the end of ``text``, the beginning of a module, stands."""
    start = max(text.rfind("\n"), text.rfind("\r")) + 1
    return count_lines(text), len(text[start:].removeprefix("\ufeff").encode("utf-8", "surrogatepass"))


def count_lines(text: str) -> int:
    """The line on which the end of ``text`` stands."""
    return len(LINE_END.findall(text)) + 1


def compiled(text: str) -> str:
    """``text`` as compile() takes it: without a byte order mark."""
    return text[1:] if text.startswith("\ufeff") else text


def parses(text: str) -> bool:
    """Whether ``text`` is a Python module of this interpreter."""
    try:
        ast.parse(compiled(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def call(number: int, lines: int = 0) -> str:
    """Source of a call for hole ``number``, ``lines`` line endings long so that later lines keep their
    place."""
    return f"{HOLE_CALL}({number}" + "\n" * lines + ")"


def around(text: str, hole: Span, others: list[Span]) -> Buffer:
    """Split ``text`` at ``hole``; each of ``others`` that does not overlap it becomes a call."""
    pieces: tuple[list[str], list[str]] = ([], [])
    lines: dict[int, int] = {}
    position = 0
    side = 0
    number = 0
    for span in sorted({hole, *others}, key=lambda span: (span.start, span.end)):
        if span == hole:
            pieces[0].append(text[position : hole.start])
            position, side = hole.end, 1
        elif span.start >= position and (side == 1 or span.end <= hole.start):
            number += 1
            lines[number] = count_lines(text[: span.start])
            pieces[side].append(text[position : span.start])
            pieces[side].append(call(number, len(LINE_END.findall(text[span.start : span.end]))))
            position = span.end
    pieces[1].append(text[position:])
    return Buffer("".join(pieces[0]), "".join(pieces[1]), lines)


def is_value(buffer: Buffer) -> bool:
    """Whether the hole is an expression whose value goes somewhere: not a statement."""
    source = baseline(buffer)
    if source is None:
        return False
    for node in ast.walk(ast.parse(compiled(source))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            mine = isinstance(called, ast.Name) and called.id == HOLE_CALL
            if mine and ast.unparse(node.value) == call(0):
                return False
    return True


OTHER_FILE = 1000
"""Number of every hole in another file than the one under test."""


def without_holes(text: str, holes: list[Span]) -> str | None:
    """``text`` with each hole turned into a call that raises; None when that does not parse."""
    parts: list[str] = []
    position = 0
    for span in sorted(set(holes), key=lambda span: (span.start, span.end)):
        if span.start >= position:
            parts.append(text[position : span.start])
            parts.append(call(OTHER_FILE, len(LINE_END.findall(text[span.start : span.end]))))
            position = span.end
    plain = "".join([*parts, text[position:]])
    return plain if parses(plain) else None


def baseline(buffer: Buffer) -> str | None:
    """The buffer with its own hole turned into call 0; None when that does not parse."""
    plain = buffer.filled(call(0))
    return plain if parses(plain) else None


def leaves_block(buffer: Buffer, fill: str) -> bool:
    """Whether a later line of ``fill`` stands left of the line that it begins on, and so outside of its
    block.

    Errs towards yes (within brackets and strings indentation means nothing).
    """
    start = max(buffer.before.rfind("\n"), buffer.before.rfind("\r")) + 1
    margin = _indentation(buffer.before[start:] + fill)
    later = LINE_END.split(fill)[1:]
    return any(line.strip() and _indentation(line) < margin for line in later)


def _indentation(line: str) -> int:
    width = len(line) - len(line.lstrip(" \t"))
    return len(line[:width].expandtabs(8))


def line_span(fill: str, line: int) -> Span:
    """The text of 0-based ``line`` within ``fill``, without white space around it."""
    start = 0
    ends = [match for match in LINE_END.finditer(fill)]
    if line > 0 and line - 1 < len(ends):
        start = ends[line - 1].end()
    stop = ends[line].start() if line < len(ends) else len(fill)
    content = fill[start:stop]
    left = len(content) - len(content.lstrip())
    return Span(start + left, max(start + left, start + len(content.rstrip())))
