"""The real server with the real weights on two roots: one model process serves both, and may die."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.server.harness import editor
from tests.server.test_processes import descendants

pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc"),
]
SERVER = [sys.executable, "-m", "astral_lsp.server"]
TEXT = "def area(width: int, height: int) -> int:\n    return ...\n"


async def test_two_roots_fill_at_once_with_one_model_and_a_killed_one_is_started_afresh(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    settings = {"fill": {"engine": "ar", "budgetS": 300, "candidates": 3, "maxTokens": 16}}
    async with editor(tmp_path, command=SERVER, folders=folders, settings=settings) as session:
        assert session.client._server is not None
        await session.command("astral.loadModel", uri=session.uri("one/area.py"))
        places = [session.open(f"{folder.name}/area.py", TEXT) for folder in folders]
        position = {"line": 1, "character": 12}
        answers = await asyncio.gather(
            *(session.command("astral.fillHole", uri=uri, position=position, apply=False) for uri in places)
        )
        for answer in answers:
            assert answer["fills"], answer["message"]
            assert answer["fills"][0]["verdicts"]["types"]["status"] == "passed"
        (first,) = _models(session.client._server.pid)
        again = {"uri": places[0], "position": position, "apply": False, "again": True, "patient": True}
        killed = asyncio.ensure_future(session.command("astral.fillHole", **again))
        await session.until(lambda: session.statuses[-1].state == "filling", 60)
        await asyncio.sleep(0.3)
        os.kill(first, signal.SIGKILL)
        answer = await killed
        assert answer["fills"], answer["message"]
        assert "stopped" not in answer["message"], "a fill whose model dies is drawn once more"
        (second,) = _models(session.client._server.pid)
        assert second != first


async def test_two_editors_on_one_port_fill_at_once_with_one_model(tmp_path: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "astral_lsp.cli", "--tcp", "0", stderr=asyncio.subprocess.PIPE
    )
    assert server.stderr is not None
    port = int((await server.stderr.readline()).decode().rsplit(":", 1)[1])
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
    settings = {"fill": {"engine": "ar", "budgetS": 120, "candidates": 1, "maxTokens": 16}}
    position = {"line": 1, "character": 12}
    try:
        async with (
            editor(roots[0], address=("127.0.0.1", port), settings=settings) as one,
            editor(roots[1], address=("127.0.0.1", port), settings=settings) as two,
        ):
            fills = []
            for session in (one, two):
                await session.until(lambda session=session: session.statuses)  # type: ignore[misc]
                uri = session.open("area.py", TEXT)
                where = {"uri": uri, "position": position, "apply": False, "patient": True}
                fills.append(session.command("astral.fillHole", **where))
            for answer in await asyncio.gather(*fills):
                assert answer["fills"], answer["message"]
                assert answer["fills"][0]["verdicts"]["types"]["status"] == "passed"
            assert len(_models(server.pid)) == 1
    finally:
        server.terminate()
        await server.wait()


def _models(pid: int) -> list[int]:
    return [child for child, line in descendants(pid).items() if "astral_lsp.workers.model" in line]
