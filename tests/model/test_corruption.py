"""What training masks: expected rates, stratification, structure."""

from __future__ import annotations

import pytest
import torch
from astral_model.corruption import (
    DELIMITER,
    IDENTIFIER,
    KEYWORD,
    LITERAL,
    Mixture,
    corrupt,
    mask_by_role,
    mask_by_span,
    mask_left_to_right,
    mask_uniform,
    nearness,
    rate_with_mean,
    role_of,
    stratified_rates,
)

DRAWS = 3000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.9])
def test_expected_rate_of_every_strategy(rate: float) -> None:
    g = generator()
    roles = torch.tensor(
        [KEYWORD, IDENTIFIER, DELIMITER, IDENTIFIER, DELIMITER, LITERAL, DELIMITER, DELIMITER]
    )
    spans = [(0, 8), (1, 4), (3, 4), (5, 7)]
    uniform = torch.stack([mask_uniform(8, rate, g) for _ in range(DRAWS)]).float().mean()
    by_role = torch.stack([mask_by_role(roles, rate, g) for _ in range(DRAWS)]).float().mean()
    by_span = torch.stack([mask_by_span(8, spans, rate, g) for _ in range(DRAWS)]).float().mean()
    for mean in (uniform, by_role, by_span):
        assert abs(float(mean) - rate) < 0.03


def test_anchors_are_revealed_earlier_than_delimiters() -> None:
    g = generator()
    roles = torch.tensor([KEYWORD, DELIMITER] * 4)
    mean = torch.stack([mask_by_role(roles, 0.5, g) for _ in range(DRAWS)]).float().mean(0)
    assert float(mean[0::2].max()) < float(mean[1::2].min())


def test_role_chances_keep_their_mean_when_some_reach_one() -> None:
    chance = rate_with_mean(torch.tensor([0.1, 0.1, 5.0, 5.0]), 0.7)
    assert float(chance.max()) <= 1.0
    assert float(chance.mean()) == pytest.approx(0.7, abs=1e-3)


def test_span_masks_take_nodes_whole() -> None:
    g = generator()
    for _ in range(200):
        mask = mask_by_span(10, [(2, 6)], 0.4, g)
        assert bool(mask[2:6].all())
        assert int(mask.sum()) >= 4


def test_rates_are_stratified() -> None:
    for seed in range(20):
        rates = stratified_rates(8, 0.25, generator(seed)).sort().values
        edges = 0.25 + 0.75 * torch.arange(9) / 8
        assert bool(((rates >= edges[:-1]) & (rates <= edges[1:])).all())


def test_left_to_right_masks_a_suffix_of_at_least_one() -> None:
    g = generator()
    seen = set()
    for _ in range(300):
        mask = mask_left_to_right(6, g)
        first = int(mask.nonzero()[0])
        assert bool(mask[first:].all())
        seen.add(first)
    assert seen == set(range(6))


def test_every_noising_has_a_mask_and_a_known_end_stays() -> None:
    g = generator()
    roles = torch.full((3,), IDENTIFIER)
    for _ in range(50):
        masks = corrupt(3, True, roles, [(0, 3)], 4, Mixture(lowest_rate=0.01), g)
        assert bool(masks.any(1).all())
        assert not bool(masks[:, 3:].any())


def test_healed_tokens_are_mostly_given() -> None:
    g = generator()
    roles = torch.full((5,), IDENTIFIER)
    first = torch.cat([corrupt(5, True, roles, [], 4, Mixture(), g, forced=1)[:, 0] for _ in range(300)])
    assert float(first.float().mean()) < 0.25


def test_loss_weighs_less_far_from_what_is_revealed() -> None:
    masked = torch.tensor([[True, True, False, True, True, True]])
    weights = nearness(masked, 0.5, 0.1)[0]
    assert weights[3:].tolist() == [1.0, 0.5, 0.25]
    assert weights[:2].tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("piece", "role"),
    [(" return", KEYWORD), ("items", IDENTIFIER), ("1", LITERAL), ("):\n", DELIMITER), ('"', LITERAL)],
)
def test_roles(piece: str, role: int) -> None:
    assert role_of(piece) == role
