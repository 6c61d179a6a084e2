"""`astral_lsp.fill` behind the server's `Engine` protocol; imported when the first engine is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from astral_lsp.config import Settings
from astral_lsp.context.environment import Environment
from astral_lsp.fill.document import Document
from astral_lsp.fill.models import Models
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.fill.run import fill_hole
from astral_lsp.fill.session import Session
from astral_lsp.holes.model import Hole
from astral_lsp.server.engine import OnJudged, OnProgress


class SessionEngine:
    """One `Session`."""

    def __init__(self, settings: Settings, root: Path, trusted: bool, models: Models | None = None) -> None:
        self._session = Session(settings, root, trusted, models)

    @property
    def on_status(self) -> Callable[[str], None]:
        """See `Engine.on_status`."""
        return self._session.on_status

    @on_status.setter
    def on_status(self, listener: Callable[[str], None]) -> None:
        self._session.on_status = listener

    @property
    def status(self) -> str:
        """See `Engine.status`."""
        return self._session.status

    async def analyse(
        self, document: Document, holes: list[Hole], everything: list[Hole]
    ) -> list[Environment]:
        """See `Engine.analyse`."""
        return await self._session.analyse(document, holes, everything)

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
        """See `Engine.fill`."""
        return await fill_hole(self._session, document, hole, options, on_progress, stop, holes, on_judged)

    async def read_ahead(
        self, document: Document, hole: Hole, options: FillOptions, holes: list[Hole]
    ) -> bool:
        """See `Engine.read_ahead`."""
        return await self._session.read_ahead(document, hole, options, holes)

    async def start_model(self, on_progress: OnProgress) -> None:
        """See `Engine.start_model`."""
        await self._session.start_model(on_progress)

    async def configure(self, settings: Settings, *, trusted: bool) -> None:
        """See `Engine.configure`."""
        await self._session.configure(settings, trusted=trusted)

    async def unload_idle(self) -> bool:
        """See `Engine.unload_idle`."""
        return await self._session.unload_idle()

    def files_changed(self, paths: list[Path]) -> None:
        """See `Engine.files_changed`; the workers look at modification times by themselves."""

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._session.close()
