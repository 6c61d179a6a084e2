"""Gaps of the wrong size: what stays, what is asked for, what counts."""

from __future__ import annotations

import pytest
import torch
from training.elastic import Slot, stretch

END, EXPAND = 901, 902


def slots(picture: str) -> list[Slot]:
    """``a_c`` is a shown token, a masked one, a shown one; the end is shown behind them."""
    body = [Slot(10 + i, mark == "_", i) for i, mark in enumerate(picture)]
    return [*body, Slot(END, False, len(picture))]


def drawn(picture: str, seed: int, forced: int = 0) -> list[Slot]:
    return stretch(slots(picture), END, EXPAND, forced, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("picture", ["___", "a__d", "_b__e_", "abc_", "ab__"])
def test_gaps_keep_their_order_and_the_rest_stands(picture: str, seed: int) -> None:
    found = drawn(picture, seed)
    assert [s.source for s in found if not s.masked] == [s.source for s in slots(picture) if not s.masked]
    named = [s.source for s in found if s.source >= 0]
    assert named == sorted(named)
    assert any(s.masked for s in found)
    for at, slot in enumerate(found):
        if slot.target == EXPAND:  # only the last mask of a gap says that more follows than it can hold
            assert not found[at + 1].masked
        if slot.masked and slot.target == END:  # surplus: nothing of the gap comes behind it
            assert not found[at + 1].masked or found[at + 1].target == END


def test_expand_stands_exactly_where_tokens_are_missing() -> None:
    seen = set()
    for seed in range(200):
        found = drawn("a____f", seed)
        masks = [s for s in found if s.masked and s.target != END]
        tokens = [s.source for s in masks if s.target != EXPAND]
        assert tokens == [1, 2, 3, 4][: len(tokens)]
        assert (len(tokens) < 4) == any(s.target == EXPAND for s in masks)
        seen.add(len(masks))
    assert seen == {1, 2, 3, 4}


def test_surplus_masks_count_as_one_token_together() -> None:
    for seed in range(60):
        extra = [s.weight for s in drawn("a_c", seed) if s.masked and s.target == END]
        runs = round(sum(extra))
        assert sum(extra) == pytest.approx(runs)


def test_no_gap_opens_inside_healed_tokens() -> None:
    for seed in range(80):
        found = drawn("abcd_", seed, forced=3)
        assert [s.source for s in found[:3]] == [0, 1, 2]
