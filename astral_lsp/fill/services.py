"""What a run needs of the session that owns the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from astral_lsp.context.environment import Environment
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions
from astral_lsp.holes.model import Hole
from astral_lsp.report import Verdict
from astral_lsp.workers.protocol import Candidate, ModelInfo, Proposed, Repair
from astral_lsp.workers.protocol import Propose as ProposeParams

OnProgress = Callable[[str, "float | None"], None]


class Services(Protocol):
    """None of these raises but on cancellation; the model's two raise WorkerFailure."""

    async def start_model(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the weights; pulls them first if need be."""

    async def environment(self, document: Document, hole: Hole, holes: list[Hole]) -> Environment:
        """σ and Γ of ``hole``."""

    async def prepare(
        self,
        document: Document,
        hole: Hole,
        holes: list[Hole],
        environment: Environment,
        options: FillOptions,
    ) -> ProposeParams:
        """Context and tier 1 and 2 constraints for the denoiser."""

    def finish(self, document: Document, hole: Hole, candidate: str, holes: list[Hole]) -> str:
        """The exact fill for a model's candidate: line endings, parentheses where they are needed."""

    async def propose(
        self, params: ProposeParams, on_candidate: Callable[[Candidate], None], stop: asyncio.Event
    ) -> Proposed:
        """Draw candidates."""

    async def repair(
        self, params: Repair, on_candidate: Callable[[Candidate], None], stop: asyncio.Event
    ) -> Proposed:
        """Remask and draw again; without spans each word by itself."""

    def check_syntax(self, document: Document, hole: Hole, fill: str, holes: list[Hole]) -> Verdict:
        """Tier 1, exactly."""

    async def check_types(
        self,
        document: Document,
        hole: Hole,
        fills: list[str],
        holes: list[Hole],
        *,
        confirm: bool = False,
        budget_s: float,
    ) -> list[Verdict]:
        """Ask mypy; with no ``fills`` only get ready for it."""

    async def run_tests(
        self, document: Document, hole: Hole, fills: list[str], holes: list[Hole], *, budget_s: float
    ) -> list[Verdict]:
        """Run the tests that reach the hole; with no ``fills`` only get ready for it."""
