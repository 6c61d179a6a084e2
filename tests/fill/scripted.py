"""A scripted session: candidates and verdicts by table, with a record of what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from astral_lsp.context.environment import Environment
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions
from astral_lsp.fill.services import OnProgress
from astral_lsp.holes.model import Hole
from astral_lsp.report import Finding, Verdict, not_run
from astral_lsp.workers.process import WorkerFailure
from astral_lsp.workers.protocol import Candidate, ModelInfo, Propose, Proposed, Repair

OK = Verdict("passed")


class Scripted:
    """`fill.run.Services` by script. Texts missing from a table pass."""

    def __init__(
        self,
        drawn: list[tuple[str, float]],
        *,
        repaired: list[list[tuple[str, float]]] | None = None,
        afresh: list[list[tuple[str, float]]] | None = None,
        syntax: dict[str, Verdict] | None = None,
        types: dict[str, Verdict] | None = None,
        tests: dict[str, Verdict] | None = None,
        confirmed: dict[str, Verdict] | None = None,
        delay: float = 0.0,
        start_failure: WorkerFailure | None = None,
        adapter: str = "scripted",
        slow: dict[str, float] | None = None,
    ) -> None:
        """``afresh``: what later proposals draw, the first one's again when it is used up.

        ``slow``: seconds that ``environment``, ``types`` or ``tests`` takes, whatever its budget."""
        self.slow = slow or {}
        self.drawn, self.repaired = drawn, list(repaired or [])
        self.syntax, self.types = syntax or {}, types or {}
        self.tests, self.confirmed = tests or {}, confirmed or {}
        self.delay, self.start_failure = delay, start_failure
        self.adapter = adapter
        self.afresh = list(afresh or [])
        self.proposals: list[list[str]] = []
        """What each proposal was told not to draw."""
        self.deaths = 0
        """How many times more the model's worker dies instead of going on, after its first candidate."""
        self.starts = 0
        self.deaf = False
        """The model does not look whether it is to stop."""
        self.sent: list[Candidate] = []
        self.repairs: list[Repair] = []
        self.tested: list[str] = []

    async def start_model(self, on_progress: OnProgress | None = None) -> ModelInfo:
        if self.start_failure is not None:
            raise self.start_failure
        self.starts += 1
        return ModelInfo("scripted", "0" * 64, self.adapter, "cpu", "float32", 0.0)

    async def environment(self, document: Document, hole: Hole, holes: list[Hole]) -> Environment:
        await asyncio.sleep(self.slow.get("environment", 0.0))
        return Environment("int", "mypy", ())

    async def prepare(
        self,
        document: Document,
        hole: Hole,
        holes: list[Hole],
        environment: Environment,
        options: FillOptions,
    ) -> Propose:
        before, after = document.text[: hole.start], document.text[hole.end :]
        return Propose(options.engine, before, after, before, after, candidates=options.candidates)

    async def propose(
        self, params: Propose, on_candidate: Callable[[Candidate], None], stop: asyncio.Event
    ) -> Proposed:
        again = bool(self.proposals) and bool(self.afresh)
        self.proposals.append(params.rejected)
        return await self._play(self.afresh.pop(0) if again else self.drawn, on_candidate, stop)

    async def repair(
        self, params: Repair, on_candidate: Callable[[Candidate], None], stop: asyncio.Event
    ) -> Proposed:
        self.repairs.append(params)
        return await self._play(self.repaired.pop(0) if self.repaired else [], on_candidate, stop)

    async def _play(
        self,
        script: list[tuple[str, float]],
        on_candidate: Callable[[Candidate], None],
        stop: asyncio.Event,
    ) -> Proposed:
        sent: list[Candidate] = []
        self.sent = sent
        for text, score in script:
            if self.delay:
                await asyncio.sleep(self.delay)
            if stop.is_set() and not self.deaf:
                break
            sent.append(Candidate(text, score))
            on_candidate(sent[-1])
            if self.deaths:
                self.deaths -= 1
                raise WorkerFailure("unavailable", "the model worker stopped (exit code 1)", died=True)
        return Proposed(sent, len(sent), 1.0, "cancelled" if stop.is_set() else "done")

    def finish(self, document: Document, hole: Hole, candidate: str, holes: list[Hole]) -> str:
        return candidate

    def check_syntax(self, document: Document, hole: Hole, fill: str, holes: list[Hole]) -> Verdict:
        return self.syntax.get(fill, OK)

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
        await asyncio.sleep(self.slow.get("types", 0.0))
        table = {**self.types, **self.confirmed} if confirm else self.types
        return [table.get(fill, OK) for fill in fills]

    async def run_tests(
        self, document: Document, hole: Hole, fills: list[str], holes: list[Hole], *, budget_s: float
    ) -> list[Verdict]:
        self.tested += fills
        await asyncio.sleep(self.slow.get("tests", 0.0))
        return [self.tests.get(fill, not_run("no test reaches this hole", applies=False)) for fill in fills]


def failed(message: str, **finding: object) -> Verdict:
    """A refusal with one finding."""
    return Verdict("failed", message, (Finding(message, **finding),))  # type: ignore[arg-type]
