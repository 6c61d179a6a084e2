"""The workers of one workspace root, started when first needed, and what a fill asks of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

from astral_lsp.config import Settings
from astral_lsp.constraints.specification import compile_specification, finish, propose, sight
from astral_lsp.context.environment import Environment
from astral_lsp.context.environment import environment as merge_environment
from astral_lsp.context.related import Repository
from astral_lsp.fill.document import Document
from astral_lsp.fill.models import Models
from astral_lsp.fill.opening import Opening
from astral_lsp.fill.report import FillOptions
from astral_lsp.fill.services import OnProgress
from astral_lsp.holes.find import find_holes
from astral_lsp.holes.model import Hole
from astral_lsp.holes.tree import parse
from astral_lsp.interpreter import NoInterpreter, find_interpreter
from astral_lsp.report import Verdict, not_run, unavailable
from astral_lsp.verify.surroundings import surroundings
from astral_lsp.verify.syntax import check_syntax
from astral_lsp.verify.tests import TestsOracle
from astral_lsp.verify.types import TypesOracle
from astral_lsp.workers.process import WorkerFailure
from astral_lsp.workers.protocol import Candidate, HoleTypes, ModelInfo, Propose, Proposed, Repair

Work = Literal["loading", "filling", "warming"]
"""What a session may be at; of several at once, the first here is what people are told."""
Status = Literal["idle"] | Work


class Session:
    """Owns the oracles of ``root`` and borrows its model. Use it from one event loop; `close` ends every
    child, and the model when nobody else has borrowed it."""

    def __init__(self, settings: Settings, root: Path, trusted: bool, models: Models | None = None) -> None:
        """``models``: shared with the sessions of other roots."""
        self.settings, self.root, self.trusted = settings, root, trusted
        self._at: Counter[Work] = Counter()
        self._types_warm = False
        """mypy has read the program once: what comes now takes milliseconds."""
        self.on_status: Callable[[str], None] = lambda _status: None
        self._models = models or Models()
        self.model = self._models.borrow(settings.model)
        self._new_oracles()
        self.repository = Repository([root])

    # --- life ---------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End every worker."""
        await asyncio.gather(self._models.give_back(self.model), self.types.close(), self.tests.close())

    async def configure(self, settings: Settings, *, trusted: bool | None = None) -> None:
        """Take new settings; workers that depend on what changed start afresh at their next use."""
        old, was_trusted = self.settings, self.trusted
        self.settings = settings
        self.trusted = was_trusted if trusted is None else trusted
        if old.model != settings.model:
            mine, self.model = self.model, self._models.borrow(settings.model)
            await self._models.give_back(mine)
        if (old.interpreter, old.verify, was_trusted) != (
            settings.interpreter,
            settings.verify,
            self.trusted,
        ):
            await asyncio.gather(self.types.close(), self.tests.close())
            self._new_oracles()

    async def unload_idle(self) -> bool:
        """End the model worker when nothing has used it for the time of the settings; True when it did."""
        return await self.model.unload_idle()

    # --- the model ----------------------------------------------------------------------------------------

    async def start_model(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the weights (pulling them first if need be); raises WorkerFailure."""
        if self.model.loaded is not None:
            return self.model.loaded
        with self._doing("loading"):
            return await self.model.load(on_progress)

    async def propose(
        self, params: Propose, on_candidate: Callable[[Candidate], None], stop: asyncio.Event
    ) -> Proposed:
        """Draw candidates; raises WorkerFailure."""
        with self._doing("filling"):
            return await self.model.draw(params, params.budget_ms, on_candidate, stop)

    async def repair(
        self, params: Repair, on_candidate: Callable[[Candidate], None], stop: asyncio.Event
    ) -> Proposed:
        """Remask and draw again; raises WorkerFailure."""
        with self._doing("filling"):
            return await self.model.draw(params, params.propose.budget_ms, on_candidate, stop)

    async def read_ahead(
        self, document: Document, hole: Hole, options: FillOptions, holes: list[Hole]
    ) -> bool:
        """Have the model read the context of ``hole``, which may be filled next; False when it did not. Costs
        nothing where the model is not loaded or busy; failures show when a fill is asked for."""
        if not self.model.free:
            return False
        others = [other for other in holes if other.span != hole.span]
        known = await self.environment(document, hole, others)
        params = await self.prepare(document, hole, others, known, options)
        with contextlib.suppress(WorkerFailure):
            return await self.model.read_ahead(params)
        return False

    @property
    def status(self) -> Status:
        """What people are told."""
        return next((work for work in get_args(Work) if self._at[work]), "idle")

    @contextlib.contextmanager
    def _doing(self, work: Work) -> Iterator[None]:
        self._at[work] += 1
        self.on_status(self.status)
        try:
            yield
        finally:
            self._at[work] -= 1
            self.on_status(self.status)

    # --- σ, Γ and the prompt ------------------------------------------------------------------------------

    async def analyse(
        self, document: Document, holes: list[Hole], everything: list[Hole] | None = None
    ) -> list[Environment]:
        """σ and Γ of ``holes``, by mypy where it answers and by syntax elsewhere."""
        text = document.text
        if not self.settings.verify.types.enabled:
            return [merge_environment(text, hole) for hole in holes]
        problem = await self.open_types()
        if problem is not None:
            return [merge_environment(text, hole, HoleTypes(None, [], problem.detail)) for hole in holes]
        known = everything if everything is not None else find_holes(text)
        with contextlib.nullcontext() if self._types_warm else self._doing("warming"):
            analysed = await self.types.analyse(
                document.path,
                text,
                [hole.span for hole in holes],
                [hole.span for hole in _distinct([*known, *holes])],
                [hole.category != "statements" for hole in holes],
                document.unsaved,
            )
        self._types_warm = True
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
            types={name.name: name.type for name in environment.names},
            near=sight(document.text, hole),
        )
        # remembered; for a large file that is broken in many places it takes a while
        await asyncio.to_thread(surroundings, document.text, hole, holes)
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
        if (problem := await self.open_types()) is not None:
            return [problem for _ in fills]
        budget_ms = budget_s * 1e3
        if not confirm:  # of which there is one only, and the winner hangs on it
            budget_ms = min(budget_ms, self.settings.verify.types.budget_ms)
        others = [other.span for other in holes]
        return await self.types.check(
            document.path, document.text, hole.span, fills, others, confirm, budget_ms, document.unsaved
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
            unsaved=document.unsaved,
        )

    async def open_types(self) -> Verdict | None:
        """Open the types oracle; None when it is open, else the verdict that every fill gets."""
        return await self._open(self._types_opening)

    async def open_tests(self) -> Verdict | None:
        """Open the tests oracle; None when it is open, else the verdict that every fill gets."""
        return await self._open(self._tests_opening)

    async def _open(self, opening: Opening) -> Verdict | None:
        # asked each time: an environment that was made meanwhile is the project's from now on
        try:
            python = find_interpreter(self.root, self.settings.interpreter)
        except NoInterpreter as error:
            return unavailable(str(error))
        return await opening.problem(python)

    def _new_oracles(self) -> None:
        self.types, self.tests = TypesOracle(), TestsOracle()
        self._types_warm = False
        self._types_opening, self._tests_opening = Opening(self._attempt_types), Opening(self._attempt_tests)

    async def _attempt_types(self, python: str) -> Verdict | None:
        await self.types.close()  # one build a process: another interpreter needs another
        problem = await self.types.open(str(self.root), python, self.trusted)
        return unavailable(problem) if problem else None

    async def _attempt_tests(self, python: str) -> Verdict | None:
        sandbox = self.settings.verify.tests.sandbox
        answer = await self.tests.open(self.root, python, sandbox, self.trusted)
        return answer if isinstance(answer, Verdict) else None


def _distinct(holes: list[Hole]) -> list[Hole]:
    return list({(hole.start, hole.end): hole for hole in holes}.values())
