"""Which canvas positions are masked in training: the corruption process.

A mixture, drawn per noising:

- *uniform*: every position masked with probability t (t stratified over the noisings of one hole);
- *left to right*: everything from one position on is masked, as when decoding in reading order;
- *AST token*: the chance of a token to be masked depends on its role (TreeDiff, arXiv 2508.01473): anchors
  (keywords, then identifiers) stay hidden less often than literals and punctuation, so that the model meets
  the states an anchored order produces;
- *AST span*: whole syntax nodes are masked until the rate is reached (TreeDiff, Algorithm 1).

The end token of an answer is masked like the rest of it, unless its length is given.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

KEYWORD, IDENTIFIER, LITERAL, OPERATOR, DELIMITER, BLANK = range(6)
"""Roles of tokens, most structural first (ASTRAL §3.3)."""

ROLE_WEIGHTS = (0.7, 0.85, 1.15, 1.15, 1.1, 1.0)
"""Relative chance to stay masked, by role; scaled so that the expected rate is still t."""

_KEYWORDS = frozenset(keyword.kwlist)
_DELIMITERS = frozenset("()[]{},:;.")
_WORD = re.compile(r"[^\W\d]\w*\Z")


def role_of(piece: str) -> int:
    """Role of one token by its text."""
    text = piece.strip()
    if not text:
        return BLANK
    if text in _KEYWORDS:
        return KEYWORD
    if _WORD.match(text):
        return IDENTIFIER
    if text[0].isdigit() or text[0] in "\"'":
        return LITERAL
    if all(c in _DELIMITERS for c in text):
        return DELIMITER
    return OPERATOR


PURE = ("uniform", "ast_token", "ast_span")


@dataclass(frozen=True)
class Mixture:
    """Shares of the four corruptions (they sum to 1), and the lowest rate."""

    uniform: float = 0.45
    left_to_right: float = 0.05
    ast_token: float = 0.20
    ast_span: float = 0.30
    lowest_rate: float = 0.2
    forced: float = 0.8
    """How often the tokens that healing moved into the canvas are given, as they are when serving."""

    @classmethod
    def named(cls, name: str) -> Mixture:
        """``mixture`` as released, or one of `PURE` alone (the ablations). Raises ValueError."""
        if name == "mixture":
            return cls()
        if name not in PURE:
            raise ValueError(f"no corruption {name!r}: mixture, {', '.join(PURE)}")
        return cls(**{other: float(other == name) for other in ("left_to_right", *PURE)})


def stratified_rates(count: int, lowest: float, generator: torch.Generator) -> Tensor:
    """``count`` mask rates, one in each of ``count`` equal parts of [lowest, 1], in random order."""
    part = torch.randperm(count, generator=generator).float()  # (K,)
    u = (part + torch.rand(count, generator=generator)) / count
    return lowest + (1 - lowest) * u


def mask_uniform(length: int, rate: float, generator: torch.Generator) -> Tensor:
    """(length,) bool; every position masked with probability ``rate``."""
    return torch.rand(length, generator=generator) < rate


def mask_left_to_right(length: int, generator: torch.Generator) -> Tensor:
    """(length,) bool; a uniform split: all before it revealed, all from it masked (at least one)."""
    first = int(torch.randint(length, (1,), generator=generator))
    return torch.arange(length) >= first


def mask_by_role(roles: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """(length,) bool; as uniform, the chance weighted by role with the same expected number masked."""
    weight = torch.tensor(ROLE_WEIGHTS)[roles.long()]
    chance = rate_with_mean(weight, rate)
    return torch.rand(len(roles), generator=generator) < chance


def rate_with_mean(weight: Tensor, rate: float) -> Tensor:
    """Chances proportional to ``weight``, capped at 1, whose mean is ``rate``."""
    chance = (weight * rate / weight.mean()).clamp(max=1.0)
    for _ in range(8):  # what the cap took away goes to the others
        free = chance < 1.0
        missing = rate * len(weight) - chance.sum()
        if not bool(free.any()) or float(missing) < 1e-6:
            break
        chance = torch.where(free, chance * (1 + missing / chance[free].sum()), chance).clamp(max=1.0)
    return chance


def mask_by_span(
    length: int, spans: Sequence[tuple[int, int]], rate: float, generator: torch.Generator
) -> Tensor:
    """(length,) bool; random syntax nodes are masked whole while they fit into ``rate * length`` positions;
    what is left to reach it is masked singly, so that the expected rate is ``rate``."""
    masked = torch.zeros(length, dtype=torch.bool)
    room = rate * length
    for i in torch.randperm(len(spans), generator=generator).tolist():
        first, last = spans[i]
        fresh = int((~masked[first:last]).sum())
        if 0 < fresh <= room:
            masked[first:last] = True
            room -= fresh
    left = int((~masked).sum())
    if left and room > 0:
        masked |= torch.rand(length, generator=generator) < room / left
    return masked


def nearness(masked: Tensor, decay: float = 0.6, least: float = 0.15) -> Tensor:
    """Loss weights (K, C) of masked positions: ``decay`` ** (distance to the nearest revealed one on the
    left - 1).

    Far from all that is known a token is nearly unpredictable and will not be unmasked next: its loss is
    mostly noise. The anchor counts as revealed.
    """
    place = torch.arange(masked.shape[1]).expand_as(masked)
    last = torch.where(masked, torch.tensor(-1), place).cummax(1).values  # nearest revealed at or before
    return (decay ** (place - last - 1).clamp(min=0).float()).clamp(min=least)


def corrupt(
    answer: int,
    known: bool,
    roles: Tensor,
    spans: Sequence[tuple[int, int]],
    count: int,
    mixture: Mixture,
    generator: torch.Generator,
    forced: int = 0,
) -> Tensor:
    """Masks (count, answer + 1) for ``count`` noisings of one hole; True is masked, each has at least one.

    Positions: [0, answer) the text, ``answer`` the end token, never masked when the length is ``known``.
    """
    shares = torch.tensor([mixture.uniform, mixture.left_to_right, mixture.ast_token, mixture.ast_span])
    rates = stratified_rates(count, mixture.lowest_rate, generator)
    masks = torch.zeros(count, answer + 1, dtype=torch.bool)
    noisy = answer if known else answer + 1
    for k in range(count):
        way = int(torch.multinomial(shares, 1, generator=generator))
        rate = float(rates[k])
        if way == 1:
            row = mask_left_to_right(noisy, generator)
        elif way == 2:
            all_roles = roles if known else torch.cat([roles, torch.tensor([DELIMITER], dtype=roles.dtype)])
            row = mask_by_role(all_roles, rate, generator)
        elif way == 3 and spans:
            row = mask_by_span(noisy, spans, rate, generator)
        else:
            row = mask_uniform(noisy, rate, generator)
        if forced and float(torch.rand(1, generator=generator)) < mixture.forced:
            row[:forced] = False
        if not bool(row.any()):
            row[int(torch.randint(noisy, (1,), generator=generator))] = True
        masks[k, :noisy] = row
    return masks
