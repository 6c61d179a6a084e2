"""Lines as Python sees them: ended by a line feed, a carriage return, or both."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate

BOM = "\ufeff"
_BLANK = re.compile(r"[ \t\f]*")
_INDENTED = re.compile(r":[ \t]*(?:#[^\r\n]*)?(?:\r\n|\n|\r)([ \t]+)\S")
_WHOLE_STRING = re.compile(r"(\"{3}|'{3}).*?\1|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_LINE_END = re.compile(r"\r\n|\n|\r")


def line_start(text: str, offset: int) -> int:
    """First code point of the line that ``offset`` is on (after a byte order mark)."""
    feed = text.rfind("\n", 0, offset) + 1
    start = max(feed, text.rfind("\r", feed, offset) + 1)
    return 1 if start == 0 and offset > 0 and text.startswith(BOM) else start


def line_end(text: str, offset: int) -> int:
    """Where the line ending of the line that ``offset`` is on begins, or the end of the text."""
    feed = text.find("\n", offset)
    feed = len(text) if feed < 0 else feed
    carriage = text.find("\r", offset, feed)
    return feed if carriage < 0 else carriage


def line_indent(text: str, offset: int) -> str:
    """Leading white space of the line that ``offset`` is on."""
    match = _BLANK.match(text, line_start(text, offset))
    return match[0] if match else ""


def indent_unit(text: str) -> str:
    """One level of indentation as the buffer writes it; four spaces when it has no indented block."""
    match = _INDENTED.search(text)
    if match is None:
        return "    "
    inner, outer = match[1], line_indent(text, match.start())
    return inner[len(outer) :] if inner.startswith(outer) and len(inner) > len(outer) else inner


def line_ending(text: str) -> str:
    """The buffer's first line ending; a line feed when it has none."""
    match = _LINE_END.search(text)
    return match[0] if match else "\n"


def in_open_string(text: str, offset: int) -> bool:
    """A string that the line does not close is open at ``offset``: for places that the tree gave up on."""
    before = _WHOLE_STRING.sub("", text[line_start(text, offset) : offset])
    quote = min((at for at in (before.find("'"), before.find('"')) if at >= 0), default=-1)
    return quote >= 0 and "#" not in before[:quote]


class Lines:
    """Offsets (code points) to lines as Python counts them, and back."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = _starts(text)

    def line(self, offset: int) -> int:
        """Return the 1-based line of ``offset``."""
        return bisect_right(self.starts, offset)

    def offset(self, line: int, column: int) -> int:
        """Return the offset of 0-based ``column`` of 1-based ``line``, kept inside the text."""
        line = min(max(line, 1), len(self.starts))
        return min(self.starts[line - 1] + max(column, 0), len(self.text))

    def get(self, line: int) -> str:
        """Return 1-based ``line`` without its ending."""
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        return self.text[self.starts[line - 1] : end].rstrip("\r\n")


def _starts(text: str) -> list[int]:
    if "\r" in text:
        return [0, *(match.end() for match in _LINE_END.finditer(text))]
    return [0, *accumulate(len(line) + 1 for line in text.split("\n")[:-1])]
