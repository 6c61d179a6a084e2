"""Do both oracles judge real code rightly? Holes in a real package, judged by us and by a cold pytest.

    python -m tests.benchmarks.fuzz_tests PROJECT --package src/click --python PY --holes 60 --out F

PROJECT is a folder with a package and its tests (an unpacked source distribution). Of every hole the text
that was there must be ``passed`` by both oracles, a text that raises NameError ``failed``; mutants of it are
judged by the tests oracle and by a new pytest process on the file with the mutant in it (``--cold``). The
tree must be the same afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astral_lsp.holes.model import replace_span
from astral_lsp.report import Verdict
from astral_lsp.verify.tests import TestsOracle
from astral_lsp.verify.types import TypesOracle
from astral_lsp.workers.types.messages import read_messages
from tests.benchmarks.fuzz_types import FLAGS
from tests.benchmarks.mutants import mutants
from tests.benchmarks.real_holes import RealHole, cut
from tests.verify.guest_project import digest

PATIENT_MS = 120_000.0
COLD_SECONDS = 120


@dataclass
class Trial:
    """One fill of one hole."""

    hole: RealHole
    what: str
    """'original', 'wrong' or 'mutant'."""
    fill: str
    tests: Verdict
    types: Verdict | None = None
    confirmed: Verdict | None = None
    cold: str = ""
    """'passed' or 'failed: why' of a cold pytest, '' when it was not asked."""
    known: bool = False
    """A cold mypy rejects the original too, with the same words."""

    def complaints(self) -> list[str]:
        """What is wrong with our verdicts."""
        found = []
        wanted = {"original": "failed", "wrong": "passed"}.get(self.what)
        if wanted is not None:
            if self.tests.status in (wanted, "unavailable"):
                found.append(f"tests: {self.what} {self.tests.status}")
            for name, verdict in (("types", self.types), ("confirm", self.confirmed)):
                right = {"failed": "passed", "passed": "failed"}[wanted]
                left_alone = verdict is not None and verdict.status == "not_run" and not verdict.applies
                if verdict is not None and verdict.status != right and not self.known and not left_alone:
                    found.append(f"{name}: {self.what} {verdict.status}")
        if self.cold:
            theirs = self.cold.split(":")[0]
            if self.tests.status in ("passed", "failed") and self.tests.status != theirs:
                found.append(f"tests {self.tests.status}, cold {theirs}")
            elif self.tests.status not in ("passed", "failed") and theirs == "failed":
                found.append(f"tests {self.tests.status}, cold failed")
        return found

    def doubtful(self) -> bool:
        """Only a cold pytest knows what is right."""
        expected = {"original": "passed", "wrong": "failed"}.get(self.what)
        return self.tests.status != expected

    def describe(self) -> dict[str, Any]:
        """For the report."""
        return {
            "complaints": self.complaints(), "file": self.hole.file, "line": self.hole.line,
            "function": self.hole.function, "kind": self.hole.kind, "what": self.what,
            "original": self.hole.original, "fill": self.fill, "cold": self.cold,
            "tests": [self.tests.status, self.tests.detail, round(self.tests.elapsed_ms, 1)],
            "types": _brief(self.types), "confirmed": _brief(self.confirmed),
        }  # fmt: skip


def _brief(verdict: Verdict | None) -> list[Any]:
    if verdict is None:
        return []
    return [
        verdict.status,
        verdict.detail,
        [f.message for f in verdict.findings],
        round(verdict.elapsed_ms, 1),
    ]


@dataclass
class Asked:
    """A project and what is asked about it."""

    root: Path
    package: Path
    python: str
    holes: list[RealHole] = field(default_factory=list)


async def judge(asked: Asked, per_hole: int, seed: int, types_too: bool) -> list[Trial]:
    """Our verdicts."""
    tests, types = TestsOracle(), TypesOracle()
    about = await tests.open(asked.root, asked.python, trusted=True)
    if isinstance(about, Verdict):
        sys.exit(f"no tests oracle: {about.detail}")
    if types_too and (why := await types.open(str(asked.root), asked.python, True)):
        sys.exit(f"no types oracle: {why}")
    rng = random.Random(seed)
    trials: list[Trial] = []
    try:
        for number, hole in enumerate(asked.holes, 1):
            trials += await _judge_hole(asked, hole, per_hole, rng, tests, types if types_too else None)
            print(f"\r{number}/{len(asked.holes)} holes", end="", file=sys.stderr, flush=True)
    finally:
        await tests.close()
        await types.close()
    print(file=sys.stderr)
    return trials


async def _judge_hole(
    asked: Asked,
    hole: RealHole,
    per_hole: int,
    rng: random.Random,
    tests: TestsOracle,
    types: TypesOracle | None,
) -> list[Trial]:
    path = asked.root / hole.file
    saved = path.read_text("utf-8")
    text = replace_span(saved, hole.span, "...")
    span = type(hole.span)(hole.span.start, hole.span.start + 3)
    fills = [("original", hole.original), ("wrong", hole.wrong)]
    fills += [("mutant", fill) for fill in _mutated(saved, hole, rng, per_hole)]
    texts = [fill for _, fill in fills]
    verdicts = await tests.run(path, text, span, texts, timeout_ms=20_000, budget_ms=PATIENT_MS)
    trials = [Trial(hole, what, fill, verdict) for (what, fill), verdict in zip(fills, verdicts, strict=True)]
    if types is not None:
        for confirm in (False, True):
            found = await types.check(str(path), text, span, texts[:2], confirm=confirm, budget_ms=PATIENT_MS)
            for trial, verdict in zip(trials, found, strict=False):
                trial.types, trial.confirmed = (trial.types, verdict) if confirm else (verdict, None)
    return trials


def _mutated(saved: str, hole: RealHole, rng: random.Random, count: int) -> list[str]:
    """Texts for ``hole`` with one change inside."""
    found: list[str] = []
    for mutant in mutants(saved, rng, 400) if count else ():
        if hole.span.start <= mutant.start and mutant.end <= hole.span.end and len(found) < count:
            fill = mutant.applied(saved)[
                hole.span.start : hole.span.end + len(mutant.fill) - mutant.end + mutant.start
            ]
            if fill not in found:
                found.append(fill)
    return found


# --- the cold side ----------------------------------------------------------------------------------------


class Cold:
    """A copy of the project on which new pytest processes run."""

    def __init__(self, asked: Asked, folder: Path) -> None:
        self.root = folder / "cold"
        shutil.copytree(asked.root, self.root, ignore=shutil.ignore_patterns("__pycache__", ".git"))
        self._python = asked.python
        below = asked.package.parent.relative_to(asked.root)
        self._path = str(self.root / below)
        self._home = str(folder)
        first = self._run([])
        self.failing = sorted(set(re.findall(r"^(?:FAILED|ERROR) (\S+)", first, re.MULTILINE)))
        tail = first.strip().splitlines()[-1:]
        print(f"cold pytest as it is: {tail}; failing anyway: {len(self.failing)}", file=sys.stderr)

    def _run(self, more: list[str]) -> str:
        env = {**os.environ, "PYTHONPATH": self._path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": self._home}
        command = [self._python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", "--tb=line", *more]
        try:
            done = subprocess.run(
                command, cwd=self.root, env=env, capture_output=True, text=True, timeout=COLD_SECONDS,
                errors="replace", check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "FAILED hangs\ntime out"
        return done.stdout + done.stderr

    def judge(self, trial: Trial) -> str:
        """'passed' or 'failed: the first test that fails'."""
        path = self.root / trial.hole.file
        saved = path.read_text("utf-8")
        try:
            path.write_text(replace_span(saved, trial.hole.span, trial.fill), "utf-8")
            said = self._run(["-x", *(f"--deselect={name}" for name in self.failing)])
        finally:
            path.write_text(saved, "utf-8")
        failed = re.findall(r"^(?:FAILED|ERROR) (.+)", said, re.MULTILINE)
        if failed:
            return f"failed: {failed[0]}"[:300]
        if re.search(r"\d+ passed", said.strip().splitlines()[-1] if said.strip() else ""):
            return "passed"
        return f"failed: {said.strip()[-300:]}"


def mark_known(asked: Asked, trials: list[Trial]) -> None:
    """Note which originals a cold mypy rejects where they stand."""
    suspects = [t for t in trials if t.what == "original" and t.types and t.types.status == "failed"]
    if not suspects:
        return
    command = [sys.executable, "-m", "mypy", f"--python-executable={asked.python}", *FLAGS]
    done = subprocess.run(
        [*command, str(asked.package)], cwd=asked.root, capture_output=True, text=True, check=False
    )
    said = {(message.path, message.text) for message in read_messages(done.stdout.splitlines())}
    for trial in suspects:
        assert trial.types is not None
        path = str(asked.root / trial.hole.file)
        silences = "type: ignore" in trial.fill  # never allowed in a fill
        trial.known = silences or all((path, finding.message) in said for finding in trial.types.findings)


def report(trials: list[Trial], out: str) -> int:
    """Print the figures; returns how many trials have something to complain about."""
    wrong = [trial for trial in trials if trial.complaints()]
    for what in ("original", "wrong", "mutant"):
        mine = [trial for trial in trials if trial.what == what]
        row = f"{what:9} {len(mine):4}  tests {dict(Counter(t.tests.status for t in mine))}"
        if what != "mutant":
            row += f"  types {dict(Counter(t.types.status for t in mine if t.types))}"
        print(f"{row}  cold {dict(Counter(t.cold.split(':')[0] for t in mine if t.cold))}")
    print("complaints:", dict(Counter(c for t in wrong for c in t.complaints())))
    for trial in wrong[:60]:
        print(json.dumps(trial.describe(), ensure_ascii=False))
    if out:
        Path(out).write_text("\n".join(json.dumps(t.describe()) for t in trials) + "\n", "utf-8")
    return len(wrong)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--package", required=True, help="folder of the package below PROJECT")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has its dependencies")
    parser.add_argument("--holes", type=int, default=30)
    parser.add_argument("--mutants", type=int, default=2, help="mutants a hole")
    parser.add_argument("--cold", choices=("none", "some", "all"), default="some", help="ask a cold pytest")
    parser.add_argument("--no-types", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="", help="write one JSON line a trial here")
    args = parser.parse_args()
    root = args.project.resolve()
    asked = Asked(root, root / args.package, args.python)
    files = [
        p
        for p in sorted(asked.package.rglob("*.py"))
        if "test" not in str(p.relative_to(root / args.package))
    ]
    asked.holes = cut(root, files, args.holes, args.seed)
    before = digest(root)
    trials = asyncio.run(judge(asked, args.mutants, args.seed, not args.no_types))
    same = digest(root) == before
    print(f"tree {'unchanged' if same else 'CHANGED'}")
    mark_known(asked, trials)
    if args.cold != "none":
        with tempfile.TemporaryDirectory() as folder:
            cold = Cold(asked, Path(folder))
            some = [t for t in trials if args.cold == "all" or t.doubtful()]
            for number, trial in enumerate(some, 1):
                trial.cold = cold.judge(trial)
                print(f"\r{number}/{len(some)} cold runs", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
    return 1 if report(trials, args.out) or not same else 0


if __name__ == "__main__":
    raise SystemExit(main())
