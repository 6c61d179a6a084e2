"""Fills that other files see: those that import the edited file are taken into the build, or named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict
from astral_lsp.verify.types import TypesOracle
from astral_lsp.workers.buffers import Unsaved
from astral_lsp.workers.types.importers import find_importers
from tests.verify.test_types_projects import PYTHON, judge, lay

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="files are taken in after a trial in a fork")


async def verdicts(root: Path, name: str, text: str, *fills: str) -> list[Verdict]:
    """Verdicts from a fresh oracle."""
    oracle = TypesOracle()
    try:
        assert await oracle.open(str(root), PYTHON, False) == ""
        return await judge(oracle, root / name, text, *fills)
    finally:
        await oracle.close()


USE = "x: int = {}\n"
SEEN = {
    "a name": ("a.py", "LIMIT = $0\n", {"b.py": "from a import LIMIT\n" + USE.format("LIMIT")}),
    "an attribute": ("a.py", "LIMIT = $0\n", {"b.py": "import a as m\n" + USE.format("m.LIMIT")}),
    "of a class": ("a.py", "class A:\n    n = $0\n", {"b.py": "from a import A\n" + USE.format("A.n")}),
    "a sibling in a package": (
        "p/a.py",
        "LIMIT = $0\n",
        {"p/__init__.py": "", "p/b.py": "from . import a\n" + USE.format("a.LIMIT")},
    ),
    "handed on by a package": (
        "p/a.py",
        "LIMIT = $0\n",
        {"p/__init__.py": "from .a import LIMIT\n", "b.py": "from p import LIMIT\n" + USE.format("LIMIT")},
    ),
    "tests": (
        "src/a.py",
        "LIMIT = $0\n",
        {"tests/test_a.py": "from a import LIMIT\n" + USE.format("LIMIT"), "pyproject.toml": ""},
    ),
}


@needs_fork
@pytest.mark.parametrize("name", SEEN)
async def test_a_fill_must_not_break_who_imports_it(tmp_path: Path, name: str) -> None:
    file, text, others = SEEN[name]
    lay(tmp_path, others)
    good, bad = await verdicts(tmp_path, file, text, "3", "'three'")
    assert (good.status, good.detail) == ("passed", "")
    assert bad.status == "failed"
    [finding] = bad.findings
    assert finding.span is None
    assert 'expression has type "str"' in finding.message


@needs_fork
async def test_an_attribute_of_an_object_is_looked_at_ahead_or_when_the_fill_is_confirmed(
    tmp_path: Path,
) -> None:
    lay(tmp_path, {"b.py": "import a\n" + USE.format("a.A().n")})
    text = "class A:\n    def __init__(self) -> None:\n        self.n = ...\n"
    at = text.index("...")
    path, hole = str(tmp_path / "a.py"), Span(at, at + 3)
    fills = ["3", "'three'"]
    for ahead in (False, True):
        oracle = TypesOracle()
        assert await oracle.open(str(tmp_path), PYTHON, False) == ""
        if ahead:
            await oracle.check(path, text, hole, [])
        first = await oracle.check(path, text, hole, fills, budget_ms=30000)
        assert [v.status for v in first] == ["passed", "failed" if ahead else "passed"]
        good, bad = await oracle.check(path, text, hole, fills, confirm=True, budget_ms=30000)
        assert (good.status, bad.status) == ("passed", "failed")
        await oracle.close()


@needs_fork
async def test_errors_that_importers_have_anyway_are_their_own(tmp_path: Path) -> None:
    lay(tmp_path, {"b.py": "from a import LIMIT\nLIMIT.nope\ny: int = ''\n"})
    good, bad = await verdicts(tmp_path, "a.py", "class L:\n    nope = 1\nLIMIT = $0\n", "L()", "3")
    assert (good.status, bad.status) == ("passed", "failed")
    assert len(bad.findings) == 1


@needs_fork
async def test_an_importer_that_was_never_saved_counts(tmp_path: Path) -> None:
    oracle = TypesOracle()
    assert await oracle.open(str(tmp_path), PYTHON, False) == ""
    others = [Unsaved(str(tmp_path / "b.py"), "from a import LIMIT\n" + USE.format("LIMIT"), ())]
    fills = ["3", "'three'"]
    path, text, hole = str(tmp_path / "a.py"), "LIMIT = ...\n", Span(8, 11)
    good, bad = await oracle.check(path, text, hole, fills, unsaved=others, budget_ms=30000)
    await oracle.close()
    assert (good.status, good.detail, bad.status) == ("passed", "", "failed")


NAMED = {
    "broken syntax": "from a import LIMIT\nx: int = = LIMIT\n",
    "a name that is taken": None,
}


@needs_fork
@pytest.mark.parametrize("name", NAMED)
async def test_what_cannot_be_taken_in_is_named(tmp_path: Path, name: str) -> None:
    said = NAMED[name]
    if said is None:
        same = "from a import LIMIT\n" + USE.format("LIMIT")
        lay(tmp_path, {"one/run.py": same, "two/run.py": same})
    else:
        lay(tmp_path, {"b.py": said})
    (good,) = await verdicts(tmp_path, "a.py", "LIMIT = $0\n", "3")
    assert good.status == "passed"
    assert "1 file that imports this one was not checked" in good.detail


async def test_holes_in_functions_neither_wait_for_importers_nor_speak_of_them(tmp_path: Path) -> None:
    lay(tmp_path, {"b.py": NAMED["broken syntax"] or ""})
    text = "LIMIT = 3\ndef f() -> int:\n    return $0\n"
    good, bad = await verdicts(tmp_path, "a.py", text, "3", "''")
    assert (good.status, good.detail) == ("passed", "")
    assert bad.status == "failed"


@needs_fork
async def test_environments_and_excluded_files_are_no_importers(tmp_path: Path) -> None:
    use = "from a import LIMIT\n" + USE.format("LIMIT")
    lay(tmp_path, {"env3/pyvenv.cfg": "", "env3/lib/b.py": use, ".hidden/b.py": use, "old/b.py": use})
    lay(tmp_path, {"mypy.ini": "[mypy]\nexclude = ^old/\n"})
    good, other = await verdicts(tmp_path, "a.py", "LIMIT = $0\n", "3", "'three'")
    assert (good.status, good.detail, other.status) == ("passed", "", "passed")


@needs_fork
def test_without_time_they_are_named_and_taken_in_later(tmp_path: Path) -> None:
    lay(tmp_path, {"b.py": "from a import LIMIT\n" + USE.format("LIMIT")})
    program = """
        import sys
        from astral_lsp.holes.model import Span
        from astral_lsp.workers.protocol import CheckTypes, OpenTypes
        from astral_lsp.workers.types import widen
        from astral_lsp.workers.types.session import Session

        session = Session(OpenTypes(sys.argv[1], sys.executable))
        widened = widen.Importers.widen
        widen.Importers.widen = lambda self, path, seconds: widened(self, path, 0.0)
        for number in range(2):
            params = CheckTypes("a.py", "LIMIT = ...\\n", Span(8, 11), ["3", "''"], budget_ms=30000)
            for verdict in session.check(params, lambda: False).verdicts:
                print(verdict.status, verdict.detail)
            widen.Importers.widen = widened
        session.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program), str(tmp_path)], capture_output=True, text=True, check=True
    )
    note = "1 file that imports this one was not checked (b.py)"
    assert done.stdout.splitlines() == [
        f"passed {note}", f"passed {note}", "passed ", "failed 1 type error",
    ]  # fmt: skip


FORMS = {
    "from p.m import x": True,
    "from p.m import *": True,
    "import p.m": True,
    "import os, p.m as q": True,
    "from p import m": True,
    "from p import (\n    a,  # m\n    m as n,\n)": True,
    "from p import a, \\\n    m": True,
    "from . import m": True,
    "from .m import x": True,
    "    from p.m import x": True,
    "import p": False,
    "from p import a": False,
    "from q import m": False,
    "from .. import m": False,
    "from p.mm import x": False,
    "x = 'import p.m'": False,
    "# from p import m": False,
}


@pytest.mark.parametrize("line", FORMS)
def test_forms_of_imports(tmp_path: Path, line: str) -> None:
    lay(tmp_path, {"p/m.py": "", "p/other.py": f"import sys\n{line}\n"})
    found = find_importers(
        str(tmp_path),
        str(tmp_path / "p" / "m.py"),
        lambda path: ".".join(Path(path).relative_to(tmp_path).with_suffix("").parts),
        lambda path: Path(path).read_bytes(),
        60.0,
    )
    assert found.paths == ([str(tmp_path / "p" / "other.py")] if FORMS[line] else [])
    assert found.complete
