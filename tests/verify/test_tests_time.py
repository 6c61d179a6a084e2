"""Tests that take long or cannot run at all: they cost no fill its verdict, and what did not run is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from astral_lsp.report import Verdict
from astral_lsp.verify.tests import TestsOracle
from tests.verify.guest_project import Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the guest forks")

ADD = "def add(a, b):\n    return $0\n"


async def verdicts(
    oracle: TestsOracle, root: Path, module: str, tests: str, *fills: str, **options: float
) -> list[Verdict]:
    """What ``test_m.py`` says of ``fills`` in ``m.py``."""
    project = Project(root)
    project.write({"test_m.py": "import os, time, m\n" + tests})
    return await project.hole("m.py", module).run(oracle, fills, **options)


SPOILERS = {
    "no end": "time.sleep(60)",
    "no end of a loop": "while True: pass",
    "an end of the process": "os._exit(3)",
}


@pytest.mark.parametrize("name", SPOILERS)
async def test_one_that_never_comes_to_the_hole_is_not_run(
    oracle: TestsOracle, tmp_path: Path, name: str
) -> None:
    tests = f"def test_spoils():\n    {SPOILERS[name]}\ndef test_add(): assert m.add(1, 2) == 3\n"
    good, bad = await verdicts(oracle, tmp_path, ADD, tests, "a + b", "a", timeout_ms=2000.0)
    assert (good.status, good.count, bad.status) == ("passed", 1, "failed"), (good, bad)
    assert "test_spoils not run" in good.detail
    assert "test_add" in bad.detail


async def test_one_that_is_known_not_to_reach_the_hole_takes_no_time(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    tests = "def test_other(): time.sleep(1.5)\ndef test_add(): assert m.add(1, 2) == 3\n"
    (good,) = await verdicts(oracle, tmp_path, ADD, tests, "a + b", timeout_ms=1400.0)
    assert (good.status, good.detail) == ("passed", "1 test")


async def test_one_that_hangs_because_the_hole_is_open_counts(oracle: TestsOracle, tmp_path: Path) -> None:
    tests = """def test_add():
    while True:
        try:
            assert m.add(1, 2) == 3
        except NotImplementedError:
            continue
        break
"""
    good, bad = await verdicts(oracle, tmp_path, ADD, tests, "a + b", "a", timeout_ms=2000.0)
    assert (good.status, good.count, bad.status) == ("passed", 1, "failed"), (good, bad)


async def test_one_that_is_slow_by_itself_proves_nothing_against_a_fill(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    tests = """def test_quick(): assert m.add(1, 2) == 3
def test_slow():
    assert m.add(1, 2) == 3
    time.sleep(5)
    assert m.add(2, 2) == 4
"""
    fills = ("a + b", "a", "[0 for _ in iter(int, 1)]")
    good, bad, endless = await verdicts(oracle, tmp_path, ADD, tests, *fills, timeout_ms=1000.0)
    assert (good.status, good.applies) == ("not_run", True), good
    assert good.detail == "test_slow: no end after 1000 ms, spent outside of the fill; 1 test passed before"
    assert (bad.status, endless.status) == ("failed", "failed"), (bad, endless)
    assert "no end after 1000 ms" in endless.detail


async def test_nothing_passes_while_one_that_reaches_the_hole_had_no_time(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    tests = "".join(
        f"def test_{name}():\n    time.sleep(0.8)\n    assert m.add(1, 2) == 3\n" for name in "abc"
    )
    (good,) = await verdicts(oracle, tmp_path, ADD, tests, "a + b", timeout_ms=1300.0)
    assert good.status == "not_run", good
    assert "test_b: no end after 1300 ms, before the fill was reached" in good.detail
    assert "1 test passed before; no time for test_c" in good.detail


async def test_what_was_not_tried_yet_runs_last_and_is_tried_between_the_calls(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    many = "".join(f"def test_{number}(): time.sleep(0.5)\n" for number in range(12))
    project = Project(tmp_path)
    project.write({"test_m.py": "import time, m\ndef test_add(): assert m.add(1, 2) == 3\n" + many})
    hole = project.hole("m.py", ADD)
    (first,) = await hole.run(oracle, ["a + b"], timeout_ms=1000.0, budget_ms=6000.0)
    assert (first.status, first.count) == ("passed", 1), first
    assert "no end after 1000 ms, before the fill was reached; no time for test_" in first.detail
    for _ in range(8):
        (last,) = await hole.run(oracle, ["a + b"], timeout_ms=1000.0, budget_ms=6000.0)
        assert (last.status, last.count) == ("passed", 1), last
        if last.detail == "1 test":
            return
    pytest.fail(f"there are always tests left to try: {last}")


async def test_where_the_hole_runs_at_import_those_that_use_it_run_first(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    tests = (
        "def test_slow(): time.sleep(60)\ndef test_other(): time.sleep(0.7)\n"
        "def test_more(): time.sleep(0.7)\ndef test_limit(): assert m.LIMIT == 3\n"
    )
    good, bad, again = await verdicts(
        oracle, tmp_path, "LIMIT = $0\n", tests, "3", "4", "1 + 2", timeout_ms=1000.0
    )
    assert [good.status, bad.status, again.status] == ["passed", "failed", "passed"], (good, bad, again)
    assert "test_slow not run" in good.detail
    assert "test_limit" in bad.detail


async def test_where_the_hole_runs_at_import_tests_that_do_not_use_it_prove_nothing(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    tests = "def test_other(): assert m\ndef test_slow(): time.sleep(60)\n"
    (verdict,) = await verdicts(oracle, tmp_path, "TABLE = []\n$0\n", tests, "x = 1", timeout_ms=1000.0)
    assert verdict.status == "not_run"
    assert "test_slow: no end after 1000 ms" in verdict.detail


# --- tests that pytest cannot begin -------------------------------------------------------------------------

UNBEGUN = "def test_with(no_plugin_has_this):\n    assert m.{use}\ndef test_plain(): assert m.{use}\n"
MISSING = {
    "a function": (ADD, "add(1, 2) == 3", "a + b", "a"),
    "a value": ("LIMIT = $0\n", "LIMIT == 3", "3", "4"),
    "a statement": ("TABLE = []\n$0\n", "TABLE == [1]", "TABLE.append(1)", "TABLE.append(2)"),
    "a whole function": ("$0\n", "one() == 1", "def one(): return 1", "def one(): return 2"),
}


@pytest.mark.parametrize("name", MISSING)
async def test_a_missing_fixture_is_named_and_not_held_against_a_fill(
    oracle: TestsOracle, tmp_path: Path, name: str
) -> None:
    module, use, right, wrong = MISSING[name]
    good, bad = await verdicts(oracle, tmp_path, module, UNBEGUN.format(use=use), right, wrong)
    assert (good.status, good.count, bad.status) == ("passed", 1, "failed"), (good, bad)
    assert "1 test cannot run: fixture 'no_plugin_has_this' not found" in good.detail
    assert "test_plain" in bad.detail


@pytest.mark.parametrize("name", MISSING)
async def test_when_all_lack_it_nothing_is_said_to_pass(
    oracle: TestsOracle, tmp_path: Path, name: str
) -> None:
    module, use, right, wrong = MISSING[name]
    tests = f"def test_with(no_plugin_has_this): assert m.{use}\n"
    for verdict in await verdicts(oracle, tmp_path, module, tests, right, wrong):
        assert (verdict.status, verdict.applies) == ("not_run", True), verdict
        assert "no test that ran reaches this hole; 1 test cannot run: fixture" in verdict.detail


async def test_a_fixture_that_the_fill_was_to_define_counts(oracle: TestsOracle, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"test_m.py": "def test_it(three): assert three == 3\n"})
    hole = project.hole("conftest.py", "import pytest\n\n@pytest.fixture\ndef $0(): return 3\n")
    good, bad = await hole.run(oracle, ["three", "four"])
    assert (good.status, bad.status) == ("passed", "failed"), (good, bad)


async def test_coroutines_without_a_plugin_are_not_held_against_a_fill(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    project = Project(tmp_path)
    project.write(
        {
            "pytest.ini": "[pytest]\naddopts = -p no:asyncio -p no:anyio\n",
            "test_m.py": "import m\nasync def test_a(): assert m.X == 1\ndef test_b(): assert m.X == 1\n",
        }
    )
    good, bad = await project.hole("m.py", "X = 0\n$0\n").run(oracle, ["X = 1", "X = 2"])
    assert (good.status, bad.status) == ("passed", "failed"), (good, bad)
    assert "1 test cannot run: no plugin for coroutines" in good.detail
