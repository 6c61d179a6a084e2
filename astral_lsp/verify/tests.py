"""The tests oracle: runs the user's tests against fills through the guest under the user's interpreter.

Every trouble is a verdict, never an exception (but cancellation): a fill's fate must not hang on a worker's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from astral_lsp.holes.model import Hole, Span
from astral_lsp.report import Verdict, not_run, unavailable
from astral_lsp.verify.unsaved import Handed
from astral_lsp.workers.buffers import Unsaved
from astral_lsp.workers.process import WorkerFailure, WorkerProcess
from astral_lsp.workers.protocol import Judged, OpenTests, RunTests

Policy = Literal["require", "prefer", "off"]

GUEST = Path(__file__).resolve().parent.parent / "workers" / "pytest_guest" / "__main__.py"
OPEN_SECONDS = 30.0
MARGIN_SECONDS = 15.0
"""Beyond the budget of a run: setting up a sandbox and the guest's own watch on its children."""

UNTRUSTED = "untrusted workspace: no test runs"


def worker(python: str) -> WorkerProcess:
    """A tests worker under the interpreter ``python`` (not started)."""
    return WorkerProcess([python, str(GUEST)], name="tests", codec="json")


class TestsOracle:
    """Client of the tests worker. Not thread-safe: use it from one event loop."""

    __test__ = False

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        """The worker's answer to ``open``: python, pytest ('' when missing), sandbox, missing, isolation."""
        self._worker: WorkerProcess | None = None
        self._python = ""
        self._root = ""
        self._policy: Policy = "prefer"
        self._trusted = False
        self._opened: tuple[int, str, Policy] | None = None
        self._busy = asyncio.Lock()
        self._handed = Handed()

    @property
    def pid(self) -> int | None:
        """Process id of the worker while it runs."""
        return self._worker.pid if self._worker is not None else None

    async def open(
        self, root: str | Path, python: str, sandbox: Policy = "prefer", trusted: bool = False
    ) -> dict[str, Any] | Verdict:
        """Name the workspace whose tests are to run; returns `about`, or a Verdict that says why there is
        none.

        Cheap for another root under the same interpreter: the worker stays. Nothing starts while the
        workspace is not trusted.
        """
        self._root, self._policy, self._trusted = str(root), sandbox, trusted
        if not trusted:
            return not_run(UNTRUSTED)
        async with self._busy:
            if python != self._python:
                await self._stop()
                self._python = python
            try:
                await self._ensure_open()
            except WorkerFailure as failure:
                return unavailable(failure.message)
        return self.about

    async def run(
        self,
        path: str | Path,
        text: str,
        hole: Hole | Span,
        fills: Sequence[str],
        other_holes: Sequence[Hole | Span] = (),
        timeout_ms: float = 2000.0,
        budget_ms: float = 8000.0,
        unsaved: Sequence[Unsaved] = (),
    ) -> list[Verdict]:
        """One verdict per fill of ``hole`` in the buffer ``text``; runs what reaches it and nothing on disk
        changes. With no fills it only collects the tests, so that the next call need not.

        ``timeout_ms`` bounds the tests of one fill, ``budget_ms`` all of the call; ``unsaved`` are the other
        buffers that differ from their files, tests among them.
        """
        if not self._trusted:
            return [not_run(UNTRUSTED) for _ in fills]
        if not self._root:
            return [unavailable("no workspace is open for its tests") for _ in fills]
        start = time.monotonic()
        async with self._busy:
            left = budget_ms - (time.monotonic() - start) * 1e3
            if left <= 0:
                return [not_run("no time was left for its tests") for _ in fills]
            params = RunTests(
                str(path), text, _span(hole), list(fills), [_span(other) for other in other_holes],
                timeout_ms, left,
            )  # fmt: skip
            try:
                return self._handed.said(await self._run(params, unsaved))
            except WorkerFailure as failure:
                return [unavailable(failure.message) for _ in fills]

    async def close(self) -> None:
        """End the worker; whoever waits for it gets a verdict that says so."""
        if self._worker is not None:
            await self._worker.close()
        async with self._busy:  # somebody may have had it started again
            await self._stop()

    async def _run(self, params: RunTests, unsaved: Sequence[Unsaved]) -> list[Verdict]:
        await self._ensure_open()
        assert self._worker is not None
        await self._handed.hand(self._worker, unsaved, params.path, OPEN_SECONDS)
        judged: Judged = await self._worker.call(params, timeout=params.budget_ms / 1e3 + MARGIN_SECONDS)
        if len(judged.verdicts) != len(params.fills):
            raise WorkerFailure("internal", "the tests worker sent a wrong number of verdicts")
        return judged.verdicts

    async def _ensure_open(self) -> None:
        if self._worker is None:
            self._worker = worker(self._python)
        await self._worker.start()
        state = (self._worker.generation, self._root, self._policy)
        if self._opened != state:
            self.about = await self._worker.call(OpenTests(self._root, self._policy), timeout=OPEN_SECONDS)
            self._opened = state
            self._handed.forget()

    async def _stop(self) -> None:
        if self._worker is not None:
            await self._worker.close()
        self._worker, self._opened = None, None


def _span(place: Hole | Span) -> Span:
    return place if isinstance(place, Span) else place.span
