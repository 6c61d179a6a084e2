"""Other open buffers: both oracles judge a fill in the program as the editor has it, not as the disk does."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict
from astral_lsp.verify.tests import TestsOracle
from astral_lsp.verify.types import TypesOracle
from astral_lsp.workers.buffers import Unsaved
from tests.verify.guest_project import Project, digest, open_guest
from tests.verify.test_types_projects import PYTHON, lay

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="the guest forks")


# --- types ----------------------------------------------------------------------------------------------

USER = "from b import B\ndef f() -> int:\n    return $0\n"


class Types:
    """An oracle on a workspace."""

    def __init__(self, oracle: TypesOracle, root: Path) -> None:
        self.oracle, self.root = oracle, root

    async def one(self, fill: str, name: str = "a.py", marked: str = USER, **unsaved: str) -> Verdict:
        """The verdict of ``fill`` in ``name``; ``unsaved``: texts of other modules, ``...`` is a hole."""
        at = marked.index("$0")
        text = marked.replace("$0", "...")
        buffers = [self._buffer(module, said) for module, said in sorted(unsaved.items())]
        (verdict,) = await self.oracle.check(
            str(self.root / name), text, Span(at, at + 3), [fill], budget_ms=30000, unsaved=buffers
        )
        return verdict

    def _buffer(self, module: str, text: str) -> Unsaved:
        at = text.find("???")
        holes = (Span(at, at + 3),) if at >= 0 else ()
        return Unsaved(str(self.root / f"{module}.py"), text, holes)


@pytest_asyncio.fixture
async def types(tmp_path: Path) -> AsyncIterator[Types]:
    oracle = TypesOracle()
    assert await oracle.open(str(tmp_path), PYTHON) == ""
    yield Types(oracle, tmp_path)
    await oracle.close()


async def test_types_come_from_the_other_buffer(types: Types) -> None:
    lay(types.root, {"b.py": "B: int = 1\n"})
    assert (await types.one("B")).status == "passed"
    assert (await types.one("B", b="B: str = ''\n")).status == "failed"
    assert (await types.one("B", b="B: str = ''\nC = 1\n")).status == "failed"
    assert (await types.one("B")).status == "passed", "closed without being saved"
    assert (types.root / "b.py").read_text() == "B: int = 1\n"


async def test_a_module_that_was_never_saved_is_found(types: Types) -> None:
    assert (await types.one("B", b="B: str = ''\n")).status == "failed"
    assert (await types.one("B", b="B: int = 1\n")).status == "passed"


async def test_one_that_appears_while_the_program_is_warm(types: Types) -> None:
    await types.one("B")
    assert (await types.one("B", b="B: str = ''\n")).status == "failed"


async def test_holes_of_another_buffer_are_any(types: Types) -> None:
    lay(types.root, {"b.py": "B: str = ''\n"})
    assert (await types.one("B", b="B: int = ???\n")).status == "passed"
    assert (await types.one("B", b="B = ???\n")).status == "passed"


async def test_a_buffer_that_does_not_parse_leaves_what_was_there_and_is_named(types: Types) -> None:
    lay(types.root, {"b.py": "B: str = ''\n"})
    before = await types.one("B", b="def (:\n")
    assert (before.status, "left out: b.py" in before.detail) == ("failed", True)
    await types.one("B", b="B: int = 1\n")
    later = await types.one("B", b="B: int = 1\ndef (:\n")
    assert (later.status, "left out: b.py" in later.detail) == ("passed", True)
    assert (await types.one("B", b="B: int = 1\n")).detail == ""


async def test_going_back_and_forth_between_two_unsaved_files(types: Types) -> None:
    lay(types.root, {"a.py": "A: str = ''\n", "b.py": "B: str = ''\n"})
    a, b = "from b import B\nA: int = $0\n", "import a\nB: int = $0\n"
    for _ in range(2):
        assert (await types.one("B", "a.py", a, b="B: int = 1\n")).status == "passed"
        assert (await types.one("a.A", "b.py", b, a="A: int = 1\n")).status == "passed"


async def test_expected_types_follow_the_other_buffer(types: Types) -> None:
    lay(types.root, {"b.py": "def g(n: int) -> None: ...\n"})
    text = "from b import g\ndef f() -> None:\n    g(...)\n"
    at = text.index("...")
    path, hole = str(types.root / "a.py"), Span(at, at + 3)
    seen = []
    for said in ("int", "bytes", "str"):
        other = Unsaved(str(types.root / "b.py"), f"def g(n: {said}) -> None: ...\n")
        found = await types.oracle.analyse(path, text, [hole], unsaved=[other])
        seen.append(found.holes[0].expected)
    assert seen == ["int", "bytes", "str"]


async def test_a_file_saved_since_counts_as_saved(types: Types) -> None:
    lay(types.root, {"b.py": "B: int = 1\n"})
    assert (await types.one("B", b="B: str = ''\n")).status == "failed"
    lay(types.root, {"b.py": "B: int = 12345\n"})
    assert (await types.one("B")).status == "passed"


# --- tests ----------------------------------------------------------------------------------------------

MODULE = "from b import step\ndef f(n):\n    return n + $0\n"
TEST = "from a import f\ndef test_f():\n    assert f(1) == 3\n"


def unsaved(root: Path, **texts: str) -> list[Unsaved]:
    """Buffers by module name; ``???`` is a hole."""
    found = []
    for module, text in sorted(texts.items()):
        at = text.find("???")
        found.append(Unsaved(str(root / f"{module}.py"), text, (Span(at, at + 3),) if at >= 0 else ()))
    return found


@needs_fork
async def test_tests_run_with_the_other_buffers(oracle: TestsOracle, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"b.py": "step = 1\n", "test_a.py": TEST})
    hole = project.hole("a.py", MODULE)
    before = digest(tmp_path)
    assert [v.status for v in await hole.run(oracle, ["step"])] == ["failed"]
    others = unsaved(tmp_path, b="step = 2\n")
    assert [v.status for v in await hole.run(oracle, ["step", "1"], unsaved=others)] == ["passed", "failed"]
    others = unsaved(tmp_path, b="step = 2\n", test_a=TEST.replace("3", "4"))
    assert [v.status for v in await hole.run(oracle, ["step"], unsaved=others)] == ["failed"]
    assert [v.status for v in await hole.run(oracle, ["step"])] == ["failed"], "all closed"
    assert digest(tmp_path) == before


@needs_fork
async def test_tests_that_were_never_saved_run_too(oracle: TestsOracle, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"b.py": "step = 2\n"})
    hole = project.hole("a.py", MODULE)
    (none,) = await hole.run(oracle, ["step"])
    assert none.status == "not_run"
    (one,) = await hole.run(oracle, ["step"], unsaved=unsaved(tmp_path, test_a=TEST))
    assert (one.status, one.count) == ("passed", 1)
    assert not (tmp_path / "test_a.py").exists()


@needs_fork
async def test_a_hole_in_another_buffer_stops_only_the_tests_that_reach_it(
    oracle: TestsOracle, tmp_path: Path
) -> None:
    project = Project(tmp_path)
    project.write({"b.py": "step = 2\ndef more(): return 1\n"})
    hole = project.hole("a.py", "from b import more\ndef f(n):\n    return $0\n")
    test = "from a import f\ndef test_f():\n    assert f(1) == 2\n"
    others = unsaved(tmp_path, b="def more():\n    return ???\n", test_a=test)
    stopped, fine = await hole.run(oracle, ["n + more()", "n + 1"], unsaved=others)
    assert (stopped.status, stopped.detail) == (
        "not_run",
        "reaches another unfilled hole in another file",
    )
    assert fine.status == "passed"


@needs_fork
async def test_another_buffer_that_does_not_parse_is_named(oracle: TestsOracle, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"b.py": "step = 2\n", "test_a.py": TEST})
    hole = project.hole("a.py", MODULE)
    (verdict,) = await hole.run(oracle, ["step"], unsaved=unsaved(tmp_path, b="step = (\n"))
    assert verdict.status == "passed"
    assert "left out: b.py" in verdict.detail


@needs_fork
async def test_module_level_holes_see_them(oracle: TestsOracle, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"b.py": "step = 1\n", "test_a.py": "from a import X\ndef test_x():\n    assert X == 2\n"})
    hole = project.hole("a.py", "import b\nX = $0\n", save=False)
    others = unsaved(tmp_path, b="step = 2\n")
    found = await hole.run(oracle, ["b.step", "1"], unsaved=others)
    assert [v.status for v in found] == ["passed", "failed"]


@needs_fork
async def test_on_a_copy_of_the_workspace_too(tmp_path: Path) -> None:
    from astral_lsp.verify.tests import OPEN_SECONDS
    from astral_lsp.workers.buffers import ShowUnsaved
    from astral_lsp.workers.protocol import RunTests

    project = Project(tmp_path)
    project.write({"b.py": "step = 1\n", "test_a.py": TEST})
    hole = project.hole("a.py", MODULE)
    before = digest(tmp_path)
    guest = await open_guest(tmp_path, policy="off")
    try:
        await guest.call(ShowUnsaved(unsaved(tmp_path, b="step = 2\n")), timeout=OPEN_SECONDS)
        params = RunTests(str(hole.path), hole.text, hole.span, ["step", "step", "1"], [], 20_000.0, 60_000.0)
        judged = await guest.call(params, timeout=75)
    finally:
        await guest.close()
    assert [v.status for v in judged.verdicts] == ["passed", "passed", "failed"]
    assert digest(tmp_path) == before
