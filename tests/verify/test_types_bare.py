"""Holes in which only a fill can stand: the whole file is judged, and what cannot be told is said."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict
from astral_lsp.verify.types import TypesOracle

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def check(
    types: tuple[TypesOracle, Path], marked: str, *fills: str, written: str = ""
) -> list[Verdict]:
    """Verdicts of ``fills`` of the range at ``$0``, in which ``written`` stands."""
    before, after = marked.split("$0")
    at = len(before)
    path = str(types[1] / "buffer.py")
    hole = Span(at, at + len(written))
    return await types[0].check(path, before + written + after, hole, fills, [], budget_ms=30000)


LINE = "def f(xs: list[int]) -> int:\n    total = 0\n$0\n        total += x\n    return total\n"


async def test_a_missing_line_of_a_block(types: tuple[TypesOracle, Path]) -> None:
    right, wrong, broken = await check(
        types, LINE, "    for x in xs:", "    for x in xs.items():", "    for x on xs:"
    )
    assert right.status == "passed"
    assert "does not parse" in right.detail
    assert wrong.status == "failed"
    [finding] = wrong.findings
    assert 'no attribute "items"' in finding.message
    assert broken.status in ("failed", "unavailable")


async def test_half_of_a_word(types: tuple[TypesOracle, Path]) -> None:
    marked = "def f(xs: list[int]) -> int:\n    ret$0n(xs)\n"
    right, wrong = await check(types, marked, "urn le", "urn mi + le")
    assert right.status == "passed"
    assert wrong.status == "failed"


async def test_errors_elsewhere_are_nobodys(types: tuple[TypesOracle, Path]) -> None:
    [verdict] = await check(types, LINE + "\n\nz: int = ''\n", "    for x in xs:")
    assert verdict.status == "unavailable"
    assert "outside the fill" in verdict.detail
    assert "line 8" in verdict.detail


async def test_what_stood_there_tells_whose_errors_are_whose(types: tuple[TypesOracle, Path]) -> None:
    marked = LINE + "\n\nz: int = ''\n"
    right, wrong, same = await check(
        types,
        marked,
        "    for x in set(xs):",
        "    for y in xs:",
        "    for x in xs:",
        written="    for x in xs:",
    )
    assert (right.status, wrong.status, same.status) == ("passed", "failed", "passed")
    assert any('"x"' in finding.message for finding in wrong.findings)


async def test_another_fill_tells_too(types: tuple[TypesOracle, Path]) -> None:
    marked = "def f(l: list[int]) -> int:\n$0m\n"
    right, wrong = await check(types, marked, "    m = max(l)\n    return ", "    return max(l)\n\n")
    assert (right.status, wrong.status) == ("passed", "failed")


async def test_an_ordinary_hole_is_judged_as_ever_before_and_after(types: tuple[TypesOracle, Path]) -> None:
    for _ in range(2):
        marked = "def f(xs: list[int]) -> int:\n    return $0len(xs)\n\n\nz: int = ''\n"
        good, bad = await check(types, marked, "1 + ", "'' + ")
        assert (good.status, bad.status) == ("passed", "failed")
        [other] = await check(types, LINE, "    for x in xs:")
        assert other.status == "passed"


async def test_what_mypy_says_only_at_last_counts(types: tuple[TypesOracle, Path]) -> None:
    marked = (
        "class A:\n    n = ''\n    def __init__(self, d: dict[str, tuple[str, str]]) -> None:\n"
        "$0\n            a, self.b = d[x.n]\n        self.c = a\n"
    )
    right, wrong = await check(types, marked, "        for x in [self]:", "        for x in [a]:")
    assert (right.status, wrong.status) == ("passed", "failed")


UNTYPED = "def f(xs):\n    total = 0\n$0\n        total += x\n    return total\n"


async def test_an_untyped_function_is_left_alone(types: tuple[TypesOracle, Path]) -> None:
    right, wrong = await check(types, UNTYPED, "    for x in xs:", "    for x in len(3):")
    assert right.status == "passed"
    assert (wrong.status, wrong.applies) == ("not_run", False)
    assert "does not check this function" in wrong.detail
    assert '"int"' in wrong.detail
    assert wrong.findings[0].span is not None


async def test_an_untyped_function_elsewhere_is_no_ones_fault(types: tuple[TypesOracle, Path]) -> None:
    marked = LINE + "\n\ndef g(n):\n    return len(3)\n"
    right, wrong = await check(types, marked, "    for x in xs:", "    for x in xs.items():")
    assert (right.status, wrong.status) == ("passed", "failed")
    assert "with check_untyped_defs mypy would say" in right.detail
    assert len(wrong.findings) == 1


async def test_the_file_is_parsed_once_for_the_frame_and_for_bare_holes(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from astral_lsp.holes.model import Span
        from astral_lsp.workers.protocol import CheckTypes, OpenTypes
        from astral_lsp.workers.types.session import Session

        session = Session(OpenTypes(sys.argv[1], sys.executable))
        read = []
        known = session.program.syntax_error
        session.program.syntax_error = lambda path, text: read.append(text) or known(path, text)
        before = "def f(n: int) -> int:\\n    return "
        params = CheckTypes("a.py", before + "...\\n", Span(len(before), len(before) + 3), ["n", "''"])
        print([v.status for v in session.check(params, lambda: False).verdicts], len(read))
        session.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['passed', 'failed'] 1\n"


async def test_a_large_table_without_its_head_does_not_hold_the_worker_up(
    types: tuple[TypesOracle, Path],
) -> None:
    marked = "$0\n" + "".join(f'    "{number}": {number},\n' for number in range(4000)) + "}\n"
    began = time.monotonic()
    right, wrong = await check(types, marked, "TABLE = {", "TABLE: dict[str, str] = {")
    assert (right.status, wrong.status) == ("passed", "failed")
    broken = await check(types, marked, "TABLE = (")
    assert broken[0].status in ("failed", "unavailable")
    assert time.monotonic() - began < 30  # lines are not left out one after the other for ever
