"""Unmasking: from a canvas of masks to text, many rows at once.

Rows may share contexts (candidates of one hole) or have their own (evaluation in batches). The canvas is
longer than the answer; the answer ends at the first end token, and everything behind it is end tokens too.
Or its end is given and its gaps are *elastic*: they grow where the denoiser says EXPAND and shrink where it
says that the gap ends (DreamOn, arXiv 2602.01326; trained by `training.elastic`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from astral_model import elastic
from astral_model.backbone import Cache
from astral_model.denoiser import Denoiser
from astral_model.elastic import START
from astral_model.order import OrderName, choose
from astral_model.vocabulary import Vocabulary


@dataclass
class Canvas:
    """State of N rows. ``owed``: bytes that row's text must still begin with (token healing)."""

    ids: Tensor  # (N, C)
    masked: Tensor  # (N, C)
    visible: Tensor  # (N, C)
    log_prob: Tensor  # (N, C): of committed tokens, when they were committed
    owed: list[bytes]
    given: list[int]
    """Tokens at the start of each row that are no news: healed ones."""
    evaluations: int = 0
    resizes: dict[int, int] = field(default_factory=dict)
    """How often an elastic row has changed its size."""

    @classmethod
    def blank(cls, sizes: list[int], end: int, owed: list[bytes]) -> Canvas:
        """All masks; row n has ``sizes[n]`` positions, the rest of the widest is invisible."""
        n, c = len(sizes), max(sizes)
        inside = torch.arange(c)[None] < torch.tensor(sizes)[:, None]  # (N, C)
        return cls(
            torch.full((n, c), end), inside.clone(), inside.clone(), torch.zeros(n, c), list(owed), [0] * n
        )

    @classmethod
    def given_end(cls, sizes: list[int], end: int, owed: list[bytes]) -> Canvas:
        """As `blank`, with the end revealed behind the ``sizes[n]`` masks: gaps of elastic decoding."""
        canvas = cls.blank([size + 1 for size in sizes], end, owed)
        canvas.masked[torch.arange(len(sizes)), torch.tensor(sizes)] = False
        return canvas

    def arrange(self, row: int, sources: list[int]) -> None:
        """Row ``row`` becomes its columns ``sources``, in order; -1 is a fresh mask."""
        self.resizes[row] = self.resizes.get(row, 0) + 1
        n, c = self.ids.shape
        if len(sources) > c:
            more = len(sources) - c
            for name, fill in (("ids", int(self.ids[0, -1])), ("masked", 0), ("visible", 0), ("log_prob", 0)):
                tensor = getattr(self, name)
                pad = torch.full((n, more), fill, dtype=tensor.dtype)
                setattr(self, name, torch.cat([tensor, pad], 1))
        place = torch.tensor(sources)
        fresh, size = place < 0, len(sources)
        for tensor, new, rest in (
            (self.ids, 0, 0),
            (self.masked, True, False),
            (self.visible, True, False),
            (self.log_prob, 0.0, 0.0),
        ):
            moved = tensor[row, place.clamp(min=0)]
            tensor[row, :size] = moved.masked_fill(fresh, new)
            tensor[row, size:] = rest

    def news(self, row: int, end: int) -> int:
        """Revealed tokens beyond the given ones, the end not counted."""
        shown = self.visible[row] & ~self.masked[row] & (self.ids[row] != end)
        return int(shown.sum()) - self.given[row]

    def length(self, row: int, end: int) -> int | None:
        """Tokens before the first end token, None if there is none yet."""
        at = ((self.ids[row] == end) & ~self.masked[row] & self.visible[row]).nonzero()
        return int(at[0]) if len(at) else None


@dataclass(frozen=True)
class Decoding:
    """How to unmask."""

    order: OrderName = "left_to_right"
    threshold: float = 0.9
    """Commit in parallel what is surer than this."""
    temperature: float = 0.0
    """Of rows after the first; row 0 takes the best token always."""
    window: int = 12
    """Left to right looks this many masked positions ahead (logits cost as much as a third of a layer
    each)."""
    distinct_starts: bool = True
    """Row b starts with the b-th best first token while that has a fair chance."""
    fair: float = 0.02
    elastic: bool = False
    """Gaps between revealed tokens may grow and shrink; the end of every row is given."""
    start: int = START
    """Masks an elastic row starts with."""
    largest: int = 64
    """Positions an elastic row may grow to."""


@dataclass
class _Step:
    """What one pass said about the positions that were asked."""

    row: Tensor  # (P,)
    column: Tensor  # (P,)
    log_probs: Tensor  # (P, W + X)


@torch.inference_mode()
def unmask(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    context: Cache,
    canvas: Canvas,
    how: Decoding,
    *,
    extra: Tensor | None = None,
    start: Tensor | int | None = None,
    context_mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Unmask ``canvas`` in place until every row ended, or ``stop()`` between passes.

    Rows that are done leave the batch. One context is shared by all rows; with M > 1 contexts, row n has
    context n (``start`` and ``context_mask`` as in `Denoiser.hidden`).
    """
    extra = extra if extra is not None else torch.zeros(0, dtype=torch.long)
    if how.elastic:
        extra = torch.cat([extra, torch.tensor([vocabulary.expand])])
    columns = vocabulary.all_ids(extra)
    own = context.keys[0].shape[0] > 1
    opened = [False] * len(canvas.ids)
    while True:
        live = canvas.masked.any(1).nonzero().flatten()  # (L,)
        if not len(live) or stop():
            return
        hidden = denoiser.hidden(
            canvas.ids[live],
            canvas.masked[live],
            context.rows(live) if own else context,
            start=start[live] if isinstance(start, Tensor) else start,
            context_mask=context_mask[live] if own and context_mask is not None else context_mask,
            visible=canvas.visible[live],
        )
        canvas.evaluations += len(live)
        asked = canvas.masked[live]
        if how.order == "left_to_right":
            asked = asked & (asked.cumsum(1) <= how.window)
        where = asked.nonzero()  # (P, 2)
        log_probs = vocabulary.logits(hidden[asked], extra).log_softmax(-1)  # (P, W + X)
        step = _Step(live[where[:, 0]], where[:, 1], log_probs)
        if how.elastic:
            elastic.restrict(canvas, step.row, step.column, log_probs, columns, vocabulary, how.largest)
        _commit(canvas, step, columns, vocabulary, how, opened, generator)


def _commit(
    canvas: Canvas,
    step: _Step,
    columns: Tensor,
    vocabulary: Vocabulary,
    how: Decoding,
    opened: list[bool],
    generator: torch.Generator | None,
) -> None:
    """Choose tokens and positions for every live row and write them."""
    live = sorted(set(step.row.tolist()))
    firsts = {row: int(canvas.masked[row].nonzero()[0]) for row in live}
    place = {row: int(((step.row == row) & (step.column == firsts[row])).nonzero()[0]) for row in live}
    no_text = (columns == vocabulary.end) | (columns == vocabulary.expand)
    for row in live:
        news = canvas.news(row, vocabulary.end) if how.elastic else firsts[row] - canvas.given[row]
        if news <= 0:  # nothing new is there yet: a fill is not empty
            step.log_probs[place[row], columns == vocabulary.end] = -torch.inf
    wish = _wishes(canvas, step, columns, vocabulary)
    roles = vocabulary.roles[wish.token]
    chosen = choose(how.order, wish.confidence, wish.asked, how.threshold, roles) & wish.asked
    sure = chosen & (wish.token != vocabulary.end) & (wish.token != vocabulary.expand)
    chosen[[row for row in live if canvas.owed[row]]] = False
    resized = elastic.plan(canvas, wish, chosen, vocabulary, how.largest) if how.elastic else {}
    for row in live:
        first, here = firsts[row], step.log_probs[place[row]]
        if canvas.owed[row]:
            token, wish.chance[row, first] = _owed_token(canvas, row, here, columns, vocabulary)
            # the last of what is owed, and as foreseen: its neighbours were predicted for this very token
            if token == int(wish.token[row, first]) and not canvas.owed[row]:
                chosen[row] = sure[row]
                chosen[row, first] = True
                continue
            wish.token[row, first] = token
        else:
            if how.elastic and (row in resized or bool(no_text[here.argmax()])):
                continue
            here = here.masked_fill(no_text, -torch.inf) if how.elastic else here
            column = _vary(row, here, how, opened, generator)
            if column is None:
                continue
            wish.token[row, first], wish.chance[row, first] = columns[column], here[column]
        # a forced or drawn token goes alone: its neighbours were predicted for another one
        chosen[row] = False
        chosen[row, first] = True
    canvas.ids = torch.where(chosen, wish.token, canvas.ids)
    canvas.log_prob = torch.where(chosen, wish.chance, canvas.log_prob)
    canvas.masked &= ~chosen
    for row, sources in resized.items():
        canvas.arrange(row, sources)
    for row in live:
        length = canvas.length(row, vocabulary.end)
        if length is not None and not how.elastic:  # everything behind the first end is end
            canvas.ids[row, length:] = vocabulary.end
            canvas.masked[row, length:] = False


def _wishes(canvas: Canvas, step: _Step, columns: Tensor, vocabulary: Vocabulary) -> elastic.Wishes:
    """The best token of every asked position, on the canvas's grid."""
    best, pick = step.log_probs.max(-1)  # (P,)
    n, c = canvas.ids.shape
    wish = elastic.Wishes(
        torch.full((n, c), vocabulary.end),
        torch.full((n, c), -1.0),
        torch.zeros(n, c),
        torch.zeros(n, c, dtype=torch.bool),
    )
    wish.token[step.row, step.column] = columns[pick]
    wish.confidence[step.row, step.column] = best.exp()
    wish.chance[step.row, step.column] = best
    wish.asked[step.row, step.column] = True
    return wish


def _owed_token(
    canvas: Canvas, row: int, log_probs: Tensor, columns: Tensor, vocabulary: Vocabulary
) -> tuple[int, float]:
    """`Vocabulary.owed_token` for a row; what healing gives in full counts nothing."""
    owed = canvas.owed[row]
    token, chance = vocabulary.owed_token(owed, log_probs, columns)
    canvas.owed[row] = vocabulary.forced.rest(owed, token)
    if len(vocabulary.pieces[token]) <= len(owed):
        canvas.given[row] += 1
        chance = 0.0
    return token, chance


def _vary(
    row: int, log_probs: Tensor, how: Decoding, opened: list[bool], generator: torch.Generator | None
) -> int | None:
    """Column of another token than the best for this row's next position, or None to take the best."""
    if row == 0 or how.temperature <= 0:
        return None
    if how.distinct_starts and not opened[row]:
        opened[row] = True
        top = log_probs.topk(min(row + 1, len(log_probs)))
        if float(top.values[-1].exp()) >= how.fair:
            return int(top.indices[-1])
    probs = (log_probs / how.temperature).softmax(-1)
    drawn = int(torch.multinomial(probs, 1, generator=generator))
    return None if drawn == int(log_probs.argmax()) else drawn
