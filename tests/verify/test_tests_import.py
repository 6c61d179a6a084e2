"""Holes whose code runs when the module is imported: a test that fails anyway is not held against a fill."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from astral_lsp.report import Verdict
from astral_lsp.verify.tests import TestsOracle
from tests.verify.guest_project import Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the guest forks")


async def verdicts(oracle: TestsOracle, root: Path, module: str, tests: str, *fills: str) -> list[Verdict]:
    """What the tests say of ``fills`` in ``m.py``."""
    project = Project(root)
    project.write({"test_m.py": tests})
    return await project.hole("m.py", module, save=False).run(oracle, fills)


BROKEN = """
    import m
    def test_broken(): assert 1 == 2
    def test_limit(): assert m.LIMIT == 3
"""


async def test_a_test_that_fails_without_the_fill_is_named_and_not_held_against_it(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    good, bad, again = await verdicts(oracle, tmp_path, "LIMIT = $0\n", BROKEN, "3", "4", "1 + 2")
    assert [good.status, bad.status, again.status] == ["passed", "failed", "passed"]
    assert good.count == 1
    assert "test_broken fails in the same way without the fill" in good.detail
    assert "test_limit" in bad.detail


PLACES = {
    "a class": ("class A:\n    x: int = $0\nLIMIT = 3\n", "m.A.x == 3"),
    "a default": ("def f(n=$0): return n\n", "m.f() == 3"),
    "a container": ("TABLE = {'a': [$0]}\n", "m.TABLE['a'] == [3]"),
    "a function that runs at import": ("def f():\n    return $0\nLIMIT = f()\n", "m.LIMIT == 3"),
    "a keyword of a call": ("LIMIT = dict(a=$0)\n", "m.LIMIT == {'a': 3}"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_in_every_place_that_runs_at_import(oracle: TestsOracle, tmp_path: Path, place: str) -> None:
    module, wanted = PLACES[place]
    tests = f"import m\ndef test_broken(): assert 1 == 2\ndef test_it(): assert {wanted}\n"
    good, bad = await verdicts(oracle, tmp_path, module, tests, "3", "4")
    assert [good.status, bad.status] == ["passed", "failed"], (good, bad)


async def test_a_test_that_fails_otherwise_with_the_fill_counts(oracle: TestsOracle, tmp_path: Path) -> None:
    tests = "import m\ndef test_it(): assert m.LIMIT is None\ndef test_use(): m.LIMIT == 3\n"
    good, bad = await verdicts(oracle, tmp_path, "LIMIT = $0\n", tests, "None", "4")
    assert [good.status, bad.status] == ["passed", "failed"]


async def test_a_statement_excuses_nothing(oracle: TestsOracle, tmp_path: Path) -> None:
    tests = "import m\ndef test_it(): assert m.TABLE == [1]\n"
    good, bad = await verdicts(oracle, tmp_path, "TABLE = []\n$0\n", tests, "TABLE.append(1)", "pass")
    assert [good.status, bad.status] == ["passed", "failed"]


async def test_a_value_that_the_import_itself_needs_excuses_nothing(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    tests = "import m\ndef test_broken(): assert 1 == 2\ndef test_it(): assert m.P.match('a')\n"
    (found,) = await verdicts(oracle, tmp_path, "import re\nP = re.compile($0)\n", tests, "'a'")
    assert found.status == "failed"
    assert "test_broken" in found.detail


async def test_tests_that_hang_without_the_fill_cost_only_themselves(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    tests = (
        "import m\ndef test_broken(): assert 1 == 2\n"
        "def test_wait():\n    while isinstance(m, int) or type(m.LIMIT) is not int: pass\n"
        "def test_limit(): assert m.LIMIT == 3\n"
    )
    (good,) = await verdicts(oracle, tmp_path, "LIMIT = $0\n", tests, "3")
    assert good.status == "passed"
