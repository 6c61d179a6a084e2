"""Workers that stand still (SIGSTOP), as on a machine with no time for them: every request is answered within
its budget, with fills or a sentence; nothing claims what nobody checked; nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pygls.exceptions import JsonRpcException

from astral_lsp.server.app import SessionEngines, listen
from astral_lsp.server.jobs import GRACE_SECONDS
from astral_lsp.server.threaded import EngineThread
from astral_lsp.workers.process import WorkerProcess
from tests.server.harness import REPOSITORY, Editor, at, editor
from tests.server.test_processes import descendants

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc"),
]
MODEL = REPOSITORY / "tests" / "server" / "model_worker.py"
NAMES = {"model": MODEL.name, "types": "astral_lsp.workers.types", "tests": "pytest_guest"}
TEXT = "def area(width: int, height: int) -> int:\n    return ...\n"
TEST = "from area import area\n\n\ndef test_area() -> None:\n    assert area(2, 3) == 6\n"
BUDGET = 3.0
SETTINGS = {"fill": {"engine": "ar", "budgetS": BUDGET}}
SLACK = 2.0
"""For a machine that is busy with other tests."""


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    """A server with real oracles; its model is a fake in a real worker process."""

    def process(_settings: object) -> WorkerProcess:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "model")]),
            "ASTRAL_TEST_CANDIDATES": '["width * height", "width"]',
        }
        return WorkerProcess([sys.executable, str(MODEL)], name="model", env=environment, grace=1.0)

    monkeypatch.setattr("astral_lsp.fill.models._process", process)
    thread = EngineThread()
    listener = await listen(0, SessionEngines(), thread)
    yield listener.sockets[0].getsockname()
    listener.close()
    thread.stop()


@pytest.fixture
def stopped() -> Iterator[list[int]]:
    """Processes that stand still; ended at the end, whatever becomes of the test."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _workers(*names: str) -> list[int]:
    wanted = [NAMES[name] for name in names]
    return [pid for pid, line in descendants(os.getpid()).items() if any(word in line for word in wanted)]


def _stop(pids: list[int], *names: str) -> None:
    found = _workers(*names)
    assert found, f"no worker of {names} runs"
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    pids.extend(found)


@contextlib.asynccontextmanager
async def _session(root: Path, address: tuple[str, int]) -> AsyncIterator[tuple[Editor, dict[str, Any]]]:
    """A session in which everything has been used once, and where its hole is."""
    (root / "area.py").write_text(TEXT, "utf-8")
    (root / "test_area.py").write_text(TEST, "utf-8")
    async with editor(root, address=address, settings=SETTINGS) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        where = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False, "patient": True}
        for number in range(20):  # a cold mypy takes longer than the budget
            session.change(uri, (at(2, 0), f"# {number}\n"))
            answer, _ = await _asked(session, where)
            fills = answer["fills"] if isinstance(answer, dict) else []
            if fills and all(
                fill["verdicts"][oracle]["status"] in ("passed", "failed")
                for fill in fills
                for oracle in ("types", "tests")
            ):
                break
        else:
            pytest.fail(f"never whole: {answer}")
        session.change(uri, (at(2, 0), "# now\n"))
        yield session, where


async def _asked(session: Editor, where: dict[str, Any]) -> tuple[Any, float]:
    """The answer to a fill, or its error, and after how many seconds it came."""
    began = time.monotonic()
    try:
        answer = await asyncio.wait_for(session.command("astral.fillHole", **where), 60)
    except JsonRpcException as error:
        answer = error
    return answer, time.monotonic() - began


@pytest.mark.parametrize("names", [("types",), ("tests",), ("model",), ("types", "tests", "model")])
async def test_a_fill_is_answered_whoever_stands_still(
    tmp_path: Path, address: tuple[str, int], stopped: list[int], names: tuple[str, ...]
) -> None:
    async with _session(tmp_path, address) as (session, where):
        _stop(stopped, *names)
        answer, seconds = await _asked(session, where)
        assert seconds < BUDGET + GRACE_SECONDS + SLACK
        if isinstance(answer, JsonRpcException) or not answer["fills"]:
            assert "model" in names
            assert getattr(answer, "message", "") or answer["message"], "no answer without a sentence"
        else:
            for fill in answer["fills"]:
                for oracle in {"types", "tests"} & set(names):
                    assert fill["verdicts"][oracle]["status"] in ("not_run", "unavailable")
                    assert fill["verdicts"][oracle]["detail"]
                assert not fill["verified"]
        began = time.monotonic()
        assert await session.actions(where["uri"], at(1, 12))
        assert time.monotonic() - began < SLACK, "a list waited"


async def test_it_heals_when_they_go_on(tmp_path: Path, address: tuple[str, int], stopped: list[int]) -> None:
    async with _session(tmp_path, address) as (session, where):
        _stop(stopped, "types", "tests", "model")
        await _asked(session, where)
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for number in range(20):
            session.change(where["uri"], (at(2, 0), f"# {number}\n"))
            answer, seconds = await _asked(session, where)
            assert seconds < BUDGET + GRACE_SECONDS + SLACK
            if isinstance(answer, dict) and answer["fills"]:
                found = answer["fills"][0]["verdicts"]
                if {found["types"]["status"], found["tests"]["status"]} <= {"passed", "failed"}:
                    return
        pytest.fail(f"it did not heal: {answer}")


async def test_restarting_ends_workers_that_stand_still(
    tmp_path: Path, address: tuple[str, int], stopped: list[int]
) -> None:
    async with _session(tmp_path, address) as (session, where):
        _stop(stopped, "types", "tests", "model")
        running = asyncio.ensure_future(_asked(session, where))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await asyncio.wait_for(session.command("astral.restartWorkers"), 30)
        assert time.monotonic() - began < 5.0 + SLACK
        await running
        await session.until(lambda: not set(stopped) & set(descendants(os.getpid())), 10)


async def test_trust_that_is_withdrawn_ends_oracles_that_stand_still(
    tmp_path: Path, address: tuple[str, int], stopped: list[int]
) -> None:
    async with _session(tmp_path, address) as (session, where):
        _stop(stopped, "types", "tests")
        running = asyncio.ensure_future(_asked(session, where))
        await asyncio.sleep(0.3)
        session.client.protocol.notify("astral/trust", {"trusted": False})
        await session.until(lambda: not set(stopped) & set(descendants(os.getpid())), 6.0 + SLACK)
        await running
        for _ in range(10):  # what was found before the change may still be known for a moment
            answer, _ = await _asked(session, where)
            detail = answer["fills"][0]["verdicts"]["tests"]["detail"]
            if detail == "untrusted workspace: no test runs":
                break
            await asyncio.sleep(0.1)
        assert detail == "untrusted workspace: no test runs"


async def test_leaving_ends_workers_that_stand_still(
    tmp_path: Path, address: tuple[str, int], stopped: list[int]
) -> None:
    async with _session(tmp_path, address) as (session, where):
        _stop(stopped, "types", "tests", "model")
        running = asyncio.ensure_future(_asked(session, where))
        await asyncio.sleep(0.3)
        began = time.monotonic()
    assert time.monotonic() - began < 8.0 + SLACK
    await asyncio.wait({running}, timeout=1.0)
    for _ in range(100):
        if not set(stopped) & set(descendants(os.getpid())):
            return
        await asyncio.sleep(0.1)
    pytest.fail("a worker was left behind")
