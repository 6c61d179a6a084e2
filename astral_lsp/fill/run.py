"""Algorithm 1 of ASTRAL for one hole: propose, verify on arrival, repair what fails, confirm, rank.

Where repair does not help and there is time, others are drawn.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec

from astral_lsp.context.environment import Environment, environment
from astral_lsp.fill.document import Document
from astral_lsp.fill.rank import best_first, is_verified, refused
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.holes.find import find_holes
from astral_lsp.holes.model import Hole, Span
from astral_lsp.report import Fill, Finding, Verdict, Verdicts, not_run
from astral_lsp.verify.surroundings import surroundings
from astral_lsp.workers.process import WorkerFailure
from astral_lsp.workers.protocol import Candidate, HoleTypes, ModelInfo, Proposed, Repair
from astral_lsp.workers.protocol import Propose as ProposeParams

T = TypeVar("T")
log = logging.getLogger(__name__)
OnProgress = Callable[[str, "float | None"], None]
OnJudged = Callable[[FillReport], None]
"""Called with everything judged so far, each time that it is more; the winner is not confirmed yet."""

BARREN_ROUNDS = 4
"""Rounds of repair and drawing afresh that bring nothing new, after which there is no use in going on."""
AFRESH_CANDIDATES = 8
"""Candidates of a round after the first: eight rows cost little more than four, and oracles choose."""
MIN_REPAIR_SECONDS = 0.5
"""Less time than this is kept for ranking and for the way back to the editor."""
PROPOSE_SHARE = 0.75
"""Part of the budget that drawing may use; the rest is for verification and repair."""
REPAIR_SHARE = 0.4
"""Part of the time left that one repair may use: what takes longer helps no more than a fresh draw."""
ANALYSE_SHARE = 0.4
"""Part of the budget that σ and Γ may take when mypy has to build first; a warm answer takes milliseconds."""
LATE_SECONDS = 0.5
"""What the model or an oracle may take beyond the budget to say what it has."""
NO_TIME = "no time was left"


class Services(Protocol):
    """What a run needs of the session that owns the workers. None of these raises but on cancellation;
    the model's two raise WorkerFailure."""

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
        """Remask and draw again."""

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
        self.on_progress, self.stop, self.on_judged = on_progress, stop, on_judged
        self.info: ModelInfo | None = None
        self.environment = Environment(None, None, (), complete=False)
        self.enough = asyncio.Event()
        self.judged: dict[str, Fill] = {}
        self.finished: dict[str, str] = {}
        self.elapsed: dict[str, float] = {}
        self.evaluations = 0
        self.messages: list[str] = []
        self.deadline = 0.0
        self.model_died = False
        self.model_failed = False

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
        self.deadline = began + self.options.budget_s
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
        known = await self._within(analysis, self.options.budget_s * ANALYSE_SHARE)
        if known is not None:
            return known
        why = "cancelled" if self.stop.is_set() else "mypy is still reading the program"
        nothing = HoleTypes(None, [], f"{why}; σ and Γ are from syntax alone")
        return environment(self.document.text, self.hole, nothing)

    async def _draw_and_verify(self, environment: Environment) -> None:
        params = await self.services.prepare(self.document, self.hole, self.holes, environment, self.options)
        params.budget_ms = self._drawing_ms()
        params.rejected = self._known()
        warming = asyncio.gather(self._warm_types(), self._warm_tests(), return_exceptions=True)
        try:
            await self._timed("propose", self._rounds_of(params))
            await self._timed("repair", self._go_on(params))
            await self._timed("confirm", self._confirm())
        finally:
            warming.cancel()
            warming.add_done_callback(_forget)
        if not self.judged and not self.messages:
            self.messages.append(self._why_nothing())

    def _why_nothing(self) -> str:
        if self.stop.is_set():
            return "cancelled before a candidate was drawn"
        seconds = self.elapsed.get("propose", 0.0) / 1e3
        broken = surroundings(self.document.text, self.hole, self.holes).filler is None
        why = ": the code around the hole does not parse" if broken else ""
        return f"no candidate in {seconds:.1f} s of drawing{why}"

    async def _warm_types(self) -> None:
        """Let mypy see the hole while the model draws: the first candidate is judged like the later ones."""
        if self.options.check_types and not self.stop.is_set():
            await self.services.check_types(
                self.document, self.hole, [], self.holes, budget_s=max(0.0, self._left())
            )

    async def _warm_tests(self) -> None:
        """Collect the tests while the model draws: they are ready, or nearly so, for the first candidate."""
        if self.options.run_tests and not self.stop.is_set():
            await self.services.run_tests(
                self.document, self.hole, [], self.holes, budget_s=max(0.0, self._left())
            )

    # --- propose and verify ---------------------------------------------------------------------------------

    async def _rounds_of(self, params: ProposeParams | Repair) -> None:
        """Draw with ``params``; candidates are judged in batches while later ones are still being drawn."""
        queue: asyncio.Queue[Candidate | None] = asyncio.Queue()
        drawing = asyncio.ensure_future(self._draw(params, queue))
        try:
            while True:
                batch, ended = await _next_batch(queue)
                await self._judge(batch)
                if ended:
                    break
            await drawing
        finally:
            drawing.cancel()

    async def _draw(self, params: ProposeParams | Repair, queue: asyncio.Queue[Candidate | None]) -> None:
        halt = asyncio.Event()
        watch = asyncio.ensure_future(_first_of(self.stop, self.enough, halt))
        try:
            proposed = await self._ask_model(params, queue, halt)
            if proposed is not None:
                self.evaluations += proposed.evaluations
                for candidate in proposed.candidates:
                    queue.put_nowait(candidate)
        except WorkerFailure as failure:
            self.model_failed = True
            self.messages.append(failure.message)
        finally:
            watch.cancel()
            queue.put_nowait(None)

    async def _ask_model(
        self, params: ProposeParams | Repair, queue: asyncio.Queue[Candidate | None], halt: asyncio.Event
    ) -> Proposed | None:
        """What the model has drawn. A worker that dies meanwhile is started afresh and asked again, once a
        fill; raises WorkerFailure."""
        try:
            return await self._until_late(self._drawing(params, queue, halt), halt)
        except WorkerFailure as failure:
            if not failure.died or halt.is_set():
                raise
            if self.model_died:
                raise _died_again(failure) from None
            self.model_died = True
            log.warning("%s; it is started afresh", failure.message)
        self.on_progress("the model stopped; starting it afresh", None)
        began = time.monotonic()
        await self.services.start_model(self.on_progress)
        self.deadline += time.monotonic() - began  # as when it was loaded first
        (params.propose if isinstance(params, Repair) else params).budget_ms = self._drawing_ms()
        try:
            return await self._until_late(self._drawing(params, queue, halt), halt)
        except WorkerFailure as failure:
            raise (_died_again(failure) if failure.died else failure) from None

    def _drawing(
        self, params: ProposeParams | Repair, queue: asyncio.Queue[Candidate | None], halt: asyncio.Event
    ) -> Awaitable[Proposed]:
        if isinstance(params, Repair):
            return self.services.repair(params, queue.put_nowait, halt)
        self.on_progress("unmasking", None)
        return self.services.propose(params, queue.put_nowait, halt)

    def _drawing_ms(self) -> float:
        return max(100.0, self._left() * PROPOSE_SHARE * 1e3)

    async def _until_late(self, work: Awaitable[Proposed], halt: asyncio.Event) -> Proposed | None:
        """What the model has drawn; None when it has not stopped in time.

        The call then goes on without us: the session ends a worker that has hung, and only that.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=max(0.0, self._left()) + LATE_SECONDS)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            return task.result()
        halt.set()
        _LEFT_ALONE.add(task)
        task.add_done_callback(_forget)
        return None

    async def _judge(self, batch: list[Candidate]) -> None:
        fresh = self._take(batch)
        if not fresh:
            return
        began = time.monotonic()
        syntax = {text: self._syntax(text) for text in fresh}
        sound = [text for text in fresh if syntax[text].status != "failed"]
        types = await self._types(sound)
        # tests first for what types let pass: a budget that runs out should cost the unlikely ones
        tests = await self._tests(sorted(sound, key=lambda text: types[text].status == "failed"))
        blocked = not_run("the fill does not parse")
        for text, score in fresh.items():
            verdicts = Verdicts(syntax[text], types.get(text, blocked), tests.get(text, blocked))
            self._keep(text, score, verdicts)
        self.elapsed["verify"] = self.elapsed.get("verify", 0.0) + (time.monotonic() - began) * 1e3
        self.on_judged(self._report())

    def _take(self, batch: list[Candidate]) -> dict[str, float]:
        """Fills of ``batch`` that nobody has judged yet, with their scores; what was judged before gets the
        score that it has now: an engine learns more about its drafts as it goes on."""
        latest = {candidate.text: candidate.score for candidate in batch}
        scores: dict[str, float] = {}
        for drawn, score in latest.items():
            text = self._finish(drawn)
            scores[text] = max(score, scores.get(text, score))  # two drafts may come to the same fill
        for text in scores.keys() & self.judged.keys():
            self.judged[text] = msgspec.structs.replace(self.judged[text], score=scores[text])
        seen = {*self.judged, *self.options.rejected}
        return {text: score for text, score in scores.items() if text not in seen}

    def _finish(self, drawn: str) -> str:
        if drawn not in self.finished:
            self.finished[drawn] = self.services.finish(self.document, self.hole, drawn, self.holes)
        return self.finished[drawn]

    def _syntax(self, text: str) -> Verdict:
        return self.services.check_syntax(self.document, self.hole, text, self.holes)

    async def _types(self, texts: list[str], *, confirm: bool = False) -> dict[str, Verdict]:
        if not texts:
            return {}
        if not self.options.check_types:
            return dict.fromkeys(texts, not_run("type checking is switched off"))
        return await self._ask(
            texts,
            lambda seconds: self.services.check_types(
                self.document, self.hole, texts, self.holes, confirm=confirm, budget_s=seconds
            ),
        )

    async def _tests(self, texts: list[str]) -> dict[str, Verdict]:
        if not texts:
            return {}
        if not self.options.run_tests:
            return dict.fromkeys(texts, not_run("tests are switched off"))
        return await self._ask(
            texts,
            lambda seconds: self.services.run_tests(
                self.document, self.hole, texts, self.holes, budget_s=seconds
            ),
        )

    async def _ask(
        self, texts: list[str], oracle: Callable[[float], Awaitable[list[Verdict]]]
    ) -> dict[str, Verdict]:
        """The oracle's verdicts; it is told how many seconds are left, and left behind when it takes more."""
        left = self._left()
        verdicts = None
        if left > 0 and not self.stop.is_set():
            verdicts = await self._within(oracle(left), left + LATE_SECONDS)
        if verdicts is None:
            return dict.fromkeys(texts, not_run("cancelled" if self.stop.is_set() else NO_TIME))
        return dict(zip(texts, verdicts, strict=True))

    def _keep(self, text: str, score: float, verdicts: Verdicts) -> None:
        verified = is_verified(
            verdicts, types_required=self.options.check_types, tests_required=self.options.run_tests
        )
        self.judged[text] = Fill(text, score, verified, verdicts)
        passed = sum(fill.verified for fill in self.judged.values())
        self.on_progress(f"{len(self.judged)} judged, {passed} verified", None)
        if verified and verdicts.tests.status == "passed":
            self.enough.set()  # it passed everything that there is: waiting would only cost time

    # --- repair -------------------------------------------------------------------------------------------

    async def _go_on(self, params: ProposeParams) -> None:
        """While everything is refused and there is time, repair and draw afresh in turn.

        Only what an oracle points into can be repaired; a fill that is wrong as a whole is drawn anew.
        """
        tried: set[str] = set()
        barren = 0
        while barren < BARREN_ROUNDS and not self._done():
            known = len(self.judged)
            ranked = best_first(self.judged.values())
            target = next((fill for fill in ranked if fill.text not in tried and _remask(fill)), None)
            if target is not None:
                tried.add(target.text)
                await self._repair(target, params)
            if not self._done():
                await self._draw_afresh(params)
            barren = barren + 1 if len(self.judged) == known else 0

    def _done(self) -> bool:
        """Whether something stands, or nothing more can be done for it."""
        satisfied = any(not refused(fill.verdicts) for fill in self.judged.values())
        return satisfied or self.model_failed or self._left() < MIN_REPAIR_SECONDS or self.stop.is_set()

    async def _repair(self, target: Fill, params: ProposeParams) -> None:
        """Remask what the oracles point at in ``target``, and draw again in place."""
        self.on_progress("repairing in place", None)
        self._prepare_again(params, REPAIR_SHARE)
        await self._rounds_of(self._repair_of(target, params))

    async def _draw_afresh(self, params: ProposeParams) -> None:
        """Other candidates: the engines are told which ones are known."""
        self.on_progress("unmasking", None)
        params.seed += 1
        self._prepare_again(params, PROPOSE_SHARE)
        await self._rounds_of(params)

    def _prepare_again(self, params: ProposeParams, share: float) -> None:
        params.budget_ms = self._left() * share * 1e3
        params.rejected = self._known()
        params.candidates = max(params.candidates, AFRESH_CANDIDATES)
        params.draw_only = True
        self.enough.clear()

    def _known(self) -> list[str]:
        """All that must not be drawn again, as the model writes it: without the lead, and as it was drawn."""
        known = {text.removeprefix(self.hole.lead) for text in (*self.judged, *self.options.rejected)}
        return sorted(known | self.finished.keys())

    def _repair_of(self, target: Fill, params: ProposeParams) -> Repair:
        """The model sees the fill without the lead, which stands in ``params.before`` already."""
        lead = len(self.hole.lead) if target.text.startswith(self.hole.lead) else 0
        text = target.text[lead:]
        spans = [Span(max(0, span.start - lead), max(0, span.end - lead)) for span in _remask(target)]
        spans = [span for span in spans if span.start < span.end] or [Span(0, len(text))]  # all in the lead
        return Repair(params, text, spans)

    # --- confirm ------------------------------------------------------------------------------------------

    async def _confirm(self) -> None:
        """The winner's types are checked once more by an update of the whole program (tier 3, exact)."""
        while self.options.check_types:
            best = next(iter(best_first(self.judged.values())), None)
            if best is None or best.verdicts.types.status != "passed":
                return
            verdict = (await self._types([best.text], confirm=True))[best.text]
            late = verdict.status == "unavailable" and self._left() < LATE_SECONDS
            if verdict.status == "not_run" or late:  # mypy did pass it, in its function
                detail = f"checked in its function only: {verdict.detail}"
                verdict = msgspec.structs.replace(best.verdicts.types, detail=detail)
            verdicts = Verdicts(best.verdicts.syntax, verdict, best.verdicts.tests)
            self._keep(best.text, best.score, verdicts)
            if verdict.status != "failed":
                return

    # --- report -------------------------------------------------------------------------------------------

    def _report(self) -> FillReport:
        info, environment = self.info, self.environment
        ranked = best_first(self.judged.values())
        return FillReport(
            hole=self.hole,
            expected_type=environment.expected,
            environment=environment,
            fills=[fill for fill in ranked if not refused(fill.verdicts)],
            rejected=[fill for fill in ranked if refused(fill.verdicts)],
            elapsed_ms={stage: round(ms, 1) for stage, ms in self.elapsed.items()},
            engine=self.options.engine,
            model=info.model if info is not None else "",
            adapter=info.adapter if info is not None else "",
            evaluations=self.evaluations,
            message="; ".join(dict.fromkeys(self.messages)),
        )

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    async def _within(self, work: Awaitable[T], seconds: float) -> T | None:
        """What ``work`` gives, None when it takes more than ``seconds`` or the run is stopped meanwhile."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait({task, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stopped.cancel()
            task.cancel()

    async def _timed(self, stage: str, work: Awaitable[T]) -> T:
        began = time.monotonic()
        try:
            return await work
        finally:
            self.elapsed[stage] = (time.monotonic() - began) * 1e3


def _remask(fill: Fill) -> list[Span]:
    """Spans of ``fill`` that its findings point at, surest first."""
    findings: list[Finding] = sorted(
        (
            finding
            for verdict in (fill.verdicts.syntax, fill.verdicts.types, fill.verdicts.tests)
            for finding in verdict.findings
            if finding.span is not None
        ),
        key=lambda finding: -finding.confidence,
    )
    return [finding.span for finding in findings if finding.span is not None]


def _died_again(failure: WorkerFailure) -> WorkerFailure:
    message = (
        f"the model stopped twice during this fill, so no more is drawn; the second time {failure.message}"
    )
    return WorkerFailure(failure.kind, message, failure.trace)


_LEFT_ALONE: set[asyncio.Future[Proposed]] = set()
"""Calls that were late: the event loop itself holds them by a weak reference only."""


def _forget(task: asyncio.Future[Any]) -> None:
    _LEFT_ALONE.discard(task)
    if not task.cancelled():
        task.exception()  # nobody else will look at it


async def _next_batch(queue: asyncio.Queue[Candidate | None]) -> tuple[list[Candidate], bool]:
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
