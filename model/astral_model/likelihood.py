"""What the base thinks of a whole text in a hole: exact log probabilities in one batched pass a context.

Two readings. With the suffix known (fill-in-the-middle): p(text), p(end | text), and p(suffix | text), for a
model that does not say its end token shows that it is past the hole by repeating the suffix. With the prefix
only (left to right): p(text) and p(suffix | text), which is high when the text joins what follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from astral_model.backbone import Backbone, Cache

HEAD_CHARS = 40
"""Characters of the suffix that are read after a text."""
_ROWS = 8
_POSITIONS = 96
"""Rows of a pass, and positions whose logits are held at once (0.6 MB each): bounds memory."""

# Tokens by which the base says that a middle is complete, or that the file or the turn is.
END_TOKENS = (
    "<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>", "<|im_start|>", "<|im_end|>",
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """Log probabilities of one text in one hole; sums over tokens, natural log."""

    text: float
    """log p(healed part and text | prefix, suffix)."""
    text_tokens: int
    end: float
    """log p(end | text)."""
    repeat: float
    """Mean log p a token of the suffix's beginning | text, in the same reading."""
    plain_text: float
    """log p(healed part and text | prefix)."""
    plain_suffix: float
    """Mean log p a token of the suffix's beginning | prefix, text."""


class Likelihood:
    """Reads texts against one backbone."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        vocab = backbone.tokenizer.vocab
        self.end_ids = torch.tensor([vocab[token] for token in END_TOKENS if token in vocab])

    def read(self, context: Cache, plain: Cache, forced: str, texts: list[str], suffix: str) -> list[Reading]:
        """Read ``texts``, each after the healed part ``forced``.

        ``context`` ends before ``<fim_middle>``; ``plain`` is the prefix alone (at least one token).
        """
        encode = self.backbone.tokenizer.encode
        head = suffix[:HEAD_CHARS]
        head_ids = encode(head) if head else []
        bodies = [encode(forced + text) if forced + text else [] for text in texts]
        middle = self.backbone.tokenizer.fim_middle
        known = self._pass(context, [[middle, *body, *head_ids] for body in bodies], ends=bodies)
        joint = [self._joint(forced + text, head) for text in texts]
        last = plain.ids[-1]
        read = self._pass(plain.truncated(plain.length - 1), [[last, *ids] for ids, _ in joint])
        found: list[Reading] = []
        for body, (ids, split), (steps, end), (plain_steps, _) in zip(
            bodies, joint, known, read, strict=True
        ):
            size = len(body)
            found.append(
                Reading(
                    text=sum(steps[:size]),
                    text_tokens=size,
                    end=end,
                    repeat=_mean(steps[size:], end),
                    plain_text=sum(plain_steps[:split]),
                    plain_suffix=_mean(plain_steps[split : len(ids)], 0.0),
                )
            )
        return found

    def _joint(self, text: str, head: str) -> tuple[list[int], int]:
        """Tokens of ``text + head`` as one text, and how many of them lie wholly inside ``text``."""
        tokenizer = self.backbone.tokenizer
        ids = tokenizer.encode(text + head) if text + head else []
        size, used, count = len(text.encode()), 0, 0
        for token in ids:
            used += len(tokenizer.pieces[token])
            if used > size:
                break
            count += 1
        return ids, count

    @torch.no_grad()
    def _pass(
        self, context: Cache, rows: list[list[int]], ends: list[list[int]] | None = None
    ) -> list[tuple[list[float], float]]:
        """log p of tokens 1.. of each row, and log p(end) after the body if ``ends`` names the bodies."""
        found: list[tuple[list[float], float]] = []
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            width = max(len(row) for row in part)
            ids = torch.zeros(len(part), width, dtype=torch.long)
            for index, row in enumerate(part):
                ids[index, : len(row)] = torch.tensor(row)
            hidden, _ = self.backbone.forward(ids.to(self.backbone.device), context=context)
            for index, row in enumerate(part):
                body = len(ends[start + index]) if ends is not None else None
                found.append(self._targets(hidden[index, : len(row)], row[1:], body))
        return found

    def _targets(self, hidden: Tensor, targets: list[int], end_at: int | None) -> tuple[list[float], float]:
        """log p of ``targets`` after each hidden state, and of an end token after position ``end_at``."""
        steps: list[float] = []
        end = 0.0
        for start in range(0, len(hidden), _POSITIONS):
            logits = self.backbone.logits(hidden[start : start + _POSITIONS])  # (P, V)
            total = logits.logsumexp(-1)
            wanted = torch.tensor(targets[start : start + _POSITIONS], device=logits.device)
            picked = logits[: len(wanted)].gather(1, wanted[:, None])[:, 0] - total[: len(wanted)]
            steps.extend(picked.tolist())
            if end_at is not None and start <= end_at < start + len(logits):
                row = end_at - start
                end = float(logits[row, self.end_ids.to(logits.device)].logsumexp(-1) - total[row])
        return steps, end


def _mean(values: list[float], empty: float) -> float:
    return sum(values) / len(values) if values else empty
