"""Algorithm 1 of ASTRAL for one hole: propose, verify on arrival, repair what fails, confirm, rank.

Where repair does not help and there is time, others are drawn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from astral_lsp.context.environment import Environment, environment
from astral_lsp.fill.budget import Budget
from astral_lsp.fill.document import Document
from astral_lsp.fill.drawing import Drawing, forget
from astral_lsp.fill.judging import Judging
from astral_lsp.fill.later_rounds import LaterRounds
from astral_lsp.fill.rank import refused
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.fill.services import OnProgress, Services
from astral_lsp.holes.find import find_holes
from astral_lsp.holes.model import Hole
from astral_lsp.verify.surroundings import surroundings
from astral_lsp.workers.process import WorkerFailure
from astral_lsp.workers.protocol import HoleTypes, ModelInfo

T = TypeVar("T")
OnJudged = Callable[[FillReport], None]
"""Called with everything judged so far, each time that it is more; the winner is not confirmed yet."""

ANALYSE_SHARE = 0.4
"""Part of the budget that σ and Γ may take when mypy has to build first; a warm answer takes milliseconds."""


async def fill_hole(
    services: Services,
    document: Document,
    hole: Hole,
    options: FillOptions | None = None,
    on_progress: OnProgress | None = None,
    stop: asyncio.Event | None = None,
    holes: list[Hole] | None = None,
    on_judged: OnJudged | None = None,
) -> FillReport:
    """Fill ``hole``, one of the ``holes`` of ``document`` (found when not given).

    Setting ``stop`` ends the run early with the best so far and honest verdicts; cancelling the task abandons
    it. Loading the model does not count against the budget. Never raises but on cancellation: what went wrong
    is in the report's ``message`` and verdicts.
    """
    run = _Run(
        services,
        document,
        hole,
        find_holes(document.text) if holes is None else holes,
        options or FillOptions(),
        on_progress or (lambda _text, _fraction: None),
        stop or asyncio.Event(),
        on_judged or (lambda _report: None),
    )
    return await run.execute()


class _Run:
    """The state of one `fill_hole`."""

    def __init__(
        self,
        services: Services,
        document: Document,
        hole: Hole,
        holes: list[Hole],
        options: FillOptions,
        on_progress: OnProgress,
        stop: asyncio.Event,
        on_judged: OnJudged,
    ) -> None:
        self.services, self.document, self.hole, self.options = services, document, hole, options
        self.holes = [other for other in holes if other.span != hole.span]
        self.on_progress = on_progress
        self.info: ModelInfo | None = None
        self.environment = Environment(None, None, (), complete=False)
        self.budget = Budget(options.budget_s, stop)
        self.judging = Judging(services, document, hole, self.holes, options, self.budget, on_progress)
        self.drawing = Drawing(
            services, self.judging, self.budget, on_progress, lambda: on_judged(self._report())
        )
        self.elapsed: dict[str, float] = {}
        self.messages: list[str] = []

    async def execute(self) -> FillReport:
        # mypy builds while the weights load
        analysis = asyncio.ensure_future(self.services.environment(self.document, self.hole, self.holes))
        try:
            self.info = await self.services.start_model(self.on_progress)
            self._choose_engine(self.info)
        except WorkerFailure as failure:
            self.messages.append(failure.message)
        except asyncio.CancelledError:
            analysis.cancel()
            raise
        began = time.monotonic()
        self.budget.start()
        self.environment = await self._timed("analyse", self._environment_of(analysis))
        if self.info is not None:
            await self._draw_and_verify(self.environment)
        self.elapsed["total"] = (time.monotonic() - began) * 1e3
        return self._report()

    def _choose_engine(self, info: ModelInfo) -> None:
        """Without an adapter for this base only the base itself can draw; the report says so."""
        if not info.adapter and self.options.engine != "ar":
            asked = self.options.engine
            self.options = msgspec.structs.replace(self.options, engine="ar")
            self.messages.append(f"no adapter is loaded for this base: the engine is ar, not {asked}")

    async def _environment_of(self, analysis: Awaitable[Environment]) -> Environment:
        self.on_progress("reading σ and Γ", None)
        known = await self.budget.within(analysis, self.budget.seconds * ANALYSE_SHARE)
        if known is not None:
            return known
        why = "cancelled" if self.budget.stop.is_set() else "mypy is still reading the program"
        nothing = HoleTypes(None, [], f"{why}; σ and Γ are from syntax alone")
        return environment(self.document.text, self.hole, nothing)

    async def _draw_and_verify(self, environment: Environment) -> None:
        params = await self.services.prepare(self.document, self.hole, self.holes, environment, self.options)
        params.budget_ms = self.drawing.share_ms()
        params.rejected = self.judging.known()
        warming = asyncio.gather(self.judging.warm_types(), self.judging.warm_tests(), return_exceptions=True)
        try:
            await self._timed("propose", self.drawing.round(params))
            later = LaterRounds(self.hole, params, self.judging, self.drawing, self.budget)
            await self._timed("repair", later.run())
            await self._timed("confirm", self.judging.confirm())
        finally:
            warming.cancel()
            warming.add_done_callback(forget)
        if not self.judging.fills and not self.messages and not self.drawing.messages:
            self.messages.append(self._why_nothing())

    def _why_nothing(self) -> str:
        if self.budget.stop.is_set():
            return "cancelled before a candidate was drawn"
        seconds = self.elapsed.get("propose", 0.0) / 1e3
        broken = surroundings(self.document.text, self.hole, self.holes).filler is None
        why = ": the code around the hole does not parse" if broken else ""
        return f"no candidate in {seconds:.1f} s of drawing{why}"

    def _report(self) -> FillReport:
        info, environment, ranked = self.info, self.environment, self.judging.ranked()
        elapsed = self.elapsed | {"verify": self.judging.elapsed_ms}
        return FillReport(
            hole=self.hole,
            expected_type=environment.expected,
            environment=environment,
            fills=[fill for fill in ranked if not refused(fill.verdicts)],
            rejected=[fill for fill in ranked if refused(fill.verdicts)],
            elapsed_ms={stage: round(ms, 1) for stage, ms in elapsed.items()},
            engine=self.options.engine,
            model=info.model if info is not None else "",
            adapter=info.adapter if info is not None else "",
            evaluations=self.drawing.evaluations,
            message="; ".join(dict.fromkeys([*self.messages, *self.drawing.messages])),
        )

    async def _timed(self, stage: str, work: Awaitable[T]) -> T:
        began = time.monotonic()
        try:
            return await work
        finally:
            self.elapsed[stage] = (time.monotonic() - began) * 1e3
