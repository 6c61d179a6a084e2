"""The types oracle when things go wrong: never an exception, never a ``passed`` that did not run."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict
from astral_lsp.verify.types import TypesOracle

TEXT = "".join(f"def {name}() -> int: return 1\n" for name in ("boom", "hang", "exit_", "chat"))
TEXT += "class A:\n    x: int = 1\ndef f(a: A) -> int:\n    return ...\n"
HOLE = Span(TEXT.index("..."), TEXT.index("...") + 3)
PLUGIN = """
import os, sys, time
from mypy.plugin import Plugin
def hook(kind):
    def run(ctx):
        if kind == "boom": raise RuntimeError("plugin failed")
        if kind == "hang": time.sleep(1000)
        if kind == "exit_": os._exit(3)
        if kind == "once" and not os.path.exists("crashed"):
            open("crashed", "w").close()
            raise RuntimeError("crashed in an update")
        print("noise on stdout" * 100)
        os.write(1, b"noise below sys.stdout")
        return ctx.default_return_type
    return run
class Bad(Plugin):
    def get_function_hook(self, fullname):
        name = fullname.rpartition(".")[2]
        return hook(name) if name in ("boom", "hang", "exit_", "chat", "once") else None
def plugin(version): return Bad
"""

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="candidates are isolated by fork")


@pytest_asyncio.fixture
async def oracle(tmp_path: Path) -> AsyncIterator[TypesOracle]:
    (tmp_path / "mypy.ini").write_text("[mypy]\nplugins = bad.py\n")
    (tmp_path / "bad.py").write_text(PLUGIN)
    made = TypesOracle()
    assert await made.open(str(tmp_path), sys.executable, True) == ""
    yield made
    await made.close()


async def ask(oracle: TypesOracle, tmp_path: Path, *fills: str, budget: float = 60000) -> list[Verdict]:
    return await oracle.check(str(tmp_path / "a.py"), TEXT, HOLE, fills, budget_ms=budget)


@needs_fork
async def test_crashes_hangs_and_exits_cost_only_their_own_candidate(
    oracle: TypesOracle, tmp_path: Path
) -> None:
    assert [v.status for v in await ask(oracle, tmp_path, "a.x")] == ["passed"]
    verdicts = await ask(oracle, tmp_path, "boom()", "a.x", "exit_()", "chat()", "a.nope")
    assert [v.status for v in verdicts] == ["unavailable", "passed", "unavailable", "passed", "failed"]
    assert "plugin failed" in verdicts[0].detail
    assert "crashed" in verdicts[2].detail
    began = time.monotonic()
    verdicts = await ask(oracle, tmp_path, "hang()", "a.x", budget=4000)
    assert [v.status for v in verdicts] == ["unavailable", "not_run"]
    assert "took more than" in verdicts[0].detail
    assert time.monotonic() - began < 15
    assert [v.status for v in await ask(oracle, tmp_path, "a.x", "a.nope")] == ["passed", "failed"]


async def test_a_crash_on_the_buffer_itself_is_unavailable_and_forgotten(
    oracle: TypesOracle, tmp_path: Path
) -> None:
    text = TEXT + "boom()\n"
    verdicts = await oracle.check(str(tmp_path / "a.py"), text, HOLE, ["a.x"])
    assert [v.status for v in verdicts] == ["unavailable"]
    assert "plugin failed" in verdicts[0].detail
    look = await oracle.analyse(str(tmp_path / "a.py"), text, [HOLE])
    assert look.holes[0].expected is None
    assert look.holes[0].note
    assert [v.status for v in await ask(oracle, tmp_path, "a.x")] == ["passed"]


async def test_a_crash_in_an_update_is_followed_by_a_build(oracle: TypesOracle, tmp_path: Path) -> None:
    assert [v.status for v in await ask(oracle, tmp_path, "a.x")] == ["passed"]
    text = TEXT + "def once() -> int: return 1\nonce()\n"
    verdicts = await oracle.check(str(tmp_path / "a.py"), text, HOLE, ["a.x", "a.nope"])
    assert (tmp_path / "crashed").exists()
    assert [v.status for v in verdicts] == ["passed", "failed"]


@needs_fork
async def test_the_worker_may_be_killed_at_any_time(oracle: TypesOracle, tmp_path: Path) -> None:
    assert [v.status for v in await ask(oracle, tmp_path, "a.x")] == ["passed"]
    pid = oracle._worker.pid
    assert pid is not None
    task = asyncio.create_task(ask(oracle, tmp_path, "hang()", budget=30000))
    await asyncio.sleep(0.5)
    os.killpg(pid, signal.SIGKILL)
    assert [v.status for v in await task] == ["unavailable"]
    assert [v.status for v in await ask(oracle, tmp_path, "a.x", "''")] == ["passed", "failed"]


@needs_fork
async def test_a_worker_that_hangs_is_replaced(
    oracle: TypesOracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [v.status for v in await ask(oracle, tmp_path, "a.x")] == ["passed"]
    monkeypatch.setattr("astral_lsp.verify.types._MARGIN_SECONDS", 1.0)
    assert oracle._worker.pid is not None
    os.kill(oracle._worker.pid, signal.SIGSTOP)
    (verdict,) = await ask(oracle, tmp_path, "a.x", budget=500)
    assert verdict.status == "unavailable"
    assert "did not answer" in verdict.detail
    assert [v.status for v in await ask(oracle, tmp_path, "a.x", "a.nope")] == ["passed", "failed"]


@needs_fork
async def test_cancelling_leaves_the_oracle_usable(oracle: TypesOracle, tmp_path: Path) -> None:
    assert [v.status for v in await ask(oracle, tmp_path, "a.x")] == ["passed"]
    task = asyncio.create_task(ask(oracle, tmp_path, *["hang()"] * 50, budget=3000))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [v.status for v in await ask(oracle, tmp_path, "a.x")] == ["passed"]


async def test_a_spent_budget_is_not_run(oracle: TypesOracle, tmp_path: Path) -> None:
    verdicts = await ask(oracle, tmp_path, "a.x", "a.nope", budget=0)
    assert [(v.status, v.detail) for v in verdicts] == [("not_run", "out of time")] * 2


async def test_monstrous_fills(oracle: TypesOracle, tmp_path: Path) -> None:
    fills = [
        "(" * 3000 + "1" + ")" * 3000,
        "+".join(["1"] * 3000),
        "-" * 3000 + "1",
        "a" + ".x" * 2000,
        "[" * 400,
    ]
    verdicts = await ask(oracle, tmp_path, *fills, "1", budget=60000)
    assert verdicts[-1].status == "passed"
    assert {v.status for v in verdicts[:-1]} <= {"passed", "failed", "unavailable"}
    assert verdicts[3].status != "passed"  # int has no attribute x
    assert verdicts[4].status != "passed"


async def test_huge_files(oracle: TypesOracle, tmp_path: Path) -> None:
    big = TEXT + "\n".join(f"def g{i}(n: int) -> int:\n    return n + {i}" for i in range(4000)) + "\n"
    verdicts = await oracle.check(
        str(tmp_path / "a.py"), big, HOLE, ["g3999(a.x)", "g3999('')"], budget_ms=60000
    )
    assert [v.status for v in verdicts] == ["passed", "failed"]
    verdicts = await oracle.check(str(tmp_path / "a.py"), TEXT + "#" * 5_000_000, HOLE, ["1"])
    assert [v.status for v in verdicts] == ["unavailable"]
    assert "too large" in verdicts[0].detail


async def test_missing_mypy_is_one_clear_sentence(tmp_path: Path) -> None:
    hide = "import sys, runpy; sys.modules['mypy'] = None; "
    hide += "runpy.run_module('astral_lsp.workers.types', run_name='__main__')"
    oracle = TypesOracle([sys.executable, "-c", hide])
    why = await oracle.open(str(tmp_path), sys.executable)
    verdicts = await ask(oracle, tmp_path, "1")
    look = await oracle.analyse(str(tmp_path / "a.py"), TEXT, [HOLE])
    await oracle.close()
    assert "mypy" in why
    assert "pip install" in why
    assert [v.status for v in verdicts] == ["unavailable"]
    assert look.holes[0].note == verdicts[0].detail


@pytest.mark.parametrize("python", ["/nowhere/python", __file__])
async def test_an_interpreter_that_does_not_run_is_said(tmp_path: Path, python: str) -> None:
    oracle = TypesOracle()
    why = await oracle.open(str(tmp_path), python, True)
    verdicts = await ask(oracle, tmp_path, "1")
    await oracle.close()
    assert "interpreter" in why
    assert [v.status for v in verdicts] == ["unavailable"]


async def test_no_workspace_and_no_folder_are_said(tmp_path: Path) -> None:
    oracle = TypesOracle()
    assert (await ask(oracle, tmp_path, "1"))[0].status == "unavailable"
    assert "not a folder" in await oracle.open(str(tmp_path / "nowhere"), sys.executable)
    assert (await ask(oracle, tmp_path, "1"))[0].status == "unavailable"
    await oracle.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_build_made_afresh_does_not_keep_the_old_one(tmp_path: Path) -> None:
    oracle = TypesOracle()
    await oracle.open(str(tmp_path), sys.executable)
    sizes = []
    for number in range(6):  # another base folder each time: another build
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / "a.py"
        assert [v.status for v in await oracle.check(str(path), TEXT, HOLE, ["a.x"])] == ["passed"]
        pages = Path(f"/proc/{oracle._worker.pid}/statm").read_text().split()[1]
        sizes.append(int(pages) * 4096 / 1e6)
    await oracle.close()
    assert sizes[-1] - sizes[1] < 60, sizes  # a build is 55 MB here
