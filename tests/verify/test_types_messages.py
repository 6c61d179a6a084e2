"""Which messages of mypy a fill is held to: those that it adds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from astral_lsp.workers.types.messages import Message, Place, added

HOLE, FILL = Place("a.py", 5, 5), Place("a.py", 5, 7)
"""A fill of three lines in place of one: what follows has moved two lines down."""


def said(line: int, text: str, code: str = "misc", path: str = "a.py") -> Message:
    return Message(path, line, 1, line, 9, text, code)


CASES = {
    "one that was there": ([said(2, "old")], [said(2, "old")], []),
    "one below that has moved": ([said(9, "old")], [said(11, "old")], []),
    "one below that has not moved": ([said(9, "old")], [said(9, "old")], ["old"]),
    "a line number in its text moves too": (
        [said(2, "defined on line 9")], [said(2, "defined on line 11")], [],
    ),
    "one in the fill": ([], [said(6, "new")], ["new"]),
    "two where there was one": ([said(5, "same")], [said(5, "same"), said(6, "same")], ["same"]),
    "one in another file": ([said(3, "old", path="b.py")], [said(4, "old", path="b.py")], ["old"]),
    "an unknown package": ([], [said(6, "Skipping", "import-untyped")], []),
    "the order of an update, elsewhere": (
        [],
        [said(3, 'Cannot determine type of "x"', "has-type", "b.py"), said(9, "Cannot", "has-type")],
        [],
    ),
    "the order of an update, in the fill": ([], [said(6, 'Cannot determine type of "x"', "has-type")],
                                            ['Cannot determine type of "x"']),
    "a failed overload that names the fill's type": (
        [said(2, 'No overload of "f" matches argument type "Any"', "call-overload")],
        [said(2, 'No overload of "f" matches argument type "int"', "call-overload")],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_only_what_the_fill_adds(name: str) -> None:
    before, after, expected = CASES[name]
    found: Sequence[Message] = added(before, after, HOLE, FILL)
    assert [message.text for message in found] == expected


def test_a_variable_that_the_fill_names_is_no_matter_of_order() -> None:
    below = said(9, 'Cannot determine type of "e_fmt"', "has-type")
    assert added([], [below], HOLE, FILL, "e_fmt") == [below]
    assert added([], [below], HOLE, FILL, "fmt(x)") == []
