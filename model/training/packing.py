"""One hole -> one packed row of canvas positions, every one of which earns loss or is seen by one that does.

Masks are queries only (see `astral_model.denoiser`), so positions that nobody needs are not computed, and
several views of one hole stand side by side in a row, told apart by who sees whom:

- the *causal* view: anchor and answer, each looking left; one pass trains every prefix, the end included;
- *lookahead* queries over the causal view: a mask some places behind a prefix, seeing that prefix only. It is
  the left-to-right corruption of the path, without computing its prefixes again, and what parallel decoding
  drafts with;
- *noised* views: the anchor, what a corruption left revealed (seen in both directions), and the masks. A
  noised view whose end is given may be *elastic* (`training.elastic`): its gaps have too few or too many
  masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from astral_model.corruption import Mixture, corrupt, nearness
from torch import Tensor

from training.dataset import Example
from training.elastic import Slot, stretch

CAUSAL, LOOKAHEAD, NOISED, UNSCORED = range(4)
"""What a position's loss belongs to."""


@dataclass(frozen=True)
class Views:
    """How many views a hole gets, and what their losses weigh."""

    lookahead: float = 0.8
    """Lookahead queries per answer token."""
    reach: int = 4
    """How far behind its prefix a lookahead query stands, at most."""
    reach_decay: float = 0.7
    noisings: tuple[int, int, int] = (3, 2, 1)
    """Noised views of answers of up to 12, up to 32, and more tokens."""
    known_length: float = 0.25
    """Share of noised views whose end is given."""
    elastic: float = 0.0
    """Share of noised views whose end is given and whose gaps may have the wrong size."""
    tail_queries: int = 2
    """Masks behind the end in a noised view; there, too, the answer is the end token."""
    tail_reach: int = 12
    tail_weight: float = 0.1
    revealed_tail: float = 0.15
    """Share of noised views in which some position behind the end is revealed."""
    end_weight: float = 1.5


@dataclass
class Row:
    """T packed positions of one hole."""

    tokens: Tensor  # (T,)
    masked: Tensor  # (T,) bool
    positions: Tensor  # (T,): 0 is the anchor's
    sees: Tensor  # (T, T) bool
    target: Tensor  # (T,)
    weight: Tensor  # (T,): 0 earns no loss
    part: Tensor  # (T,): CAUSAL, LOOKAHEAD, NOISED or UNSCORED
    source: Tensor  # (T,): index of the answer token asked for (the end's is the answer's length), -1 none


@dataclass
class _View:
    tokens: list[int]
    masked: list[bool]
    positions: list[int]
    target: list[int]
    weight: list[float]
    source: list[int]


def pack(
    example: Example,
    anchor: int,
    end: int,
    views: Views,
    mixture: Mixture,
    generator: torch.Generator,
    expand: int = -1,
) -> Row:
    """The packed row of ``example``; all its chance comes from ``generator``. ``expand``: id of EXPAND, asked
    for in elastic views only."""
    answer = [int(t) for t in example.answer]
    n = len(answer)
    targets = [*answer, end]
    weights = [float(p >= example.forced) for p in range(n)] + [views.end_weight]
    causal = _View(
        [anchor, *answer], [False] * (n + 1), list(range(n + 1)), targets, weights, list(range(n + 1))
    )
    splits = _lookahead(n, example.forced, views, generator)
    ahead = _View(
        [end] * len(splits),
        [True] * len(splits),
        [i + d for i, d in splits],
        [targets[i + d] for i, d in splits],
        [views.reach_decay ** (d - 1) for _, d in splits],
        [i + d for i, d in splits],
    )
    noised = _noised(example, targets, anchor, end, views, mixture, generator, expand)
    parts = [(CAUSAL, causal), (LOOKAHEAD, ahead), *((NOISED, view) for view in noised)]
    size = sum(len(view.tokens) for _, view in parts)
    sees = torch.eye(size, dtype=torch.bool)
    sees[: n + 1, : n + 1] = torch.ones(n + 1, n + 1, dtype=torch.bool).tril()
    for place, (i, _) in enumerate(splits, n + 1):
        sees[place, : i + 1] = True
    at = n + 1 + len(splits)
    for view in noised:
        keys = ~torch.tensor(view.masked)
        sees[at : at + len(keys), at : at + len(keys)] |= keys[None]
        at += len(keys)
    return _row(parts, sees)


def _row(parts: list[tuple[int, _View]], sees: Tensor) -> Row:
    weight = torch.tensor([w for _, view in parts for w in view.weight])
    part = torch.tensor([kind for kind, view in parts for _ in view.tokens])
    part[weight == 0] = UNSCORED
    return Row(
        torch.tensor([t for _, view in parts for t in view.tokens]),
        torch.tensor([m for _, view in parts for m in view.masked], dtype=torch.bool),
        torch.tensor([p for _, view in parts for p in view.positions]),
        sees,
        torch.tensor([t for _, view in parts for t in view.target]),
        weight,
        part,
        torch.tensor([i for _, view in parts for i in view.source]),
    )


def _lookahead(n: int, forced: int, views: Views, generator: torch.Generator) -> list[tuple[int, int]]:
    """(tokens revealed, places behind the next one) of the lookahead queries of an answer of n tokens."""
    found: list[tuple[int, int]] = []
    for split in torch.randperm(max(0, n - forced), generator=generator).tolist():
        i = forced + split
        found += [(i, d) for d in range(1, min(views.reach, n - i) + 1)]
        if len(found) >= views.lookahead * n:
            break
    return found


def _noised(
    example: Example,
    targets: list[int],
    anchor: int,
    end: int,
    views: Views,
    mixture: Mixture,
    generator: torch.Generator,
    expand: int,
) -> list[_View]:
    n = len(targets) - 1
    short, middle, long = views.noisings
    count = short if n <= 12 else middle if n <= 32 else long
    known = bool(torch.rand(1, generator=generator) < max(views.known_length, views.elastic))
    spans = [(int(a), int(b)) for a, b in example.spans]
    roles = torch.from_numpy(example.roles)
    masks = corrupt(n, known, roles, spans, count, mixture, generator, example.forced)  # (K, n + 1)
    found = []
    for k in range(count):
        slots = [Slot(t, m, i) for i, (t, m) in enumerate(zip(targets, masks[k].tolist(), strict=True))]
        if known and views.elastic:
            slots = stretch(slots, end, expand, example.forced, generator)
        weight = nearness(torch.tensor([[slot.masked for slot in slots]]))[0]
        weight *= torch.tensor([slot.weight for slot in slots])
        if not known:
            weight[n] *= views.end_weight
        tail = {} if known else _tail(n, views, generator)
        found.append(_view(slots, weight.tolist(), tail, anchor, end, views))
    return found


def _tail(n: int, views: Views, generator: torch.Generator) -> dict[int, bool]:
    """Some positions behind the end: position -> whether it is revealed."""
    places = (n + 1 + torch.randint(views.tail_reach, (views.tail_queries,), generator=generator)).tolist()
    tail = {int(p): False for p in places}
    if tail and float(torch.rand(1, generator=generator)) < views.revealed_tail:
        tail[max(tail)] = True
    return tail


def _view(
    slots: list[Slot],
    weight: list[float],
    tail: dict[int, bool],
    anchor: int,
    end: int,
    views: Views,
) -> _View:
    """Anchor, revealed positions, and a query for each masked one. The output at a position predicts the next
    (the base's shift): a masked position behind a revealed one is asked of that one."""
    hidden = {p: w for p, (slot, w) in enumerate(zip(slots, weight, strict=True)) if slot.masked}
    hidden |= {p: views.tail_weight for p, shown in tail.items() if not shown}
    revealed = {p: slot.target for p, slot in enumerate(slots) if not slot.masked}
    revealed |= {p: end for p, shown in tail.items() if shown}
    view = _View([], [], [], [], [], [])
    for p in sorted({-1, *revealed, *(q - 1 for q in hidden)}):
        view.tokens.append(anchor if p < 0 else revealed.get(p, end))
        view.masked.append(p >= 0 and p not in revealed)
        view.positions.append(p + 1)
        asked = slots[p + 1] if p + 1 < len(slots) else Slot(end, True, -1)
        view.target.append(asked.target)
        view.weight.append(hidden.get(p + 1, 0.0))
        view.source.append(asked.source)
    return view
