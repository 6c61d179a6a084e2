"""The tokens that are worth asking about, and their output rows.

The base has 151 936 tokens; Python code uses few of them, and the output matrix is as large as nine layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

import torch
from torch import Tensor

from astral_model.backbone import Backbone
from astral_model.corruption import role_of
from astral_model.healing import ForcedBytes


class Vocabulary:
    """The tokens a text may hold, and their output rows: those the adapter was trained over, never special
    ones but the end, and whatever stands in the context (so any name there can be copied)."""

    def __init__(self, backbone: Backbone, ids: Tensor | None = None) -> None:
        """``ids``: the tokens the adapter was trained over; None: all."""
        tokenizer = backbone.tokenizer
        size = backbone.shape.vocab
        every = ids if ids is not None else torch.arange(size)
        banned = torch.zeros(size, dtype=torch.bool)
        banned[list(tokenizer.special_ids)] = True
        banned[tokenizer.end] = False
        self.ids = every[~banned[every]]  # (W,)
        self.rows = backbone.output.rows(self.ids)  # (W, D)
        self.end = tokenizer.end
        self.expand = tokenizer.expand
        self._backbone = backbone
        self._banned = banned
        self._known = torch.zeros(size, dtype=torch.bool)
        self._known[self.ids] = True
        self.roles = torch.tensor([role_of(p.decode(errors="replace")) for p in tokenizer.pieces])  # (V,)
        self.pieces = tokenizer.pieces
        self.forced = ForcedBytes(tokenizer.pieces)

    def logits(self, hidden: Tensor, extra: Tensor) -> Tensor:
        """fp32 logits over ids + ``extra`` (X,) of hidden (P, D): (P, W + X), on the CPU, where tokens are
        chosen."""
        out = self.rows(hidden)
        if len(extra):
            out = torch.cat([out, self._backbone.output.rows(extra)(hidden)], 1)
        return out.float().cpu()

    def extra(self, *used: Iterable[int]) -> Tensor:
        """Ids in ``used`` that are not in the vocabulary but may be written."""
        ids = torch.tensor(sorted({i for part in used for i in part}), dtype=torch.long)
        return ids[~(self._known[ids] | self._banned[ids])]

    def owed_token(
        self, owed: bytes, log_probs: Tensor, columns: Tensor, steered: Tensor | None = None
    ) -> tuple[int, float]:
        """The best token that agrees with the ``owed`` bytes, and its log probability among those that do.

        log_probs (W + X,) over ``columns``; ``steered``: what the best is chosen by, if not that.
        """
        agrees = self.agrees(owed, columns)
        admissible = log_probs.masked_fill(~agrees, -torch.inf)
        best = int((admissible if steered is None else steered.masked_fill(~agrees, -torch.inf)).argmax())
        if bool(torch.isfinite(admissible[best])):
            return int(columns[best]), float(admissible.log_softmax(-1)[best])
        return self.forced.allowed(owed)[0], 0.0  # nothing in the vocabulary fits: take what stands there

    def agrees(self, owed: bytes, columns: Tensor) -> Tensor:
        """Which of ``columns`` begin with the ``owed`` bytes or are a beginning of them, bool."""
        agrees = torch.zeros(len(self.pieces), dtype=torch.bool)
        agrees[self.forced.allowed(owed)] = True
        return agrees[columns]

    def text(self, tokens: list[int]) -> str:
        """The text of ``tokens``; a character that is not whole yet shows as U+FFFD."""
        return b"".join(self.pieces[t] for t in tokens).decode(errors="replace")

    def edges(self, tokens: list[int]) -> list[int]:
        """Byte offsets of ``tokens`` (T,) in their text, and that of its end: T + 1."""
        return [0, *accumulate(len(self.pieces[t]) for t in tokens)]

    def all_ids(self, extra: Tensor) -> Tensor:
        """Column -> token id."""
        return torch.cat([self.ids, extra])
