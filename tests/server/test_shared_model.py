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
    settings = {"fill": {"engine": "ar", "budgetS": 300, "candidates": 1, "maxTokens": 16}}
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
        os.kill(first, signal.SIGKILL)
        once_more = {"uri": places[0], "position": position, "apply": False, "again": True, "patient": True}
        await session.command("astral.fillHole", **once_more)  # answered, whether it knew of the death or not
        again = await session.command("astral.fillHole", **once_more)
        assert again["model"], again["message"]
        assert "stopped" not in again["message"]
        (second,) = _models(session.client._server.pid)
        assert second != first


def _models(pid: int) -> list[int]:
    return [child for child, line in descendants(pid).items() if "astral_lsp.workers.model" in line]
