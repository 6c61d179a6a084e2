"""Strict left-to-right unmasking with a cache: each pass adds one token to every row and sees only what is
left of it. It is the order in which the adapter is closest to what the base knows; one token costs one
position.

Rows share one context (candidates of a hole) or have one each (evaluation). A row ends by its end token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from astral_model.backbone import Cache
from astral_model.batches import like_lengths
from astral_model.denoiser import Denoiser
from astral_model.vocabulary import Vocabulary


@dataclass
class Row:
    """One text being written. ``owed``: bytes it must still begin with (token healing)."""

    owed: bytes = b""
    tokens: list[int] = field(default_factory=list)
    log_prob: float = 0.0
    """Sum over its free tokens and, once it ended, the end; healed tokens count nothing."""
    free: int = 0
    """Tokens that were not given by healing."""
    ended: bool = False
    refused: int = 0
    """How often it wanted to end where it must not."""

    @property
    def over(self) -> bool:
        """Nothing more is written: it ended, or wanted to in vain too often."""
        return self.ended or self.refused >= MOST_REFUSALS


MOST_REFUSALS = 6
"""Times a row may want to end where the file would not parse before it is given up."""


@dataclass(frozen=True)
class Writing:
    """How to draw. Row 0 takes the best token always; others differ."""

    longest: int = 64
    temperature: float = 0.8
    top_p: float = 0.95
    fair: float = 0.02
    """Row b starts with the b-th best first token while that has at least this chance."""
    skip: int = 0
    """Best first tokens that were tried before: row b starts with the (b + skip)-th, row 0 too."""
    room: Callable[[int], int] | None = None
    """Tokens of the best row, once it has ended -> how long the others may become."""
    end_penalty: Callable[[str], float] = lambda text: 0.0
    """What to take from log p(end) after a text; infinite where the syntax does not let a hole end."""
    steer: Callable[[str, Tensor, Tensor], Tensor] = lambda text, log_probs, columns: log_probs
    """log p of the tokens ``columns`` after a text -> what a token is chosen by (`astral_model.names`)."""


@torch.inference_mode()
def write(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    context: Cache,
    rows: list[Row],
    how: Writing,
    *,
    vary: bool = True,
    extra: Tensor | None = None,
    start: Tensor | None = None,
    context_mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Write ``rows`` in place until all ended, are ``how.longest`` tokens long, or ``stop()``; returns row
    passes.

    With M > 1 contexts, row n has context n: ``start`` (M,) their lengths, ``context_mask`` (M, T).
    """
    base = denoiser.backbone
    extra = extra if extra is not None else torch.zeros(0, dtype=torch.long)
    columns = vocabulary.all_ids(extra)
    own = context.keys[0].shape[0] > 1
    live = list(range(len(rows)))
    past: Cache | None = None
    feed = torch.full((len(rows), 1), base.tokenizer.fim_middle)
    passes = 0
    for at in range(how.longest + 1):
        if not live or at > _longest(rows, how) or stop():
            break
        index = torch.tensor(live)
        hidden, past = base.forward(
            feed,
            context=context.rows(index) if own else context,
            past=past,
            start=start[index] + at if start is not None else None,
            context_mask=context_mask[index] if own and context_mask is not None else context_mask,
            adapter=denoiser.adapter,
        )
        passes += len(live)
        log_probs = vocabulary.logits(hidden[:, -1], extra).log_softmax(-1)  # (L, W + X)
        for place, n in enumerate(live):
            rank = n + how.skip if vary else 0
            _add(rows[n], rank, log_probs[place], columns, vocabulary, how, generator)
        keep = [place for place, n in enumerate(live) if not rows[n].over]
        if len(keep) < len(live):
            past = past.rows(torch.tensor(keep, dtype=torch.long))
            live = [live[place] for place in keep]
        feed = torch.tensor([[rows[n].tokens[-1]] for n in live])
    return passes


def _longest(rows: list[Row], how: Writing) -> int:
    best = rows[0]
    return min(how.longest, how.room(len(best.tokens))) if how.room and best.ended else how.longest


def _add(
    row: Row,
    rank: int,
    log_probs: Tensor,
    columns: Tensor,
    vocabulary: Vocabulary,
    how: Writing,
    generator: torch.Generator | None,
) -> None:
    """Choose the next token of ``row`` by its ``log_probs`` (W + X,) and append it."""
    text = vocabulary.text(row.tokens)
    if row.owed:
        steered = how.steer(text, log_probs, columns)
        token, chance = vocabulary.owed_token(row.owed, log_probs, columns, steered)
        given = len(vocabulary.pieces[token]) <= len(row.owed)
        row.owed = vocabulary.forced.rest(row.owed, token)
        row.tokens.append(token)
        if not given:
            row.log_prob += chance
            row.free += 1
        return
    if row.free == 0:  # a fill is not empty
        log_probs = log_probs.masked_fill(columns == vocabulary.end, -torch.inf)
    steered = how.steer(text, log_probs, columns)
    column = _choose(rank, row.free == 0, steered, how, generator)
    if int(columns[column]) == vocabulary.end and (penalty := how.end_penalty(text)):
        row.refused += penalty == torch.inf
        at_end = columns == vocabulary.end
        log_probs, steered = (torch.where(at_end, x - penalty, x) for x in (log_probs, steered))
        column = _choose(rank, row.free == 0, steered, how, generator)
    token = int(columns[column])
    row.log_prob += float(log_probs[column])
    if token == vocabulary.end:
        row.ended = True
    else:
        row.tokens.append(token)
        row.free += 1


def _choose(
    rank: int, first: bool, log_probs: Tensor, how: Writing, generator: torch.Generator | None
) -> int:
    """The best column for rank 0, else the rank-th best at the start or a draw from the nucleus."""
    if rank == 0 or how.temperature <= 0:
        return int(log_probs.argmax())
    top = log_probs.topk(min(64, len(log_probs)))
    if first and rank < len(top.values) and float(top.values[rank].exp()) >= how.fair:
        return int(top.indices[rank])
    probs = (top.values / how.temperature).softmax(-1)
    before = probs.cumsum(0) - probs
    probs = torch.where(before < how.top_p, probs, torch.zeros(()))
    return int(top.indices[int(torch.multinomial(probs, 1, generator=generator))])


@torch.inference_mode()
def token_log_probs(
    denoiser: Denoiser, vocabulary: Vocabulary, context: Cache, texts: list[list[int]], extra: Tensor
) -> list[Tensor]:
    """log p of every token of whole texts and of their end along the left-to-right path: (T + 1,) each.

    ``texts``: token ids, healed ones included. -inf for tokens outside the vocabulary: pass them as
    ``extra``.
    """
    base = denoiser.backbone
    place = torch.full((base.shape.vocab,), -1)
    columns = vocabulary.all_ids(extra)
    place[columns] = torch.arange(len(columns))
    found = [torch.zeros(0)] * len(texts)
    for batch in like_lengths([len(tokens) for tokens in texts], 8):
        part = [texts[index] for index in batch]
        longest = max(map(len, part))
        ids = torch.full((len(part), longest), vocabulary.end)
        for n, tokens in enumerate(part):
            ids[n, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        feed = torch.cat([torch.full((len(part), 1), base.tokenizer.fim_middle), ids], 1)  # (N, 1 + T)
        hidden, _ = base.forward(feed, context=context, adapter=denoiser.adapter)
        for n, (index, tokens) in enumerate(zip(batch, part, strict=True)):
            target = place[torch.tensor([*tokens, vocabulary.end])]  # (T + 1,)
            logits = vocabulary.logits(hidden[n, : len(tokens) + 1].contiguous(), extra)
            chances = logits.log_softmax(-1).gather(1, target.clamp(min=0)[:, None])[:, 0]
            found[index] = chances.masked_fill(target < 0, -torch.inf)
    return found


def read(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    context: Cache,
    texts: list[list[int]],
    given: int,
    extra: Tensor,
) -> list[tuple[float, int]]:
    """What the left-to-right path says of whole texts: (sum of log p of tokens and end, number of both).

    The first ``given`` tokens count nothing; else as `token_log_probs`.
    """
    chances = token_log_probs(denoiser, vocabulary, context, texts, extra)
    return [(float(row[given:].sum()), len(row) - given) for row in chances]
