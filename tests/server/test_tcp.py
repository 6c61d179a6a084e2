"""Several editors on one port: each its own session, one model for all; the model itself is a fake worker."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from astral_lsp.server.app import SessionEngines, listen
from astral_lsp.server.threaded import EngineThread
from astral_lsp.workers.process import WorkerProcess
from tests.server.harness import REPOSITORY, Editor, editor
from tests.server.test_processes import descendants

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
WORKER = REPOSITORY / "tests" / "model" / "fake_model_worker.py"
TEXT = "def area(width: int, height: int) -> int:\n    return ...\n"
UNJUDGED = {"fill": {"engine": "ar"}, "verify": {"types": {"enabled": False}, "tests": {"enabled": False}}}


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    """A server as ``astral-lsp --tcp`` makes it, but for its model worker."""

    def process(_settings: object) -> WorkerProcess:
        paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "model")])
        return WorkerProcess(
            [sys.executable, str(WORKER)], name="model", env={**os.environ, "PYTHONPATH": paths}
        )

    monkeypatch.setattr("astral_lsp.fill.models._process", process)
    thread = EngineThread()
    listener = await listen(0, SessionEngines(), thread)
    yield listener.sockets[0].getsockname()
    listener.close()
    thread.stop()


def _models() -> list[int]:
    return [pid for pid, line in descendants(os.getpid()).items() if WORKER.name in line]


async def _fill(session: Editor, name: str) -> Any:
    await session.until(lambda: session.statuses)
    uri = session.open(name, TEXT)
    position = {"line": 1, "character": 12}
    return await session.command("astral.fillHole", uri=uri, position=position, apply=False, patient=True)


async def test_two_editors_share_one_model_which_ends_with_the_last_of_them(
    tmp_path: Path, address: tuple[str, int]
) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
    one = editor(roots[0], address=address, settings=UNJUDGED)
    async with editor(roots[1], address=address, settings=UNJUDGED) as second:
        async with one as first:
            answers = await asyncio.gather(_fill(first, "a.py"), _fill(second, "b.py"))
            for answer in answers:
                assert answer["fills"], answer["message"]
            (model,) = _models()
        assert (await _fill(second, "c.py"))["fills"], "the other editor's leaving took the model along"
        assert _models() == [model]
    await second.until(lambda: not _models())


async def test_an_editor_that_breaks_off_harms_the_other_in_nothing(
    tmp_path: Path, address: tuple[str, int]
) -> None:
    async with editor(tmp_path, address=address, settings=UNJUDGED) as session:
        answer = await _fill(session, "a.py")
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"Content-Length: 100000\r\n\r\n{")
        await writer.drain()
        writer.close()
        _, rude = await asyncio.open_connection(*address)
        rude.write(b"GET / HTTP/1.1\r\n\r\n")
        await rude.drain()
        rude.close()
        assert answer["fills"]
        assert (await _fill(session, "b.py"))["fills"]
        assert len(_models()) == 1
