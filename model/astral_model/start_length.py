"""How many masks a canvas of unknown length starts with: CAL (arXiv 2602.00476).

Before anything is unmasked, a denoiser is surest of its guesses on a canvas near the right size, once the
bias towards short canvases is divided out. One pass reads all sizes at once, the end given behind each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from astral_model.backbone import Cache
from astral_model.decoding import Canvas
from astral_model.denoiser import Denoiser
from astral_model.vocabulary import Vocabulary

SIZES = (1, 2, 3, 4, 6, 8, 11, 16, 24)
BIAS = (0.717, 0.481, 0.379, 0.324, 0.259, 0.222, 0.184, 0.149, 0.115)
"""Mean first-step confidence at each size over 64 validation holes of all lengths (mid-line expressions other
than those that are measured); `training.evaluate --calibrated` prints it."""


@torch.inference_mode()
def first_step_confidence(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    context: Cache,
    *,
    start: Tensor | None = None,
    context_mask: Tensor | None = None,
) -> Tensor:
    """(M, S): mean over the masks of the probability of the best token of text, for each of M contexts and
    `SIZES`. ``start`` (M,) and ``context_mask`` (M, T) as in `Denoiser.hidden`."""
    rows = context.keys[0].shape[0]
    canvas = Canvas.given_end(list(SIZES) * rows, vocabulary.end, [b""] * (rows * len(SIZES)))
    hidden = denoiser.hidden(
        canvas.ids,
        canvas.masked,
        context,
        start=start.repeat_interleave(len(SIZES)) if start is not None else None,
        context_mask=context_mask,
        visible=canvas.visible,
    )  # (M S, C, D)
    none = torch.zeros(0, dtype=torch.long)
    text = vocabulary.all_ids(none) != vocabulary.end
    best = torch.zeros(canvas.masked.shape)
    best[canvas.masked] = vocabulary.logits(hidden[canvas.masked], none).softmax(-1)[:, text].amax(-1)
    return (best.sum(1) / canvas.masked.sum(1)).view(rows, len(SIZES))


def calibrated(confidence: Tensor) -> list[int]:
    """The size for each row of ``confidence`` (M, S)."""
    return [SIZES[int(at)] for at in (confidence / torch.tensor(BIAS)).argmax(1)]
