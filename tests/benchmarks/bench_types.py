"""The types oracle's speed, as ratios to a cold ``mypy`` of the same case in the same run.

    python -m tests.benchmarks.bench_types [--checks 3000]

Prints milliseconds per candidate (median and 95th percentile) through client, pipe, worker and copy.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from astral_lsp.commands.quantiles import middle_and_high
from astral_lsp.holes.model import Span
from astral_lsp.verify.types import TypesOracle
from tests.benchmarks.projects import LINE, package, single

GOOD = ["result[k] = v", "result[k] = max(result.get(k, 0), v)", "result[k] = len(k) + v", "pass"]
BAD = ["result[k] = k", "result[v] = v", "result[k] = v.foo", "result.append(v)", "result[k] = str(v)"]


def cold(path: Path, root: Path) -> float:
    """Milliseconds of the ``mypy`` command on the file without a cache, the best of two."""
    command = [sys.executable, "-m", "mypy", "--cache-dir=/dev/null", "--check-untyped-defs", str(path)]
    times = []
    for _ in range(2):
        began = time.perf_counter()
        subprocess.run(command, cwd=root, capture_output=True, check=False)
        times.append(time.perf_counter() - began)
    return min(times) * 1000


def memory_mb(pid: int) -> float:
    """Resident megabytes of a process, 0 where /proc is missing."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except OSError:
        return 0.0
    return pages * 4096 / 1e6


def _row(name: str, times: list[float], reference: float) -> None:
    middle, high = middle_and_high(times)
    print(f"  {name:44} {middle:8.2f} {high:8.2f} {reference / middle:8.0f} x")


async def _clocked(calls: int, call: object) -> list[float]:
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()  # type: ignore[operator]
        times.append((time.perf_counter() - began) * 1000)
    return times


async def measure(title: str, root: Path, path: Path, checks: int) -> None:
    """Print the table of one case."""
    text = path.read_text("utf-8")
    at = text.rindex(LINE)
    hole, inner = Span(at, at + len(LINE)), Span(at + len("result[k] = "), at + len(LINE))
    reference = cold(path, root)
    oracle = TypesOracle()
    await oracle.open(str(root), sys.executable, False)
    file = str(path)
    began = time.perf_counter()
    await oracle.analyse(file, text, [hole])
    first = (time.perf_counter() - began) * 1000
    print(f"{title}: {text.count(chr(10))} lines; cold mypy {reference:.0f} ms; first build {first:.0f} ms")
    print(f"  {'':44} {'median':>8} {'p95':>8} {'cold /':>8}")

    versions = itertools.count()

    async def inside() -> None:
        number = next(versions)
        line = f"_{number} = {number}\n        "
        moved = Span(inner.start + len(line), inner.end + len(line))
        await oracle.analyse(file, text[:at] + line + text[at:], [moved])

    async def outside() -> None:
        await oracle.analyse(file, text + f"_{next(versions)} = 1\n", [inner])

    await inside()
    _row("σ and Γ after an edit in a function", await _clocked(40, inside), reference)
    _row("σ and Γ after an edit outside of functions", await _clocked(20, outside), reference)

    async def fresh() -> None:
        await oracle.check(file, text + f"# {next(versions)}\n", hole, GOOD[:1])

    _row("first candidate after an edit (baseline, copy)", await _clocked(15, fresh), reference)
    times = []
    for number in range(15):
        edited = text + f"# ready {number}\n"
        await oracle.check(file, edited, hole, [])  # what a fill does while the model draws
        began = time.perf_counter()
        await oracle.check(file, edited, hole, GOOD[:1])
        times.append((time.perf_counter() - began) * 1000)
    _row("the same once the fill has begun", times, reference)

    async def confirm() -> None:
        await oracle.check(file, text, hole, GOOD[:1], confirm=True)

    await confirm()
    _row("confirm by a fine-grained update", await _clocked(20, confirm), reference)
    for size in (1, 8, 32):
        fills = list(itertools.islice(itertools.cycle(GOOD + BAD), size))

        async def batch(fills: list[str] = fills) -> None:
            await oracle.check(file, text, hole, fills, budget_ms=60000)

        await batch()
        times = [t / size for t in await _clocked(max(6, 64 // size), batch)]
        _row(f"a warm candidate, {size} a call", times, reference)
    await _soak(oracle, file, text, hole, checks)
    await oracle.close()


async def _soak(oracle: TypesOracle, file: str, text: str, hole: Span, checks: int) -> None:
    pid = oracle._worker.pid or 0
    fills = list(itertools.islice(itertools.cycle(GOOD + BAD), 30))
    before, halves = memory_mb(pid), []
    for _ in range(max(checks // 30, 2)):
        verdicts = await oracle.check(file, text, hole, fills, budget_ms=60000)
        halves.append(statistics.median(v.elapsed_ms for v in verdicts))
    middle = len(halves) // 2
    early, late = statistics.median(halves[:middle]), statistics.median(halves[middle:])
    print(
        f"  {len(halves) * 30} checks: {early:.2f} ms in the first half, {late:.2f} ms in the second; "
        f"worker {before:.0f} -> {memory_mb(pid):.0f} MB"
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checks", type=int, default=3000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one, many = Path(folder) / "one", Path(folder) / "many"
        one.mkdir()
        many.mkdir()
        asyncio.run(measure("one module", one, single(one), args.checks))
        asyncio.run(measure("50 files", many, package(many), args.checks))


if __name__ == "__main__":
    main()
