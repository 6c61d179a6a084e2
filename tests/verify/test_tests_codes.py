"""Files of tests are compiled once beside the work, not again for every fill; what changes is seen."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from types import CodeType

import pytest

from astral_lsp.verify.tests import TestsOracle
from astral_lsp.workers.pytest_guest.codes import Codes
from tests.verify.guest_project import Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the guest forks")


def wait_for(codes: Codes, path: Path, rewritten: bool) -> CodeType | None:
    """The code of ``path`` when the compiling process has ended."""
    before = codes.generation
    end = time.monotonic() + 60
    while time.monotonic() < end and codes.generation == before:
        codes.take()
        time.sleep(0.01)
    return codes.get(str(path), rewritten)


def test_plain_and_rewritten_code_of_a_file_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "test_m.py"
    path.write_text("def test_it():\n    assert 1 == 2\n")
    codes = Codes()
    codes.want({str(path): True})
    rewritten = wait_for(codes, path, True)
    assert rewritten is not None
    assert "@pytest_ar" in rewritten.co_names
    assert codes.get(str(path), False) is None
    codes.want({str(path): False})
    plain = wait_for(codes, path, False)
    assert plain is not None
    assert "@pytest_ar" not in plain.co_names
    path.write_text("def test_it():\n    assert 1 == 1 + 0\n")
    assert codes.get(str(path), True) is codes.get(str(path), False) is None


def test_what_cannot_be_compiled_is_tried_once_for_each_version(tmp_path: Path) -> None:
    broken, sound = tmp_path / "broken.py", tmp_path / "sound.py"
    broken.write_text("def (:\n")
    sound.write_text("x = 1\n")
    codes = Codes()
    codes.want({str(broken): False, str(sound): False})
    assert wait_for(codes, sound, False) is not None
    codes.want({str(broken): False})
    assert not codes.busy
    broken.write_text("x = 12345\n")
    codes.want({str(broken): False})
    assert wait_for(codes, broken, False) is not None


def test_a_path_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    codes = Codes()
    codes.want({str(tmp_path / "nothing.py"): True})
    assert not codes.busy
    assert codes.get(str(tmp_path / "nothing.py"), True) is None


async def test_a_large_file_of_tests_costs_a_fill_that_is_imported_its_compiling_once(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    project = Project(tmp_path)
    many = "".join(f"    assert [{n}, limit] == [{n}, limit] != {n}\n" for n in range(3000))
    tests = f"import m\ndef test_many(limit=0):\n{many}\ndef test_limit():\n    assert m.LIMIT == 3\n"
    project.write({"test_m.py": tests})
    hole = project.hole("m.py", "LIMIT = $0\n")
    (first,) = await hole.run(oracle, ["3"])
    assert (first.status, first.count) == ("passed", 2), first
    end = time.monotonic() + 60
    while time.monotonic() < end:
        await asyncio.sleep(0.2)
        good, bad = await hole.run(oracle, ["1 + 2", "4"])
        assert (good.status, bad.status) == ("passed", "failed"), (good, bad)
        assert bad.detail == "test_limit: assert 4 == 3"
        if good.elapsed_ms < first.elapsed_ms / 3:
            break
    else:
        pytest.fail(f"{first.elapsed_ms:.0f} ms at first and {good.elapsed_ms:.0f} ms in the end")
    before = os.stat(tmp_path / "test_m.py")
    project.write({"test_m.py": tests.replace("m.LIMIT == 3", "m.LIMIT == 4")})  # of the same size
    assert os.stat(tmp_path / "test_m.py").st_size == before.st_size
    was_good, was_bad = await hole.run(oracle, ["3", "4"])
    assert (was_good.status, was_bad.status) == ("failed", "passed"), (was_good, was_bad)
