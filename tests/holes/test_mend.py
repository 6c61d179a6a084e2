"""Leaving out what does not parse: what is kept, what is blamed, and when there is no mending."""

from __future__ import annotations

import ast

import pytest

from astral_lsp.holes.mend import AROUND_THE_HOLE, TOO_MUCH, CannotMend, Mended, mend
from astral_lsp.holes.model import Span


def mended(fixture: str) -> Mended:
    """Mend the text of ``fixture``, whose kept part is in guillemets."""
    start, end = fixture.index("«"), fixture.index("»") - 1
    return mend(fixture.replace("«", "").replace("»", ""), [Span(start, end)])


@pytest.mark.parametrize(
    ("fixture", "after", "left_out"),
    [
        ("x = «y»\n", "x = y\n", ()),
        ("x = = 1\nx = «y»\n", "pass\nx = y\n", (1,)),
        ("x = «y»\nz = (\n", "x = y\npass\n", (2,)),
        ("def f(:\n    return «y»\n", "def f(*_: object):\n    return y\n", (1,)),
        ("class A\n    x = «y»\n", "def A(*_: object):\n    x = y\n", (1,)),
        ("if a\n    b\nx = «y»\n", "if 1:\n    b\nx = y\n", (1,)),
        ("    a\nx = «y»\n", "\nx = y\n", (1,)),
        ("a = 'é\r\nx = «y»\r\n", "pass\r\nx = y\r\n", (1,)),
        ("\ufeffx = = 1\nx = «y»\n", "pass\nx = y\n", (1,)),
        ("try:\n    a\nexcept\n    b\nx = «y»\n", "try:\n    a\nexcept Exception:\n    b\nx = y\n", (3,)),
        ("x = «y»\nelse:\n    b\n", "x = y\nif 1:\n    b\n", (2,)),
    ],
)
def test_left_out(fixture: str, after: str, left_out: tuple[int, ...]) -> None:
    made = mended(fixture)
    assert (made.text, made.left_out) == (after, left_out)
    (kept,) = made.kept
    assert made.text[kept.start : kept.end] == "y"
    assert made.text.count("\n") == fixture.count("\n")
    ast.parse(made.text)


@pytest.mark.parametrize(
    ("fixture", "why"),
    [
        ("x = «y» z\n", AROUND_THE_HOLE),
        ("x = («y»\n", AROUND_THE_HOLE),
        ("a b\n" * 60 + "x = «y»\n", TOO_MUCH),
    ],
)
def test_no_mending(fixture: str, why: str) -> None:
    with pytest.raises(CannotMend, match=why):
        mended(fixture)
