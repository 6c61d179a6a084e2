"""Model workers, one for all workspace roots whose settings name the same model."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable

import msgspec

from astral_lsp.config import ModelSettings
from astral_lsp.fill.services import OnProgress
from astral_lsp.workers.process import WorkerFailure, WorkerProcess
from astral_lsp.workers.protocol import (
    Candidate,
    Event,
    Forget,
    Load,
    ModelInfo,
    Progress,
    Propose,
    Proposed,
    ReadAhead,
    Repair,
)

GRACE_MS = 3000.0
"""What a model call may take beyond its own budget before its worker counts as hung."""
READ_AHEAD_SECONDS = 60.0
LOAD_SECONDS = 1800.0
"""The first load may pull the weights over a slow line."""


class Models:
    """Lends model workers, which live in one event loop, to sessions that may be made in another thread."""

    def __init__(self) -> None:
        self._lent: dict[ModelSettings, ModelWorker] = {}
        self._lock = threading.Lock()

    def borrow(self, settings: ModelSettings) -> ModelWorker:
        """The worker for ``settings``; costs nothing until it is asked to load."""
        with self._lock:
            worker = self._lent.setdefault(settings, ModelWorker(settings))
            worker.borrowers += 1
            return worker

    async def give_back(self, worker: ModelWorker) -> None:
        """Take ``worker`` back; nobody's worker is ended."""
        with self._lock:
            worker.borrowers -= 1
            if worker.borrowers > 0:
                return
            self._lent = {key: lent for key, lent in self._lent.items() if lent is not worker}
        await worker.retire()


class ModelWorker:
    """One model worker and what is loaded in it; its borrowers draw one after the other."""

    def __init__(self, settings: ModelSettings) -> None:
        self.borrowers = 0
        self.process = _process(settings)
        self._settings = settings
        self._info: tuple[int, ModelInfo] | None = None
        self._turn = asyncio.Lock()
        self._calls = 0
        self._used = time.monotonic()
        self._retired = False
        self._reading: asyncio.Event | None = None
        """Set to stop reading ahead: somebody wants to draw."""

    @property
    def loaded(self) -> ModelInfo | None:
        """What is loaded; None when the worker has not loaded, or has ended since."""
        if self._info is not None and self.process.running and self._info[0] == self.process.generation:
            return self._info[1]
        return None

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the weights (pulling them first if need be); raises WorkerFailure."""
        self._used = time.monotonic()
        if (known := self.loaded) is not None:
            return known
        self._refuse_if_retired()

        def forward(event: Event) -> None:
            if on_progress is not None and event.name == "progress":
                progress = msgspec.convert(event.body, Progress)
                on_progress(progress.text, progress.fraction)

        load = Load(self._settings.base, self._settings.adapter)
        self._calls += 1
        try:
            info: ModelInfo = await self.process.call(load, timeout=LOAD_SECONDS, on_event=forward)
        finally:
            self._calls -= 1
        self._info = (self.process.generation, info)
        return info

    async def forget(self) -> None:
        """Have the worker let go of its cached contexts; raises WorkerFailure."""
        if self.loaded is not None:
            await self.process.call(Forget(), timeout=GRACE_MS / 1e3)

    @property
    def free(self) -> bool:
        """Whether the model is loaded and nobody draws."""
        return self.loaded is not None and not self._turn.locked()

    async def read_ahead(self, params: Propose) -> bool:
        """Have the context of ``params`` computed if the model is free; whoever draws stops it, and loses
        nothing of it. Returns whether all of it was read; raises WorkerFailure."""
        if not self.free:
            return False
        stop = asyncio.Event()
        async with self._turn:
            self._reading = stop
            try:
                await self.process.call(ReadAhead(params), timeout=READ_AHEAD_SECONDS, stop=stop)
            finally:
                self._reading = None
        return not stop.is_set()

    async def draw(
        self,
        params: Propose | Repair,
        budget_ms: float,
        on_candidate: Callable[[Candidate], None],
        stop: asyncio.Event,
    ) -> Proposed:
        """Propose or repair, waiting for the others' turns within the budget; raises WorkerFailure."""

        def forward(event: Event) -> None:
            if event.name == "candidate":
                on_candidate(msgspec.convert(event.body, Candidate))

        self._refuse_if_retired()
        if self._reading is not None:
            self._reading.set()
        began = time.monotonic()
        self._calls += 1
        try:
            await self._take_turn(budget_ms / 1e3, stop)
            try:
                self._refuse_if_fresh()
                left_ms = budget_ms - (time.monotonic() - began) * 1e3
                (params.propose if isinstance(params, Repair) else params).budget_ms = left_ms
                timeout = (left_ms + GRACE_MS) / 1e3
                proposed: Proposed = await self.process.call(
                    params, timeout=timeout, on_event=forward, stop=stop
                )
            finally:
                self._turn.release()
        finally:
            self._calls -= 1
            self._used = time.monotonic()
        return proposed

    async def _take_turn(self, seconds: float, stop: asyncio.Event) -> None:
        """Wait in a queue of ours: a call in the worker's own could be answered only after the calls before
        it, and one that does not answer costs the worker its life."""
        turn = asyncio.ensure_future(self._turn.acquire())
        stopped = asyncio.ensure_future(stop.wait())
        taken = False
        try:
            # a free turn is taken even when ``stop`` is set: the worker then says what there is
            done, _ = await asyncio.wait(
                {turn, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            taken = turn in done
        finally:
            stopped.cancel()
            if not taken and not turn.cancel():
                self._turn.release()  # it was ours in the very moment that nobody wanted it any more
        if not taken:
            why = "cancelled while another fill had the model"
            raise WorkerFailure(
                "cancelled", why if stop.is_set() else "another fill had the model all the time"
            )

    async def unload_idle(self) -> bool:
        """End the worker when nobody has used it for the time of the settings; True when it did."""
        minutes = self._settings.idle_unload_minutes
        idle = time.monotonic() - self._used > minutes * 60
        if not (minutes > 0 and idle and self.process.running and self._calls == 0):
            return False
        await self.process.close()
        return True

    async def retire(self) -> None:
        """End the worker for good: a run that has lost its session must not start it once more."""
        self._retired = True
        await self.process.close()

    def _refuse_if_fresh(self) -> None:
        """The worker may have died under the fill before: a new one would load by itself, on our budget."""
        if self._info is not None and self.loaded is None:
            why = "the model worker has stopped since it was loaded"
            raise WorkerFailure("unavailable", why, died=True)

    def _refuse_if_retired(self) -> None:
        if self._retired:
            raise WorkerFailure(
                "unavailable", "the model was let go: settings changed or the workers restart"
            )


def _process(settings: ModelSettings) -> WorkerProcess:
    environment = dict(os.environ)
    if settings.threads > 0:
        environment["ASTRAL_LSP_THREADS"] = str(settings.threads)
    # threads that spin at barriers starve each other as soon as anything else runs (measured: up to 15 times)
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    argv = [sys.executable, "-m", "astral_lsp.workers.model"]
    # a step on a busy machine takes seconds, and a killed worker must load the weights again
    return WorkerProcess(argv, name="model", env=environment, grace=10.0)
