"""Every benchmark in turn: ``python -m tests.benchmarks [NAME ...]``. Run it on an otherwise idle machine."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

NAMES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main() -> None:
    wanted = sys.argv[1:] or NAMES
    if unknown := set(wanted) - set(NAMES):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))} (there are: {', '.join(NAMES)})")
    for name in wanted:
        print(f"\n== {name}", flush=True)
        sys.argv = [f"bench_{name}"]
        runpy.run_module(f"tests.benchmarks.bench_{name}", run_name="__main__")


main()
