"""The time of one run, and its stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

LATE_SECONDS = 0.5
"""What the model or an oracle may take beyond the budget to say what it has."""


class Budget:
    """``seconds`` from `start` on. ``stop``: set by the user, ends every wait."""

    def __init__(self, seconds: float, stop: asyncio.Event) -> None:
        self.seconds, self.stop = seconds, stop
        self._deadline = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._deadline = time.monotonic() + self.seconds

    def give_back(self, seconds: float) -> None:
        """What went by did not count."""
        self._deadline += seconds

    def left(self) -> float:
        """Seconds; negative when it is used up."""
        return self._deadline - time.monotonic()

    async def within(self, work: Awaitable[T], seconds: float) -> T | None:
        """What ``work`` gives, None when it takes more than ``seconds`` or the run is stopped meanwhile."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait({task, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stopped.cancel()
            task.cancel()
