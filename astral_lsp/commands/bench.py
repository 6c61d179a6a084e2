"""``astral-lsp bench infilling DATA``: the infilling protocol, one process, warm model.

The fill sees a row's prompt and suffix only. Doctests in them are visible tests; the row's own ``test``
decides afterwards and is never shown. pass@1 counts the first-ranked fill, inserted exactly as the server
would.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import platform
import statistics
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import msgspec
from rich.console import Console

from astral_lsp.commands.fill import add_engine_arguments, fill_options, load_settings
from astral_lsp.commands.judge import parses, runs_clean
from astral_lsp.commands.quantiles import middle_and_high
from astral_lsp.commands.show import Progress
from astral_lsp.config import ConfigError, Settings
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.fill.run import fill_hole
from astral_lsp.fill.session import Session
from astral_lsp.holes.model import Hole
from astral_lsp.workers.process import WorkerFailure

INTERRUPTED = 130
QUIET_SECONDS = 30.0
"""Without a terminal, a line of progress is printed so often."""


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
    """Run the benchmark; exit code 0, 2 when it cannot be run, 130 when it was interrupted."""
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
            bench = _Bench(rows, engines, Path(folder), settings, arguments, console)
            try:
                asyncio.run(bench.run())
            except KeyboardInterrupt:
                console.print("astral-lsp: interrupted; what is done counts", style="red")
            finally:
                bench.print_table()
            return 0 if bench.finished else INTERRUPTED
    except WorkerFailure as failure:
        console.print(f"astral-lsp: {failure.message}", style="red", markup=False)
    except (OSError, ValueError, ConfigError) as error:
        console.print(f"astral-lsp: {error}", style="red", markup=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 2


def read_rows(path: Path) -> Iterator[Row]:
    """Read JSON lines, gzipped or not; raises OSError, or ValueError that names the line."""
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    number = 0
    try:
        with gzip.open(path) if zipped else open(path, "rb") as stream:
            for line in stream:
                number += 1
                if line.strip():
                    yield msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"), type=Row)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}, line {number}: {error}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged after line {number}: {error}") from error


class _Bench:
    """One run: the rows, the engines, and what came of them so far."""

    def __init__(
        self,
        rows: list[Row],
        engines: list[str],
        folder: Path,
        settings: Settings,
        arguments: argparse.Namespace,
        console: Console,
    ) -> None:
        self.rows, self.engines, self.folder = rows, engines, folder
        self.settings, self.arguments, self.console = settings, arguments, console
        self.options = fill_options(settings, arguments)
        self.outcomes: list[Outcome] = []
        self.identity = ""
        self.finished = False
        self._said = time.monotonic()

    async def run(self) -> None:
        """Fill every row with every engine; each outcome is written as soon as it is known."""
        session = Session(self.settings, self.folder, trusted=True)
        terminal = self.console.is_terminal
        try:
            with _sink(self.arguments.out) as sink, Progress(self.console, quiet=not terminal) as progress:
                progress.begin("model")
                await session.start_model(progress.update)
                for number, row in enumerate(self.rows):
                    for engine in self.engines:
                        progress.begin(f"{engine} {row.task_id}")
                        progress.update(_tally(self.outcomes, engine), number / len(self.rows))
                        await self._row(session, row, engine, sink)
                    self._say(number + 1)
            self.finished = True
        finally:
            await session.close()

    async def _row(self, session: Session, row: Row, engine: str, sink: TextIO) -> None:
        options = msgspec.structs.replace(self.options, engine=engine)
        outcome, report = await _one(session, self.folder, row, options)
        self.identity = f"{report.model} · adapter {report.adapter or 'none'}"
        self.outcomes.append(outcome)
        sink.write(json.dumps(msgspec.to_builtins(outcome)) + "\n")
        sink.flush()

    def _say(self, done: int) -> None:
        """Where nobody can see a bar, a line now and then."""
        if self.console.is_terminal or time.monotonic() - self._said < QUIET_SECONDS:
            return
        self._said = time.monotonic()
        tallies = ", ".join(f"{engine} {_tally(self.outcomes, engine)}" for engine in self.engines)
        self.console.print(f"{done} of {len(self.rows)}: {tallies}", markup=False)

    def print_table(self) -> None:
        """The table of what has been done."""
        if self.outcomes:
            _table(self.outcomes, self.engines, self.arguments, self.options, self.identity)


def _sink(path: Path | None) -> contextlib.AbstractContextManager[TextIO]:
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
    await session.model.forget()  # every engine pays for its own context
    began = time.perf_counter()
    report = await fill_hole(session, document, hole, options, holes=[])
    elapsed = (time.perf_counter() - began) * 1e3
    best = next(iter(report.ranked), None)
    fill = best.text if best is not None else ""
    program = row.prompt + fill + row.suffix
    whole = parses(program)
    verdicts = best.verdicts if best is not None else None
    outcome = Outcome(
        task_id=row.task_id,
        engine=options.engine,
        fill=fill,
        passed=whole and await asyncio.to_thread(runs_clean, program, row.test, row.entry_point),
        exact=fill.strip() == row.canonical_solution.strip(),
        parses=whole,
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
    print(f"data {arguments.data.name} · every {arguments.every} · {len({o.task_id for o in outcomes})} rows")
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
        if not mine:
            continue
        middle, high = middle_and_high(outcome.ms / 1e3 for outcome in mine)
        wrong = [o for o in mine if o.verified and not o.passed]
        cells = (
            f"{engine:>9}",
            f"{_share(mine, 'passed'):>9.1%}",
            f"{_share(mine, 'exact'):>9.1%}",
            f"{_share(mine, 'parses'):>9.1%}",
            f"{_share(mine, 'verified'):>9.1%}",
            f"{len(wrong):>14d}",
            f"{statistics.mean(o.evaluations for o in mine):>14.1f}",
            f"{middle:>14.2f}",
            f"{high:>14.2f}",
        )
        print("  ".join(cells))


def _share(outcomes: list[Outcome], field: str) -> float:
    return sum(bool(getattr(outcome, field)) for outcome in outcomes) / len(outcomes)
