"""The path's marginals, the rate conditions, and that a CTMC step follows the path (2407.15595)."""

from __future__ import annotations

import math

import pytest
import torch
from astral_model.path import Schedule, ScheduleName, sample_path
from astral_model.velocity import (
    backward_velocity,
    check_rates,
    corrected_velocity,
    ctmc_step,
    forward_velocity,
)

NAMES: list[ScheduleName] = ["linear", "quadratic", "cosine"]
MASK, SIZE = 4, 5


@pytest.mark.parametrize("name", NAMES)
def test_schedules_run_from_nothing_to_all(name: ScheduleName) -> None:
    schedule = Schedule(name)
    assert schedule.kappa(0.0) == pytest.approx(0.0)
    assert schedule.kappa(1.0) == pytest.approx(1.0)
    times = [i / 50 for i in range(51)]
    values = [schedule.kappa(t) for t in times]
    assert values == sorted(values)
    for t in times[1:-1]:
        numeric = (schedule.kappa(t + 1e-5) - schedule.kappa(t - 1e-5)) / 2e-5
        assert schedule.slope(t) == pytest.approx(numeric, abs=1e-4)
    assert schedule.rate(1.0) == math.inf
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        schedule.kappa(1.5)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.8])
def test_marginal_of_the_path(t: float) -> None:
    kappa = Schedule().kappa(t)
    masks = sample_path(20000, kappa, torch.Generator().manual_seed(0))
    assert float(masks.float().mean()) == pytest.approx(1 - kappa, abs=0.02)


def states() -> tuple[torch.Tensor, torch.Tensor]:
    """Two masks and a revealed token, with a denoiser's answer for each."""
    state = torch.tensor([MASK, MASK, 2])
    probs = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0], [0.7, 0.1, 0.1, 0.1, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]])
    return state, probs


@pytest.mark.parametrize("surplus", [0.0, 0.5, 3.0])
def test_velocities_are_rates(surplus: float) -> None:
    state, probs = states()
    forward = forward_velocity(probs, state, Schedule(), 0.4)
    backward = backward_velocity(state, MASK, SIZE, Schedule(), 0.4)
    assert check_rates(corrected_velocity(forward, backward, surplus), state)
    assert not check_rates(-forward, state)
    assert torch.equal(forward[2], torch.zeros(SIZE))  # the predictor alone never changes a revealed token


def test_only_the_corrector_remasks() -> None:
    state, probs = states()
    forward = forward_velocity(probs, state, Schedule(), 0.4)
    backward = backward_velocity(state, MASK, SIZE, Schedule(), 0.4)
    assert float(corrected_velocity(forward, backward, 0.0)[2, MASK]) == 0.0
    assert float(corrected_velocity(forward, backward, 1.0)[2, MASK]) > 0.0
    with pytest.raises(ValueError, match="negative"):
        corrected_velocity(forward, backward, -0.1)


@pytest.mark.parametrize("surplus", [0.0, 0.5])
def test_stepping_with_the_true_posterior_follows_the_path(surplus: float) -> None:
    """With the one right answer known, the share of revealed positions after Euler steps to t is κ_t."""
    generator, schedule, n, steps = torch.Generator().manual_seed(1), Schedule("linear"), 4000, 40
    state = torch.full((n,), MASK)
    posterior = torch.zeros(n, SIZE)
    posterior[:, 1] = 1.0
    for i in range(1, steps // 2 + 1):
        t = i / steps
        forward = forward_velocity(posterior, state, schedule, t)
        backward = backward_velocity(state, MASK, SIZE, schedule, t)
        state = ctmc_step(corrected_velocity(forward, backward, surplus), state, 1 / steps, generator)
    assert float((state == 1).float().mean()) == pytest.approx(schedule.kappa(0.5), abs=0.05)
