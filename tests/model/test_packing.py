"""What a packed row holds: every prefix once, lookahead behind prefixes, noised views that leak nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from astral_model.corruption import Mixture
from training.dataset import Example
from training.packing import CAUSAL, LOOKAHEAD, NOISED, Row, Views, pack

ANCHOR, END = 900, 901
ANSWER = [10, 11, 12, 13, 14, 15]


def example(forced: int = 0) -> Example:
    answer = np.array(ANSWER, np.int32)
    return Example(
        np.zeros(3, np.int32), answer, np.ones(6, np.uint8), np.array([[1, 4]], np.uint8), 0, forced
    )


def row(seed: int = 0, forced: int = 0, views: Views | None = None) -> Row:
    generator = torch.Generator().manual_seed(seed)
    return pack(example(forced), ANCHOR, END, views or Views(), Mixture(), generator)


def seen_tokens(one: Row, at: int) -> dict[int, int]:
    """Canvas position -> revealed token, of all that position ``at`` attends to but itself."""
    places = [i for i in one.sees[at].nonzero().flatten().tolist() if i != at and int(one.positions[i])]
    assert not any(bool(one.masked[i]) for i in places)  # nobody sees a mask but itself
    return {int(one.positions[i]) - 1: int(one.tokens[i]) for i in places}


@pytest.mark.parametrize("seed", range(8))
def test_every_loss_asks_for_the_token_of_its_position_and_never_sees_it(seed: int) -> None:
    one, truth = row(seed), [*ANSWER, END]
    for at in (one.weight > 0).nonzero().flatten().tolist():
        place = int(one.positions[at])  # the output at the anchor, position 0, predicts canvas position 0
        assert int(one.target[at]) == (truth[place] if place < len(truth) else END)
        seen = seen_tokens(one, at)
        assert place not in seen
        assert all(token == (truth[p] if p < len(truth) else END) for p, token in seen.items())


def test_the_causal_view_trains_every_prefix_and_the_end() -> None:
    one = row()
    causal = (one.part == CAUSAL).nonzero().flatten().tolist()
    assert [int(one.target[i]) for i in causal] == [*ANSWER, END]
    for i in causal:
        assert all(place < int(one.positions[i]) for place in seen_tokens(one, i))


def test_healed_tokens_earn_no_causal_loss() -> None:
    one = row(forced=2)
    assert [int(t) for t in one.target[one.part == CAUSAL]] == [*ANSWER[2:], END]


def test_lookahead_sees_a_prefix_that_ends_before_it() -> None:
    one = row()
    queries = (one.part == LOOKAHEAD).nonzero().flatten().tolist()
    assert queries
    for at in queries:
        seen = sorted(seen_tokens(one, at))
        assert seen == list(range(len(seen)))
        assert 1 <= int(one.positions[at]) - len(seen) <= Views().reach
        assert bool(one.masked[at])


def test_a_given_end_is_seen_by_every_mask_and_earns_nothing() -> None:
    always = replace(Views(), known_length=1.0)
    one = row(views=always)
    noised = (one.part == NOISED).nonzero().flatten().tolist()
    assert noised
    for at in noised:
        assert seen_tokens(one, at)[len(ANSWER)] == END
        assert int(one.target[at]) != END


def test_the_end_is_told_by_nothing_when_it_is_not_given() -> None:
    hidden = replace(Views(), known_length=0.0, revealed_tail=0.0)
    for seed in range(10):
        one = row(seed, views=hidden)
        tails = [int(one.positions[i]) for i in (one.part == NOISED).nonzero().flatten().tolist()]
        assert any(place > len(ANSWER) for place in tails)
        for at in (one.part == NOISED).nonzero().flatten().tolist():
            seen = seen_tokens(one, at)
            if END in seen.values():
                assert len(ANSWER) in seen  # the true end, revealed by the corruption itself
