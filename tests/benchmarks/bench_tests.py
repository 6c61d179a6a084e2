"""The tests oracle beside a cold ``pytest`` of the same case: ``python -m tests.benchmarks.bench_tests``.

Cold runs and candidates take turns, so that ratios hold on a busy machine too. ``--project DIR FILE
FUNCTION`` measures a real workspace instead: FUNCTION's body is the hole, its own text the fill.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from astral_lsp.holes.model import Span, replace_span
from astral_lsp.report import Verdict
from astral_lsp.verify.tests import TestsOracle

ROUNDS = 8
CHECKS = 3000
FUNCTIONS = 60


@dataclass
class Case:
    """A hole with a fill that passes and one that does not."""

    root: Path
    path: Path
    text: str
    hole: Span
    good: str
    bad: str
    tests: list[str]
    """What a cold pytest is given: the tests that reach the hole; [] for all."""


@dataclass
class Times:
    """Milliseconds by what was measured."""

    cold: list[float] = field(default_factory=list)
    passed: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    first: float = 0.0


def synthetic(root: Path) -> Case:
    """A module of about 300 lines with 60 functions, 123 tests, three of them for the one with the hole."""
    lines = ["from __future__ import annotations", "", "from dataclasses import dataclass", ""]
    tests = ["import pytest", "import stock", ""]
    for number in range(FUNCTIONS):
        lines += [
            f"def scale{number}(x: int) -> int:",
            f"    factor = {number} + 1",
            "    return x * factor",
            "",
            "",
        ]
        tests += [f"@pytest.mark.parametrize('x', [1, 2])\ndef test_scale{number}(x): "
                  f"assert stock.scale{number}(x) == x * {number + 1}"]  # fmt: skip
    head = "def merge(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:\n    out = dict(a)\n"
    head += "    for key, value in b.items():\n        out[key] = "
    text = "\n".join(lines) + "\n" + head + "...\n    return out\n"
    start = text.index("out[key] = ...") + len("out[key] = ")
    tests += [
        "def test_merge_empty(): assert stock.merge({}, {'a': 1}) == {'a': 1}",
        "def test_merge_both(): assert stock.merge({'a': 1}, {'a': 2, 'b': 3}) == {'a': 3, 'b': 3}",
        "def test_merge_keeps():\n    a = {'a': 1}\n    stock.merge(a, {'a': 5})\n    assert a == {'a': 1}",
    ]
    (root / "tests").mkdir()
    path = root / "stock.py"
    path.write_text(text)
    (root / "tests" / "test_stock.py").write_text("\n".join(tests) + "\n")
    chosen = [f"tests/test_stock.py::test_merge_{name}" for name in ("empty", "both", "keeps")]
    return Case(
        root, path, text, Span(start, start + 3), "out.get(key, 0) + value", "out.get(key, 1) + value", chosen
    )


def real(root: Path, file: str, function: str) -> Case:
    """The body of ``function`` in ``file`` as a hole; its own text passes, ``raise ValueError`` does not."""
    path = root / file
    text = path.read_text("utf-8")
    lines = text.splitlines(keepends=True)
    node = next(
        part
        for part in ast.walk(ast.parse(text))
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)) and part.name == function
    )
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    start = sum(map(len, lines[: body[0].lineno - 1])) + body[0].col_offset
    end_line = body[-1].end_lineno or body[-1].lineno
    end = sum(map(len, lines[:end_line])) - 1
    return Case(root, path, text, Span(start, end), text[start:end], "raise ValueError", [])


def cold_pytest(case: Case) -> float:
    """Milliseconds of a new pytest process on the filled file (the workspace is ours to write)."""
    before = case.path.read_bytes()
    case.path.write_text(replace_span(case.text, case.hole, case.good))
    try:
        start = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *case.tests]
        subprocess.run(
            command, cwd=case.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        return (time.perf_counter() - start) * 1e3
    finally:
        case.path.write_bytes(before)


async def opened(case: Case, policy: Literal["prefer", "off"]) -> TestsOracle:
    oracle = TestsOracle()
    about = await oracle.open(case.root, sys.executable, policy, trusted=True)
    if isinstance(about, Verdict):
        sys.exit(f"the oracle cannot start: {about.detail}")
    return oracle


async def judge(oracle: TestsOracle, case: Case, fill: str, want: str) -> Verdict:
    (verdict,) = await oracle.run(
        case.path, case.text, case.hole, [fill], timeout_ms=20_000, budget_ms=120_000
    )
    if verdict.status != want:
        sys.exit(f"expected {want}, got {verdict}")
    return verdict


async def measure(case: Case, rounds: int) -> tuple[Times, Verdict]:
    """Cold runs and candidates in turn."""
    times = Times()
    oracle, bare = await opened(case, "prefer"), await opened(case, "off")
    try:
        start = time.perf_counter()
        verdict = await judge(oracle, case, case.good, "passed")
        times.first = (time.perf_counter() - start) * 1e3
        await judge(bare, case, case.good, "passed")
        await judge(oracle, case, case.bad, "failed")
        for _ in range(rounds):
            times.cold.append(cold_pytest(case))
            await judge(oracle, case, case.good, "passed")  # pytest wrote into the workspace: collects again
            for _ in range(3):
                times.passed.append((await judge(oracle, case, case.good, "passed")).elapsed_ms)
                times.failed.append((await judge(oracle, case, case.bad, "failed")).elapsed_ms)
                times.plain.append((await judge(bare, case, case.good, "passed")).elapsed_ms)
    finally:
        await oracle.close()
        await bare.close()
    return times, verdict


def tree_mb(pid: int) -> float:
    """Megabytes of a process and all below it, shared pages divided among them; 0 where /proc is missing."""
    total, left = 0.0, [pid]
    while left:
        current = left.pop()
        try:
            rollup = Path(f"/proc/{current}/smaps_rollup").read_text("ascii")
            children = Path(f"/proc/{current}/task/{current}/children").read_text("ascii")
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1e3
        left += map(int, children.split())
    return total


async def soak(case: Case, checks: int) -> None:
    """Many checks of one hole: neither time nor memory may grow."""
    oracle = await opened(case, "prefer")
    try:
        await judge(oracle, case, case.good, "passed")
        fills, times, sizes = [case.good, case.bad] * 15, [], []
        for _ in range(max(checks // len(fills), 4)):
            found = await oracle.run(
                case.path, case.text, case.hole, fills, timeout_ms=20_000, budget_ms=600_000
            )
            if [v.status for v in found] != ["passed", "failed"] * 15:
                sys.exit(f"a wrong verdict in the soak: {found}")
            times.append(statistics.median(v.elapsed_ms for v in found))
            sizes.append(tree_mb(oracle.pid or 0))
        half = len(times) // 2
        early, late = statistics.median(times[:half]), statistics.median(times[half:])
        print(
            f"  {len(times) * len(fills)} checks: {early:.1f} ms in the first half, {late:.1f} ms in the "
            f"second; worker and sandbox {sizes[0]:.0f} -> {sizes[half]:.0f} -> {sizes[-1]:.0f} MB"
        )
    finally:
        await oracle.close()


def show(name: str, times: Times, verdict: Verdict) -> None:
    """One block of the table."""
    cold = statistics.median(times.cold)
    print(f"{name}: {verdict.detail}")
    rows = [
        ("cold pytest", times.cold),
        ("first fill: sandbox, collection, selection", [times.first]),
        ("candidate, passes", times.passed),
        ("candidate, fails", times.failed),
        ("candidate, passes, sandbox off", times.plain),
    ]
    for label, values in rows:
        middle = statistics.median(values)
        print(f"  {label:45} {middle:9.1f} ms   {middle / cold:8.4f} of cold   (least {min(values):.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--checks", type=int, default=CHECKS, help="of the soak; 0 for none")
    parser.add_argument("--project", nargs=3, metavar=("DIR", "FILE", "FUNCTION"), default=None)
    options = parser.parse_args()
    if options.project is not None:
        folder, file, function = options.project
        case = real(Path(folder).resolve(), file, function)
        show(f"{folder} {file} {function}", *asyncio.run(measure(case, options.rounds)))
        return
    with tempfile.TemporaryDirectory() as name:
        case = synthetic(Path(name).resolve())
        show("three relevant tests of 123", *asyncio.run(measure(case, options.rounds)))
        if options.checks:
            asyncio.run(soak(case, options.checks))


if __name__ == "__main__":
    main()
