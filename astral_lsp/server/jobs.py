"""Running fills: one job a hole and text, shared by all who wait for it, stopped when nobody does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.holes.model import Hole
from astral_lsp.server.documents import View
from astral_lsp.server.engine import Engine, OnJudged, OnProgress
from astral_lsp.server.known import Stage

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

log = logging.getLogger(__name__)
MARGIN_SECONDS = 1.0
"""The engine's budget is this much shorter than the person's, so that its verdicts are in by then."""
GRACE_SECONDS = 1.2
"""After the budget a job may take this long to hand over its best so far; Emacs gives up at 10 s."""
LATE_SECONDS = 30.0
"""A job that overran is left to finish, for the list, for at most this long."""
OVERRUN = "it takes longer than the budget; the fills will be listed when it is done"
QUEUED = "an earlier fill was still running; ask again"
LOADING_INTERVAL = 0.2
STALL_SECONDS = 60.0
"""A load that says nothing new for so long may stand still: the patient are told instead of kept waiting."""
LOADING = ("loading",)
"""States of an engine that cannot draw yet."""


class StillLoading(Exception):
    """The model was not ready within the budget; the job goes on."""


class NothingYet(Exception):
    """The job had nothing to hand over in time; the message says why."""


Keep = Callable[[FillReport, Stage], object]
"""Remembers a report."""


class JobKey(NamedTuple):
    """What makes two requests the same work."""

    root: str
    path: str
    text_hash: int
    start: int
    end: int
    options: FillOptions


class Listener(NamedTuple):
    """Somebody who waits for a job."""

    on_progress: OnProgress
    on_judged: OnJudged


class Job:
    """One running `Engine.fill`."""

    def __init__(self, key: JobKey, engine: Engine, *, background: bool) -> None:
        self.key = key
        self.engine = engine
        self.background = background
        self.stop = asyncio.Event()
        self.cut = False
        """Stopped because nobody wants more, not because the time is over."""
        self.has_turn = False
        self.listeners: list[Listener] = []
        self.judged: FillReport | None = None
        """What there is so far."""
        self.news = time.monotonic()
        """When it last said something new."""
        self._said: tuple[str, float | None] = ("", None)
        self.task: asyncio.Task[FillReport]

    def on_progress(self, text: str, fraction: float | None) -> None:
        if (text, fraction) != self._said:
            self._said, self.news = (text, fraction), time.monotonic()
        for listener in list(self.listeners):
            listener.on_progress(text, fraction)

    def cut_short(self) -> None:
        """Ask for what there is."""
        self.cut = self.cut or not self.stop.is_set()
        self.stop.set()

    async def wind_down(self, seconds: float = GRACE_SECONDS) -> None:
        """Abandon a job that does not hand over what it has in time."""
        done, _ = await asyncio.wait({self.task}, timeout=seconds)
        if not done:
            self.task.cancel()


class Jobs:
    """All running fills. Foreground work goes before background work on each engine; one at a time."""

    def __init__(self, server: AstralServer) -> None:
        self._server = server
        self._jobs: dict[JobKey, Job] = {}
        self._turns: dict[int, asyncio.Lock] = {}
        self._loose: set[asyncio.Task[None]] = set()
        self.stops = 0
        """How often everything was stopped: who fills one hole after the other ends then."""

    @property
    def running(self) -> int:
        """How many jobs there are."""
        return len(self._jobs)

    def found(self) -> tuple[int, int]:
        """How many candidates of running jobs are judged, and how many of them are verified."""
        fills = [fill for job in self._jobs.values() if job.judged for fill in job.judged.ranked]
        return len(fills), sum(fill.verified for fill in fills)

    def busy_in_foreground(self) -> bool:
        """Whether a person waits for a fill."""
        return any(not job.background for job in self._jobs.values())

    async def fill(
        self,
        root: str,
        engine: Engine,
        view: View,
        hole: Hole,
        options: FillOptions,
        *,
        on_progress: OnProgress,
        on_judged: OnJudged = lambda _report: None,
        on_job: Callable[[Job], None] = lambda _job: None,
        background: bool = False,
        patient: bool = False,
        keep: Keep = lambda _report, _stage: None,
    ) -> FillReport:
        """Fill ``hole`` of ``view`` and return the report; at most ``options.budget_s`` plus the grace.

        Cancelling this call stops the job unless others wait for it too. ``keep`` gets what is judged as it
        comes, and the report even when nobody waits for it any more. While the model loads, and says how far
        it is, ``patient`` lets no time of the budget pass. Raises StillLoading or NothingYet.
        """
        document = view.document
        key = JobKey(root, document.path, hash(document.text), hole.start, hole.end, options)
        job = self._jobs.get(key)
        if job is None or job.stop.is_set():  # one that winds down would answer with less than was asked
            job = self._start(key, engine, view, hole, options, background=background, keep=keep)
        elif not background:
            job.background = False
        on_job(job)
        return await self._wait(job, Listener(on_progress, on_judged), options.budget_s, patient=patient)

    def _start(
        self, key: JobKey, engine: Engine, view: View, hole: Hole, options: FillOptions, *, background: bool,
        keep: Keep,
    ) -> Job:  # fmt: skip
        job = self._jobs[key] = Job(key, engine, background=background)
        if not background:
            self.stop_background()
        job.task = asyncio.ensure_future(self._run(job, view, hole, options, keep))
        job.task.add_done_callback(lambda task: self._finished(job, task))
        self._server.trace(f"fill started: {key.path}:{key.start}", repr(options))
        self._server.status.changed()
        return job

    async def _run(self, job: Job, view: View, hole: Hole, options: FillOptions, keep: Keep) -> FillReport:
        def on_judged(report: FillReport) -> None:
            if job.task.done():  # abandoned: a later run may know better
                return
            job.judged = report
            keep(report, "running")
            for listener in list(job.listeners):
                listener.on_judged(report)
            self._server.status.changed()

        began = time.monotonic()
        turn = self._turns.setdefault(id(job.engine), asyncio.Lock())
        async with turn:
            left = options.budget_s - (time.monotonic() - began)
            if job.stop.is_set() or left < min(0.5, options.budget_s / 2):
                raise NothingYet(QUEUED)
            job.has_turn = True
            margin = min(MARGIN_SECONDS, left / 4)
            options = structs.replace(options, budget_s=left - margin)
            report = await job.engine.fill(
                view.document, hole, options, job.on_progress, job.stop, view.holes, on_judged
            )
        keep(report, "cut" if job.cut else "complete")
        return report

    def _finished(self, job: Job, task: asyncio.Task[FillReport]) -> None:
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        outcome = "abandoned" if task.cancelled() else "failed" if task.exception() else "ended"
        self._server.trace(f"fill {outcome}: {job.key.path}:{job.key.start}")
        if (
            not task.cancelled()
            and (error := task.exception()) is not None
            and not isinstance(error, NothingYet)
        ):
            log.error("a fill failed", exc_info=error)
        self._server.status.changed()

    async def _wait(self, job: Job, listener: Listener, budget_s: float, *, patient: bool) -> FillReport:
        job.listeners.append(listener)
        try:
            done = await _ended(job, budget_s, patient=patient)
            if not done and job.engine.status in LOADING:
                raise StillLoading
            if not done:
                job.stop.set()
                done = await _ended(job, GRACE_SECONDS)
            if not done:
                self._loosely(job, LATE_SECONDS if job.has_turn else 0.0)
                raise NothingYet(OVERRUN if job.has_turn else QUEUED)
            return _result(job.task)
        except asyncio.CancelledError:
            if len(job.listeners) == 1 and not job.task.done():
                self._loosely(job)
            raise
        finally:
            job.listeners = [other for other in job.listeners if other is not listener]

    def _loosely(self, job: Job, seconds: float = GRACE_SECONDS) -> None:
        job.cut_short()  # at once: who asks for the same in a moment must not join it
        task = asyncio.ensure_future(job.wind_down(seconds))
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)

    def stop_background(self) -> None:
        """Ask all background jobs for what they have."""
        for job in list(self._jobs.values()):
            if job.background and not job.stop.is_set():
                self._loosely(job)

    def stop_all(self) -> int:
        """Ask every job to stop; returns how many there were."""
        self.stops += 1
        jobs = list(self._jobs.values())
        for job in jobs:
            self._loosely(job)
        return len(jobs)


async def _ended(job: Job, seconds: float, *, patient: bool = False) -> bool:
    """Whether ``job`` ends within ``seconds``; for the patient, without the time in which the model loads, as
    long as it gets on."""
    left, began = seconds, time.monotonic()
    while left > 0:
        step = min(left, LOADING_INTERVAL) if patient else left
        done, _ = await asyncio.wait({job.task}, timeout=step)
        if done:
            return True
        if not (patient and job.engine.status in LOADING and not job.stop.is_set()):
            left -= step
        elif time.monotonic() - max(job.news, began) > STALL_SECONDS:
            break
    return job.task.done()


def _result(task: asyncio.Task[FillReport]) -> FillReport:
    if task.cancelled():
        raise NothingYet("nothing was found within the time")
    error = task.exception()
    if isinstance(error, NothingYet):
        raise error
    if error is not None:
        raise NothingYet(f"the fill failed: {error}")
    return task.result()
