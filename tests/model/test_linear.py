"""Byte weights answer as the weights they were made from, by either way of multiplying."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from astral_model.backbone import Backbone
from astral_model.checkpoint import SCALE, Checkpoint, load_checkpoint
from astral_model.linear import (
    AT_ONCE,
    FEW,
    FEW_BESIDE_BYTES,
    Dense,
    Int8,
    multiplies_bytes,
    quantise,
)
from astral_model.store import Store

from tests.model.tiny import tiny_backbone


def matrix(out: int = 96, inner: int = 64) -> torch.Tensor:
    return torch.randn(out, inner, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("positions", [1, 4, FEW, FEW + 1, 200])
def test_bytes_multiply_like_the_matrix(positions: int, dtype: torch.dtype) -> None:
    weight = matrix()
    x = torch.randn(2, positions, 64, generator=torch.Generator().manual_seed(1))
    exact = Dense(weight)(x, torch.ones(96))
    found = Int8(*quantise(weight), dtype)(x.to(dtype), torch.ones(96, dtype=dtype))
    assert found.dtype == dtype
    assert found.shape == (2, positions, 96)
    assert float((found.float() - exact).abs().mean() / exact.abs().mean()) < 0.02


VNNI = pytest.mark.skipif(not multiplies_bytes(), reason="this CPU has no products of bytes")


@VNNI
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("positions", [1, FEW_BESIDE_BYTES + 1, 40, AT_ONCE + 1])
def test_inputs_in_bytes_multiply_like_themselves(positions: int, dtype: torch.dtype) -> None:
    weight = matrix()
    x = torch.randn(1, positions, 64, generator=torch.Generator().manual_seed(1))
    x[:, ::3] *= 50.0  # positions of very different size: each has its own scale
    exact = Dense(weight)(x, torch.ones(96))
    found = Int8(*quantise(weight), dtype, even_inputs=True)(x.to(dtype), torch.ones(96, dtype=dtype))
    assert found.dtype == dtype
    error = (found.float() - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert float(error.max()) < 0.05
    assert float(error.mean()) < 0.02


@VNNI
def test_a_position_in_bytes_is_the_same_whatever_stands_beside_it() -> None:
    int8 = Int8(*quantise(matrix()), torch.bfloat16, even_inputs=True)
    x = torch.randn(AT_ONCE + 40, 64).bfloat16()
    whole = int8(x)
    assert torch.equal(int8(x[100:130]), whole[100:130])
    assert bool((int8(torch.zeros(40, 64).bfloat16()) == 0).all())


def test_without_such_products_inputs_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astral_model.linear.multiplies_bytes", lambda: False)
    x, parts = torch.randn(40, 64), quantise(matrix())
    assert torch.equal(Int8(*parts, torch.float32, even_inputs=True)(x), Int8(*parts, torch.float32)(x))


def test_a_matrix_larger_than_the_buffer_is_widened_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    int8 = Int8(*quantise(matrix()), torch.float32)
    x = torch.randn(FEW + 1, 64)
    whole = int8(x)
    monkeypatch.setattr("astral_model.linear.BLOCK", 64 * 7)
    monkeypatch.setattr(Int8, "_scratch", {})
    assert torch.allclose(int8(x), whole, atol=1e-5)


def test_rows_and_lookups() -> None:
    weight, ids = matrix(), torch.tensor([[3, 90], [0, 3]])
    int8 = Int8(*quantise(weight), torch.float32)
    assert torch.allclose(int8.take(ids), weight[ids], atol=0.02)
    assert int8.size == (96, 64)
    part = int8.rows(ids.flatten())
    assert part.size == (4, 64)
    x = torch.randn(1, 64)
    assert torch.allclose(part(x), int8(x)[:, ids.flatten()], atol=1e-2)


def test_a_row_of_zeros_stays_zero() -> None:
    values, scale = quantise(torch.zeros(2, 32))
    assert int(values.abs().max()) == 0
    assert bool(torch.isfinite(scale).all())


def test_writing_in_and_out_of_inference_mode_shares_one_buffer() -> None:
    int8 = Int8(*quantise(matrix()), torch.bfloat16)
    x = torch.randn(FEW + 5, 64).bfloat16()
    with torch.inference_mode():
        inside = int8(x)
    assert torch.equal(inside, int8(x))


def test_a_tiny_base_in_bytes_thinks_alike() -> None:
    base = tiny_backbone()
    weights: dict[str, torch.Tensor] = dict(base.weights)
    for name, linear in base.linears.items():
        assert isinstance(linear, Dense)
        weights[name], weights[name + SCALE] = quantise(linear.weight)
    small = Backbone(Checkpoint(base.shape, base.sha256, weights, Path("none")), base.tokenizer)
    ids = torch.arange(40)[None]
    a = base.logits(base.forward(ids)[0]).softmax(-1)
    b = small.logits(small.forward(ids)[0]).softmax(-1)
    assert float((a - b).abs().sum(-1).mean()) < 0.25  # total variation; random weights have no margin


@pytest.mark.real_model
def test_the_real_base_in_bytes_chooses_the_same_tokens(tmp_path: Path) -> None:
    path = Store().find()
    if path is None:
        pytest.skip("the base weights are not on this machine")
    int8 = Backbone.load(path, device="cpu", int8=True)
    text = (
        "def total(prices: list[float]) -> float:\n    return sum(prices)\n\n\ndef mean(prices: list[float])"
    )
    ids = torch.tensor([int8.tokenizer.encode(text)])
    dense = Backbone.load(path, device="cpu")
    a, b = (base.logits(base.forward(ids)[0])[0] for base in (dense, int8))
    top = a.topk(2).values
    sure = top[:, 0] - top[:, 1] > 0.5
    assert sure.sum() > 8
    assert bool((a.argmax(1) == b.argmax(1))[sure].all())
    checkpoint = load_checkpoint(path, torch.int8)
    assert (
        sum(w.numel() * w.element_size() for w in checkpoint.weights.values()) < 650e6
    )  # the output matrix stands beside the embedding
