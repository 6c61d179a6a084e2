"""A masked buffer is valid Python with the same lines, and offsets map both ways."""

from __future__ import annotations

import ast
import re

import pytest

from astral_lsp.holes.find import find_holes
from astral_lsp.holes.mask import describe, neutralise
from astral_lsp.holes.model import Hole, Span
from tests.holes.test_find import POSITIVE, unmark

WHOLE = [case[0] for case in POSITIVE if not re.search(r"def g\(:|= = |class A\n|\(1,\n", case[0])]


@pytest.mark.parametrize("fixture", WHOLE)
def test_masked_text_parses_and_keeps_its_lines(fixture: str) -> None:
    text, _ = unmark(fixture)
    masked = neutralise(text, find_holes(text))
    ast.parse(masked.text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    assert re.findall(r"\r\n|\n|\r", masked.text) == re.findall(r"\r\n|\n|\r", text)


def test_words_on_both_sides_stay_apart() -> None:
    text = "def f(a):\n    return...if a else...\n"
    masked = neutralise(text, find_holes(text))
    assert masked.text == "def f(a):\n    return __hole_1__ if a else __hole_2__\n"


def test_own_replacement() -> None:
    text = "x = ?a\ndef f():\n    ...\n"

    def marker(hole: Hole) -> str:
        return "__hole__(0)" if hole.category == "statements" else f"__hole__({hole.id})"

    assert neutralise(text, find_holes(text), replacement=marker).text == (
        "x = __hole__(1)\ndef f():\n    __hole__(0)\n"
    )


def test_offsets_map_both_ways() -> None:
    text = "é = ?a + ?b\ny = 1\n"
    masked = neutralise(text, find_holes(text))
    for old, new in ((0, 0), (7, 15), (len(text), len(masked.text))):
        assert masked.to_masked(old) == new
        assert masked.to_original(new) == old
    start = masked.text.index("__hole_2__")
    assert masked.to_original(start + 3) == text.index("?b")
    assert masked.to_original(masked.text.index("y =")) == text.index("y =")


def test_describe_spans() -> None:
    text = "f(?a, b + 1)\n"
    one, two = describe(text, [Span(6, 11), Span(2, 4)])
    assert (one.id, one.marker, one.category) == (1, "selection", "expression")
    assert (two.id, two.marker, two.name) == (2, "question", "a")
    with pytest.raises(ValueError, match="outside"):
        describe(text, [Span(0, 99)])


def test_overlapping_holes_are_left_alone() -> None:
    text = "f(?a + ?b)\n"
    holes = [*find_holes(text), *describe(text, [Span(2, 9)])]
    assert neutralise(text, holes).text == "f(__hole_1__ + __hole_2__)\n"
