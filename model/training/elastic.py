"""Gaps of the wrong size: what teaches the denoiser [EXPAND] and [DELETE] (DreamOn, arXiv 2602.01326).

A run of masks between revealed tokens is a gap. Its masks stand for the gap's tokens in order; the last mask
of a gap that is too small is asked for EXPAND (more follows than one token), and masks that a gap has too
many, its last ones, are asked for the end token: here the gap ends, which is what DELETE means. So every
other mask predicts the token it would predict in a gap of the right size, and the end keeps its one meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

KEPT, SMALLER = 0.5, 0.25
"""Shares of gaps that keep their size and that lose masks; the rest gains some."""
MOST_SURPLUS = 4
EMPTY_GAP = 0.3
"""Share of views in which a gap without any token is opened between two revealed ones."""


@dataclass(frozen=True)
class Slot:
    """One canvas position: what is asked or shown there."""

    target: int
    masked: bool
    source: int
    """Index of the answer token it stands for, -1 when it stands for none."""
    weight: float = 1.0


def stretch(slots: list[Slot], end: int, expand: int, forced: int, generator: torch.Generator) -> list[Slot]:
    """``slots`` with gaps of other sizes; the last slot (the end) and the ``forced`` first ones stay. At
    least one slot stays masked when one was."""
    body, last = slots[:-1], slots[-1]
    found: list[Slot] = []
    gap: list[Slot] = []
    for slot in [*body, last]:
        if slot.masked and slot is not last:
            gap.append(slot)
            continue
        found += _resized(gap, end, expand, generator)
        found.append(slot)
        gap = []
    return _opened(found, end, forced, generator)


def _resized(gap: list[Slot], end: int, expand: int, generator: torch.Generator) -> list[Slot]:
    way = float(torch.rand(1, generator=generator))
    if not gap or way < KEPT:
        return gap
    if way < KEPT + SMALLER:
        if len(gap) == 1:
            return gap
        size = 1 + int(torch.randint(len(gap) - 1, (1,), generator=generator))
        return [*gap[: size - 1], replace(gap[size - 1], target=expand, source=-1)]
    return [*gap, *_surplus(end, generator)]


def _surplus(end: int, generator: torch.Generator) -> list[Slot]:
    """One to `MOST_SURPLUS` masks that stand for nothing; together they count as one token."""
    count = 1 + int(torch.randint(MOST_SURPLUS, (1,), generator=generator))
    return [Slot(end, True, -1, 1.0 / count)] * count


def _opened(slots: list[Slot], end: int, forced: int, generator: torch.Generator) -> list[Slot]:
    """Now and then a gap that holds nothing, between two revealed tokens."""
    if float(torch.rand(1, generator=generator)) >= EMPTY_GAP:
        return slots
    places = [p for p in range(max(1, forced), len(slots)) if not (slots[p - 1].masked or slots[p].masked)]
    if not places:
        return slots
    at = places[int(torch.randint(len(places), (1,), generator=generator))]
    return [*slots[:at], *_surplus(end, generator), *slots[at:]]
