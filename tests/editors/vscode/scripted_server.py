"""The real LSP server over an engine that follows a script: quick, and the same every time.

usage: scripted_server.py SCRIPT.json [LOG.jsonl] --stdio

SCRIPT maps a hole's ``scope`` to its fills: a list of {text, types, tests, count, detail, seconds}, types and
tests being verdict statuses, ``seconds`` the time until it is judged. In an untrusted workspace tests are
``not_run``, as with the real engine. LOG gets one JSON line for each call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from astral_lsp.config import Settings
from astral_lsp.context.environment import Environment, environment
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill, Verdict, Verdicts, not_run
from astral_lsp.server.app import serve
from astral_lsp.server.engine import Engine, OnJudged, OnProgress


class ScriptedEngine:
    """Hands out the fills of the script and writes down what it was asked."""

    def __init__(
        self, script: dict[str, Any], log: Path | None, settings: Settings, root: Path, trusted: bool
    ) -> None:
        self._script, self._log, self._root = script, log, root
        self._trusted = trusted
        self._status = "idle"
        self.on_status: Callable[[str], None] = lambda _status: None
        fill = {"engine": settings.fill.engine, "candidates": settings.fill.candidates}
        facts = {"interpreter": settings.interpreter, **fill, "pid": os.getpid()}
        self._write("start", trusted=trusted, **facts)

    def _write(self, event: str, **facts: object) -> None:
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, "root": str(self._root), **facts}) + "\n")

    @property
    def status(self) -> str:
        return self._status

    def _become(self, status: str) -> None:
        self._status = status
        self.on_status(status)

    async def analyse(
        self, document: Document, holes: list[Hole], everything: list[Hole] | None = None
    ) -> list[Environment]:
        return [environment(document.text, hole) for hole in holes]

    async def read_ahead(
        self, document: Document, hole: Hole, options: FillOptions, holes: list[Hole]
    ) -> bool:
        return True  # there is nothing to read

    async def fill(
        self,
        document: Document,
        hole: Hole,
        options: FillOptions,
        on_progress: OnProgress,
        stop: asyncio.Event,
        holes: list[Hole],
        on_judged: OnJudged,
    ) -> FillReport:
        self._become("filling")
        on_progress("drawing candidates", 0.5)
        lines = self._script.get(hole.scope, [])
        fills: list[Fill] = []
        try:
            for line in lines:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(line.get("seconds", 0.0), 0.02))
                if line["text"] not in options.rejected:
                    fills.append(self._fill(line))
                    on_judged(_report(document, hole, options, fills))
        finally:
            self._become("idle")
        self._write("fill", scope=hole.scope, text=hole.text, version=document.version, stopped=stop.is_set())
        return _report(document, hole, options, fills)

    def _fill(self, line: dict[str, Any]) -> Fill:
        detail = line.get("detail", "")
        types = Verdict(line.get("types", "passed"), detail if line.get("types") == "failed" else "")
        tests = Verdict(line.get("tests", "passed"), detail, count=line.get("count", 0))
        if not self._trusted:
            tests = not_run("untrusted workspace")
        verdicts = Verdicts(Verdict("passed"), types, tests)
        return Fill(line["text"], 0.0, types.status == "passed" and tests.status == "passed", verdicts)

    async def start_model(self, on_progress: OnProgress) -> None:
        on_progress("nothing to load", 1.0)

    async def configure(self, settings: Settings, *, trusted: bool) -> None:
        self._trusted = trusted
        self._write("configure", trusted=trusted, candidates=settings.fill.candidates)

    async def unload_idle(self) -> bool:
        return False

    def files_changed(self, paths: list[Path]) -> None:
        self._write("files_changed", paths=[path.name for path in paths])

    async def close(self) -> None:
        self._write("close")


def _report(document: Document, hole: Hole, options: FillOptions, fills: list[Fill]) -> FillReport:
    known = environment(document.text, hole)
    return FillReport(
        hole=hole,
        expected_type=known.expected,
        environment=known,
        fills=[fill for fill in fills if not _failed(fill)],
        rejected=[fill for fill in fills if _failed(fill)],
        elapsed_ms={"total": 1.0},
        engine=options.engine,
        model="scripted",
        adapter="",
        message="" if fills else "the script has no fill for this hole",
    )


def _failed(fill: Fill) -> bool:
    return "failed" in (fill.verdicts.types.status, fill.verdicts.tests.status)


def main(argv: list[str]) -> int:
    paths = [Path(word) for word in argv if word != "--stdio"]
    script = json.loads(paths[0].read_text("utf-8"))
    log = paths[1] if len(paths) > 1 else None

    def make(settings: Settings, root: Path, trusted: bool) -> Engine:
        return ScriptedEngine(script, log, settings, root, trusted)

    return serve(engine_factory=make)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
