"""Gaps of the wrong size: what training asks for, and how unmasking grows and shrinks them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from astral_model.backbone import Cache
from astral_model.decoding import Canvas, Decoding, unmask
from astral_model.elastic import gaps
from astral_model.order import OrderName
from astral_model.start_length import BIAS, SIZES, calibrated, first_step_confidence
from torch import Tensor
from training.elastic import Slot, stretch

END, EXPAND = 901, 902


def slots(picture: str) -> list[Slot]:
    """``a_c`` is a shown token, a masked one, a shown one; the end is shown behind them."""
    body = [Slot(10 + i, mark == "_", i) for i, mark in enumerate(picture)]
    return [*body, Slot(END, False, len(picture))]


def drawn(picture: str, seed: int, forced: int = 0) -> list[Slot]:
    return stretch(slots(picture), END, EXPAND, forced, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("picture", ["___", "a__d", "_b__e_", "abc_", "ab__"])
def test_gaps_keep_their_order_and_the_rest_stands(picture: str, seed: int) -> None:
    found = drawn(picture, seed)
    assert [s.source for s in found if not s.masked] == [s.source for s in slots(picture) if not s.masked]
    named = [s.source for s in found if s.source >= 0]
    assert named == sorted(named)
    assert any(s.masked for s in found)
    for at, slot in enumerate(found):
        if slot.target == EXPAND:  # only the last mask of a gap says that more follows than it can hold
            assert not found[at + 1].masked
        if slot.masked and slot.target == END:  # surplus: nothing of the gap comes behind it
            assert not found[at + 1].masked or found[at + 1].target == END


def test_expand_stands_exactly_where_tokens_are_missing() -> None:
    seen = set()
    for seed in range(200):
        found = drawn("a____f", seed)
        masks = [s for s in found if s.masked and s.target != END]
        tokens = [s.source for s in masks if s.target != EXPAND]
        assert tokens == [1, 2, 3, 4][: len(tokens)]
        assert (len(tokens) < 4) == any(s.target == EXPAND for s in masks)
        seen.add(len(masks))
    assert seen == {1, 2, 3, 4}


def test_surplus_masks_count_as_one_token_together() -> None:
    for seed in range(60):
        extra = [s.weight for s in drawn("a_c", seed) if s.masked and s.target == END]
        runs = round(sum(extra))
        assert sum(extra) == pytest.approx(runs)


def test_no_gap_opens_inside_healed_tokens() -> None:
    for seed in range(80):
        found = drawn("abcd_", seed, forced=3)
        assert [s.source for s in found[:3]] == [0, 1, 2]


# --- unmasking ----------------------------------------------------------------------------------------------

TRUTH = [3, 7, 1, 9, 4, 8, 2, 6, 5]
"""Distinct tokens, so that a revealed one says where it stands."""
LAST, MORE, SIZE = 10, 11, 12


class Oracle:
    """A denoiser that knows ``TRUTH``, and says of each mask what `training.elastic` would ask for."""

    def hidden(self, ids: Tensor, masked: Tensor, _context: Cache, **_more: object) -> Tensor:
        out = torch.zeros(*ids.shape, SIZE)
        for row in range(len(ids)):
            for gap in gaps(masked[row]):
                left = TRUTH.index(int(ids[row, gap[0] - 1])) + 1 if gap[0] else 0
                after = int(ids[row, gap[-1] + 1])
                right = len(TRUTH) if after == LAST else TRUTH.index(after)
                missing = TRUTH[left:right]
                for n, column in enumerate(gap):
                    token = missing[n] if n < len(missing) else LAST
                    if column == gap[-1] and len(missing) > len(gap):
                        token = MORE
                    out[row, column, token] = 9.0
        return out


class Words:
    """A vocabulary of `SIZE` ids, without the text that a real one has."""

    end, expand = LAST, MORE
    roles = torch.zeros(SIZE, dtype=torch.long)

    def all_ids(self, extra: Tensor) -> Tensor:
        return torch.cat([torch.arange(LAST + 1), extra])

    def logits(self, hidden: Tensor, extra: Tensor) -> Tensor:
        return hidden[:, self.all_ids(extra)]


def unmasked(canvas: Canvas, order: OrderName, threshold: float = 0.9, largest: int = 64) -> list[int]:
    context = cast(Cache, SimpleNamespace(keys=[torch.zeros(1, 1, 1, 1)]))
    how = Decoding(order, threshold, elastic=True, largest=largest)
    unmask(cast(Any, Oracle()), cast(Any, Words()), context, canvas, how)
    return canvas.ids[0, : canvas.length(0, LAST)].tolist()


@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("order", ["left_to_right", "confidence", "anchored"])
@pytest.mark.parametrize("size", [1, 2, 5, 9, 12, 20])
def test_a_canvas_of_any_size_finds_the_right_one(size: int, order: OrderName, threshold: float) -> None:
    assert unmasked(Canvas.given_end([size], LAST, [b""]), order, threshold) == TRUTH


@pytest.mark.parametrize("seed", range(20))
def test_gaps_of_any_size_in_a_text_are_mended(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    keep = [t for t in TRUTH if float(torch.rand(1, generator=generator)) < 0.5]
    ids: list[int] = []
    for token in [*keep, LAST]:
        ids += [-1] * int(torch.randint(1, 5, (1,), generator=generator)) + [token]
    shown = torch.tensor([ids])
    masked = shown < 0
    canvas = Canvas(
        shown.clamp(min=0), masked, torch.ones_like(masked), torch.zeros(masked.shape), [b""], [0]
    )
    assert unmasked(canvas, "anchored") == TRUTH


class Unsure(Oracle):
    """Spreads its guesses over all tokens the more, the farther a canvas is from the right size, and is surer
    on short ones for no good reason."""

    def hidden(self, ids: Tensor, masked: Tensor, context: Cache, **more: object) -> Tensor:
        out = super().hidden(ids, masked, context, **more)
        for row, size in enumerate(masked.sum(1).tolist()):
            bias = BIAS[SIZES.index(size)]
            wanted = bias * (1.3 if size == 8 else 1.0)
            flat = torch.zeros(SIZE)
            flat[3] = math.log(wanted * (SIZE - 2) / (1 - wanted))  # p(token 3) = wanted among end and text
            out[row] = flat
        return out


def test_the_start_length_is_the_one_that_is_surer_than_its_bias() -> None:
    context = cast(Cache, SimpleNamespace(keys=[torch.zeros(2, 1, 1, 1)]))
    found = first_step_confidence(cast(Any, Unsure()), cast(Any, Words()), context)
    assert found.shape == (2, len(SIZES))
    assert int(found[0].argmax()) == 0, "short canvases look best"
    assert calibrated(found) == [8, 8]


def test_a_row_grows_no_larger_than_it_may_and_still_ends() -> None:
    canvas = Canvas.given_end([2], LAST, [b""])
    found = unmasked(canvas, "confidence", largest=6)
    assert len(found) == 5
    assert not bool(canvas.masked.any())


def test_rows_change_apart_from_one_another() -> None:
    canvas = Canvas.given_end([2, 4], LAST, [b"", b""])
    canvas.ids[0, :2] = torch.tensor([3, 7])
    canvas.masked[0, :2] = False
    canvas.arrange(1, [0, -1, -1, 1, 2, 3, 4])
    assert canvas.ids[0, : canvas.length(0, LAST)].tolist() == [3, 7]
    assert canvas.masked[1].tolist() == [True] * 6 + [False]
    assert canvas.length(1, LAST) == 6
