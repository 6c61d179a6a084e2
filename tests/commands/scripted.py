"""The commands with everything real but the model, whose candidates are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from astral_lsp.config import ModelSettings
from astral_lsp.fill import models
from astral_lsp.workers.process import WorkerFailure
from astral_lsp.workers.protocol import (
    Candidate,
    Done,
    Event,
    Forget,
    Load,
    ModelInfo,
    Propose,
    Proposed,
    Repair,
)

Draw = Callable[[Propose], list[str]]


class ScriptedModel:
    """Stands in for the model's `WorkerProcess`; ``draw`` gives the texts, best first."""

    generation = 1

    def __init__(self, draw: Draw, load_failure: WorkerFailure | None) -> None:
        self._draw, self._load_failure = draw, load_failure
        self.running = True

    async def call(
        self,
        params: Any,
        *,
        timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        stop: asyncio.Event | None = None,
    ) -> Any:
        if isinstance(params, Load):
            if self._load_failure is not None:
                raise self._load_failure
            return ModelInfo("scripted-model", "", "scripted-adapter 0123", "cpu", "float32", 0.0)
        if isinstance(params, Forget):
            return Done()
        if isinstance(params, Repair):
            return Proposed([], 0, 0.0)
        drawn = [Candidate(text, -float(n), evaluations=1) for n, text in enumerate(self._draw(params))]
        for candidate in drawn:
            if on_event is not None:
                on_event(Event(0, "candidate", msgspec.to_builtins(candidate)))
        return Proposed(drawn, len(drawn), 0.0)

    async def close(self) -> None:
        self.running = False


def script(monkeypatch: pytest.MonkeyPatch, draw: Draw, *, load_failure: WorkerFailure | None = None) -> None:
    """From now on every session draws by ``draw``."""

    def process(_settings: ModelSettings) -> ScriptedModel:
        return ScriptedModel(draw, load_failure)

    monkeypatch.setattr(models, "_process", process)
