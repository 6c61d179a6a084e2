"""``astral-lsp fill FILE``: fill holes from the command line."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from astral_lsp.commands.positions import PositionError, lsp_range, parse_at, parse_range
from astral_lsp.commands.show import Progress, show_report
from astral_lsp.commands.source import Source, SourceError, is_stub, read_source, write_source
from astral_lsp.config import ConfigError, Settings, from_pyproject, merge
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.fill.run import fill_hole
from astral_lsp.fill.session import Session
from astral_lsp.holes.find import find_holes, hole_at, hole_from_range
from astral_lsp.holes.model import Hole, replace_span
from astral_lsp.interpreter import NoInterpreter, find_interpreter, find_root, from_command_line

SCHEMA = "astral-lsp/fill/1"
BUDGET_SECONDS = 20.0
"""An editor gives up after ten seconds; a person at a prompt rather waits for a better answer."""
DONE, NOT_ALL, BAD, INTERRUPTED = 0, 1, 2, 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``astral-lsp fill``."""
    parser.add_argument("file", type=Path, metavar="FILE")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--at", metavar="LINE:COL", help="the hole at this position (1-based)")
    where.add_argument("--range", metavar="A:B-C:D", help="make this range the hole (1-based, end exclusive)")
    where.add_argument("--hole", type=int, metavar="N", help="the Nth hole of `astral-lsp holes FILE`")
    add_engine_arguments(parser)
    parser.add_argument("--no-types", action="store_true", help="do not ask mypy")
    parser.add_argument("--interpreter", metavar="PYTHON", help="the project's Python (default: found)")
    parser.add_argument("--json", action="store_true", help="print one JSON object (see the README)")
    out = parser.add_mutually_exclusive_group()
    out.add_argument("--write", action="store_true", help="write the verified fills into FILE")
    out.add_argument("--diff", action="store_true", help="print the verified fills as a unified diff")


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that every filling command shares."""
    parser.add_argument("--engine", choices=("ar", "flow", "hybrid"))
    parser.add_argument("--candidates", type=_positive(int), metavar="N")
    parser.add_argument(
        "--budget",
        type=_positive(float),
        metavar="SECONDS",
        help=f"seconds for each hole (default {BUDGET_SECONDS:g})",
    )
    parser.add_argument("--no-tests", action="store_true", help="run no test")
    parser.add_argument("--seed", type=int, default=0, metavar="N")


def _positive(kind: type[int] | type[float]) -> Any:
    def convert(value: str) -> float:
        number = kind(value)
        if not 0 < number < 1e6:
            raise ValueError(value)
        return number

    convert.__name__ = f"positive {kind.__name__}"
    return convert


def load_settings(root: Path, arguments: argparse.Namespace) -> Settings:
    """pyproject's settings under the command line's flags; raises ConfigError."""
    changes: dict[str, Any] = {"fill": {}}
    if arguments.engine:
        changes["fill"]["engine"] = arguments.engine
    if arguments.candidates:
        changes["fill"]["candidates"] = arguments.candidates
    changes["fill"]["budgetS"] = arguments.budget or BUDGET_SECONDS
    if getattr(arguments, "interpreter", None):
        changes["interpreter"] = from_command_line(arguments.interpreter)
    return merge(from_pyproject(root), changes)


def fill_options(settings: Settings, arguments: argparse.Namespace) -> FillOptions:
    """The options of one fill: settings, then flags."""
    return FillOptions(
        engine=settings.fill.engine,
        candidates=settings.fill.candidates,
        budget_s=settings.fill.budget_s,
        max_tokens=settings.fill.max_tokens,
        run_tests=settings.verify.tests.enabled and not arguments.no_tests,
        check_types=settings.verify.types.enabled and not getattr(arguments, "no_types", False),
        seed=arguments.seed,
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns the process's exit code."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        if arguments.json and arguments.diff:
            raise UsageError("--json and --diff both print to standard output: choose one")
        source = read_source(arguments.file)
        holes = _chosen(source, arguments)
        root = find_root(source.path.resolve())
        settings = load_settings(root, arguments)
        find_interpreter(root, settings.interpreter)  # a wrong one is better named before the model loads
        return asyncio.run(_fill(source, holes, root, settings, arguments, console))
    except (SourceError, PositionError, ConfigError, NoInterpreter, UsageError) as error:
        console.print(f"astral-lsp: {error}", style="red", markup=False)
        return BAD
    except KeyboardInterrupt:
        console.print("astral-lsp: cancelled; nothing was written", style="red")
        return INTERRUPTED


def _chosen(source: Source, arguments: argparse.Namespace) -> list[Hole]:
    text = source.text
    if arguments.range:
        span = parse_range(arguments.range, text)
        return [hole_from_range(text, span.start, span.end)]
    holes = find_holes(text, stub=is_stub(source.path))
    if not holes:
        raise PositionError(f"{source.path}: no hole; write ..., __hole__ or ?name where code is missing")
    if arguments.at:
        hole = hole_at(text, parse_at(arguments.at, text))
        if hole is None:
            raise PositionError(f"{source.path}:{arguments.at}: no hole here")
        return [hole]
    if arguments.hole is not None:
        if not 1 <= arguments.hole <= len(holes):
            raise PositionError(f"{source.path}: hole {arguments.hole} of {len(holes)} does not exist")
        return [holes[arguments.hole - 1]]
    return holes


async def _fill(
    source: Source,
    holes: list[Hole],
    root: Path,
    settings: Settings,
    arguments: argparse.Namespace,
    console: Console,
) -> int:
    session = Session(settings, root, trusted=settings.trusted is not False)
    path = str(source.path.resolve())
    filling = _Filling(session, path, source.text, holes, fill_options(settings, arguments))
    out = Console(highlight=False, soft_wrap=True)
    try:
        with Progress(console, quiet=arguments.json or not console.is_terminal) as progress:
            for hole in holes:
                report = await filling.fill(hole, progress)
                if not arguments.json and not arguments.diff:
                    progress.clear()
                    show_report(out, source, hole, report)
            for hole in holes:
                if await filling.retry(hole, progress) and not arguments.json and not arguments.diff:
                    progress.clear()
                    show_report(out, source, hole, filling.reports[hole.id], again=True)
    finally:
        await session.close()
    if arguments.json:
        sys.stdout.write(_json(source, holes, filling.reports) + "\n")
    _emit(source, filling.text, arguments, console)
    verified = sum(1 for hole in holes if _winner(filling.reports[hole.id]) is not None)
    if not arguments.json:
        console.print(f"{verified} of {len(holes)} holes verified")
    return DONE if verified == len(holes) else NOT_ALL


class UsageError(ValueError):
    """Flags that do not go together."""


class _Filling:
    """Fills holes one after the other; each later hole sees the verified fills of the earlier ones."""

    def __init__(
        self, session: Session, path: str, text: str, holes: list[Hole], options: FillOptions
    ) -> None:
        self.session, self.path, self.text, self.options = session, path, text, options
        self.reports: dict[int, FillReport] = {}
        self._current = {hole.id: hole for hole in holes}
        self._version = 0

    async def fill(self, hole: Hole, progress: Progress) -> FillReport:
        """Fill one hole of the text as it is now, and take a verified fill into the text."""
        current = self._current[hole.id]
        progress.begin(f"hole {hole.id}: {hole.kind}")
        document = Document(self.path, self.text, self._version)
        report = await fill_hole(self.session, document, current, self.options, progress.update)
        self.reports[hole.id] = report
        winner = _winner(report)
        if winner is not None:
            self._accept(current, winner)
        return report

    async def retry(self, hole: Hole, progress: Progress) -> bool:
        """Fill once more what could not be verified because its tests reach a hole that is filled by now."""
        report = self.reports[hole.id]
        blocked = any(fill.verdicts.tests.detail.startswith("reaches another") for fill in report.ranked)
        others = any(_winner(other) for key, other in self.reports.items() if key != hole.id)
        if _winner(report) is not None or not blocked or not others:
            return False
        await self.fill(hole, progress)
        return True

    def _accept(self, hole: Hole, fill: str) -> None:
        self.text = replace_span(self.text, hole.span, fill)
        self._version += 1
        delta = len(fill) - (hole.end - hole.start)
        for key, other in self._current.items():
            if other.start >= hole.end:
                shifted = msgspec.structs.replace(other, start=other.start + delta, end=other.end + delta)
                self._current[key] = shifted
        # function spans and hints may have moved too: take them from the new text where the hole is found
        found = {(h.start, h.end): h for h in find_holes(self.text)}
        for key, other in self._current.items():
            match = found.get((other.start, other.end))
            if match is not None:
                self._current[key] = msgspec.structs.replace(match, id=key)


def _winner(report: FillReport) -> str | None:
    """The text of the first verified fill."""
    return next((fill.text for fill in report.fills if fill.verified), None)


def _emit(source: Source, text: str, arguments: argparse.Namespace, console: Console) -> None:
    if arguments.diff:
        name = str(source.path)
        lines = difflib.unified_diff(
            source.text.splitlines(keepends=True), text.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
        sys.stdout.writelines(line if line.endswith("\n") else line + "\n" for line in lines)
    elif arguments.write and text != source.text:
        if read_source(source.path) != source:
            raise SourceError(f"{source.path}: changed while it was being filled; nothing was written")
        write_source(source, text)
        console.print(f"wrote {source.path}")


def _json(source: Source, holes: list[Hole], reports: dict[int, FillReport]) -> str:
    last = next(iter(reports.values()))
    payload = {
        "schema": SCHEMA,
        "file": str(source.path),
        "engine": last.engine,
        "model": last.model,
        "adapter": last.adapter,
        "holes": [hole_json(source.text, hole, reports[hole.id]) for hole in holes],
    }
    return msgspec.json.format(msgspec.json.encode(payload), indent=2).decode()


def hole_json(text: str, hole: Hole, report: FillReport) -> dict[str, Any]:
    """One element of ``holes`` in the JSON output; ranges are those of the file as it was read."""
    return {
        "id": hole.id,
        "kind": hole.kind,
        "range": lsp_range(text, hole.span),
        "expected_type": report.expected_type,
        "environment_size": len(report.environment.names),
        "elapsed_ms": report.elapsed_ms,
        "evaluations": report.evaluations,
        "message": report.message,
        "fills": report.ranked,
    }
