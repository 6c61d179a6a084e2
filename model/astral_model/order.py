"""Which masked positions to unmask next.

Every order takes the confidence of the best token at each masked position and answers a commit mask with
at least one position in every row that still has masks. Several positions may go in one step when all of
them are surer than a threshold (Fast-dLLM, 2505.22618): that is where the parallel speed comes from.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from astral_model.corruption import BLANK, DELIMITER, IDENTIFIER, KEYWORD, LITERAL, OPERATOR

OrderName = Literal["left_to_right", "confidence", "anchored"]

ANCHOR_BONUS = {KEYWORD: 0.3, IDENTIFIER: 0.15, OPERATOR: 0.05, LITERAL: 0.0, DELIMITER: 0.0, BLANK: 0.0}
"""Added to the confidence, by role of the proposed token: ASTRAL §3.3 unmasks keywords, then identifiers,
first."""


def left_to_right(confidence: Tensor, masked: Tensor, threshold: float) -> Tensor:
    """The first masked position, and those right behind it while each is surer than ``threshold``.

    confidence (N, C) probabilities; masked (N, C) bool. Returns (N, C) bool.
    """
    first = masked & (masked.cumsum(1) == 1)  # (N, C)
    sure = masked & (confidence >= threshold)
    broken = (masked & ~sure & ~first).cumsum(1) > 0  # some earlier masked position was not sure
    return first | (sure & ~broken)


def by_confidence(confidence: Tensor, masked: Tensor, threshold: float) -> Tensor:
    """Every masked position surer than ``threshold``, or else the surest one."""
    confidence = confidence.masked_fill(~masked, -1.0)
    best = torch.zeros_like(masked).scatter_(1, confidence.argmax(1, keepdim=True), True)
    return ((confidence >= threshold) | best) & masked


def anchored(confidence: Tensor, masked: Tensor, threshold: float, roles: Tensor) -> Tensor:
    """As `by_confidence`, with structurally salient tokens preferred: their confidence gets `ANCHOR_BONUS`.

    roles (N, C): role of the best token at each position. The bonus decides which single position goes
    when none is sure; it makes no position sure.
    """
    bonus = torch.tensor([ANCHOR_BONUS[r] for r in range(len(ANCHOR_BONUS))])[roles]
    preferred = (confidence + bonus).masked_fill(~masked, -1.0)
    best = torch.zeros_like(masked).scatter_(1, preferred.argmax(1, keepdim=True), True)
    return ((confidence >= threshold) | best) & masked


def choose(order: OrderName, confidence: Tensor, masked: Tensor, threshold: float, roles: Tensor) -> Tensor:
    """Dispatch by name."""
    if order == "left_to_right":
        return left_to_right(confidence, masked, threshold)
    if order == "confidence":
        return by_confidence(confidence, masked, threshold)
    return anchored(confidence, masked, threshold, roles)
