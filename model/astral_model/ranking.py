"""Which candidate comes first: a linear score over what the base says of each text.

The weights were fitted by a listwise softmax (how much of its mass lies on right fills) on development data;
model/README.md says on which. A score means something only against other scores of the same hole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from astral_model.engine import Draft
from astral_model.likelihood import Reading

UNKNOWN_NAME_PENALTY = 3.0
"""For each name that is nowhere in Γ, in the file or built in."""


@dataclass
class Evidence:
    """Everything known about one candidate text."""

    text: str
    reading: Reading
    overlap: int = 0
    """Characters of the suffix that a stream went on with after this text."""
    votes: int = 0
    """Streams that pass through this text."""
    greedy: bool = False
    ended: bool = False
    """The model itself ended a stream here."""
    preferred: bool = False
    """An expression of Γ whose type fits."""
    unknown_names: int = 0
    unresolved: int = 0
    """Names that the file reads and that nothing binds with this text in place."""
    leaves: bool = False
    """Starts a new top-level statement although the hole lies inside a block."""
    hollow: bool = False
    """Statements that do nothing."""
    buries: bool = False
    """The code behind the hole would never run."""
    broken: bool = False
    """Ends inside a word of the file (`astral_model.seam`)."""
    ragged: bool = False
    """Ends in blanks where the suffix starts with blanks: no author leaves a hole like that."""
    flow: float | None = None
    """The denoiser's mean log probability a token, the end included."""
    engine: str = "ar"
    evaluations: int = 0


WEIGHTS: dict[str, float] = {
    "end": 1.2,
    "suffix": 1.5,
    "mean": 0.3,
    "sum": 0.25,
    "votes": 0.6,
    "greedy": 0.5,
    "ended": 0.15,
    "unresolved": -2.0,
    "empty": -4.0,
    "leaves": -2.0,
    "hollow": -3.0,
    "buries": -4.0,
    "ragged": -1.0,
    "broken": -1.0,
    "preferred": 0.5,
}
"""Of the base alone."""

WITH_FLOW = WEIGHTS | {"flow": 2.0, "suffix": 2.0, "end": 0.6, "votes": 0.3, "greedy": 0.2}
"""Where the denoiser has scored the texts too: the base's habits count less."""


def features(evidence: Evidence) -> dict[str, float]:
    """The numbers that are weighed, each of the order of one."""
    reading = evidence.reading
    flow = max(evidence.flow, -8.0) if evidence.flow is not None else 0.0
    return {
        "end": max(reading.end, -14.0) / 4,
        "suffix": reading.suffix / 12,
        "mean": reading.text / max(1, reading.tokens),
        "sum": reading.text / 10,
        "overlap": math.log1p(min(evidence.overlap, 60)),
        "votes": math.log(max(1, evidence.votes)),
        "greedy": float(evidence.greedy),
        "ended": float(evidence.ended),
        "empty": float(not evidence.text.strip()),
        "leaves": float(evidence.leaves),
        "hollow": float(evidence.hollow),
        "buries": float(evidence.buries),
        "ragged": float(evidence.ragged),
        "broken": float(evidence.broken),
        "unresolved": float(min(evidence.unresolved, 4)),
        "preferred": float(evidence.preferred),
        "flow": flow,
        "flow_sum": flow * (reading.tokens + 1) / 10,
    }


FLOW_GAP = 3.0
"""A text this far behind the best by all else is not shown to the denoiser: on 160 pools of development rows
none of them came first, and they were 47 % of all texts."""


def worth_reading(pool: list[Evidence], least: int) -> list[Evidence]:
    """The texts that the denoiser's word could bring to the front, at least the ``least`` best."""
    weights = WITH_FLOW | {"flow": 0.0}
    plain = [score(one, weights) for one in pool]
    bar = max(plain, default=0.0) - FLOW_GAP
    order = sorted(range(len(pool)), key=lambda n: -plain[n])
    return [pool[n] for place, n in enumerate(order) if place < least or plain[n] > bar]


def score(evidence: Evidence, weights: dict[str, float] | None = None) -> float:
    """Higher is better; comparable within one hole. ``weights``: default `WITH_FLOW` where the denoiser has
    scored the text, else `WEIGHTS`."""
    weights = weights or (WEIGHTS if evidence.flow is None else WITH_FLOW)
    found = features(evidence)
    total = sum(weights[name] * found[name] for name in weights)
    return total - UNKNOWN_NAME_PENALTY * evidence.unknown_names


def draft_of(one: Evidence) -> Draft:
    """A candidate as a draft, scored by whatever is known of it."""
    return Draft(one.text, score(one), one.reading.tokens, one.evaluations, one.engine)


def drafts_of(pool: list[Evidence]) -> list[Draft]:
    """``pool`` as drafts, best first."""
    return sorted(map(draft_of, pool), key=lambda draft: -draft.score)
