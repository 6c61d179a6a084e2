"""The types oracle as the server sees it: a mypy worker that is started, opened and, if need be, replaced.

Nothing here raises but cancellation: what cannot be answered is an ``unavailable`` verdict with one sentence.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

import astral_lsp
from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict, unavailable
from astral_lsp.verify.unsaved import Handed
from astral_lsp.workers.buffers import Unsaved
from astral_lsp.workers.process import WorkerFailure, WorkerProcess
from astral_lsp.workers.protocol import Analyse, Analysed, CheckTypes, HoleTypes, Judged, OpenTypes

log = logging.getLogger(__name__)

OPEN_SECONDS = 30.0
FIRST_SECONDS = 120.0
"""The first call on a program builds all that it imports."""
ANALYSE_SECONDS = 15.0
_MARGIN_SECONDS = 20.0
"""Over the budget of a check: its baseline has to be built first."""
_MEBIBYTE = 1 << 20


_SURROGATE = re.compile("[\ud800-\udfff]")


def _plain(text: str) -> str:
    """``text`` as it can be sent: a lone surrogate has no UTF-8."""
    return _SURROGATE.sub("\ufffd", text)


def _sendable(buffer: Unsaved) -> Unsaved:
    return structs.replace(buffer, text=_plain(buffer.text))


def worker_argv() -> list[str]:
    """Return the command line of the mypy worker."""
    return [sys.executable, "-m", "astral_lsp.workers.types"]


class TypesOracle:
    """σ, Γ and type verdicts for the buffers of one workspace."""

    def __init__(self, argv: Sequence[str] | None = None) -> None:
        # started beside our own package: a workspace's mypy.py or ast.py must never be imported instead
        home = str(Path(astral_lsp.__file__).resolve().parent.parent)
        self._worker = WorkerProcess(list(argv or worker_argv()), name="types", cwd=home)
        self._opening: OpenTypes | None = None
        self._opened = -1
        self._warm: set[str] = set()
        self._handed = Handed()
        self._lock = asyncio.Lock()
        self.about: dict[str, Any] = {}
        """What the worker said when it was opened: mypy's version, the configuration file, notes."""

    async def open(self, root: str, python: str = "", trusted: bool = False) -> str:
        """Choose the workspace; returns '' or one sentence on why types are unavailable."""
        self._opening = OpenTypes(root, python, trusted)
        self._opened = -1
        try:
            async with self._lock:
                await self._ready()
        except WorkerFailure as failure:
            return failure.message
        return ""

    async def analyse(
        self,
        path: str,
        text: str,
        holes: Sequence[Span],
        all_holes: Sequence[Span] = (),
        expressions: Sequence[bool] = (),
        unsaved: Sequence[Unsaved] = (),
    ) -> Analysed:
        """σ and Γ of ``holes`` in an unsaved buffer; where they cannot be had, each hole's note says why.

        ``unsaved``: the other buffers that differ from their files.
        """
        params = Analyse(path, _plain(text), list(holes), list(all_holes), list(expressions))
        answer = await self._call(params, path, text, ANALYSE_SECONDS, unsaved)
        if isinstance(answer, str):
            return Analysed([HoleTypes(None, [], answer) for _ in holes], 0.0)
        assert isinstance(answer, Analysed)
        return answer

    async def check(
        self,
        path: str,
        text: str,
        hole: Span,
        fills: Sequence[str],
        other_holes: Sequence[Span] = (),
        confirm: bool = False,
        budget_ms: float = 4000.0,
        unsaved: Sequence[Unsaved] = (),
    ) -> list[Verdict]:
        """One verdict a fill, in order; only errors that the fill adds to the buffer count.

        With no fills it only gets ready, so that the next call need not.
        """
        bad = [index for index, fill in enumerate(fills) if _SURROGATE.search(fill)]
        params = CheckTypes(
            path, _plain(text), hole, [_plain(fill) for fill in fills], list(other_holes), confirm, budget_ms
        )
        answer = await self._call(params, path, text, budget_ms / 1000 + _MARGIN_SECONDS, unsaved)
        if isinstance(answer, str):
            return [unavailable(answer) for _ in fills]
        assert isinstance(answer, Judged)
        if len(answer.verdicts) != len(fills):
            return [unavailable("the types worker answered for another number of fills") for _ in fills]
        for index in bad:
            answer.verdicts[index] = Verdict("failed", "the fill holds a character that no file can hold")
        return self._handed.said(answer.verdicts)

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()

    # --- inside -----------------------------------------------------------------------------------------

    async def _call(
        self,
        params: Analyse | CheckTypes,
        path: str,
        text: str,
        seconds: float,
        unsaved: Sequence[Unsaved],
    ) -> Any | str:
        if len(text) > 4 * _MEBIBYTE:
            return "the file is too large to check (over 4 million characters)"
        async with self._lock:
            answer = await self._ask(params, path, seconds, unsaved)
            if isinstance(answer, WorkerFailure) and answer.kind == "bad_request":
                answer = await self._ask(params, path, seconds, unsaved)  # it had lost its workspace
        return answer.message if isinstance(answer, WorkerFailure) else answer

    async def _ask(
        self, params: Analyse | CheckTypes, path: str, seconds: float, unsaved: Sequence[Unsaved]
    ) -> Any | WorkerFailure:
        try:
            await self._ready()
            limit = seconds if path in self._warm else max(seconds, FIRST_SECONDS)
            await self._handed.hand(self._worker, [_sendable(one) for one in unsaved], path, limit)
            answer = await self._worker.call(params, timeout=limit)
        except WorkerFailure as failure:
            self._opened = -1  # after a failure the worker builds anew
            return failure
        self._warm.add(path)
        return answer

    async def _ready(self) -> None:
        """Start and open the worker if it is not; raises WorkerFailure."""
        if self._opening is None:
            raise WorkerFailure("unavailable", "no workspace is open for type checking")
        await self._worker.start()
        if self._opened == self._worker.generation:
            return
        if not os.path.isdir(self._opening.root):
            raise WorkerFailure("unavailable", f"the workspace {self._opening.root} is not a folder")
        self.about = await self._worker.call(self._opening, timeout=OPEN_SECONDS)
        self._opened, self._warm = self._worker.generation, set()
        self._handed.forget()
