"""Holes in which only a fill can stand: the whole file is judged, and what cannot be told is said."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict
from astral_lsp.verify.types import TypesOracle

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def oracle(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[TypesOracle, Path]]:
    root = tmp_path_factory.mktemp("workspace")
    made = TypesOracle()
    assert await made.open(str(root), sys.executable, False) == ""
    yield made, root
    await made.close()


async def check(
    oracle: tuple[TypesOracle, Path], marked: str, *fills: str, written: str = ""
) -> list[Verdict]:
    """Verdicts of ``fills`` of the range at ``$0``, in which ``written`` stands."""
    before, after = marked.split("$0")
    at = len(before)
    path = str(oracle[1] / "buffer.py")
    hole = Span(at, at + len(written))
    return await oracle[0].check(path, before + written + after, hole, fills, [], budget_ms=30000)


LINE = "def f(xs: list[int]) -> int:\n    total = 0\n$0\n        total += x\n    return total\n"


async def test_a_missing_line_of_a_block(oracle: tuple[TypesOracle, Path]) -> None:
    right, wrong, broken = await check(
        oracle, LINE, "    for x in xs:", "    for x in xs.items():", "    for x on xs:"
    )
    assert right.status == "passed"
    assert "does not parse" in right.detail
    assert wrong.status == "failed"
    [finding] = wrong.findings
    assert 'no attribute "items"' in finding.message
    assert broken.status in ("failed", "unavailable")


async def test_half_of_a_word(oracle: tuple[TypesOracle, Path]) -> None:
    marked = "def f(xs: list[int]) -> int:\n    ret$0n(xs)\n"
    right, wrong = await check(oracle, marked, "urn le", "urn mi + le")
    assert right.status == "passed"
    assert wrong.status == "failed"


async def test_errors_elsewhere_are_nobodys(oracle: tuple[TypesOracle, Path]) -> None:
    [verdict] = await check(oracle, LINE + "\n\nz: int = ''\n", "    for x in xs:")
    assert verdict.status == "unavailable"
    assert "outside the fill" in verdict.detail
    assert "line 8" in verdict.detail


async def test_what_stood_there_tells_whose_errors_are_whose(oracle: tuple[TypesOracle, Path]) -> None:
    marked = LINE + "\n\nz: int = ''\n"
    right, wrong, same = await check(
        oracle,
        marked,
        "    for x in set(xs):",
        "    for y in xs:",
        "    for x in xs:",
        written="    for x in xs:",
    )
    assert (right.status, wrong.status, same.status) == ("passed", "failed", "passed")
    assert any('"x"' in finding.message for finding in wrong.findings)


async def test_another_fill_tells_too(oracle: tuple[TypesOracle, Path]) -> None:
    marked = "def f(l: list[int]) -> int:\n$0m\n"
    right, wrong = await check(oracle, marked, "    m = max(l)\n    return ", "    return max(l)\n\n")
    assert (right.status, wrong.status) == ("passed", "failed")


async def test_an_ordinary_hole_is_judged_as_ever_before_and_after(oracle: tuple[TypesOracle, Path]) -> None:
    for _ in range(2):
        marked = "def f(xs: list[int]) -> int:\n    return $0len(xs)\n\n\nz: int = ''\n"
        good, bad = await check(oracle, marked, "1 + ", "'' + ")
        assert (good.status, bad.status) == ("passed", "failed")
        [other] = await check(oracle, LINE, "    for x in xs:")
        assert other.status == "passed"
