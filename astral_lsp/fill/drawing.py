"""One round of drawing: the model is asked, and its candidates are judged while it draws others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from astral_lsp.fill.budget import LATE_SECONDS, Budget
from astral_lsp.fill.judging import Judging
from astral_lsp.fill.services import OnProgress, Services
from astral_lsp.workers.process import WorkerFailure
from astral_lsp.workers.protocol import Candidate, Proposed, Repair
from astral_lsp.workers.protocol import Propose as ProposeParams

log = logging.getLogger(__name__)

PROPOSE_SHARE = 0.75
"""Part of the budget that drawing may use; the rest is for verification and repair."""

Queue = asyncio.Queue["Candidate | None"]
"""Candidates as they come; None when the drawing has ended."""


class Drawing:
    """Asks the model of one run. ``on_judged``: called each time that more is judged."""

    def __init__(
        self,
        services: Services,
        judging: Judging,
        budget: Budget,
        on_progress: OnProgress,
        on_judged: Callable[[], None],
    ) -> None:
        self._services, self._judging, self._budget = services, judging, budget
        self._on_progress, self._on_judged = on_progress, on_judged
        self.evaluations = 0
        self.messages: list[str] = []
        self.failed = False
        """The model cannot be asked any more; a message says why."""
        self._died = False

    async def round(self, params: ProposeParams | Repair) -> None:
        """Draw with ``params``; candidates are judged in batches while later ones are still being drawn."""
        queue: Queue = asyncio.Queue()
        drawing = asyncio.ensure_future(self._draw(params, queue))
        try:
            while True:
                batch, ended = await _next_batch(queue)
                if await self._judging.judge(batch):
                    self._on_judged()
                if ended:
                    break
            await drawing
        finally:
            drawing.cancel()

    def share_ms(self, share: float = PROPOSE_SHARE) -> float:
        """Milliseconds that a round may take which gets ``share`` of the time left."""
        return max(100.0, self._budget.left() * share * 1e3)

    async def _draw(self, params: ProposeParams | Repair, queue: Queue) -> None:
        halt = asyncio.Event()
        watch = asyncio.ensure_future(_first_of(self._budget.stop, self._judging.enough, halt))
        try:
            proposed = await self._ask_model(params, queue, halt)
            if proposed is not None:
                self.evaluations += proposed.evaluations
                for candidate in proposed.candidates:
                    queue.put_nowait(candidate)
        except WorkerFailure as failure:
            self.failed = True
            self.messages.append(failure.message)
        finally:
            watch.cancel()
            queue.put_nowait(None)

    async def _ask_model(
        self, params: ProposeParams | Repair, queue: Queue, halt: asyncio.Event
    ) -> Proposed | None:
        """What the model has drawn. A worker that dies meanwhile is started afresh and asked again, once a
        fill; raises WorkerFailure."""
        try:
            return await self._until_late(self._drawn(params, queue, halt), halt)
        except WorkerFailure as failure:
            if not failure.died or halt.is_set():
                raise
            if self._died:
                raise _died_again(failure) from None
            self._died = True
            log.warning("%s; it is started afresh", failure.message)
        self._on_progress("the model stopped; starting it afresh", None)
        began = time.monotonic()
        await self._services.start_model(self._on_progress)
        self._budget.give_back(time.monotonic() - began)  # as when it was loaded first
        (params.propose if isinstance(params, Repair) else params).budget_ms = self.share_ms()
        try:
            return await self._until_late(self._drawn(params, queue, halt), halt)
        except WorkerFailure as failure:
            raise (_died_again(failure) if failure.died else failure) from None

    def _drawn(
        self, params: ProposeParams | Repair, queue: Queue, halt: asyncio.Event
    ) -> Awaitable[Proposed]:
        if isinstance(params, Repair):
            self._on_progress("repairing in place", None)
            return self._services.repair(params, queue.put_nowait, halt)
        self._on_progress("unmasking", None)
        return self._services.propose(params, queue.put_nowait, halt)

    async def _until_late(self, work: Awaitable[Proposed], halt: asyncio.Event) -> Proposed | None:
        """What the model has drawn; None when it has not stopped in time.

        The call then goes on without us: the session ends a worker that has hung, and only that.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=max(0.0, self._budget.left()) + LATE_SECONDS)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            return task.result()
        halt.set()
        _LEFT_ALONE.add(task)
        task.add_done_callback(forget)
        return None


_LEFT_ALONE: set[asyncio.Future[Proposed]] = set()
"""Calls that were late: the event loop itself holds them by a weak reference only."""


def forget(task: asyncio.Future[Any]) -> None:
    """Nobody else will look at ``task``."""
    _LEFT_ALONE.discard(task)
    if not task.cancelled():
        task.exception()


def _died_again(failure: WorkerFailure) -> WorkerFailure:
    message = (
        f"the model stopped twice during this fill, so no more is drawn; the second time {failure.message}"
    )
    return WorkerFailure(failure.kind, message, failure.trace)


async def _next_batch(queue: Queue) -> tuple[list[Candidate], bool]:
    """Wait for one candidate, take all that are there; True when the drawing has ended."""
    batch: list[Candidate] = []
    item = await queue.get()
    while True:
        if item is None:
            return batch, True
        batch.append(item)
        if queue.empty():
            return batch, False
        item = queue.get_nowait()


async def _first_of(stop: asyncio.Event, enough: asyncio.Event, halt: asyncio.Event) -> None:
    """Set ``halt`` as soon as one of the other two is set."""
    waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(enough.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        halt.set()
    finally:
        for wait in waits:
            wait.cancel()
