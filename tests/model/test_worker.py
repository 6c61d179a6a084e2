"""The model worker's main, driven through `WorkerProcess` like the server does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from astral_lsp.holes.model import Span
from astral_lsp.workers.process import WorkerFailure, WorkerProcess
from astral_lsp.workers.protocol import (
    CheckTypes,
    Done,
    Event,
    Forget,
    Load,
    ModelInfo,
    Propose,
    Proposed,
    Repair,
)

ROOT = Path(__file__).parents[2]
FAKE = str(Path(__file__).with_name("fake_model_worker.py"))


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "model"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, **more}


@pytest.fixture
async def worker() -> AsyncIterator[WorkerProcess]:
    process = WorkerProcess([sys.executable, FAKE], name="model", env=environment())
    yield process
    await process.close()


def propose(prefix: str = "x", **more: object) -> Propose:
    return Propose("ar", prefix, "", "", "", **more)  # type: ignore[arg-type]


async def test_propose_streams_candidates_and_keeps_stdout_clean(worker: WorkerProcess) -> None:
    events: list[Event] = []
    answer = await worker.call(propose("x", candidates=3), on_event=events.append)
    assert isinstance(answer, Proposed)
    assert [c.text for c in answer.candidates] == ["x0", "x1", "x2"]
    assert (answer.evaluations, answer.stopped) == (3, "done")
    assert [event.name for event in events] == ["candidate"] * 3


async def test_cancel_between_steps_returns_the_best_so_far(worker: WorkerProcess) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stop.set)
    answer = await worker.call(propose("slow", candidates=5), stop=stop)
    assert answer.stopped == "cancelled"
    assert [c.text for c in answer.candidates] == ["slow0"]
    assert (await worker.call(propose("y", candidates=1))).candidates[0].text == "y0"


async def test_budget_ends_a_call(worker: WorkerProcess) -> None:
    answer = await worker.call(propose("slow", candidates=5, budget_ms=100.0))
    assert answer.stopped == "budget"
    assert answer.elapsed_ms >= 100


async def test_repair_passes_spans_and_rejected_texts(worker: WorkerProcess) -> None:
    repair = Repair(propose(rejected=["a - b"]), "a + old", [Span(4, 7)])
    answer = await worker.call(repair)
    assert answer.candidates[0].text == "a + new"
    assert answer.candidates[0].engine == "['a - b']"
    with pytest.raises(WorkerFailure, match="span 4-99 lies outside") as caught:
        await worker.call(Repair(propose(), "a + old", [Span(4, 99)]))
    assert caught.value.kind == "bad_request"


async def test_forget_is_answered_loaded_or_not(worker: WorkerProcess) -> None:
    assert await worker.call(Forget()) == Done()
    await worker.call(propose("x"))
    assert await worker.call(Forget()) == Done()
    assert (await worker.call(propose("x", candidates=1))).candidates[0].text == "x0"


async def test_failures_are_told_apart_and_survived(worker: WorkerProcess) -> None:
    with pytest.raises(WorkerFailure, match="boom") as caught:
        await worker.call(propose("raise"))
    assert (caught.value.kind, "RuntimeError" in caught.value.trace) == ("internal", True)
    with pytest.raises(WorkerFailure, match="no method 'check'") as caught:
        await worker.call(CheckTypes("p", "t", Span(0, 0), []))
    assert caught.value.kind == "bad_request"
    with pytest.raises(WorkerFailure, match="at least 1") as caught:
        await worker.call(propose(candidates=0))
    with pytest.raises(WorkerFailure, match="needs an adapter") as caught:
        await worker.call(Propose("flow", "", "", "", ""))
    assert caught.value.kind == "unavailable"
    assert (await worker.call(propose(candidates=1))).candidates
    assert worker.generation == 1


async def test_missing_weights_are_unavailable_with_the_stores_sentence(worker: WorkerProcess) -> None:
    with pytest.raises(WorkerFailure, match="model add FILE") as caught:
        await worker.call(Load("missing"))
    assert caught.value.kind == "unavailable"
    with pytest.raises(WorkerFailure, match="could not be loaded") as caught:
        await worker.call(Load("broken"))
    assert caught.value.kind == "internal"
    info = await worker.call(Load("fine"))
    assert isinstance(info, ModelInfo)
    assert info.model == "fine"


async def test_a_cancelled_load_answers_at_once_and_progress_is_seen(worker: WorkerProcess) -> None:
    stop, events = asyncio.Event(), list[Event]()

    def on_event(event: Event) -> None:
        events.append(event)
        stop.set()

    with pytest.raises(WorkerFailure, match="cancelled while the model was loading") as caught:
        await worker.call(Load("slow"), on_event=on_event, stop=stop)
    assert caught.value.kind == "cancelled"
    assert events[0].name == "progress"
    assert events[0].body["text"] == "downloading"
    assert (await worker.call(Load("fine"))).model == "fine"


async def test_a_queued_call_waits_its_turn(worker: WorkerProcess) -> None:
    answers = await asyncio.gather(*(worker.call(propose(f"n{n}-", candidates=1)) for n in range(4)))
    assert [a.candidates[0].text for a in answers] == ["n0-0", "n1-0", "n2-0", "n3-0"]


async def test_the_real_main_is_ready_without_torch_and_names_a_missing_file(tmp_path: Path) -> None:
    worker = WorkerProcess(
        [sys.executable, "-X", "importtime", "-m", "astral_lsp.workers.model"],
        name="model",
        env=environment(ASTRAL_LSP_HOME=str(tmp_path)),
    )
    try:
        await worker.start()
        assert worker.about == {"worker": "model"}
        await asyncio.sleep(0.1)
        assert not any(line.endswith("| torch") for line in worker._stderr)
        with pytest.raises(WorkerFailure, match="no model file") as caught:
            await worker.call(Load(str(tmp_path / "none.gguf")), timeout=60)
        assert caught.value.kind == "unavailable"
    finally:
        await worker.close()


def test_the_worker_ends_when_its_input_closes() -> None:
    process = subprocess.Popen(
        [sys.executable, FAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.read(4)
    process.stdin.close()
    began = time.monotonic()
    assert process.wait(10) == 0
    assert time.monotonic() - began < 5
    process.stdout.close()
