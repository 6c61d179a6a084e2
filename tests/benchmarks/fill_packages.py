"""How well and how fast holes in real packages are filled: exact match, parse@1, type@1, by kind of hole.

    python -m tests.benchmarks.fill_packages --packages pathspec,filelock,platformdirs,pygls --holes 400

The packages are copied from ``--python``'s site-packages (of this interpreter, if not given); choose such as
the adapter was not trained on (model/training/manifest.toml). Every engine fills the same holes with one
candidate and nothing verified; mypy judges the fill afterwards, outside the time. The context of a hole is
read once, ahead of all engines, and timed apart (`fill.readAhead` in an editor). A run goes on from what
``--out`` holds.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "model"))  # the cutter of training data is not part of the installed package

from training.holes import WEIGHTS, SourceText, cut  # noqa: E402

from astral_lsp.commands.quantiles import middle_and_high  # noqa: E402
from astral_lsp.config import ModelSettings, Settings  # noqa: E402
from astral_lsp.fill.document import Document  # noqa: E402
from astral_lsp.fill.report import FillOptions  # noqa: E402
from astral_lsp.fill.run import fill_hole  # noqa: E402
from astral_lsp.fill.session import Session  # noqa: E402
from astral_lsp.holes.find import find_holes  # noqa: E402
from astral_lsp.holes.model import Hole  # noqa: E402
from tests.benchmarks.fuzz_types import lay_out  # noqa: E402
from tests.benchmarks.outcomes import read_outcomes, write_outcome  # noqa: E402

RANGES = ("line", "block", "rest_of_line", "span")
"""Kinds that a person selects; the others are written as a placeholder."""
MOST_PER_FILE = 12
GROUPS = {
    "expression": frozenset(WEIGHTS) - {*RANGES, "body"},
    "line": frozenset(("line", "rest_of_line")),
    "block, body": frozenset(("block", "body")),
    "span": frozenset(("span",)),
}


@dataclass(frozen=True)
class Case:
    """A hole in a file of a package, and what stood there."""

    file: str
    kind: str
    text: str
    start: int
    end: int
    answer: str

    def hole(self) -> Hole | None:
        """The hole as the server sees it."""
        if self.kind in RANGES:
            line = self.text[: self.start].rpartition("\n")[2]
            indent = line[: len(line) - len(line.lstrip())]
            return Hole(1, "selection", "selection", "any", self.start, self.end, "", indent)
        return next((hole for hole in find_holes(self.text) if hole.start == self.start), None)


@dataclass
class Outcome:
    """What one engine made of one case."""

    file: str
    start: int
    kind: str
    engine: str
    answer: str
    fill: str
    exact: bool
    parses: bool
    types: str
    evaluations: int
    ms: float
    """From the request to the ranked answer, the context being there."""
    context_ms: float


def cases(root: Path, count: int, seed: int) -> list[Case]:
    """``count`` holes of all kinds, the same ones each time."""
    files = sorted(path for path in root.rglob("*.py") if 800 < path.stat().st_size < 60_000)
    found: list[Case] = []
    for path in files:
        found += _of_file(path, str(path.relative_to(root)), random.Random(f"{seed} {path.name}"))
    random.Random(seed).shuffle(found)
    return found[:count]


def _of_file(path: Path, name: str, rng: random.Random) -> Iterator[Case]:
    text = path.read_text("utf-8")
    if "\r" in text or not text.isascii():
        return
    source = SourceText(text)
    functions = list(source.functions())
    rng.shuffle(functions)
    for function in functions[:MOST_PER_FILE]:
        kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        place = cut(source, function, rng, kind)
        case = _case(name, kind, text, *place) if place is not None else None
        if case is not None and 0 < len(case.answer.strip()) <= 300 and case.hole() is not None:
            yield case


def _case(name: str, kind: str, text: str, start: int, end: int) -> Case | None:
    if kind in RANGES:
        answer = text[start:end]
        return Case(name, kind, text[:start] + text[end:], start, start, answer)
    answer = text[start:end]
    start += len(answer) - len(answer.lstrip())
    answer = answer.strip()
    mark = "..." if kind == "body" else "__hole__"
    rest = text[start + len(answer) :]
    return Case(name, kind, text[:start] + mark + rest, start, start + len(mark), answer)


async def run(
    root: Path, found: list[Case], engines: list[str], options: argparse.Namespace
) -> list[Outcome]:
    """Every engine on every case; each outcome is written as soon as it is known."""
    wanted = {(case.file, case.start) for case in found}
    outcomes = [one for one in read_outcomes(options.out, Outcome) if (one.file, one.start) in wanted]
    done = {(one.file, one.start) for one in outcomes}
    model = ModelSettings(threads=options.threads)
    session = Session(Settings(interpreter=options.python, model=model), root, trusted=False)
    try:
        with options.out.open("a") as sink:
            await session.start_model()
            todo = [case for case in found if (case.file, case.start) not in done]
            todo.sort(key=lambda case: (case.file, case.start))  # mypy reads each file once
            for number, case in enumerate(todo):
                for outcome in await _fills(session, root, case, engines, options.budget):
                    outcomes.append(outcome)
                    write_outcome(sink, outcome)
                print(f"{number + 1} of {len(todo)}", end="\r", file=sys.stderr, flush=True)
        info = session.model.loaded
        if info is not None:
            print(f"model {info.model}, adapter {info.adapter}, {info.dtype}")
    finally:
        await session.close()
    return outcomes


async def _fills(
    session: Session, root: Path, case: Case, engines: list[str], budget: float
) -> list[Outcome]:
    hole = case.hole()
    assert hole is not None
    document = Document(str(root / case.file), case.text, 0)
    await session.environment(document, hole, [])  # mypy warm, for all engines alike
    options = FillOptions(candidates=1, budget_s=budget, run_tests=False, check_types=False)
    await session.model.forget()
    began = time.perf_counter()
    await session.read_ahead(document, hole, options, [])
    context_ms = (time.perf_counter() - began) * 1e3
    found = []
    for engine in engines:
        began = time.perf_counter()
        report = await fill_hole(
            session, document, hole, msgspec.structs.replace(options, engine=engine), holes=[]
        )
        ms = (time.perf_counter() - began) * 1e3
        fill = next((fill.text for fill in report.ranked), None)
        found.append(
            Outcome(
                file=case.file,
                start=case.start,
                kind=case.kind,
                engine=engine,
                answer=case.answer,
                fill=fill or "",
                exact=fill is not None and fill.strip() == case.answer.strip(),
                parses=fill is not None and session.check_syntax(document, hole, fill, []).status == "passed",
                types="failed",
                evaluations=report.evaluations,
                ms=round(ms, 1),
                context_ms=round(context_ms, 1),
            )
        )
    drawn = [one for one in found if one.fill]
    judged = await session.check_types(document, hole, [one.fill for one in drawn], [], budget_s=60)
    for one, types in zip(drawn, judged, strict=True):
        one.types = types.status
    return found


def table(outcomes: list[Outcome], engines: list[str]) -> str:
    """One row for each engine and group of kinds."""
    lines = ["| kind | holes | engine | exact | parse@1 | type@1 | evaluations | s p50 | s p95 |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    groups = {**GROUPS, "all": frozenset(WEIGHTS)}
    for group, kinds in groups.items():
        for engine in engines:
            mine = [one for one in outcomes if one.engine == engine and one.kind in kinds]
            if mine:
                lines.append(f"| {group} | {len(mine)} | `{engine}` | {_row(mine)} |")
    contexts = {(one.file, one.start): one.context_ms / 1e3 for one in outcomes}
    p50, p95 = middle_and_high(contexts.values())
    return "\n".join([*lines, "", f"context of a hole, read before: {p50:.1f} s p50, {p95:.1f} s p95"])


def _row(mine: list[Outcome]) -> str:
    n = len(mine)
    decided = [one.types for one in mine if one.types in ("passed", "failed")]
    p50, p95 = middle_and_high(one.ms / 1e3 for one in mine)
    shares = [
        f"{100 * sum(one.exact for one in mine) / n:.1f} %",
        f"{100 * sum(one.parses for one in mine) / n:.1f} %",
        f"{100 * decided.count('passed') / max(1, len(decided)):.1f} % of {len(decided)}",
        f"{statistics.mean(one.evaluations for one in mine):.0f}",
        f"{p50:.1f}",
        f"{p95:.1f}",
    ]
    return " | ".join(shares)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Fill holes cut from installed packages.")
    parser.add_argument("--packages", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--holes", type=int, default=400)
    parser.add_argument("--engines", default="ar,flow,hybrid")
    parser.add_argument("--budget", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of the model; 0: every core")
    parser.add_argument("--out", type=Path, default=Path("fill_packages.jsonl"))
    options = parser.parse_args()
    engines = options.engines.split(",")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lay_out(options.packages.split(","), options.python, root)
        found = cases(root, options.holes, options.seed)
        print(f"{len(found)} holes of {options.packages}, 1 candidate, nothing verified, {options.budget} s")
        outcomes = asyncio.run(run(root, found, engines, options))
    print(table(outcomes, engines))


if __name__ == "__main__":
    main()
