"""The base's passes: caches are exact, rows do not touch each other, masks hide what they must."""

from __future__ import annotations

import pytest
import torch
from astral_model.backbone import Cache, attend, common_prefix
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.tiny import tiny_backbone

BASE = tiny_backbone()
IDS = st.lists(st.integers(0, 255), min_size=2, max_size=24)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(IDS, st.data())
def test_cached_equals_uncached(ids: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(ids) - 1))
    whole, _ = BASE.forward(torch.tensor([ids]))
    context = BASE.context(ids[:cut])
    rest, _ = BASE.forward(torch.tensor([ids[cut:]]), context=context)
    assert close(BASE.logits(whole[:, cut:]), BASE.logits(rest))


@settings(max_examples=25, deadline=None)
@given(IDS, IDS)
def test_a_reused_prefix_changes_nothing(first: list[int], second: list[int]) -> None:
    fresh = BASE.context(second)
    reused = BASE.context(second, BASE.context(first))
    assert reused.ids == second
    assert reused.length == len(second)
    for a, b in zip(fresh.keys + fresh.values, reused.keys + reused.values, strict=True):
        assert close(a, b)


@pytest.mark.parametrize("context", [0, 5])
@pytest.mark.parametrize("bias", ["none", "own", "context", "both", "causal"])
def test_the_fused_kernel_attends_as_the_products_do(context: int, bias: str) -> None:
    draw = torch.Generator().manual_seed(3)

    def drawn(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=draw)

    def hidden(*size: int) -> torch.Tensor:
        shown = torch.rand(*size, generator=draw) < 0.7
        shown[..., 0] = True
        return torch.zeros(size).masked_fill(~shown, -torch.inf)

    q, k, v = drawn(2, 4, 6, 8), drawn(2, 2, 6, 8), drawn(2, 2, 6, 8)
    far_k, far_v = (drawn(2, 2, context, 8), drawn(2, 2, context, 8)) if context else (None, None)
    own = hidden(1, 6, 6) if bias in ("own", "both") else None
    far = hidden(2, context) if context and bias in ("context", "both") else None
    causal = bias == "causal" and not context
    fused = attend(q, k, v, far_k, far_v, own, far, causal)
    products = attend(q.requires_grad_(), k, v, far_k, far_v, own, far, causal)
    assert close(fused, products)


def test_a_prefix_is_computed_once() -> None:
    cache = BASE.context([1, 2, 3, 4])
    shorter = BASE.context([1, 2], cache)
    assert shorter.keys[0].data_ptr() == cache.keys[0].data_ptr()


def test_token_by_token_equals_one_pass_in_a_batch() -> None:
    context = BASE.context([5, 6, 7])
    rows = torch.tensor([[1, 2, 3, 4], [9, 8, 7, 6]])
    whole, _ = BASE.forward(rows, context=context)
    past: Cache | None = None
    for t in range(4):
        step, past = BASE.forward(rows[:, t : t + 1], context=context, past=past)
        assert close(step[:, 0], whole[:, t])


def test_rows_of_a_batch_are_independent() -> None:
    context = BASE.context([5, 6, 7])
    rows = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    together, _ = BASE.forward(rows, context=context)
    for n in range(3):
        alone, _ = BASE.forward(rows[n : n + 1], context=context)
        assert close(alone[0], together[n])


def test_contexts_of_unequal_length_in_one_batch() -> None:
    contexts = [[5, 6, 7], [1, 2, 3, 4, 5]]
    padded = torch.tensor([[5, 6, 7, 0, 0], [1, 2, 3, 4, 5]])
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    _, cache = BASE.forward(padded)
    rows = torch.tensor([[9, 8], [9, 8]])
    together, _ = BASE.forward(
        rows, context=Cache(cache.keys, cache.values), start=mask.sum(1), context_mask=mask
    )
    for n, ids in enumerate(contexts):
        alone, _ = BASE.forward(rows[n : n + 1], context=BASE.context(ids))
        assert close(alone[0], together[n])


def test_logits_over_chosen_ids() -> None:
    hidden, _ = BASE.forward(torch.tensor([[1, 2, 3]]))
    chosen = torch.tensor([7, 3])
    assert close(BASE.logits(hidden, chosen), BASE.logits(hidden)[..., chosen])


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_common_prefix(a: list[int], b: list[int]) -> None:
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]
