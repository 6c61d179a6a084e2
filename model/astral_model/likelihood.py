"""What the base thinks of whole texts in a hole, in one batched pass for each of two readings.

With the suffix known (fill-in-the-middle): p(text) and p(end | text). With the prefix alone (left to right):
p(beginning of the suffix | text), which is high when the text joins what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from astral_model.backbone import Backbone, Cache
from astral_model.batches import like_lengths
from astral_model.vocabulary import Vocabulary

HEAD_CHARS = 72
"""Characters of the suffix that are read after a text."""
_ROWS = 8
_POSITIONS = 24
"""Rows of a pass, and positions whose logits are held at once: bounds memory."""

# Tokens by which the base says that a middle is complete, or that the file or the turn is.
END_TOKENS = (
    "<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>", "<|im_start|>", "<|im_end|>",
)  # fmt: skip


Stop = Callable[[], bool]


def _never() -> bool:
    return False


@dataclass
class Reading:
    """Log probabilities of one text in one hole; sums over tokens, natural log."""

    text: float
    """log p(healed part and text | prefix, suffix)."""
    tokens: int
    end: float
    """log p(end | text)."""
    suffix: float = 0.0
    """log p(beginning of the suffix | prefix, text)."""


@dataclass(frozen=True)
class _Row:
    """One text on its way through the base: ``ids[i]`` predicts ``ids[i + 1]`` for i in ``asked``."""

    ids: list[int]
    asked: range
    end_at: int | None = None


class Likelihood:
    """Reads texts against one backbone. Probabilities are among the tokens of ``vocabulary``, of the context,
    of the texts and `END_TOKENS`."""

    def __init__(self, backbone: Backbone, vocabulary: Vocabulary | None = None) -> None:
        self.backbone = backbone
        self.vocabulary = vocabulary or Vocabulary(backbone)
        vocab = backbone.tokenizer.vocab
        self.end_ids = torch.tensor([vocab[token] for token in END_TOKENS if token in vocab])
        self._suffixes: tuple[object, dict[str, float]] = (None, {})
        """What `suffixes` found for the hole it was last asked of: both engines ask for the same texts."""

    def columns(self, *used: Iterable[int]) -> tuple[Tensor, Tensor]:
        """(ids (X,) to ask for beside the vocabulary, ids (W + X,) of all columns) where ``used`` stand."""
        ends = self.end_ids[self.end_ids != self.vocabulary.end]
        extra = torch.cat([self.vocabulary.extra(*used), ends])
        return extra, self.vocabulary.all_ids(extra)

    def texts(
        self, context: Cache, forced: str, texts: list[str], stop: Stop = _never
    ) -> list[Reading | None]:
        """p(text) and p(end | text), each after the healed part; ``context`` ends before ``<fim_middle>``.
        None for what was not read when ``stop()`` said so: the longer ones."""
        tokenizer = self.backbone.tokenizer
        bodies = [tokenizer.encode(forced + text) if forced + text else [] for text in texts]
        rows = [_Row([tokenizer.fim_middle, *body], range(len(body)), len(body)) for body in bodies]
        found = self._pass(context, rows, stop)
        return [None if one is None else Reading(sum(one[0]), len(one[0]), one[1]) for one in found]

    def suffixes(
        self, plain: Cache, forced: str, texts: list[str], suffix: str, stop: Stop = _never
    ) -> list[float]:
        """log p(beginning of ``suffix`` | prefix, text); ``plain`` is the prefix alone, never empty. 0 for
        all when ``stop()`` came before the last of them: what was not read must not look the likeliest."""
        head = suffix[:HEAD_CHARS]
        if not head:
            return [0.0] * len(texts)
        hole = (tuple(plain.ids), forced, head)
        if self._suffixes[0] != hole:
            self._suffixes = (hole, {})
        known = self._suffixes[1]
        unread = [text for text in texts if text not in known]
        rows: list[_Row] = []
        for text in unread:
            ids, split = self._joint(forced + text, head)
            rows.append(_Row([plain.ids[-1], *ids], range(split, len(ids))))
        found = self._pass(plain.truncated(plain.length - 1), rows, stop)
        known.update({t: sum(one[0]) for t, one in zip(unread, found, strict=True) if one is not None})
        return [known[t] for t in texts] if None not in found else [0.0] * len(texts)

    def _joint(self, text: str, head: str) -> tuple[list[int], int]:
        """Tokens of ``text + head`` as one text, and how many of them lie wholly inside ``text``."""
        tokenizer = self.backbone.tokenizer
        ids = tokenizer.encode(text + head)
        size, used, count = len(text.encode()), 0, 0
        for token in ids:
            used += len(tokenizer.pieces[token])
            if used > size:
                break
            count += 1
        return ids, count

    @torch.no_grad()
    def _pass(self, context: Cache, rows: list[_Row], stop: Stop) -> list[tuple[list[float], float] | None]:
        """log p of the asked tokens of each row, and log p(end) where it is asked (else 0); None for rows
        that ``stop()`` left unread."""
        found: list[tuple[list[float], float] | None] = [None] * len(rows)
        asking = self.columns(context.ids, *(row.ids for row in rows))
        for batch in like_lengths([len(row.ids) for row in rows], _ROWS):
            if stop():
                break
            part = [rows[index] for index in batch]
            ids = torch.zeros(len(part), max(len(row.ids) for row in part), dtype=torch.long)
            for index, row in enumerate(part):
                ids[index, : len(row.ids)] = torch.tensor(row.ids)
            hidden, _ = self.backbone.forward(ids.to(self.backbone.device), context=context)
            asked = [
                hidden[index, row.asked.start : row.asked.stop + (row.end_at is not None)]
                for index, row in enumerate(part)
            ]
            targets = [
                [row.ids[i + 1] for i in row.asked] + ([-1] if row.end_at is not None else []) for row in part
            ]
            flat = self._targets(torch.cat(asked), [t for row in targets for t in row], asking)
            for index, row in zip(batch, part, strict=True):
                steps, flat = flat[: len(row.asked)], flat[len(row.asked) :]
                end = 0.0
                if row.end_at is not None:
                    end, flat = flat[0], flat[1:]
                found[index] = (steps, end)
        return found

    def _targets(self, hidden: Tensor, targets: list[int], asking: tuple[Tensor, Tensor]) -> list[float]:
        """log p of each target after its hidden state; target -1 means any end token. ``asking``: see
        `columns`."""
        extra, columns = asking
        place = torch.zeros(self.backbone.shape.vocab, dtype=torch.long)
        place[columns] = torch.arange(len(columns))
        ends = place[self.end_ids]
        steps: list[float] = []
        for start in range(0, len(hidden), _POSITIONS):
            logits = self.vocabulary.logits(hidden[start : start + _POSITIONS], extra)  # (P, W + X)
            wanted = torch.tensor(targets[start : start + _POSITIONS])
            picked = logits.gather(1, place[wanted.clamp(min=0)][:, None])[:, 0]
            picked = torch.where(wanted < 0, logits[:, ends].logsumexp(-1), picked)
            steps.extend((picked - logits.logsumexp(-1)).tolist())
        return steps
