"""The probability path between an all-mask canvas (t = 0) and text (t = 1), and its schedule κ_t.

Discrete flow matching (arXiv 2407.15595), mask source: each position independently is already its final
token with probability κ_t and still a mask otherwise,

    p_t(x | x_1) = κ_t δ(x, x_1) + (1 - κ_t) δ(x, mask).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

ScheduleName = Literal["linear", "quadratic", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """κ: [0, 1] -> [0, 1], monotone, κ(0) = 0, κ(1) = 1."""

    name: ScheduleName = "cosine"

    def kappa(self, t: float) -> float:
        """Chance that a position is revealed at time ``t``."""
        if not 0.0 <= t <= 1.0:
            raise ValueError(f"t must be in [0, 1], not {t}")
        if self.name == "linear":
            return t
        if self.name == "quadratic":
            return t * t
        return 1.0 - math.cos(0.5 * math.pi * t) if t < 1.0 else 1.0

    def slope(self, t: float) -> float:
        """dκ/dt."""
        if self.name == "linear":
            return 1.0
        if self.name == "quadratic":
            return 2.0 * t
        return 0.5 * math.pi * math.sin(0.5 * math.pi * t)

    def rate(self, t: float) -> float:
        """κ'(t) / (1 - κ(t)): how fast a mask is unmasked; infinite at t = 1."""
        left = 1.0 - self.kappa(t)
        return math.inf if left <= 0.0 else self.slope(t) / left


def sample_path(length: int, kappa: float, generator: torch.Generator) -> Tensor:
    """(length,) bool masks of x_t given κ_t: True where a position is still a mask."""
    return torch.rand(length, generator=generator) >= kappa
