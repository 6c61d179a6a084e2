"""Positions on the command line (1-based line and column, as compilers print) and in JSON (LSP ranges)."""

from __future__ import annotations

import re

from astral_lsp.holes.model import Span

_AT = re.compile(r"(\d+):(\d+)")
_RANGE = re.compile(r"(\d+):(\d+)-(\d+):(\d+)")


class PositionError(ValueError):
    """A position is malformed or outside the file."""


def parse_at(value: str, text: str) -> int:
    """``LINE:COL``, 1-based, columns in characters -> offset. Raises PositionError."""
    match = _AT.fullmatch(value.strip())
    if not match:
        raise PositionError(f"{value!r} is not LINE:COL")
    return _offset(text, int(match[1]), int(match[2]))


def parse_range(value: str, text: str) -> Span:
    """``LINE:COL-LINE:COL``, end exclusive -> span. Raises PositionError."""
    match = _RANGE.fullmatch(value.strip())
    if not match:
        raise PositionError(f"{value!r} is not LINE:COL-LINE:COL")
    numbers = [int(group) for group in match.groups()]
    start, end = _offset(text, *numbers[:2]), _offset(text, *numbers[2:])
    if end < start:
        raise PositionError(f"{value!r} ends before it starts")
    return Span(start, end)


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Offset -> 1-based line and column in characters."""
    starts = _line_starts(text)
    line = _line_of(starts, offset)
    return line + 1, offset - starts[line] + 1


def lsp_range(text: str, span: Span) -> dict[str, dict[str, int]]:
    """Span -> LSP range, 0-based, characters in UTF-16 units (LSP 3.17, Position)."""
    return {"start": _lsp_position(text, span.start), "end": _lsp_position(text, span.end)}


def _lsp_position(text: str, offset: int) -> dict[str, int]:
    starts = _line_starts(text)
    line = _line_of(starts, offset)
    return {"line": line, "character": len(text[starts[line] : offset].encode("utf-16-le")) // 2}


def _offset(text: str, line: int, column: int) -> int:
    starts = _line_starts(text)
    if not 1 <= line <= len(starts):
        raise PositionError(f"line {line} is outside the file, which has {len(starts)}")
    end = starts[line] if line < len(starts) else len(text)
    content = text[starts[line - 1] : end].rstrip("\r\n")
    if not 1 <= column <= len(content) + 1:
        raise PositionError(f"column {column} is outside line {line}, which has {len(content)} characters")
    return starts[line - 1] + column - 1


def _line_starts(text: str) -> list[int]:
    """Offsets of line starts; lines end at ``\\n``, ``\\r\\n`` or ``\\r`` (LSP 3.17, Text Documents)."""
    return [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]


def _line_of(starts: list[int], offset: int) -> int:
    low, high = 0, len(starts) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if starts[middle] <= offset else (low, middle - 1)
    return low
