"""A small run of the agreement fuzz (tests/benchmarks/fuzz_types.py is the large one)."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from astral_lsp.workers.types.messages import Message
from tests.benchmarks.fuzz_types import Journal, Runs, cold_added, judge_all, run_mypy, with_any
from tests.benchmarks.mutants import mutants

DATA = Path(__file__).parent / "data" / "constructs.py"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the data uses asyncio.timeout")
async def test_sixty_mutants_are_judged_as_a_cold_mypy_judges_them(tmp_path: Path) -> None:
    text = DATA.read_text("utf-8")
    chosen = mutants(text, random.Random(11), 60)
    ours = tmp_path / "ours"
    ours.mkdir()
    checked = "[mypy]\ncheck_untyped_defs = True\n"
    (ours / "mypy.ini").write_text(checked, "utf-8")
    (ours / DATA.name).write_text(text, "utf-8")
    trials = await judge_all(ours, {DATA.name: chosen}, sys.executable, confirm=False, journal=Journal("", 0))

    cold = tmp_path / "cold"  # each mutant in a file of its own: one cold run for all of them
    cold.mkdir()
    (cold / "mypy.ini").write_text(checked, "utf-8")
    for number, trial in enumerate(trials):
        (cold / f"open{number}.py").write_text(with_any(trial.mutant, text).applied(text), "utf-8")
        (cold / f"filled{number}.py").write_text(trial.mutant.applied(text), "utf-8")
    (cold / "saved.py").write_text(text, "utf-8")
    said = run_mypy(cold, sorted(p.name for p in cold.glob("*.py")), sys.executable)

    def of(stem: str) -> list[Message]:
        return [
            replace(m, path="it", text=m.text.replace(stem, "it")) for m in said if Path(m.path).stem == stem
        ]

    wrong = []
    for number, trial in enumerate(trials):
        trial.cold = cold_added(
            trial, "it", Runs(of("saved"), of(f"open{number}"), of(f"filled{number}")), text
        )
        if trial.ours.status != ("failed" if trial.cold else "passed"):
            wrong.append(trial.describe())
    assert not wrong
    assert {t.ours.status for t in trials} == {"passed", "failed"}
    assert len({t.mutant.place for t in trials}) >= 7
