"""An engine in a thread of its own, so that its parsing and checking never holds up a list request.

The fill room works in slices of Python of up to a few hundred milliseconds on a long file (measured: syntax
checks, merging Γ). In the thread that reads requests each slice would be a pause in typing; in another thread
the interpreter lock passes to the reader within `SWITCH_SECONDS`.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from astral_lsp.config import Settings
from astral_lsp.context.environment import Environment
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.holes.model import Hole
from astral_lsp.server.engine import Engine, OnJudged, OnProgress

T = TypeVar("T")
SWITCH_SECONDS = 0.0005


class EngineThread:
    """One thread with an event loop, for all engines of a server."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Its loop; the thread starts with the first use."""
        if self._loop is None:
            sys.setswitchinterval(SWITCH_SECONDS)
            loop = self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=loop.run_forever, name="astral-engines", daemon=True)
            self._thread.start()
        return self._loop

    def stop(self) -> None:
        """End the thread; the engines must be closed."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=2.0)


class ThreadedEngine:
    """`Engine` whose every method runs in an `EngineThread`; callbacks come back to the caller's loop."""

    def __init__(self, engine: Engine, thread: EngineThread) -> None:
        self._engine = engine
        self._remote = thread.loop
        self._home = asyncio.get_running_loop()
        self.on_status: Callable[[str], None] = lambda _status: None
        engine.on_status = lambda status: self._call_home(self._tell_status, status)

    @property
    def status(self) -> str:
        """See `Engine.status`."""
        return self._engine.status

    def _tell_status(self, status: str) -> None:
        self.on_status(status)

    def _call_home(self, function: Callable[..., object], *arguments: Any) -> None:
        if not self._home.is_closed():
            self._home.call_soon_threadsafe(function, *arguments)

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` over there; cancelling here cancels it there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._remote))

    def _progress_home(self, on_progress: OnProgress) -> OnProgress:
        return lambda text, fraction: self._call_home(on_progress, text, fraction)

    async def analyse(
        self, document: Document, holes: list[Hole], everything: list[Hole]
    ) -> list[Environment]:
        """See `Engine.analyse`."""
        return await self._run(self._engine.analyse(document, holes, everything))

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
        there = asyncio.Event()
        relay = asyncio.ensure_future(self._relay(stop, there))
        try:
            return await self._run(
                self._engine.fill(
                    document, hole, options, self._progress_home(on_progress), there, holes,
                    lambda report: self._call_home(on_judged, report),
                )
            )  # fmt: skip
        finally:
            relay.cancel()

    async def _relay(self, here: asyncio.Event, there: asyncio.Event) -> None:
        await here.wait()
        self._remote.call_soon_threadsafe(there.set)

    async def read_ahead(
        self, document: Document, hole: Hole, options: FillOptions, holes: list[Hole]
    ) -> bool:
        """See `Engine.read_ahead`."""
        return await self._run(self._engine.read_ahead(document, hole, options, holes))

    async def start_model(self, on_progress: OnProgress) -> None:
        """See `Engine.start_model`."""
        await self._run(self._engine.start_model(self._progress_home(on_progress)))

    async def configure(self, settings: Settings, *, trusted: bool) -> None:
        """See `Engine.configure`."""
        await self._run(self._engine.configure(settings, trusted=trusted))

    async def unload_idle(self) -> bool:
        """See `Engine.unload_idle`."""
        return await self._run(self._engine.unload_idle())

    def files_changed(self, paths: list[Path]) -> None:
        """See `Engine.files_changed`."""
        self._remote.call_soon_threadsafe(self._engine.files_changed, paths)

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._run(self._engine.close())
