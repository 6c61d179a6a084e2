"""Opening an oracle: once, when it is first needed, and again when what stood in its way may have gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from astral_lsp.report import Verdict

RETRY_SECONDS = 5.0
"""A failure counts for so long; then the user may have installed mypy or mended a configuration."""


class Opening:
    """One oracle's opening. Use it from one event loop."""

    def __init__(self, attempt: Callable[[str], Awaitable[Verdict | None]]) -> None:
        """``attempt`` opens the oracle for an interpreter: None, or the verdict that every fill gets."""
        self._attempt = attempt
        self._python = ""
        self._running: asyncio.Future[Verdict | None] | None = None
        self._ended = 0.0

    async def problem(self, python: str) -> Verdict | None:
        """None when the oracle is open for ``python``, else why it is not."""
        if self._running is None or python != self._python or self._stale():
            self._python, self._running = python, asyncio.ensure_future(self._run(python, self._running))
        # a caller that runs out of time must not undo what the next one needs
        return await asyncio.shield(self._running)

    async def _run(self, python: str, earlier: asyncio.Future[Verdict | None] | None) -> Verdict | None:
        if earlier is not None:
            await asyncio.wait({earlier})
        try:
            return await self._attempt(python)
        finally:
            self._ended = time.monotonic()

    def _stale(self) -> bool:
        task = self._running
        if task is None or not task.done():
            return False
        failed = task.cancelled() or task.exception() is not None or task.result() is not None
        return failed and time.monotonic() - self._ended > RETRY_SECONDS
