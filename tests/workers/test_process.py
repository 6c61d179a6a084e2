"""WorkerProcess: answers, events, cancel, time-outs, death, restart, crash loops."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from astral_lsp.holes.model import Span
from astral_lsp.workers import process
from astral_lsp.workers.process import WorkerFailure, WorkerProcess
from astral_lsp.workers.protocol import CheckTypes, Event, Judged

ECHO = str(Path(__file__).with_name("echo_worker.py"))


def ask(text: str) -> CheckTypes:
    return CheckTypes(path="m.py", text=text, hole=Span(0, 0), fills=["x"])


@pytest.fixture
async def echo() -> AsyncIterator[WorkerProcess]:
    worker = WorkerProcess([sys.executable, ECHO], name="echo", codec="json")
    yield worker
    await worker.close()


async def test_a_call_is_answered_with_its_events(echo: WorkerProcess) -> None:
    events: list[Event] = []
    judged = await echo.call(ask("héllo 𝔘"), on_event=events.append)
    assert isinstance(judged, Judged)
    assert judged.verdicts[0].detail == "héllo 𝔘"
    assert [event.name for event in events] == ["progress"]
    assert echo.about == {"who": "echo"}


async def test_concurrent_calls_keep_their_own_answers(echo: WorkerProcess) -> None:
    answers = await asyncio.gather(*(echo.call(ask(f"call {n}")) for n in range(20)))
    assert [a.verdicts[0].detail for a in answers] == [f"call {n}" for n in range(20)]
    assert echo.generation == 1


async def test_a_failure_carries_its_kind(echo: WorkerProcess) -> None:
    with pytest.raises(WorkerFailure, match=r"^no$") as caught:
        await echo.call(ask("fail"))
    assert caught.value.kind == "bad_request"


async def test_a_malformed_result_is_an_internal_failure(echo: WorkerProcess) -> None:
    with pytest.raises(WorkerFailure) as caught:
        await echo.call(ask("malformed"))
    assert caught.value.kind == "internal"


async def test_stop_returns_the_best_so_far(echo: WorkerProcess) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stop.set)
    judged = await echo.call(ask("slow"), stop=stop)
    assert judged.verdicts[0].detail == "cancelled"


async def test_cancelling_the_task_cancels_the_call(echo: WorkerProcess) -> None:
    task = asyncio.ensure_future(echo.call(ask("slow")))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await echo.call(ask("after"))).verdicts[0].detail == "after"


async def test_a_call_cancelled_while_the_worker_starts_leaves_none_half_started(echo: WorkerProcess) -> None:
    task = asyncio.ensure_future(echo.call(ask("early")))
    while echo.pid is None:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await echo.call(ask("after"), timeout=10)).verdicts[0].detail == "after"


async def test_death_fails_the_call_and_the_next_call_restarts(echo: WorkerProcess) -> None:
    with pytest.raises(WorkerFailure, match=r"exit code 3: last words") as caught:
        await echo.call(ask("die"))
    assert caught.value.kind == "unavailable"
    assert caught.value.died
    assert (await echo.call(ask("again"))).verdicts[0].status == "passed"
    assert echo.generation == 2


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
async def test_one_that_is_killed_from_outside_is_said_to_be(echo: WorkerProcess) -> None:
    slow = asyncio.ensure_future(echo.call(ask("slow")))
    await asyncio.sleep(0.3)
    assert echo.pid is not None
    os.kill(echo.pid, signal.SIGKILL)
    with pytest.raises(
        WorkerFailure, match="killed from outside: often the system, for lack of memory"
    ) as caught:
        await slow
    assert caught.value.died


async def test_a_hung_worker_is_killed_at_the_timeout() -> None:
    echo = WorkerProcess([sys.executable, ECHO], name="echo", codec="json", grace=0.2)
    with pytest.raises(WorkerFailure, match=r"did not answer in 0\.2 s") as caught:
        await echo.call(ask("hang"), timeout=0.2)
    assert not caught.value.died, "a fresh one would hang too"
    assert (await echo.call(ask("again"))).verdicts[0].detail == "again"
    await echo.close()


SILENT = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


async def test_one_that_never_gets_ready_is_ended_and_nobody_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a machine with no time for it. The next call must not be sent to what was given up."""
    monkeypatch.setattr(process, "START_SECONDS", 0.5)
    worker = WorkerProcess([sys.executable, "-c", SILENT], name="silent")
    for _ in range(2):
        with pytest.raises(WorkerFailure, match="the silent worker said nothing for"):
            await asyncio.wait_for(worker.call(ask("x"), timeout=60), 5)
        assert worker.pid is None
    assert worker.generation == 2


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
async def test_one_that_stands_still_while_it_starts_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_SECONDS", 0.5)
    worker = WorkerProcess([sys.executable, ECHO], name="echo", codec="json")
    call = asyncio.ensure_future(worker.call(ask("x"), timeout=60))
    while worker.pid is None:
        await asyncio.sleep(0)
    pid = worker.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerFailure, match="said nothing for"):
        await asyncio.wait_for(call, 5)
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("it stands there still")
    monkeypatch.setattr(process, "START_SECONDS", 20.0)
    assert (await worker.call(ask("again"))).verdicts[0].detail == "again"
    await worker.close()


async def test_a_crash_loop_is_left_alone(echo: WorkerProcess) -> None:
    for _ in range(3):
        with pytest.raises(WorkerFailure, match="stopped"):
            await echo.call(ask("die"))
    with pytest.raises(WorkerFailure, match="3 times in a minute"):
        await echo.call(ask("fine"))


async def test_a_missing_program_is_unavailable() -> None:
    worker = WorkerProcess(["/no/such/program"], name="ghost")
    with pytest.raises(WorkerFailure, match="cannot start the ghost worker"):
        await worker.call(ask("x"))


async def test_another_protocol_version_is_refused() -> None:
    worker = WorkerProcess([sys.executable, ECHO, "99"], name="old", codec="json")
    with pytest.raises(WorkerFailure, match="speaks protocol 99"):
        await worker.call(ask("x"))
    await worker.close()
