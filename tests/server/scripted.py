"""A scripted engine with controllable delays, and a server process that uses it: ``python scripted.py``.

The script comes in the environment variable ``ASTRAL_TEST_SCRIPT`` as JSON; a hint at the hole such as
``fill: len(items)`` names the best candidate.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import structs

from astral_lsp.config import Settings
from astral_lsp.context.environment import Environment
from astral_lsp.fill.document import Document
from astral_lsp.fill.rank import best_first, refused
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill, Finding, Verdict, Verdicts, not_run, unavailable
from astral_lsp.server.app import serve
from astral_lsp.server.engine import OnJudged, OnProgress
from astral_lsp.workers.protocol import Name

PASSED = Verdict("passed")


def _candidates(hole: Hole, document: Document) -> list[Fill]:
    """Four candidates of every sort; the texts depend on the hole, so that a mix-up shows."""
    wish = next((line[5:].strip() for line in hole.hint.splitlines() if line.startswith("fill:")), "")
    first = wish or f"first_{hole.id}"
    wrong = Finding('Incompatible types (got "str", expected "int")', "arg-type", line=1)
    broken = Finding("assert 3 == 4", "tests/test_it.py::test_three", line=2)
    by_types = Verdict("failed", "1 error", (wrong,))
    by_tests = Verdict("failed", "1 of 3 tests", (broken,))
    return [
        Fill(first, -0.1, True, Verdicts(PASSED, PASSED, Verdict("passed", "3 tests", count=3))),
        Fill(f"second_{hole.id}", -0.2, False, Verdicts(PASSED, PASSED, not_run("untrusted workspace"))),
        Fill(f"'third_{hole.id}'", -0.3, False, Verdicts(PASSED, by_types, not_run("types failed"))),
        # a repaired text has no score of its own
        Fill(f"fourth_{hole.id}", float("-inf"), False, Verdicts(PASSED, unavailable("mypy died"), by_tests)),
    ]


def _without_model(hole: Hole, options: FillOptions, why: str) -> FillReport:
    return structs.replace(_report(hole, options, []), model="", message=why)


def _report(hole: Hole, options: FillOptions, candidates: list[Fill]) -> FillReport:
    return FillReport(
        hole=hole,
        expected_type="int",
        environment=Environment("int", "mypy", ()),
        fills=[f for f in best_first(candidates) if not refused(f.verdicts)],
        rejected=[f for f in best_first(candidates) if refused(f.verdicts)],
        elapsed_ms={"total": 1.0},
        engine=options.engine,
        model="scripted",
        adapter="",
        message="" if candidates else "no candidate within the budget",
    )


class ScriptedEngine:
    """Does as the script says.

    {delay, deaf, silent, analyse_delay, loading, read_seconds, no_model, fail, none, all_wrong, log}
    """

    def __init__(self, settings: Settings, root: Path, trusted: bool, script: dict[str, Any]) -> None:
        self.settings, self.root, self.trusted, self.script = settings, root, trusted, script
        self.status = "idle"
        self.on_status: Callable[[str], None] = lambda _status: None
        self._loaded = not script.get("loading")

    def _log(self, event: str, **details: object) -> None:
        if path := self.script.get("log"):
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, **details}) + "\n")

    def _become(self, status: str) -> None:
        self.status = status
        self.on_status(status)

    async def analyse(
        self, document: Document, holes: list[Hole], everything: list[Hole]
    ) -> list[Environment]:
        self._log("analyse", holes=len(holes), version=document.version)
        await asyncio.sleep(self.script.get("analyse_delay", 0.0))
        names = (
            Name("items", "list[int]", "argument", True),
            Name("self.total", "int", "self", False),
            Name("os.path", "module", "import", False),
        )
        return [Environment(self.script.get("expected", "int"), "mypy", names) for _ in holes]

    async def read_ahead(
        self, document: Document, hole: Hole, options: FillOptions, holes: list[Hole]
    ) -> bool:
        if self.script.get("loading") and not self._loaded:
            return False
        self._log("read_ahead", hole=hole.text, start=hole.start, version=document.version)
        try:
            await asyncio.sleep(self.script.get("read_seconds", 0.0))
        except asyncio.CancelledError:
            self._log("reading_cancelled", start=hole.start)
            raise
        return True

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
        assert document.text[hole.start : hole.end] == hole.text
        self._log("fill", hole=hole.text, start=hole.start, version=document.version, text=document.text)
        try:
            return await self._fill(document, hole, options, on_progress, stop, on_judged)
        except asyncio.CancelledError:
            self._log("cancelled", start=hole.start)
            raise

    async def _fill(
        self,
        document: Document,
        hole: Hole,
        options: FillOptions,
        on_progress: OnProgress,
        stop: asyncio.Event,
        on_judged: OnJudged,
    ) -> FillReport:
        if not self._loaded:
            await self.start_model(on_progress)
        if why := self.script.get("no_model"):
            return _without_model(hole, options, why)
        if self.script.get("fail"):
            raise RuntimeError("the script says so")
        self._become("filling")

        def judged(so_far: list[Fill]) -> None:
            if not self.script.get("silent"):
                on_judged(_report(hole, options, so_far))

        try:
            candidates = await self._draw(document, hole, options, on_progress, stop, judged)
        finally:
            self._become("idle")
        if stop.is_set():
            self._log("stopped", start=hole.start)
        return _report(hole, options, candidates)

    async def _draw(
        self,
        document: Document,
        hole: Hole,
        options: FillOptions,
        on_progress: OnProgress,
        stop: asyncio.Event,
        judged: Callable[[list[Fill]], None],
    ) -> list[Fill]:
        if self.script.get("none"):
            return []
        candidates = [f for f in _candidates(hole, document) if f.text not in options.rejected]
        if self.script.get("all_wrong"):
            candidates = [f for f in candidates if refused(f.verdicts)]
        drawn: list[Fill] = []
        for number, candidate in enumerate(candidates):
            on_progress(f"{number} judged", number / len(candidates))
            if await _sleep(
                self.script.get("delay", 0.0) / len(candidates), stop, deaf=bool(self.script.get("deaf"))
            ):
                break
            drawn.append(candidate)
            judged(drawn)
        return drawn

    async def start_model(self, on_progress: OnProgress) -> None:
        self._become("loading")
        seconds = self.script.get("loading", 0.0)
        for step in range(10):
            on_progress("loading", step / 10)
            await asyncio.sleep(seconds / 10)
        self._loaded = True
        self._become("idle")

    async def configure(self, settings: Settings, *, trusted: bool) -> None:
        self.settings, self.trusted = settings, trusted
        self._log("configure", trusted=trusted, candidates=settings.fill.candidates)

    async def unload_idle(self) -> bool:
        self._log("unload")
        return False

    def files_changed(self, paths: list[Path]) -> None:
        self._log("files", paths=[str(path) for path in paths])

    async def close(self) -> None:
        self._log("close")


async def _sleep(seconds: float, stop: asyncio.Event, *, deaf: bool) -> bool:
    """Sleep, or return True as soon as ``stop`` is set (a deaf engine never listens)."""
    if deaf:
        await asyncio.sleep(seconds)
        return False
    try:
        await asyncio.wait_for(stop.wait(), seconds or 0.001)
    except asyncio.TimeoutError:
        return False
    return True


def main() -> int:
    """Serve with the scripted engine."""
    script = json.loads(os.environ.get("ASTRAL_TEST_SCRIPT", "{}"))
    port = int(sys.argv[1]) if len(sys.argv) > 1 else None
    return serve(port=port, engine_factory=lambda s, r, t: ScriptedEngine(s, r, t, script))


if __name__ == "__main__":
    sys.exit(main())
