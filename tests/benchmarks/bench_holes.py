"""Holes of a 2000-line file after an edit, and the syntax oracle: ``python -m tests.benchmarks.bench_holes``.

Prints a table: the limit of each figure, milliseconds at the median and the 99th percentile (wall clock, and
processor time for machines that are busy with something else), and how many rounds were timed. Exit status 1
when a 99th percentile of wall clock is over its limit.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from astral_lsp.commands.quantiles import quantile
from astral_lsp.constraints.admissible import admissible
from astral_lsp.context.environment import environment
from astral_lsp.holes.find import find_holes
from astral_lsp.holes.index import HoleIndex
from astral_lsp.holes.tree import parse
from astral_lsp.verify.syntax import check_syntax

UNIT = '''
class Ledger{n}:
    """Entries of account {n}: naïve {mark} text."""

    def __init__(self, entries: list[tuple[str, int]]) -> None:
        self.entries = entries
        self.limit = {n}

    def balance(self, since: str = "") -> int:
        """Sum of the amounts from ``since`` on."""
        total = 0
        for day, amount in self.entries:
            if day >= since and amount != {n}:
                total += amount
        return {hole}

    def shapes(self) -> tuple[int, ...]:
        return tuple(amount for _, amount in self.entries)
'''


def build(lines: int, *, mark: str = "", every: int = 4) -> str:
    """A module of ``lines`` lines or a few more, with a hole in every ``every``-th class."""
    parts = ['"""A generated module."""\n']
    count = 1
    while count < lines:
        hole = "?total" if len(parts) % every == 0 else "total"
        parts.append(UNIT.format(n=len(parts), hole=hole, mark=mark))
        count += UNIT.count("\n")
    return "".join(parts)


class Times(NamedTuple):
    """Milliseconds of each round, ascending."""

    wall: list[float]
    processor: list[float]


def timed(work: Callable[[int], object], rounds: int) -> Times:
    """Time ``rounds`` calls."""
    wall, processor = [], []
    for number in range(rounds):
        began, used = time.perf_counter(), time.thread_time()
        work(number)
        processor.append((time.thread_time() - used) * 1000)
        wall.append((time.perf_counter() - began) * 1000)
    return Times(sorted(wall), sorted(processor))


def edit_rounds(text: str, rounds: int) -> Times:
    """A character typed at a random place, then taken back; after each all holes are asked for."""
    index = HoleIndex(text)
    assert index.holes
    choose = random.Random(1)
    places = [choose.randrange(len(text)) for _ in range(rounds)]

    def once(number: int) -> object:
        at = places[number // 2]
        index.edit(at, at + number % 2, "" if number % 2 else choose.choice("xy (\"'."))
        return index.holes

    return timed(once, rounds)


def rows(rounds: int) -> list[tuple[str, float, Times]]:
    """(what, limit in milliseconds, times)."""
    ascii_text, wide_text = build(2000), build(2000, mark="😀")
    many = build(2000, every=1)
    tree = parse(ascii_text)
    hole = find_holes(ascii_text, tree)[3]
    around = environment(ascii_text, hole, tree=tree)

    def fresh(number: int) -> object:
        return check_syntax(ascii_text, hole, f"total + {number}")

    def bound(number: int) -> object:
        return admissible(ascii_text, hole, f"total + {number}", around, tree=tree)

    check_syntax(ascii_text, hole, "total")
    return [
        (
            "first parse and holes, 2000 lines",
            100.0,
            timed(lambda _: find_holes(ascii_text), max(5, rounds // 20)),
        ),
        ("holes after an edit, 2000 lines", 20.0, edit_rounds(ascii_text, rounds)),
        ("holes after an edit, non-ASCII lines", 20.0, edit_rounds(wide_text, rounds)),
        (f"holes after an edit, {len(find_holes(many))} holes", 20.0, edit_rounds(many, rounds)),
        ("σ and Γ from syntax", 20.0, timed(lambda _: environment(ascii_text, hole, tree=tree), rounds)),
        ("syntax oracle, one fill", 5.0, timed(fresh, rounds)),
        ("tier 1 (syntax and names), one fill", 20.0, timed(bound, rounds)),
    ]


def main(rounds: int = 200) -> int:
    """Print the table; 1 when the 99th percentile of a row is over its limit."""
    print(f"{'milliseconds':40} {'limit':>7} {'p50':>8} {'p99':>8} {'cpu p50':>8} {'cpu p99':>8} {'n':>5}")
    slow = 0
    for what, limit, spent in rows(rounds):
        figures = [quantile(values, part) for values in spent for part in (0.5, 0.99)]
        slow += figures[1] > limit
        shown = " ".join(f"{figure:8.2f}" for figure in figures)
        print(f"{what:40} {limit:7.1f} {shown} {len(spent.wall):5}{'  over' if figures[1] > limit else ''}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
