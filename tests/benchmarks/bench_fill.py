"""Warm fills of expression holes with the real model: seconds until the first candidate is judged, until
the end, and memory, by engine; with a fresh context, and after the cursor has rested on the hole.

The holes are cut from the standard library's pure Python: right-hand sides and returns, one a function.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import random
import sysconfig
import time
from pathlib import Path

import msgspec

from astral_lsp.commands.quantiles import quantile
from astral_lsp.config import Settings
from astral_lsp.fill.document import Document
from astral_lsp.fill.report import FillOptions
from astral_lsp.fill.run import fill_hole
from astral_lsp.fill.session import Session
from astral_lsp.holes.find import hole_from_range
from astral_lsp.holes.model import Hole
from astral_lsp.workers.protocol import EngineName

MODULES = ("textwrap", "statistics", "shlex", "bisect", "heapq", "fnmatch", "string", "colorsys")


def cut_holes(count: int) -> list[tuple[str, int, int]]:
    """(text, start, end) of ``count`` returned or assigned expressions, the same ones every time."""
    rng = random.Random(0)
    found: list[tuple[str, int, int]] = []
    for name in MODULES:
        text = Path(sysconfig.get_paths()["stdlib"], f"{name}.py").read_text("utf-8")
        if not text.isascii():
            continue
        starts = [0]
        for line in text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        for node in ast.walk(ast.parse(text)):
            value = getattr(node, "value", None)
            if isinstance(node, (ast.Return, ast.Assign)) and isinstance(value, ast.expr):
                start = starts[value.lineno - 1] + value.col_offset
                end = starts[(value.end_lineno or 1) - 1] + (value.end_col_offset or 0)
                if 4 <= end - start <= 60:
                    found.append((text, start, end))
    return rng.sample(found, min(count, len(found)))


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in megabytes (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def fill_one(
    session: Session, document: Document, hole: Hole, options: FillOptions, read_ahead: bool
) -> tuple[float, float, str]:
    """Seconds until the first candidate is judged, until the end, and the first fill."""
    await session.model.forget()
    if read_ahead:
        await session.read_ahead(document, hole, options, [])
    began = time.perf_counter()
    first: list[float] = []
    report = await fill_hole(
        session,
        document,
        hole,
        options,
        holes=[],
        on_judged=lambda _report: first.append(time.perf_counter() - began),
    )
    whole = time.perf_counter() - began
    return first[0] if first else whole, whole, next((fill.text for fill in report.ranked), "")


async def measure(engine: str, count: int, candidates: int) -> None:
    """Print two lines for ``engine``."""
    session = Session(Settings(), Path(sysconfig.get_paths()["stdlib"]), trusted=False)
    options = FillOptions(
        engine=msgspec.convert(engine, EngineName),
        candidates=candidates,
        run_tests=False,
        check_types=False,
    )
    times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    exact = 0
    try:
        info = await session.start_model()
        for number, (text, start, end) in enumerate(cut_holes(count + 1)):
            hole = hole_from_range(text, start, end)
            for ahead, found in times.items():
                first, whole, fill = await fill_one(session, Document("bench.py", text), hole, options, ahead)
                if number:  # the first one warms up
                    found.append((first, whole))
                    exact += fill == text[start:end] and not ahead
        memory = resident_mb(session.model.process.pid) if session.model.process.pid else 0.0
    finally:
        await session.close()
    about = f"model worker {memory:.0f} MB · {info.device} {info.dtype} · adapter {info.adapter or 'none'}"
    for ahead, found in times.items():
        what = "context read ahead" if ahead else f"exact {exact / len(found):.0%} · {about}"
        firsts, wholes = (
            f"p50 {quantile(column, 0.5):.2f} s p95 {quantile(column, 0.95):.2f} s"
            for column in zip(*found, strict=True)
        )
        print(
            f"{engine:>7} · {len(found)} holes · {candidates} candidates · first {firsts} · all {wholes}"
            f" · {what}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engines", default="ar,flow,hybrid")
    parser.add_argument("--holes", type=int, default=24)
    parser.add_argument("--candidates", type=int, default=4)
    arguments = parser.parse_args()
    for engine in arguments.engines.split(","):
        asyncio.run(measure(engine, arguments.holes, arguments.candidates))


if __name__ == "__main__":
    main()
