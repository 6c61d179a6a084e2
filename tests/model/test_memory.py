"""What a long-lived model worker would keep: no kernel for every length that ever occurred."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from astral_model.linear import SIZES, product

LENGTHS = 150
GROWTH_MB = 30
"""Torch's own bf16 products left 480 MB behind here, on a CPU with AVX512-BF16."""

SCRIPT = f"""
import torch
from astral_model.backbone import attend
from astral_model.linear import product

def resident():
    status = open("/proc/self/status").read()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024

def ones(*shape):
    return torch.ones(*shape, dtype=torch.bfloat16)

def pass_of(length):
    product(ones(length, 896), weight)
    own, far = ones(1, 2, length, 64), ones(1, 2, 700 + length, 64)
    attend(ones(1, 14, 1, 64), own, own, far, far, None, None)

torch.set_num_threads(1)
weight = ones(1152, 896)
for length in range(1, 1000, 32):  # what is kept for good
    product(ones(length, 896), weight)
pass_of(900)
before = resident()
for length in range(40, 40 + {LENGTHS}):
    pass_of(length)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_new_lengths_leave_nothing_behind() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) < GROWTH_MB


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("positions", [1, 8, 9, 31, 33, 200, 257, 400])
def test_rounding_positions_up_changes_no_product(positions: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(positions)
    x = torch.randn(2, positions, 64, generator=draw).to(dtype)
    weight, bias = torch.randn(24, 64, generator=draw).to(dtype), torch.randn(24, generator=draw).to(dtype)
    found = product(x, weight, bias)
    assert found.shape == (2, positions, 24)
    exact = x.double() @ weight.double().T + bias.double()
    assert torch.allclose(found.double(), exact, atol=1e-4 if dtype == torch.float32 else 0.2)


def test_sizes_grow() -> None:
    assert [most for most, _ in SIZES] == sorted(most for most, _ in SIZES)
