"""``astral-lsp bench infilling DATA``: the infilling protocol, one process, warm model.

The fill sees a row's prompt and suffix only. Doctests in them are visible tests; the row's own ``test``
decides afterwards and is never shown. pass@1 counts the first-ranked fill, inserted exactly as the server
would.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec
from rich.console import Console

from astral_lsp.commands.fill import add_engine_arguments, fill_options, load_settings
from astral_lsp.commands.show import Progress
from astral_lsp.config import ConfigError
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.fill.run import fill_hole
from astral_lsp.fill.session import Session
from astral_lsp.holes.model import Hole

TEST_SECONDS = 6.0


class Row(msgspec.Struct):
    """One row of an infilling data set (the format of HumanEval-Infilling)."""

    task_id: str
    entry_point: str
    prompt: str
    suffix: str
    canonical_solution: str
    test: str


class Outcome(msgspec.Struct):
    """What one engine made of one row; a line of ``--out``."""

    task_id: str
    engine: str
    fill: str
    """Exactly as it would be inserted; '' when there is none."""
    passed: bool
    exact: bool
    parses: bool
    verified: bool
    verdicts: dict[str, str]
    score: float
    candidates: int
    evaluations: int
    ms: float
    message: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``astral-lsp bench``."""
    parser.add_argument("what", choices=("infilling",))
    parser.add_argument("data", type=Path, metavar="DATA.jsonl[.gz]")
    add_engine_arguments(parser)
    parser.add_argument("--engines", metavar="A,B", help="several engines on the same rows, in one run")
    parser.add_argument("--no-types", action="store_true", help="do not ask mypy")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="every Kth row")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="at most N rows")
    parser.add_argument("--out", type=Path, metavar="FILLS.jsonl", help="one line for each row and engine")


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark; exit code 0, or 2 when the data cannot be read."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        rows = list(read_rows(arguments.data))[:: max(1, arguments.every)]
        rows = rows[: arguments.limit] if arguments.limit > 0 else rows
        if not rows:
            raise ValueError(f"{arguments.data}: no rows")
        with tempfile.TemporaryDirectory(prefix="astral-bench-") as folder:
            settings = load_settings(Path(folder), arguments)
            engines = arguments.engines.split(",") if arguments.engines else [settings.fill.engine]
            if unknown := set(engines) - {"ar", "flow", "hybrid"}:
                raise ValueError(f"no such engine: {', '.join(sorted(unknown))}")
            return asyncio.run(_bench(rows, engines, Path(folder), settings, arguments, console))
    except (OSError, ValueError, ConfigError, msgspec.MsgspecError) as error:
        console.print(f"astral-lsp: {error}", style="red", markup=False)
        return 2


def read_rows(path: Path) -> Iterator[Row]:
    """Read JSON lines, gzipped or not; raises OSError or msgspec.MsgspecError."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            if line.strip():
                yield msgspec.json.decode(line, type=Row)


async def _bench(
    rows: list[Row],
    engines: list[str],
    folder: Path,
    settings: Any,
    arguments: argparse.Namespace,
    console: Console,
) -> int:
    session = Session(settings, folder, trusted=True)
    base = fill_options(settings, arguments)
    outcomes: list[Outcome] = []
    identity = ""
    try:
        with _sink(arguments.out) as sink, Progress(console, quiet=not console.is_terminal) as progress:
            for number, row in enumerate(rows):
                for engine in engines:
                    progress.begin(f"{engine} {row.task_id}")
                    progress.update(_tally(outcomes, engine), number / len(rows))
                    options = msgspec.structs.replace(base, engine=engine)
                    outcome, report = await _one(session, folder, row, options)
                    identity = f"{report.model} · adapter {report.adapter or 'none'}"
                    outcomes.append(outcome)
                    sink.write(json.dumps(msgspec.to_builtins(outcome)) + "\n")
                    sink.flush()
                if not console.is_terminal and (number + 1) % 20 == 0:
                    console.print(f"{number + 1}/{len(rows)} " + _tally(outcomes, engines[-1]))
    finally:
        await session.close()
    _table(outcomes, engines, arguments, base, identity)
    return 0


def _sink(path: Path | None) -> TextIO:
    return open(path or os.devnull, "w", encoding="utf-8")


async def _one(session: Session, folder: Path, row: Row, options: FillOptions) -> tuple[Outcome, FillReport]:
    text = row.prompt + row.suffix
    # one path for all rows: the oracles stay warm, and the file is never written
    document = Document(str(folder / "solution.py"), text, 0)
    # built by hand: whatever is missing between the two texts, white space at its ends included
    at = len(row.prompt)
    line = row.prompt.rpartition("\n")[2]
    indent = line[: len(line) - len(line.lstrip())]
    hole = Hole(1, "selection", "selection", "any", at, at, "", indent)
    await session.start_model()
    began = time.perf_counter()
    report = await fill_hole(session, document, hole, options, holes=[])
    elapsed = (time.perf_counter() - began) * 1e3
    best = next(iter(report.ranked), None)
    fill = best.text if best is not None else ""
    program = row.prompt + fill + row.suffix
    parses = _parses(program)
    verdicts = best.verdicts if best is not None else None
    outcome = Outcome(
        task_id=row.task_id,
        engine=options.engine,
        fill=fill,
        passed=parses and await asyncio.to_thread(runs_clean, program, row),
        exact=fill.strip() == row.canonical_solution.strip(),
        parses=parses,
        verified=best is not None and best.verified,
        verdicts={
            name: getattr(verdicts, name).status if verdicts is not None else "not_run"
            for name in ("syntax", "types", "tests")
        },
        score=best.score if best is not None else float("-inf"),
        candidates=len(report.ranked),
        evaluations=report.evaluations,
        ms=round(elapsed, 1),
        message=report.message,
    )
    return outcome, report


def runs_clean(program: str, row: Row) -> bool:
    """Whether program + test + check(entry point) runs without an error in six seconds."""
    source = f"{program}\n{row.test}\ncheck({row.entry_point})\n"
    with tempfile.TemporaryDirectory(prefix="astral-judge-") as folder:
        (Path(folder) / "case.py").write_text(source, encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, "-I", "case.py"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TEST_SECONDS,
                preexec_fn=_limit if os.name == "posix" else None,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, 16 << 20))


def _parses(program: str) -> bool:
    try:
        ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _tally(outcomes: list[Outcome], engine: str) -> str:
    mine = [outcome for outcome in outcomes if outcome.engine == engine]
    return f"pass@1 {sum(o.passed for o in mine) / len(mine):.1%} of {len(mine)}" if mine else ""


def _table(
    outcomes: list[Outcome],
    engines: list[str],
    arguments: argparse.Namespace,
    options: FillOptions,
    identity: str,
) -> None:
    print(f"data {arguments.data.name} · every {arguments.every} · {len(outcomes) // len(engines)} rows")
    types, tests = ("on" if on else "off" for on in (options.check_types, options.run_tests))
    print(
        f"candidates {options.candidates} · budget {options.budget_s:g} s · types {types} · tests {tests}"
        f" · seed {options.seed}"
    )
    print(f"model {identity} · {platform.machine()}, {os.cpu_count()} cores, {platform.system()}")
    head = ("engine", "pass@1", "exact", "parse@1", "verified", "verified&wrong", "evals/fill", "p50 s")
    print(
        "  ".join(f"{name:>14}" if index > 4 else f"{name:>9}" for index, name in enumerate((*head, "p95 s")))
    )
    for engine in engines:
        mine = [outcome for outcome in outcomes if outcome.engine == engine]
        seconds = sorted(outcome.ms / 1e3 for outcome in mine)
        wrong = [o for o in mine if o.verified and not o.passed]
        cells = (
            f"{engine:>9}",
            f"{_share(mine, 'passed'):>9.1%}",
            f"{_share(mine, 'exact'):>9.1%}",
            f"{_share(mine, 'parses'):>9.1%}",
            f"{_share(mine, 'verified'):>9.1%}",
            f"{len(wrong):>14d}",
            f"{statistics.mean(o.evaluations for o in mine):>14.1f}",
            f"{statistics.median(seconds):>14.2f}",
            f"{seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))]:>14.2f}",
        )
        print("  ".join(cells))


def _share(outcomes: list[Outcome], field: str) -> float:
    return sum(bool(getattr(outcome, field)) for outcome in outcomes) / len(outcomes)
