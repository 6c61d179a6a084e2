"""The tests oracle without forks: each fill in a process of its own on a copy, which verdicts say."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from astral_lsp.verify.tests import TestsOracle
from tests.verify.guest_project import Project, digest, live_processes
from tests.verify.test_unsaved import unsaved

ADD = "def add(a, b):\n    return $0\n"
TEST_ADD = "from m import add\ndef test_add(): assert add(1, 2) == 3\ndef test_other(): assert True\n"
NAMED = "sandbox: none, a subprocess on a copy"


@pytest_asyncio.fixture
async def oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestsOracle]:
    monkeypatch.setenv("ASTRAL_GUEST_PLAIN", "1")
    made = TestsOracle()
    opened = await made.open(tmp_path, sys.executable, trusted=True)
    assert isinstance(opened, dict)
    assert opened["isolation"] == "copy"
    assert not any(opened["sandbox"].values())
    yield made
    await made.close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


async def test_verdicts_and_what_they_name(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": TEST_ADD})
    hole = project.hole("m.py", ADD)
    good, bad, broken = await hole.run(oracle, ["a + b", "a.nope", "a +"])
    assert (good.status, good.count, good.detail) == ("passed", 1, f"1 test; {NAMED}")
    assert bad.status == "failed"
    assert "test_add: AttributeError" in bad.detail
    assert NAMED in bad.detail
    assert bad.findings[0].span is not None
    assert broken.status == "failed"
    assert "does not parse" in broken.detail


async def test_doctests_and_functions_that_no_test_reaches(oracle: TestsOracle, project: Project) -> None:
    text = 'def one():\n    """\n    >>> one()\n    1\n    """\n    return $0\n'
    good, bad = await project.hole("m.py", text).run(oracle, ["1", "2"])
    assert (good.status, good.count, bad.status) == ("passed", 1, "failed")
    (none,) = await project.hole("n.py", ADD).run(oracle, ["a"])
    assert (none.status, none.applies) == ("not_run", False)


async def test_where_the_hole_runs_at_import(oracle: TestsOracle, project: Project) -> None:
    tests = "import m\ndef test_broken(): assert 1 == 2\ndef test_limit(): assert m.LIMIT == 3\n"
    project.write({"test_m.py": tests})
    good, bad = await project.hole("m.py", "LIMIT = $0\n").run(oracle, ["3", "4"])
    assert [good.status, bad.status] == ["passed", "failed"], (good, bad)
    assert "test_broken fails in the same way without the fill" in good.detail


@pytest.mark.parametrize("hole", ["return $0", "$0"])
async def test_one_that_never_comes_to_the_hole_costs_no_verdict(
    oracle: TestsOracle, project: Project, hole: str
) -> None:
    project.write({"test_m.py": "import time, m\ndef test_slow(): time.sleep(60)\n" + TEST_ADD})
    fills = ["a + b", "a"] if "return" in hole else ["return a + b", "return a"]
    asked = project.hole("m.py", f"def add(a, b):\n    {hole}\n")
    good, bad = await asked.run(oracle, fills, timeout_ms=2000.0)
    assert (good.status, good.count, bad.status) == ("passed", 1, "failed"), (good, bad)
    assert "test_slow not run" in good.detail


WRECKERS = {
    "a loop": ("[0 for _ in iter(int, 1)]", "no end after"),
    "an end of the process": ("__import__('os')._exit(7)", "exit code 7"),
    "an exit": ("exit(3)", "SystemExit"),
}


@pytest.mark.parametrize("name", WRECKERS)
async def test_a_fill_that_wrecks_its_run_fails_and_the_next_is_unaffected(
    oracle: TestsOracle, project: Project, name: str
) -> None:
    fill, said = WRECKERS[name]
    project.write({"test_m.py": TEST_ADD})
    bad, good = await project.hole("m.py", ADD).run(oracle, [fill, "a + b"], timeout_ms=3000.0)
    assert (bad.status, good.status) == ("failed", "passed"), (bad, good)
    assert said in bad.detail


async def test_what_a_run_writes_is_undone_and_the_users_tree_is_as_it_was(
    oracle: TestsOracle, project: Project
) -> None:
    project.write(
        {
            "data.txt": "1",
            "test_m.py": """
            import pathlib
            from m import add
            def test_add():
                assert pathlib.Path("data.txt").read_text() == "1"
                assert not pathlib.Path("new.txt").exists()
                add(1, 2)
                pathlib.Path("data.txt").write_text("2")
                pathlib.Path("new.txt").write_text("3")
                pathlib.Path("test_m.py").unlink()
            """,
        }
    )
    hole = project.hole("m.py", ADD)
    before = digest(project.root)
    found = await hole.run(oracle, ["a", "b", "a + b"])
    assert [v.status for v in found] == ["passed"] * 3, found
    assert digest(project.root) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
async def test_what_a_run_starts_ends_with_it(oracle: TestsOracle, project: Project) -> None:
    mark = f"astral-sleeper-{time.time_ns()}"
    project.write({"test_m.py": TEST_ADD})
    start = "__import__('subprocess').Popen([__import__('sys').executable, '-c', "
    fill = f"{start}'import time; time.sleep(60) # {mark}']) and a + b"
    (good,) = await project.hole("m.py", ADD).run(oracle, [fill])
    assert good.status == "passed", good
    end = time.monotonic() + 5
    while live_processes(mark) and time.monotonic() < end:
        await asyncio.sleep(0.05)
    assert not live_processes(mark)


async def test_saved_and_unsaved_edits_are_seen(oracle: TestsOracle, project: Project) -> None:
    test = "from m import f\ndef test_f(): assert f(1) == 2\n"
    project.write({"test_m.py": test, "b.py": "step = 1\n"})
    hole = project.hole("m.py", "from b import step\ndef f(n):\n    return $0\n")
    assert [v.status for v in await hole.run(oracle, ["n + step"])] == ["passed"]
    others = unsaved(project.root, b="step = 5\n")
    assert [v.status for v in await hole.run(oracle, ["n + step"], unsaved=others)] == ["failed"]
    assert [v.status for v in await hole.run(oracle, ["n + step"])] == ["passed"]
    project.write({"b.py": "step = 10\n"})
    assert [v.status for v in await hole.run(oracle, ["n + step"])] == ["failed"]


async def test_who_requires_a_sandbox_runs_nothing(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": TEST_ADD})
    assert isinstance(await oracle.open(project.root, sys.executable, "require", True), dict)
    (verdict,) = await project.hole("m.py", ADD).run(oracle, ["a + b"])
    assert verdict.status == "not_run"
    assert "the sandbox lacks" in verdict.detail


async def test_cancelling_ends_the_run(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": TEST_ADD})
    hole = project.hole("m.py", ADD)
    running = asyncio.ensure_future(hole.run(oracle, ["[x for x in iter(int, 1)]"], timeout_ms=50_000))
    await asyncio.sleep(1.5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    began = time.monotonic()
    (verdict,) = await hole.run(oracle, ["a + b"])
    assert verdict.status == "passed"
    assert time.monotonic() - began < 40


async def test_a_copy_with_forks_sees_saved_edits_too(tmp_path: Path) -> None:
    oracle = TestsOracle()
    try:
        assert isinstance(await oracle.open(tmp_path, sys.executable, "off", True), dict)
        project = Project(tmp_path)
        project.write({"test_m.py": "import m\ndef test_it(): assert m.X == 1\n"})
        hole = project.hole("m.py", "X = 0\n$0\n")
        assert [v.status for v in await hole.run(oracle, ["X = 1", "X = 2"])] == ["passed", "failed"]
        project.write({"test_m.py": "import m\ndef test_it(): assert m.X == 2\n"})
        assert [v.status for v in await hole.run(oracle, ["X = 1", "X = 2"])] == ["failed", "passed"]
    finally:
        await oracle.close()


WITHOUT = """
import os, signal, sys
for name in "fork forkpty waitid pidfd_open setsid WIFSIGNALED O_PATH O_CLOEXEC getuid".split():
    if hasattr(os, name):
        delattr(os, name)
del signal.SIGUSR2
sys.modules["fcntl"] = sys.modules["resource"] = None
"""


async def test_it_needs_nothing_that_only_unix_has(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(WITHOUT)
    monkeypatch.setenv("PYTHONPATH", str(site))
    oracle = TestsOracle()
    try:
        opened = await oracle.open(tmp_path, sys.executable, trusted=True)
        assert isinstance(opened, dict), opened
        assert opened["isolation"] == "copy"
        project = Project(tmp_path)
        project.write({"test_m.py": TEST_ADD})
        fills = ["a + b", "a", "__import__('os')._exit(7)", "[0 for _ in iter(int, 1)]"]
        found = await project.hole("m.py", ADD).run(oracle, fills, timeout_ms=3000.0)
        assert [v.status for v in found] == ["passed", "failed", "failed", "failed"], found
        assert NAMED in found[0].detail
    finally:
        await oracle.close()
