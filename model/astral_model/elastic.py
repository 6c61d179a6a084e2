"""Gaps that change their size while they are unmasked: [EXPAND] and [DELETE] (DreamOn, arXiv 2602.01326).

A gap is a run of masks between revealed tokens. Its last mask may say EXPAND: it stands for more than one
token, and the gap grows. Any of its masks may say the end token: the gap ends before it, and it and those
behind it go. All other masks say which token stands there, as in a gap of the right size
(`training.elastic`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from astral_model.decoding import Canvas
    from astral_model.vocabulary import Vocabulary


@dataclass
class Wishes:
    """What a pass would rather have at each position of N rows."""

    token: Tensor  # (N, C): the best one
    confidence: Tensor  # (N, C): its probability, -1 where nothing was asked
    chance: Tensor  # (N, C): its log probability
    asked: Tensor  # (N, C) bool


START = 8
"""Masks of a row whose length is unknown; it grows from there."""
MOST_RESIZES = 24
"""Changes of size of one row; afterwards its gaps may only shrink, so that unmasking ends."""
MOST_GROWTH = 4
"""Masks a gap may gain in one pass: as many as it was taught to give back."""


def gaps(masked: Tensor) -> list[list[int]]:
    """Columns of each run of masks in one row, (C,) bool."""
    found: list[list[int]] = []
    for column in masked.nonzero().flatten().tolist():
        if found and found[-1][-1] == column - 1:
            found[-1].append(column)
        else:
            found.append([column])
    return found


def restrict(
    canvas: Canvas,
    row: Tensor,
    column: Tensor,
    log_probs: Tensor,
    columns: Tensor,
    vocabulary: Vocabulary,
    largest: int,
) -> None:
    """Take from ``log_probs`` (P, W + X) of positions (``row``, ``column``) what may not be said there:
    EXPAND but at the last mask of a gap in a row with room."""
    n, c = canvas.ids.shape
    last = torch.zeros(n, c, dtype=torch.bool)
    for each in set(row.tolist()):
        room = int(canvas.visible[each].sum()) < largest
        if room and canvas.resizes.get(each, 0) < MOST_RESIZES:
            last[each, [gap[-1] for gap in gaps(canvas.masked[each])]] = True
    barred = ~last[row, column]
    log_probs[barred[:, None] & (columns == vocabulary.expand)] = -math.inf


def plan(
    canvas: Canvas, wish: Wishes, chosen: Tensor, vocabulary: Vocabulary, largest: int
) -> dict[int, list[int]]:
    """Rows whose gaps change -> the row's new columns (see `Canvas.arrange`).

    ``chosen`` (N, C): positions to commit; those whose wish is no text are taken out of it, in place. A gap
    grows wherever its last mask would rather say EXPAND than anything else: nobody sees a mask, so that takes
    nothing from the other positions. It shrinks only where the end token was chosen.
    """
    found: dict[int, list[int]] = {}
    ends = chosen & (wish.token == vocabulary.end)
    grows = (wish.token == vocabulary.expand) & (chosen | (wish.asked & (wish.confidence > 0.5)))
    for row in (ends | grows).any(1).nonzero().flatten().tolist():
        if canvas.owed[row]:
            continue
        dropped: set[int] = set()
        grown: dict[int, int] = {}
        room = largest - int(canvas.visible[row].sum())
        for gap in gaps(canvas.masked[row]):
            cut = next((c for c in gap if bool(ends[row, c])), None)
            if cut is not None:
                dropped |= {c for c in gap if c >= cut}
            elif bool(grows[row, gap[-1]]) and room > 0:
                grown[gap[-1]] = min(len(gap), MOST_GROWTH, room)
                room -= grown[gap[-1]]
        chosen[row, sorted(dropped)] = False
        found[row] = []
        for column in canvas.visible[row].nonzero().flatten().tolist():
            if column not in dropped:
                found[row] += [column, *[-1] * grown.get(column, 0)]
    chosen &= (wish.token != vocabulary.end) & (wish.token != vocabulary.expand)
    return found
