"""The workers of one workspace root, started when first needed, and what a fill asks of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from astral_lsp.config import Settings
from astral_lsp.constraints.specification import compile_specification, finish, propose
from astral_lsp.context.environment import Environment
from astral_lsp.context.environment import environment as merge_environment
from astral_lsp.context.related import Repository
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions
from astral_lsp.fill.run import OnProgress
from astral_lsp.holes.find import find_holes
from astral_lsp.holes.model import Hole
from astral_lsp.holes.tree import parse
from astral_lsp.interpreter import NoInterpreter, find_interpreter
from astral_lsp.report import Verdict, not_run, unavailable
from astral_lsp.verify.syntax import check_syntax
from astral_lsp.verify.tests import TestsOracle
from astral_lsp.verify.types import TypesOracle
from astral_lsp.workers.process import WorkerProcess
from astral_lsp.workers.protocol import (
    Candidate,
    Event,
    HoleTypes,
    Load,
    ModelInfo,
    Progress,
    Propose,
    Proposed,
    Repair,
)

Status = Literal["idle", "loading", "filling"]
GRACE_MS = 3000.0
"""What a model call may take beyond its own budget before its worker counts as hung."""
LOAD_SECONDS = 1800.0
"""The first load may pull the weights over a slow line."""


class Session:
    """Owns the workers of ``root``. Use it from one event loop; `close` ends every child."""

    def __init__(self, settings: Settings, root: Path, trusted: bool) -> None:
        self.settings, self.root, self.trusted = settings, root, trusted
        self.status: Status = "idle"
        self.on_status: Callable[[str], None] = lambda _status: None
        self.model = _model_worker(settings)
        self.types, self.tests = TypesOracle(), TestsOracle()
        self.repository = Repository([root])
        self._info: tuple[int, ModelInfo] | None = None
        self._used = time.monotonic()
        self._opening = asyncio.Lock()
        self._types_problem: str | None = None
        self._tests_open = False

    # --- life ---------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End every worker."""
        await asyncio.gather(self.model.close(), self.types.close(), self.tests.close())

    async def configure(self, settings: Settings, *, trusted: bool | None = None) -> None:
        """Take new settings; workers that depend on what changed start afresh at their next use."""
        old, was_trusted = self.settings, self.trusted
        self.settings = settings
        self.trusted = was_trusted if trusted is None else trusted
        if old.model != settings.model:
            await self.model.close()
            self.model, self._info = _model_worker(settings), None
        if (old.interpreter, old.verify, was_trusted) != (
            settings.interpreter,
            settings.verify,
            self.trusted,
        ):
            await asyncio.gather(self.types.close(), self.tests.close())
            self.types, self.tests = TypesOracle(), TestsOracle()
            self._types_problem, self._tests_open = None, False

    async def unload_idle(self) -> bool:
        """End the model worker when nothing has used it for the time of the settings; True when it did."""
        minutes = self.settings.model.idle_unload_minutes
        idle = time.monotonic() - self._used > minutes * 60
        if not (minutes > 0 and idle and self.model.running and self.status == "idle"):
            return False
        await self.model.close()
        self._info = None
        return True

    # --- the model ----------------------------------------------------------------------------------------

    async def start_model(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the weights (pulling them first if need be); raises WorkerFailure."""
        self._used = time.monotonic()
        if self._info is not None and self.model.running and self._info[0] == self.model.generation:
            return self._info[1]

        def forward(event: Event) -> None:
            if on_progress is not None and event.name == "progress":
                progress = msgspec.convert(event.body, Progress)
                on_progress(progress.text, progress.fraction)

        load = Load(self.settings.model.base, self.settings.model.adapter)
        with self._state("loading"):
            info: ModelInfo = await self.model.call(load, timeout=LOAD_SECONDS, on_event=forward)
        self._info = (self.model.generation, info)
        return info

    async def propose(
        self, params: Propose, on_candidate: Callable[[Candidate], None], stop: asyncio.Event
    ) -> Proposed:
        """Draw candidates; raises WorkerFailure."""
        return await self._ask_model(params, params.budget_ms, on_candidate, stop)

    async def repair(
        self, params: Repair, on_candidate: Callable[[Candidate], None], stop: asyncio.Event
    ) -> Proposed:
        """Remask and draw again; raises WorkerFailure."""
        return await self._ask_model(params, params.propose.budget_ms, on_candidate, stop)

    async def _ask_model(
        self,
        params: Propose | Repair,
        budget_ms: float,
        on_candidate: Callable[[Candidate], None],
        stop: asyncio.Event,
    ) -> Proposed:
        def forward(event: Event) -> None:
            if event.name == "candidate":
                on_candidate(msgspec.convert(event.body, Candidate))

        with self._state("filling"):
            timeout = (budget_ms + GRACE_MS) / 1e3
            proposed: Proposed = await self.model.call(params, timeout=timeout, on_event=forward, stop=stop)
        self._used = time.monotonic()
        return proposed

    @contextlib.contextmanager
    def _state(self, status: Status) -> Iterator[None]:
        before, self.status = self.status, status
        self.on_status(status)
        try:
            yield
        finally:
            self.status = before
            self.on_status(before)

    # --- σ, Γ and the prompt ------------------------------------------------------------------------------

    async def analyse(
        self, document: Document, holes: list[Hole], everything: list[Hole] | None = None
    ) -> list[Environment]:
        """σ and Γ of ``holes``, by mypy where it answers and by syntax elsewhere."""
        text = document.text
        if not self.settings.verify.types.enabled:
            return [merge_environment(text, hole) for hole in holes]
        problem = await self.open_types()
        if problem:
            return [merge_environment(text, hole, HoleTypes(None, [], problem)) for hole in holes]
        known = everything if everything is not None else find_holes(text)
        analysed = await self.types.analyse(
            document.path,
            text,
            [hole.span for hole in holes],
            [hole.span for hole in _distinct([*known, *holes])],
            [hole.category != "statements" for hole in holes],
        )
        tree = await asyncio.to_thread(parse, text)
        return [
            merge_environment(text, hole, types, tree)
            for hole, types in zip(holes, analysed.holes, strict=True)
        ]

    async def environment(self, document: Document, hole: Hole, holes: list[Hole]) -> Environment:
        """σ and Γ of one hole."""
        return (await self.analyse(document, [hole], holes))[0]

    async def prepare(
        self,
        document: Document,
        hole: Hole,
        holes: list[Hole],
        environment: Environment,
        options: FillOptions,
    ) -> Propose:
        """Context and constraints for the denoiser."""
        related = await asyncio.to_thread(
            self.repository.related,
            document.text,
            hole,
            Path(document.path),
            expected=environment.expected or "",
        )
        specification = compile_specification(
            hole, environment, types=options.check_types, tests=options.run_tests
        )
        return propose(
            document.text,
            hole,
            specification,
            options.engine,
            other_holes=holes,
            related=related,
            candidates=options.candidates,
            max_tokens=options.max_tokens,
            budget_ms=options.budget_s * 1e3,
            seed=options.seed,
        )

    def finish(self, document: Document, hole: Hole, candidate: str, holes: list[Hole]) -> str:
        """The exact fill for a model's candidate."""
        return finish(document.text, hole, candidate, holes)

    # --- oracles ------------------------------------------------------------------------------------------

    def check_syntax(self, document: Document, hole: Hole, fill: str, holes: list[Hole]) -> Verdict:
        """Tier 1, exactly."""
        return check_syntax(document.text, hole, fill, holes)

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
        """Ask mypy; every failure is a verdict."""
        if not self.settings.verify.types.enabled:
            return [not_run("type checking is switched off") for _ in fills]
        if problem := await self.open_types():
            return [unavailable(problem) for _ in fills]
        budget_ms = min(budget_s * 1e3, self.settings.verify.types.budget_ms)
        others = [other.span for other in holes]
        return await self.types.check(
            document.path, document.text, hole.span, fills, others, confirm, budget_ms
        )

    async def run_tests(
        self, document: Document, hole: Hole, fills: list[str], holes: list[Hole], *, budget_s: float
    ) -> list[Verdict]:
        """Run the tests that reach the hole; every failure is a verdict."""
        if not self.settings.verify.tests.enabled:
            return [not_run("tests are switched off") for _ in fills]
        if (problem := await self.open_tests()) is not None:
            return [problem for _ in fills]
        return await self.tests.run(
            document.path,
            document.text,
            hole,
            fills,
            holes,
            timeout_ms=self.settings.verify.tests.timeout_ms,
            budget_ms=budget_s * 1e3,
        )

    async def open_types(self) -> str:
        """Open the types oracle; '' when it is open, else one sentence on why not."""
        async with self._opening:
            if self._types_problem is None:
                try:
                    python = find_interpreter(self.root, self.settings.interpreter)
                except NoInterpreter as error:
                    self._types_problem = str(error)
                else:
                    self._types_problem = await self.types.open(str(self.root), python, self.trusted)
            return self._types_problem

    async def open_tests(self) -> Verdict | None:
        """Open the tests oracle; None when it is open, else the verdict that every fill gets."""
        async with self._opening:
            if not self._tests_open:
                try:
                    python = find_interpreter(self.root, self.settings.interpreter)
                except NoInterpreter as error:
                    return unavailable(str(error))
                answer = await self.tests.open(
                    self.root, python, self.settings.verify.tests.sandbox, self.trusted
                )
                if isinstance(answer, Verdict):
                    return answer
                self._tests_open = True
            return None


def _model_worker(settings: Settings) -> WorkerProcess:
    environment = dict(os.environ)
    if settings.model.threads > 0:
        environment["ASTRAL_LSP_THREADS"] = str(settings.model.threads)
    # threads that spin at barriers starve each other as soon as anything else runs (measured: up to 15 times)
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    argv = [sys.executable, "-m", "astral_lsp.workers.model"]
    # a step on a busy machine takes seconds, and a killed worker must load the weights again
    return WorkerProcess(argv, name="model", env=environment, grace=10.0)


def _distinct(holes: list[Hole]) -> list[Hole]:
    return list({(hole.start, hole.end): hole for hole in holes}.values())
