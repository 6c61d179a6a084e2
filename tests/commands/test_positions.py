"""Positions of the command line and LSP ranges."""

from __future__ import annotations

import pytest

from astral_lsp.commands.positions import PositionError, line_column, lsp_range, parse_at, parse_range
from astral_lsp.holes.model import Span

TEXT = "a = 1\r\n\tb𝔘c = 2\rd\nlast"


@pytest.mark.parametrize("needle", ["a", "1", "b", "c = 2", "d", "last"])
def test_line_and_column_round_trip(needle: str) -> None:
    offset = TEXT.index(needle)
    line, column = line_column(TEXT, offset)
    assert parse_at(f"{line}:{column}", TEXT) == offset


def test_columns_count_characters_and_lsp_counts_utf16() -> None:
    offset = TEXT.index("c = 2")
    assert line_column(TEXT, offset) == (2, 4)
    assert lsp_range(TEXT, Span(offset, offset + 1))["start"] == {"line": 1, "character": 4}


def test_the_end_of_a_line_is_a_position() -> None:
    assert parse_at("1:6", TEXT) == 5
    assert parse_range("1:1-2:2", TEXT) == Span(0, 8)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("x", "is not LINE:COL"),
        ("9:1", "line 9 is outside the file, which has 4"),
        ("0:1", "outside the file"),
        ("1:99", "column 99 is outside line 1, which has 5 characters"),
        ("1:0", "column 0 is outside"),
    ],
)
def test_bad_positions_are_named(value: str, why: str) -> None:
    with pytest.raises(PositionError, match=why):
        parse_at(value, TEXT)


def test_a_range_must_not_end_before_it_starts() -> None:
    with pytest.raises(PositionError, match="ends before it starts"):
        parse_range("2:1-1:1", TEXT)
