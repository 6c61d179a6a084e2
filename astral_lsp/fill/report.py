"""What is asked of a fill and what comes back."""

from __future__ import annotations

import msgspec

from astral_lsp.context.environment import Environment
from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill
from astral_lsp.workers.protocol import EngineName


class FillOptions(msgspec.Struct, frozen=True):
    """How to fill one hole."""

    engine: EngineName = "hybrid"
    candidates: int = 4
    budget_s: float = 8.0
    """Seconds from the moment the model is loaded until the answer; best so far when they run out."""
    run_tests: bool = True
    check_types: bool = True
    seed: int = 0
    max_tokens: int = 96
    rejected: tuple[str, ...] = ()
    """Texts seen and refused before (refill): never returned again."""


class FillReport(msgspec.Struct, frozen=True):
    """The ranked fills of one hole and how they came about."""

    hole: Hole
    expected_type: str | None
    environment: Environment
    fills: list[Fill]
    """No oracle refused these; best first, verified ones before the rest."""
    rejected: list[Fill]
    """At least one oracle refused these; their findings say why. Best first."""
    elapsed_ms: dict[str, float]
    """Wall clock by stage: analyse, propose, verify, repair, total."""
    engine: str
    model: str
    adapter: str
    evaluations: int = 0
    """Denoiser or decoder passes, all candidates together."""
    message: str = ""
    """Why there is nothing, or why there is less than asked; '' when there is nothing to say."""

    @property
    def ranked(self) -> list[Fill]:
        """Every fill, best first: those that an oracle refused come last."""
        return [*self.fills, *self.rejected]
