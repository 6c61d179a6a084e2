"""Batches of like length: everything is in one of them, and no other split is cheaper."""

from __future__ import annotations

from astral_model.batches import PASS, like_lengths
from hypothesis import given
from hypothesis import strategies as st


def cost(batches: list[list[int]], lengths: list[int]) -> int:
    return sum(PASS + len(batch) * max(lengths[index] for index in batch) for batch in batches)


def cheapest(ordered: list[int], most: int) -> int:
    if not ordered:
        return 0
    return min(
        cheapest(ordered[:-size], most) + PASS + size * ordered[-1]
        for size in range(1, min(most, len(ordered)) + 1)
    )


@given(st.lists(st.integers(1, 120), max_size=9), st.integers(1, 4))
def test_the_split_is_whole_and_cheapest(lengths: list[int], most: int) -> None:
    batches = like_lengths(lengths, most)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(0 < len(batch) <= most for batch in batches)
    assert cost(batches, lengths) == cheapest(sorted(lengths), most)


def test_a_long_row_stands_alone_and_comes_last() -> None:
    assert like_lengths([90, 3, 4, 5], 8) == [[1, 2, 3], [0]]
    assert like_lengths([20, 21, 22], 8) == [[0, 1, 2]]
    assert like_lengths([], 8) == []
