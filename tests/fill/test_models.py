"""One model worker for several sessions: who starts it, whose turn it is, who ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from astral_lsp.config import ModelSettings, Settings
from astral_lsp.fill.models import Models, ModelWorker
from astral_lsp.fill.session import Session
from astral_lsp.workers.process import WorkerFailure
from astral_lsp.workers.protocol import (
    Candidate,
    Done,
    Event,
    Load,
    ModelInfo,
    Propose,
    Proposed,
    ReadAhead,
)


class Process:
    """Stands in for `WorkerProcess`; a call takes ``seconds``, or ends when it is stopped."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.running, self.generation = seconds, False, 0
        self.loads, self.drawing, self.most_at_once = 0, 0, 0
        self.budgets: list[float] = []
        self.read_ahead: list[str] = []

    async def call(
        self,
        params: Any,
        *,
        timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        stop: asyncio.Event | None = None,
    ) -> Any:
        if not self.running:
            self.running, self.generation = True, self.generation + 1
        if isinstance(params, Load):
            self.loads += 1
            return ModelInfo("m", "", "a", "cpu", "float32", 0.0)
        assert stop is not None
        if isinstance(params, ReadAhead):
            stopped = asyncio.ensure_future(stop.wait())
            await asyncio.wait({stopped}, timeout=self.seconds)
            self.read_ahead.append("stopped" if stop.is_set() else "whole")
            stopped.cancel()
            return Done()
        assert on_event is not None
        self.budgets.append(params.budget_ms)
        self.drawing += 1
        self.most_at_once = max(self.most_at_once, self.drawing)
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({stopped}, timeout=self.seconds)
        finally:
            stopped.cancel()
            self.drawing -= 1
        on_event(Event(0, "candidate", msgspec.to_builtins(Candidate("x", 0.0))))
        return Proposed([], 1, 0.0)

    async def close(self) -> None:
        self.running = False


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    monkeypatch.setattr("astral_lsp.fill.models._process", lambda _settings: Process())
    return Models()


def _draw(
    worker: ModelWorker, budget_ms: float = 5000.0, stop: asyncio.Event | None = None
) -> asyncio.Task[Proposed]:
    params = Propose("flow", "", "", "", "")
    return asyncio.ensure_future(worker.draw(params, budget_ms, lambda _c: None, stop or asyncio.Event()))


async def test_roots_with_the_same_settings_share_a_worker_and_the_last_one_ends_it(
    models: Models, tmp_path: Path
) -> None:
    one, two = (Session(Settings(), tmp_path / name, False, models) for name in ("one", "two"))
    assert one.model is two.model
    await one.start_model()
    await two.start_model()
    process = one.model.process
    assert isinstance(process, Process)
    assert process.loads == 1
    await one.close()
    assert process.running
    await two.close()
    assert not process.running
    with pytest.raises(WorkerFailure, match="was let go"):
        await two.start_model()


async def test_a_root_whose_model_settings_change_takes_another_worker(
    models: Models, tmp_path: Path
) -> None:
    one, two = (Session(Settings(), tmp_path / name, False, models) for name in ("one", "two"))
    shared = one.model
    await two.start_model()
    await one.configure(Settings(model=ModelSettings(adapter="none")))
    assert one.model is not shared
    assert two.model is shared
    assert shared.process.running
    await two.configure(Settings(model=ModelSettings(adapter="none")))
    assert two.model is one.model
    assert not shared.process.running


async def test_draws_take_turns_and_waiting_counts_against_the_budget(models: Models) -> None:
    worker = models.borrow(ModelSettings())
    process = worker.process = Process(seconds=0.2)  # type: ignore[assignment]
    await asyncio.gather(_draw(worker), _draw(worker))
    assert process.most_at_once == 1
    first, second = process.budgets
    assert first > 4900
    assert 4500 < second < 4850


async def test_who_waits_in_vain_is_told_and_loses_nobody_else_the_turn(models: Models) -> None:
    worker = models.borrow(ModelSettings())
    process = worker.process = Process(seconds=0.3)  # type: ignore[assignment]
    first, stop = _draw(worker), asyncio.Event()
    await asyncio.sleep(0.05)
    late, stopped, abandoned = _draw(worker, 50.0), _draw(worker, stop=stop), _draw(worker)
    patient = _draw(worker)
    await asyncio.sleep(0.01)
    stop.set()
    abandoned.cancel()
    with pytest.raises(WorkerFailure, match="another fill had the model"):
        await late
    with pytest.raises(WorkerFailure, match="cancelled while another fill had the model"):
        await stopped
    await first
    assert (await patient).evaluations == 1
    assert len(process.budgets) == 2


async def test_a_stop_before_the_first_draw_still_gives_what_there_is(models: Models) -> None:
    worker = models.borrow(ModelSettings())
    worker.process = Process(seconds=5.0)  # type: ignore[assignment]
    stop = asyncio.Event()
    stop.set()
    assert (await asyncio.wait_for(_draw(worker, stop=stop), 1.0)).evaluations == 1


async def test_who_waits_for_a_turn_is_told_that_the_model_died_and_does_not_load_it(models: Models) -> None:
    worker = models.borrow(ModelSettings())
    process = worker.process = Process(seconds=0.2)  # type: ignore[assignment]
    await worker.load()
    first, second = _draw(worker), _draw(worker)
    await asyncio.sleep(0.05)
    process.running = False
    await first
    with pytest.raises(WorkerFailure, match="has stopped since it was loaded") as caught:
        await second
    assert caught.value.died
    assert len(process.budgets) == 1


async def test_only_an_unused_worker_is_unloaded(models: Models) -> None:
    worker = models.borrow(ModelSettings(idle_unload_minutes=0.0005))
    process = worker.process = Process(seconds=0.2)  # type: ignore[assignment]
    await worker.load()
    drawing = _draw(worker)
    await asyncio.sleep(0.1)
    assert not await worker.unload_idle(), "it is drawing"
    await drawing
    assert not await worker.unload_idle(), "it was used just now"
    await asyncio.sleep(0.05)
    assert await worker.unload_idle()
    assert worker.loaded is None
    await worker.load()
    assert process.loads == 2


async def test_reading_ahead_gives_way_to_whoever_draws(models: Models) -> None:
    worker = models.borrow(ModelSettings())
    process = _process_of(worker)
    await worker.read_ahead(Propose("flow", "", "", "", ""))
    assert process.read_ahead == [], "a model that is not loaded is left alone"
    await worker.load()
    await worker.read_ahead(Propose("flow", "", "", "", ""))
    assert process.read_ahead == ["whole"]
    process.seconds = 5.0
    reading = asyncio.ensure_future(worker.read_ahead(Propose("flow", "", "", "", "")))
    await asyncio.sleep(0.05)
    process.seconds = 0.0
    began = asyncio.get_running_loop().time()
    await _draw(worker)
    await reading
    assert process.read_ahead == ["whole", "stopped"]
    assert asyncio.get_running_loop().time() - began < 2.0


async def test_nothing_is_read_ahead_while_somebody_draws(models: Models) -> None:
    worker = models.borrow(ModelSettings())
    process = _process_of(worker)
    await worker.load()
    process.seconds = 0.2
    drawing = _draw(worker)
    await asyncio.sleep(0.05)
    await worker.read_ahead(Propose("flow", "", "", "", ""))
    await drawing
    assert process.read_ahead == []


def _process_of(worker: ModelWorker) -> Process:
    assert isinstance(worker.process, Process)
    return worker.process
