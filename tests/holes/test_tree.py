"""The syntax tree follows the buffer: offsets and holes after any edits are those of a fresh parse."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astral_lsp.holes.find import find_holes
from astral_lsp.holes.index import HoleIndex
from astral_lsp.holes.tree import LanguageUnavailable, language, parse

PIECES = [
    "x", "?a", "??", "?", "...", "\n", "\r\n", "\r", "\t", "    ", "é", "𝒳", "😀", "\ufeff", "'", '"', '"""',
    "#", "def f():", "return ", "if ", ":", "(", ")", "[", "]", ",", "=", " ", "pass", "# TODO", "__hole__",
    "class A:", "\\", "raise NotImplementedError", "f'{", "}", "\u2028", "\x0c", "\ud800", "a\n    ...\n",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.3), TEXTS), max_size=6)


def ranges(index: HoleIndex) -> list[tuple[str, int, int]]:
    """Every node of the tree with its code points."""
    found, queue = [], [index.tree.root]
    while queue:
        node = queue.pop()
        found.append((node.type, index.tree.start(node), index.tree.end(node)))
        queue.extend(node.children)
    return sorted(found)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, EDITS)
def test_edits_keep_offsets_and_holes_right(text: str, edits: list[tuple[float, float, str]]) -> None:
    index = HoleIndex(text)
    for at, length, new in edits:
        start = int(at * len(text))
        end = min(len(text), start + int(length * len(text)))
        text = text[:start] + new + text[end:]
        index.edit(start, end, new)
    fresh = HoleIndex(text)
    assert index.text == text
    assert index.tree.data == fresh.tree.data
    assert len(index.tree.data) == len(text.encode("utf-8", "surrogatepass"))
    for hole in fresh.holes:
        assert text[hole.start : hole.end] == hole.text
    if not fresh.tree.has_error and not index.tree.has_error:
        assert ranges(index) == ranges(fresh)
        assert index.holes == fresh.holes


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_bytes_and_code_points_agree(text: str) -> None:
    tree = parse(text)
    for offset in range(len(text) + 1):
        byte = len(text[:offset].encode("utf-8", "surrogatepass"))
        assert tree.byte(offset) == byte
        assert tree.offset(byte) == offset


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_replace_finds_the_smallest_edit(old: str, new: str) -> None:
    index = HoleIndex(old)
    index.replace(new)
    assert index.text == new
    assert index.tree.data == parse(new).data


def test_holes_move_with_an_edit_above_them() -> None:
    index = HoleIndex("s = '😀'\r\nx = ?a\r\n")
    before = index.holes[0]
    index.edit(5, 6, "😀𝒳😀\r\n")
    (after,) = index.holes
    assert (after.start, after.text) == (before.start + 4, "?a")


def test_typing_a_question_mark_makes_and_unmakes_a_hole() -> None:
    index = HoleIndex("x = total\n")
    index.edit(4, 4, "?")
    assert [hole.text for hole in index.holes] == ["?total"]
    index.edit(4, 4, "?")
    assert index.holes == []  # ??total is neither marker
    index.edit(6, 11, "")
    assert [hole.text for hole in index.holes] == ["??"]
    index.edit(4, 4, "'")
    assert index.holes == []


def test_an_edit_outside_the_buffer_changes_nothing() -> None:
    index = HoleIndex("x = ?a\n")
    with pytest.raises(ValueError, match="outside the buffer"):
        index.edit(3, 99, "")
    assert index.text == "x = ?a\n"
    assert len(index.holes) == 1


def test_an_old_tree_stays_usable() -> None:
    index = HoleIndex("x = ?a\n")
    old = index.tree
    index.edit(0, 0, "# é\n")
    assert [hole.start for hole in find_holes(old.text, old)] == [4]


def test_selection_that_is_a_hole_is_that_hole() -> None:
    index = HoleIndex("x = ?a\n")
    assert index.selection(4, 6) is index.holes[0]
    assert index.selection(0, 1).marker == "selection"
    assert index.at(5) is index.holes[0]


def test_unknown_languages_are_one_sentence() -> None:
    assert language("python") is language("python")
    with pytest.raises(LanguageUnavailable, match="klingon"):
        language("klingon")
