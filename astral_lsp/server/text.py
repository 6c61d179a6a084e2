"""Buffer text under incremental edits, and LSP positions in it (LSP 3.17: Position, PositionEncodingKind).

Lines end at ``\\n``, ``\\r\\n`` and ``\\r`` only, as LSP says: ``str.splitlines`` also breaks at
form feeds, U+2028 and more, and so would misplace every later edit.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Literal, NamedTuple

from lsprotocol import types

Encoding = Literal["utf-8", "utf-16", "utf-32"]
_BREAK = re.compile(r"\r\n|\r|\n")


class Change(NamedTuple):
    """One replacement: code points ``[start, end)`` of the text before became ``new``."""

    start: int
    end: int
    new: str

    @property
    def delta(self) -> int:
        """How far text after the change moved."""
        return len(self.new) - (self.end - self.start)


class Buffer:
    """A text with its line starts kept up to date edit by edit."""

    def __init__(self, text: str, encoding: Encoding = "utf-16") -> None:
        self.encoding: Encoding = encoding
        self.text = text
        self._starts = [0, *(match.end() for match in _BREAK.finditer(text))]

    @property
    def line_count(self) -> int:
        """Number of lines; an empty text has one."""
        return len(self._starts)

    def line(self, number: int) -> str:
        """The 0-based line without its line ending."""
        return self.text[self._starts[number] : self._content_end(number)]

    def line_of(self, offset: int) -> int:
        """The 0-based line that ``offset`` is on."""
        return bisect_right(self._starts, offset) - 1

    def line_start(self, number: int) -> int:
        """Offset of the first character of a 0-based line."""
        return self._starts[number]

    def _content_end(self, number: int) -> int:
        if number + 1 >= len(self._starts):
            return len(self.text)
        end = self._starts[number + 1] - 1
        if self.text[end] == "\n" and end > self._starts[number] and self.text[end - 1] == "\r":
            end -= 1
        return end

    def offset(self, position: types.Position) -> int:
        """Offset of a client position; past the end of a line means that line's end (LSP: Position)."""
        if position.line < 0:
            return 0
        if position.line >= len(self._starts):
            return len(self.text)
        start, units = self._starts[position.line], max(0, position.character)
        end = self._content_end(position.line)
        if self.encoding == "utf-32" or units == 0:
            return min(start + units, end)
        line = self.text[start:end]
        if line.isascii():
            return min(start + units, end)
        return start + _code_points(line, units, self.encoding)

    def position(self, offset: int) -> types.Position:
        """Client position of an offset."""
        offset = max(0, min(offset, len(self.text)))
        line = self.line_of(offset)
        head = self.text[self._starts[line] : offset]
        return types.Position(line, _units(head, self.encoding))

    def range(self, start: int, end: int) -> types.Range:
        """Client range of a half-open span."""
        return types.Range(self.position(start), self.position(end))

    def span(self, range_: types.Range) -> tuple[int, int]:
        """Half-open span of a client range, in order even when the client sent it reversed."""
        start, end = self.offset(range_.start), self.offset(range_.end)
        return (start, end) if start <= end else (end, start)

    def edit(self, change: Change) -> None:
        """Apply one replacement; costs the edited lines and a shift of the later line starts."""
        start, end, new = change
        first = max(0, self.line_of(start) - 1)
        last = self.line_of(end) + 1
        self.text = self.text[:start] + new + self.text[end:]
        region_start = self._starts[first]
        tail = self._starts[last:]
        region_end = tail[0] + change.delta if tail else len(self.text)
        region = self.text[region_start:region_end]
        fresh = [region_start + match.end() for match in _BREAK.finditer(region)]
        if tail and fresh and fresh[-1] == region_end:
            fresh.pop()
        delta = change.delta
        shifted = [value + delta for value in tail] if delta else tail
        self._starts[first + 1 :] = fresh + shifted

    def change_from_client(self, event: types.TextDocumentContentChangeEvent) -> Change:
        """A client's content change as offsets; a whole-text change becomes its smallest replacement."""
        if isinstance(event, types.TextDocumentContentChangePartial):
            start, end = self.span(event.range)
            return Change(start, end, event.text)
        return smallest_change(self.text, event.text)


def smallest_change(old: str, new: str) -> Change:
    """The replacement that turns ``old`` into ``new`` with the longest common prefix and suffix left out."""
    limit = min(len(old), len(new))
    head = _common(limit, lambda size: old[:size] == new[:size])
    room = limit - head
    tail = _common(room, lambda size: size == 0 or old[-size:] == new[-size:])
    return Change(head, len(old) - tail, new[head : len(new) - tail])


def _common(limit: int, same: Callable[[int], bool]) -> int:
    """Largest size in [0, limit] for which ``same(size)``; ``same`` must be monotone."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if same(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _units(text: str, encoding: Encoding) -> int:
    if encoding == "utf-32" or text.isascii():
        return len(text)
    if encoding == "utf-16":
        return len(text) + sum(char > "\uffff" for char in text)
    return len(text.encode("utf-8", "surrogatepass"))


def _code_points(line: str, units: int, encoding: Encoding) -> int:
    """Code points in the first ``units`` code units; inside a character means before that character."""
    used = 0
    for index, char in enumerate(line):
        used += _units(char, encoding)
        if used > units:
            return index
    return len(line)
