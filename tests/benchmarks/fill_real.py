"""Holes of real packages filled and verified as a user has it done: mypy and the packages' own tests judge.

    python -m tests.benchmarks.fill_real [--projects NAME==VERSION:FOLDER,...] [--holes 12] --out FILE

Source distributions are fetched with pip (``--folder`` takes unpacked ones instead). ``--out`` keeps an
outcome a line; a run that was stopped goes on from there. Of a verified fill that is not the author's text
nobody knows whether it is right: tests may be weak. ``--python`` needs what the packages' tests import; of a
package with a ``src`` folder that is the package itself, installed with ``pip install -e`` from ``--folder``.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from astral_lsp.commands.quantiles import middle_and_high
from astral_lsp.config import Settings
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions
from astral_lsp.fill.run import fill_hole
from astral_lsp.fill.session import Session
from tests.benchmarks.bench_real import unpacked
from tests.benchmarks.fill_packages import GROUPS, Case, cases
from tests.benchmarks.outcomes import read_outcomes, write_outcome
from tests.verify.guest_project import digest

PROJECTS = (
    "boltons==26.2.0:boltons,toolz==1.0.0:toolz,marshmallow==4.4.0:src/marshmallow,tomlkit==0.15.2:tomlkit,"
    "humanize==4.17.0:src/humanize"
)


@dataclass
class Outcome:
    """What became of one hole."""

    project: str
    file: str
    start: int
    kind: str
    answer: str
    fill: str
    """The best one, whatever the oracles said."""
    verified: bool
    tested: bool
    """Tests reach the hole and passed."""
    authors: bool
    """The fill means what the author wrote: the same syntax tree."""
    candidates: int
    ms: float


def same_tree(text: str, other: str) -> bool:
    """Whether two files differ in blanks, brackets and comments only."""
    try:
        return ast.dump(ast.parse(text)) == ast.dump(ast.parse(other))
    except SyntaxError:
        return False


async def run(
    name: str, root: Path, package: Path, todo: list[Case], arguments: argparse.Namespace
) -> list[Outcome]:
    """Fill each hole of ``todo``; every outcome is written as soon as it is known."""
    session = Session(Settings(interpreter=arguments.python), root, trusted=True)
    options = FillOptions(engine=arguments.engine, candidates=arguments.candidates, budget_s=arguments.budget)
    outcomes = []
    try:
        await session.start_model()
        with arguments.out.open("a") as sink:
            for number, case in enumerate(todo):
                outcome = await _fill(session, name, package, case, options)
                outcomes.append(outcome)
                write_outcome(sink, outcome)
                print(f"{name}: {number + 1} of {len(todo)}", end="\r", file=sys.stderr, flush=True)
    finally:
        await session.close()
    return outcomes


async def _fill(session: Session, name: str, package: Path, case: Case, options: FillOptions) -> Outcome:
    hole = case.hole()
    assert hole is not None
    document = Document(str(package / case.file), case.text, 0)
    await session.model.forget()
    began = time.perf_counter()
    report = await fill_hole(session, document, hole, options, holes=[])
    ms = (time.perf_counter() - began) * 1e3
    best = next(iter(report.ranked), None)
    fill = best.text if best is not None else ""
    head, tail = case.text[: case.start], case.text[case.end :]
    return Outcome(
        name,
        case.file,
        case.start,
        case.kind,
        case.answer,
        fill,
        best is not None and best.verified,
        best is not None and best.verdicts.tests.status == "passed",
        best is not None and same_tree(head + fill + tail, head + case.answer + tail),
        len(report.ranked),
        round(ms, 1),
    )


def of_project(name: str, root: Path, package: str, arguments: argparse.Namespace) -> list[Outcome]:
    """The outcomes of one project, those of an earlier run among them."""
    earlier = read_outcomes(arguments.out, Outcome)
    known = {(one.file, one.start): one for one in earlier if one.project == name}
    found = [case for case in cases(root / package, 1000, arguments.seed) if "test" not in case.file]
    found = found[: arguments.holes]
    outcomes = [known[case.file, case.start] for case in found if (case.file, case.start) in known]
    todo = [case for case in found if (case.file, case.start) not in known]
    if todo:
        before = digest(root)
        outcomes += asyncio.run(run(name, root, root / package, todo, arguments))
        if digest(root) != before:
            print(f"WRONG: the tree of {name} has changed")
    return outcomes


def table(outcomes: list[Outcome]) -> str:
    """One row for each group of kinds."""
    lines = [
        "| kind | holes | verified | of these tested | of these the author's | not verified, the author's |"
        " candidates | s p50 | s p95 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for group, kinds in {**GROUPS, "all": frozenset().union(*GROUPS.values())}.items():
        mine = [one for one in outcomes if one.kind in kinds]
        if mine:
            lines.append(f"| {group} | {len(mine)} | {_row(mine)} |")
    return "\n".join(lines)


def _row(mine: list[Outcome]) -> str:
    verified = [one for one in mine if one.verified]
    middle, high = middle_and_high(one.ms / 1e3 for one in mine)
    cells = [
        str(len(verified)),
        str(sum(one.tested for one in verified)),
        str(sum(one.authors for one in verified)),
        str(sum(one.authors and not one.verified for one in mine)),
        f"{sum(one.candidates for one in mine) / len(mine):.0f}",
        f"{middle:.1f}",
        f"{high:.1f}",
    ]
    return " | ".join(cells)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--projects", default=PROJECTS)
    parser.add_argument("--folder", type=Path, help="holds the unpacked distributions, NAME-VERSION each")
    parser.add_argument("--holes", type=int, default=12, help="of each project")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", default="hybrid")
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds a hole, as `astral-lsp fill`")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, root, package in unpacked(arguments.projects, arguments.folder, Path(scratch)):
            outcomes += of_project(name, root, package, arguments)
    print(f"{len(outcomes)} holes of {arguments.projects}")
    print(
        f"engine {arguments.engine}, {arguments.candidates} candidates in the first round,"
        f" {arguments.budget:g} s, seed {arguments.seed}"
    )
    print(table(outcomes))


if __name__ == "__main__":
    main()
