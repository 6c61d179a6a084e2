"""The canvas sees the context, never the other way round; masks are seen by nobody; rows and padding are
inert."""

from __future__ import annotations

import pytest
import torch
from astral_model.adapter import Adapter, AdapterError
from astral_model.backbone import Backbone
from astral_model.denoiser import Denoiser

from tests.model.tiny import tiny_backbone

MASKED, GIVEN = True, False


def denoiser(trained: bool = True, rank: int = 4) -> Denoiser:
    base = tiny_backbone()
    torch.manual_seed(3)
    adapter = Adapter(base.shape, rank)
    if trained:
        with torch.no_grad():
            for name, p in adapter.factors.items():
                if name.endswith("_b"):
                    p.normal_(0, 0.2)
            adapter.mask_embedding.normal_()
    adapter.requires_grad_(False)
    adapter.prepare(base.dtype)
    return Denoiser(base, adapter)


def logits(
    model: Denoiser, canvas: list[int], masked: list[bool], context: list[int], **options: object
) -> torch.Tensor:
    cache = model.backbone.context(context)
    hidden = model.hidden(torch.tensor([canvas]), torch.tensor([masked]), cache, **options)  # type: ignore[arg-type]
    return model.backbone.logits(hidden)[0]


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4, rtol=1e-4)


def test_the_canvas_sees_the_context() -> None:
    model = denoiser()
    a = logits(model, [1, 2], [GIVEN, MASKED], [5, 6, 7])
    b = logits(model, [1, 2], [GIVEN, MASKED], [5, 9, 7])
    assert not close(a, b)


def test_the_context_never_sees_the_canvas_nor_the_adapter() -> None:
    plain, changed = denoiser(False), denoiser(True)
    for model in (plain, changed):
        logits(model, [1, 2], [GIVEN, MASKED], [5, 6, 7])
    a, b = plain.backbone.context([5, 6, 7]), changed.backbone.context([5, 6, 7])
    assert all(torch.equal(x, y) for x, y in zip(a.keys, b.keys, strict=True))


def test_a_masked_token_is_not_seen_by_anybody() -> None:
    model = denoiser()
    a = logits(model, [1, 2, 3], [GIVEN, MASKED, GIVEN], [5, 6])
    b = logits(model, [1, 200, 3], [GIVEN, MASKED, GIVEN], [5, 6])
    assert close(a, b)


def test_revealed_tokens_are_seen_from_both_sides() -> None:
    model = denoiser()
    a = logits(model, [1, 2, 3], [GIVEN, MASKED, GIVEN], [5, 6])
    b = logits(model, [1, 2, 9], [GIVEN, MASKED, GIVEN], [5, 6])
    assert not close(a[1], b[1])
    c = logits(model, [8, 2, 3], [GIVEN, MASKED, GIVEN], [5, 6])
    assert not close(a[2], c[2])


def test_canvas_padding_is_inert() -> None:
    model = denoiser()
    short = logits(model, [1, 2, 3], [GIVEN, MASKED, GIVEN], [5, 6])
    visible = torch.tensor([[True, True, True, False, False]])
    padded = logits(model, [1, 2, 3, 70, 71], [GIVEN, MASKED, GIVEN, GIVEN, MASKED], [5, 6], visible=visible)
    assert close(short, padded[:3])


def test_without_training_a_causal_row_is_the_base() -> None:
    model = denoiser(trained=False)
    base, context = model.backbone, [5, 6, 7]
    answer = [1, 2, 3]
    row = logits(model, answer, [GIVEN] * 3, context, causal=torch.tensor([True]))
    plain, _ = base.forward(torch.tensor([[*context, base.tokenizer.fim_middle, *answer]]))
    assert close(row, base.logits(plain)[0, len(context) : -1])


def test_without_training_a_left_to_right_state_starts_from_the_base() -> None:
    """What follows a given prefix is predicted as the base predicts it when the prefix is one token long."""
    model = denoiser(trained=False)
    base, context = model.backbone, [5, 6, 7]
    state = logits(model, [1, 2, 3], [GIVEN, MASKED, MASKED], context)
    plain, _ = base.forward(torch.tensor([[*context, base.tokenizer.fim_middle]]))
    first = logits(model, [1, 2, 3], [MASKED, MASKED, MASKED], context)
    assert close(first[0], base.logits(plain)[0, -1])
    assert not close(state[0], first[0])  # the anchor sees what was revealed behind it


def test_noisings_that_share_a_context_equal_each_alone() -> None:
    model = denoiser()
    cache = model.backbone.context([5, 6, 7])
    canvas = torch.tensor([[1, 2, 3], [1, 2, 3], [4, 5, 6]])
    masked = torch.tensor([[True, False, True], [False, True, True], [True, True, True]])
    together = model.hidden(canvas, masked, cache)
    for n in range(3):
        alone = model.hidden(canvas[n : n + 1], masked[n : n + 1], cache)
        assert close(alone[0], together[n])


def test_an_adapter_survives_saving_and_is_bound_to_its_base(tmp_path: object) -> None:
    import pathlib

    folder = pathlib.Path(str(tmp_path)) / "adapter"
    model = denoiser()
    base: Backbone = model.backbone
    words = torch.tensor([1, 2, 3])
    model.adapter.save(folder, {"base_sha256": base.sha256}, words, torch.float32)
    loaded = Adapter.load(folder, base.shape, base.sha256, base.dtype)
    assert loaded.vocabulary is not None
    assert loaded.vocabulary.tolist() == [1, 2, 3]
    a = logits(model, [1, 2], [GIVEN, MASKED], [5, 6])
    b = logits(Denoiser(base, loaded), [1, 2], [GIVEN, MASKED], [5, 6])
    assert close(a, b)
    with pytest.raises(AdapterError, match="another base"):
        Adapter.load(folder, base.shape, "1" * 64, base.dtype)
    with pytest.raises(AdapterError, match="no readable adapter"):
        Adapter.load(folder / "nowhere", base.shape, base.sha256, base.dtype)


@pytest.mark.parametrize("rank", [4, 16])  # the byte kernel takes rows of sixteen and no four
@pytest.mark.parametrize("length", [2, 40])  # it takes few positions, many are widened
def test_an_adapter_in_bytes_answers_as_in_floats(rank: int, length: int) -> None:
    model = denoiser(rank=rank)
    base, adapter = model.backbone, model.adapter
    answer, masked = [3] * length, [GIVEN] * (length - 1) + [MASKED]
    exact = logits(model, answer, masked, [5, 6, 7])[-1]
    adapter.prepare(base.dtype, int8=True)
    found = logits(model, answer, masked, [5, 6, 7])[-1]
    none = logits(denoiser(trained=False), answer, masked, [5, 6, 7])[-1]
    assert float((found - exact).norm()) < 0.05 * float((none - exact).norm())
