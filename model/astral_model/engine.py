"""What every engine is: a request goes in, drafts come out, and a control says when to stop.

``ar``, ``flow`` and ``hybrid`` all have this face, so a caller need not know which one it talks to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

Category = Literal["expression", "statements", "any"]
Stopped = Literal["done", "budget", "cancelled"]


@dataclass(frozen=True)
class Request:
    """One hole. ``before + fill + after`` is the file; ``prefix`` and ``suffix`` are what the model reads."""

    prefix: str
    suffix: str
    before: str
    after: str
    category: Category = "any"
    indent: str = ""
    candidates: int = 4
    max_tokens: int = 96
    seed: int = 0
    names: tuple[str, ...] = ()
    """Identifiers in Γ; empty when unknown."""
    preferred: tuple[str, ...] = ()
    """Expressions of a type that fits σ, fittest first."""
    rejected: frozenset[str] = frozenset()
    """Texts that are known already and must not come back. Where there are some, others are drawn: with
    another seed, other first tokens, and hotter."""
    draw_only: bool = False
    """Everything that is drawn will be judged, so nothing is read only to rank it: scores are rough.
    Repairs are always so."""


@dataclass(frozen=True)
class Draft:
    """A candidate text. ``score``: higher is better; comparable between drafts of one answer only."""

    text: str
    score: float
    tokens: int
    evaluations: int
    engine: str


@dataclass
class Control:
    """When to stop, and where to report. Asked between model passes."""

    deadline: float = float("inf")
    """`time.monotonic` moment."""
    cancelled: Callable[[], bool] = lambda: False
    on_draft: Callable[[Draft], None] = lambda draft: None
    evaluations: int = field(default=0)
    """Rows passed through the model so far."""
    ended: Stopped = "done"
    """Why the engine stopped early, 'done' when it did not."""

    @classmethod
    def within(cls, budget_ms: float) -> Control:
        """A control that stops ``budget_ms`` from now."""
        return cls(deadline=time.monotonic() + budget_ms / 1000)

    def stop(self) -> bool:
        """Whether to stop now; remembers why in `ended`."""
        cancelled = self.cancelled()
        if cancelled or time.monotonic() > self.deadline:
            self.ended = "cancelled" if cancelled else "budget"
            return True
        return False

    def part(self, share: float) -> Control:
        """A control for the first ``share`` of the time left; evaluations are added up by the caller."""
        now = time.monotonic()
        left = max(0.0, self.deadline - now)
        return Control(now + left * share, self.cancelled, self.on_draft)


class Engine(Protocol):
    """Draws candidates for one hole, best first and without duplicates. Never raises on a stop."""

    name: str

    def propose(self, request: Request, control: Control) -> list[Draft]:
        """Fresh candidates."""
        ...

    def repair(
        self, request: Request, text: str, spans: list[tuple[int, int]], control: Control
    ) -> list[Draft]:
        """Change ``text`` inside ``spans`` (half-open, code points of ``text``). Without spans nothing is
        known of what is wrong: texts that differ in one word, from an engine that can tell them."""
        ...
