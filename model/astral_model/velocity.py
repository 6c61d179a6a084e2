"""The generating velocity of the path, one CTMC step, and the corrector that puts masks back.

For position i in state z the forward velocity is u_t(x, z) = κ'_t / (1 - κ_t) (p_{1|t}(x | z) - δ(x, z)),
and the backward one û_t(x, z) = κ'_t / κ_t (δ(x, z) - δ(x, mask)). Any α u - (α - 1) û with α >= 1 has the
same marginals (2407.15595, §3.3): the surplus α - 1 remasks, so that early mistakes can be taken back.

A velocity must satisfy the rate conditions: off the current state it is not negative, and it sums to zero
(ASTRAL Prop. 2); `check_rates` tests that.
"""

from __future__ import annotations

import torch
from torch import Tensor

from astral_model.path import Schedule


def forward_velocity(probs: Tensor, state: Tensor, schedule: Schedule, t: float) -> Tensor:
    """u_t (C, V) from p_{1|t} (C, V) (rows of revealed positions: one-hot at their token) and ``state``
    (C,)."""
    here = torch.nn.functional.one_hot(state, probs.shape[1]).to(probs.dtype)
    return schedule.rate(t) * (probs - here)


def backward_velocity(state: Tensor, mask: int, size: int, schedule: Schedule, t: float) -> Tensor:
    """û_t (C, V) for ``state`` (C,): leads from revealed tokens to the mask when time runs backwards (t >
    0)."""
    here = torch.nn.functional.one_hot(state, size).float()
    masked = torch.zeros_like(here)
    masked[:, mask] = 1.0
    return schedule.slope(t) / schedule.kappa(t) * (here - masked)


def corrected_velocity(forward: Tensor, backward: Tensor, surplus: float) -> Tensor:
    """α u - (α - 1) û with α = 1 + ``surplus``."""
    if surplus < 0:
        raise ValueError("the corrector's surplus must not be negative")
    return (1 + surplus) * forward - surplus * backward


def check_rates(velocity: Tensor, state: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether ``velocity`` (C, V) is a rate matrix row for every position."""
    others = velocity.scatter(1, state[:, None], 0.0)
    return bool((others >= -tolerance).all()) and bool((velocity.sum(1).abs() <= tolerance).all())


def ctmc_step(velocity: Tensor, state: Tensor, step: float, generator: torch.Generator) -> Tensor:
    """One Euler step: x_{t+h} ~ δ(x, x_t) + h u_t, clamped to a distribution; (C,) new states."""
    here = torch.nn.functional.one_hot(state, velocity.shape[1]).to(velocity.dtype)
    probs = (here + step * velocity).clamp(min=0.0)
    return torch.multinomial(probs / probs.sum(1, keepdim=True), 1, generator=generator)[:, 0]
