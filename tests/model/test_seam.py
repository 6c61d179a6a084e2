"""Words cut short at the end of a hole; ``$0`` stands for the hole."""

from __future__ import annotations

import pytest
from astral_model.seam import Seam

FILE = "def count(tokens: list[str]) -> int:\n    total = len({})\n    return total\n"


def seam(fixture: str) -> Seam:
    before, after = fixture.split("$0")
    return Seam(before, after, ["position"])


@pytest.mark.parametrize(
    ("fixture", "text", "broken"),
    [
        (FILE.format("$0"), "tokens", False),
        (FILE.format("$0"), "tok", True),  # a word of the file, cut short
        (FILE.format("$0"), "tokenizer", False),  # a new word is nobody's beginning
        (FILE.format("$0"), "pos", True),  # of a name in Γ
        (FILE.format("$0"), "tokens[:-1]", False),
        (FILE.format("$0"), "", False),
        (FILE.format("tok$0"), "ens", False),  # the word began before the hole
        (FILE.format("tok$0"), "e", True),
        (FILE.format("$0ens"), "tok", False),  # and may end behind it
        (FILE.format("$0ens"), "to", True),
        (FILE.format("$0ens"), "tokens + tok", False),
        ("    $0urn x\n", "ret", False),
        ("    $0urn x\n", "x = 1\n    re", True),
    ],
)
def test_whether_the_last_word_is_whole(fixture: str, text: str, broken: bool) -> None:
    assert seam(fixture).broken(text) is broken
