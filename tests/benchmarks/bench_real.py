"""Both oracles on real packages with their tests, beside a cold ``mypy`` and ``pytest`` in the same run.

    python -m tests.benchmarks.bench_real [--projects NAME==VERSION:PACKAGE,...] [--holes 12]

Source distributions are fetched with pip (``--folder`` takes unpacked ones instead). In each, holes are cut
into real functions; the text that was there must pass and a text that raises NameError must fail where tests
reach it. `fuzz_tests` is the long form, with mutants.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from astral_lsp.holes.model import Span, replace_span
from astral_lsp.report import Verdict
from astral_lsp.verify.tests import TestsOracle
from astral_lsp.verify.types import TypesOracle
from tests.benchmarks.real_holes import RealHole, cut
from tests.verify.guest_project import digest

PROJECTS = "boltons==26.2.0:boltons,asyncstdlib==3.14.0:asyncstdlib,tinydb==4.9.0:tinydb"
"""Plain asserts, parameters and doctests; coroutines; fixtures, a conftest and annotations."""
REPEATS = 3
BUDGET_MS = 120_000.0


@dataclass
class Figures:
    """Milliseconds of warm candidates, and what was said."""

    types: list[float] = field(default_factory=list)
    tests: list[float] = field(default_factory=list)
    said: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def count(self, key: str) -> None:
        """One more of ``key``."""
        self.said[key] = self.said.get(key, 0) + 1


def fetch(specification: str, folder: Path) -> Path | None:
    """Download and unpack a source distribution; returns its folder, None when pip cannot."""
    made = folder / specification.replace("==", "-")
    made.mkdir()
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    if subprocess.run([*command, "-d", str(made), specification], check=False).returncode:
        return None
    (archive,) = made.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(made, filter="data")
    return next(path for path in made.iterdir() if path.is_dir())


def unpacked(projects: str, folder: Path | None, scratch: Path) -> Iterator[tuple[str, Path, str]]:
    """(NAME==VERSION, folder of the distribution, PACKAGE) of ``projects``, from ``folder`` or fetched into
    ``scratch``; says which ones it cannot fetch."""
    for entry in projects.split(","):
        name, _, package = entry.partition(":")
        found = fetch(name, scratch) if folder is None else folder / name.replace("==", "-")
        if found is None:
            print(f"{name}: skipped, pip cannot fetch it")
        else:
            yield name, found.resolve(), package


def cold(command: list[str], root: Path) -> float:
    """Milliseconds of a new process, the better of two runs."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    times = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", *command], cwd=root, env=env, capture_output=True, check=False)
        times.append((time.perf_counter() - start) * 1e3)
    return min(times)


async def measure(root: Path, holes: list[RealHole]) -> Figures:
    """Ask both oracles about every hole."""
    figures = Figures()
    tests, types = TestsOracle(), TypesOracle()
    about = await tests.open(root, sys.executable, trusted=True)
    if isinstance(about, Verdict):
        sys.exit(f"no tests oracle: {about.detail}")
    if why := await types.open(str(root), sys.executable, True):
        sys.exit(f"no types oracle: {why}")
    try:
        for hole in holes:
            await _measure(root, hole, figures, tests, types)
    finally:
        await tests.close()
        await types.close()
    return figures


async def _measure(
    root: Path, hole: RealHole, figures: Figures, tests: TestsOracle, types: TypesOracle
) -> None:
    path = root / hole.file
    text = replace_span(path.read_text("utf-8"), hole.span, "...")
    span = Span(hole.span.start, hole.span.start + 3)
    fills = [hole.original, hole.wrong, *[hole.original] * REPEATS]
    judged = await types.check(str(path), text, span, fills, budget_ms=BUDGET_MS)
    ran = await tests.run(path, text, span, fills, timeout_ms=20_000, budget_ms=BUDGET_MS)
    figures.types += [verdict.elapsed_ms for verdict in judged[2:]]
    figures.tests += [v.elapsed_ms for v in ran[2:] if v.status == "passed"]
    place = f"{hole.file}:{hole.line} {hole.function} ({hole.kind})"
    reached = ran[1].status == "failed"
    figures.count("holes that tests reach" if reached else "holes that no test reaches")
    for what, verdict, right in (("original", ran[0], "passed"), ("wrong", ran[1], "failed")):
        if verdict.status not in (right, "not_run") or (reached and verdict.status != right):
            figures.wrong.append(f"tests, {what}: {verdict.status}, {verdict.detail} at {place}")
    silenced = "type: ignore" in judged[1].detail  # by the author, on that very line
    if judged[1].status != "failed" and judged[1].applies and not silenced:  # else no mypy looks there
        figures.wrong.append(f"types, wrong: {judged[1].status}, {judged[1].detail} at {place}")
    said = judged[0].status if judged[0].applies else "left alone"
    figures.count(f"originals {said} by mypy")


def show(name: str, figures: Figures, cold_types: float, cold_tests: float) -> None:
    """One block of the table."""
    print(f"{name}: {', '.join(f'{number} {what}' for what, number in figures.said.items())}")
    rows = (("mypy", figures.types, cold_types), ("pytest", figures.tests, cold_tests))
    for label, times, reference in rows:
        if times:
            middle = statistics.median(times)
            print(
                f"  {label:7} a warm candidate {middle:8.1f} ms, cold {reference:8.0f} ms: "
                f"1/{reference / middle:.0f} of cold"
            )
    for line in figures.wrong:
        print(f"  WRONG {line}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--projects", default=PROJECTS)
    parser.add_argument("--folder", type=Path, help="holds the unpacked distributions, NAME-VERSION each")
    parser.add_argument("--holes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for name, root, package in unpacked(args.projects, args.folder, Path(scratch)):
            files = [
                p for p in sorted((root / package).rglob("*.py")) if "test" not in str(p.relative_to(root))
            ]
            before = digest(root)
            figures = asyncio.run(measure(root, cut(root, files, args.holes, args.seed)))
            if digest(root) != before:
                figures.wrong.append("the tree has changed")
            cold_types = cold(["mypy", "--cache-dir=/dev/null", "--check-untyped-defs", package], root)
            cold_tests = cold(["pytest", "-q", "-p", "no:cacheprovider"], root)
            show(name, figures, cold_types, cold_tests)


if __name__ == "__main__":
    main()
