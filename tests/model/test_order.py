"""Which positions go next."""

from __future__ import annotations

import torch
from astral_model.corruption import DELIMITER, KEYWORD
from astral_model.order import OrderName, choose
from hypothesis import given
from hypothesis import strategies as st

ROLES = torch.tensor([[DELIMITER, DELIMITER, KEYWORD, DELIMITER]])
MASKED = torch.tensor([[False, True, True, True]])


def chosen(order: OrderName, confidence: list[float], threshold: float = 0.9) -> list[int]:
    found = choose(order, torch.tensor([confidence]), MASKED, threshold, ROLES)
    return found[0].nonzero().flatten().tolist()


def test_left_to_right_goes_on_while_sure() -> None:
    assert chosen("left_to_right", [0.0, 0.1, 0.95, 0.2]) == [1, 2]
    assert chosen("left_to_right", [0.0, 0.1, 0.5, 0.99]) == [1]


def test_confidence_takes_all_that_are_sure_or_the_best() -> None:
    assert chosen("confidence", [0.99, 0.1, 0.3, 0.2]) == [2]
    assert chosen("confidence", [0.0, 0.95, 0.3, 0.99]) == [1, 3]


def test_anchored_prefers_a_keyword_when_none_is_sure() -> None:
    assert chosen("anchored", [0.0, 0.5, 0.4, 0.2]) == [2]
    assert chosen("confidence", [0.0, 0.5, 0.4, 0.2]) == [1]
    assert chosen("anchored", [0.0, 0.95, 0.4, 0.2]) == [1, 2][:1] or chosen(
        "anchored", [0.0, 0.95, 0.4, 0.2]
    ) == [1, 2]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=12), st.floats(0.5, 1))
def test_every_order_makes_progress_and_only_at_masks(
    cells: list[tuple[float, bool]], threshold: float
) -> None:
    confidence = torch.tensor([[c for c, _ in cells]])
    masked = torch.tensor([[m for _, m in cells]])
    roles = torch.zeros_like(masked, dtype=torch.long)
    orders: list[OrderName] = ["left_to_right", "confidence", "anchored"]
    for order in orders:
        found = choose(order, confidence, masked, threshold, roles)
        assert not bool((found & ~masked).any())
        assert bool(found.any()) == bool(masked.any())
