"""What the server asks of whoever fills holes: `astral_lsp.fill`, or a scripted stand-in in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from astral_lsp.config import Settings
from astral_lsp.context.environment import Environment
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.holes.model import Hole

OnProgress = Callable[[str, "float | None"], None]
"""Called with one line for people and a fraction in [0, 1], None when unknown."""
OnJudged = Callable[[FillReport], None]
"""Called with everything judged so far, each time that it is more."""


class Engine(Protocol):
    """Fills holes of one workspace root. No method raises but on cancellation."""

    on_status: Callable[[str], None]
    """Called with the new status whenever it changes."""

    @property
    def status(self) -> str:
        """'loading' (the model), 'filling', 'warming' (mypy reads the program) or 'idle': shown to people."""

    async def analyse(
        self, document: Document, holes: list[Hole], everything: list[Hole]
    ) -> list[Environment]:
        """σ and Γ of each of ``holes``, in order; ``everything``: all holes of the document."""

    async def fill(
        self,
        document: Document,
        hole: Hole,
        options: FillOptions,
        on_progress: OnProgress,
        stop: asyncio.Event,
        holes: list[Hole],
        on_judged: OnJudged,
    ) -> FillReport:
        """Fill one hole; setting ``stop`` asks for the best so far, cancelling abandons."""

    async def read_ahead(
        self, document: Document, hole: Hole, options: FillOptions, holes: list[Hole]
    ) -> bool:
        """``hole`` may be filled next: get ready what takes long, if nothing else is going on; True when it
        is ready, False when it was not the time for it."""

    async def start_model(self, on_progress: OnProgress) -> None:
        """Load the weights now."""

    async def configure(self, settings: Settings, *, trusted: bool) -> None:
        """Take new settings without losing what is warm, where that is possible."""

    async def unload_idle(self) -> bool:
        """End the model worker when it was not used for long; True when it did."""

    def files_changed(self, paths: list[Path]) -> None:
        """Files other than the open buffers changed on disk."""

    async def close(self) -> None:
        """Stop every worker."""


EngineFactory = Callable[[Settings, Path, bool], Engine]
"""(settings, workspace root, trusted) to an engine; must be quick, workers start when they are needed."""
