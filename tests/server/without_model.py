"""A server process with everything real but the model, whose candidates are scripted.

Run as ``python without_model.py``. ``ASTRAL_TEST_CANDIDATES`` is a JSON list of texts;
``ASTRAL_TEST_DRAW_SECONDS`` is how long drawing them takes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from astral_lsp.config import Settings
from astral_lsp.server.app import serve
from astral_lsp.server.session_engine import SessionEngine
from astral_lsp.workers.protocol import Candidate, Event, Load, ModelInfo, Proposed, Repair


class ScriptedModel:
    """Stands in for the model's `WorkerProcess`."""

    running = True
    generation = 1

    async def call(
        self,
        params: Any,
        *,
        timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        stop: asyncio.Event | None = None,
    ) -> Any:
        if isinstance(params, Load):
            return ModelInfo("scripted", "", "", "cpu", "float32", 0.0)
        if isinstance(params, Repair):
            return Proposed([], 0, 0.0)
        texts = json.loads(os.environ.get("ASTRAL_TEST_CANDIDATES", "[]"))
        pause = float(os.environ.get("ASTRAL_TEST_DRAW_SECONDS", "0")) / max(1, len(texts))
        drawn = []
        for number, text in enumerate(texts):
            await asyncio.sleep(pause)
            drawn.append(Candidate(text, -float(number), evaluations=1))
            if on_event is not None:
                on_event(Event(0, "candidate", msgspec.to_builtins(drawn[-1])))
        return Proposed(drawn, len(drawn), 0.0)

    async def close(self) -> None:
        return None


def make_engine(settings: Settings, root: Path, trusted: bool) -> SessionEngine:
    """The real session with the stand-in."""
    engine = SessionEngine(settings, root, trusted)
    engine._session.model.process = ScriptedModel()  # type: ignore[assignment]
    return engine


if __name__ == "__main__":
    sys.exit(serve(engine_factory=make_engine))
