"""Token healing at the canvas boundary."""

from __future__ import annotations

import pytest
from astral_model.healing import ForcedBytes, heal, strip_forced
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("prefix", "forced"),
    [
        ("x = ", " "),
        ("x =", " ="),
        ("for idx, e", " e"),
        ("def f():\n    ", " "),
        ("def f():\n\t", "\t"),
        ("return self.fo", ".fo"),
        ("beginning_of", "_of"),
        ("foo(", "("),
        ("f(a,", ","),
        ('say("b', "b"),
        ("n == 1", "1"),
        ("a = 1\n", ""),
        ("a = 1\r\n", ""),
        ("a = 1\r\n  ", " "),
        ("", ""),
        ("größ", "größ"),
        ("x = 𝔘", " 𝔘"),
    ],
)
def test_the_last_piece_moves_into_the_canvas(prefix: str, forced: str) -> None:
    assert heal(prefix) == (prefix[: len(prefix) - len(forced)], forced)


@given(st.text(alphabet=st.sampled_from("ab_1 .(=\n\té𝔘"), max_size=30))
def test_nothing_is_lost_and_line_breaks_stay(prefix: str) -> None:
    healed = heal(prefix)
    assert healed.prefix + healed.forced == prefix
    assert "\n" not in healed.forced


def test_strip_forced_takes_back_what_heal_moved() -> None:
    assert strip_forced(" elem in items:", " e") == "lem in items:"
    with pytest.raises(ValueError, match="does not start with"):
        strip_forced(" item", " e")


def test_forced_bytes_allows_exactly_the_agreeing_tokens() -> None:
    pieces = [b"", b" e", b" el", b" ", b"e", b" x", b"elem", "é".encode(), b" elem"]
    owed = ForcedBytes(pieces)
    assert sorted(owed.allowed(b" e")) == [1, 2, 3, 8]
    assert owed.rest(b" e", 3) == b"e"
    assert sorted(owed.allowed(b"e")) == [4, 6]
    assert owed.rest(b"e", 6) == b""
    assert owed.allowed("ü".encode()) == []
