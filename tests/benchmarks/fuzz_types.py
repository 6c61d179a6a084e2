"""Does the types oracle agree with a cold mypy? Mutants of real packages, judged both ways.

    python -m tests.benchmarks.fuzz_types --packages attr,packaging,pluggy,click,rich,anyio --mutants 2000

The packages are copied from ``--python``'s site-packages into a scratch folder. Ours judges the mutants as
fills of the holes they replace, by the fast path. It is held against the ``mypy`` command without a cache, on
the tree with an Any in the hole and on the tree with the mutant: a fill fails when the second says more.
A file holds at most one mutant in a run; what differs there is run once more, alone in
its package: then the errors of all files of the package count.

With ``--journal FOLDER`` what is done is kept there, and ``--seconds`` stops early (exit code 3): the same
command goes on from there. Remove its ``ours.jsonl`` to judge the same mutants with other code.

The tree's mypy.ini asks for ``check_untyped_defs``, which a warm build always has; with ``--plain`` it does
not, as a project without a configuration, and untyped functions are left alone by both.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict, not_run
from astral_lsp.verify.types import TypesOracle
from astral_lsp.workers.types.baseline import not_about, place
from astral_lsp.workers.types.messages import Message, added, read_messages
from astral_lsp.workers.types.text import breaks
from tests.benchmarks.mutants import Mutant, mutants

FLAGS = [
    "--cache-dir=/dev/null",
    "--show-absolute-path",
    "--show-error-end",
    "--no-error-summary",
    "--no-pretty",
    "--no-color-output",
    "--hide-error-context",
]


@dataclass
class Trial:
    """One mutant, our verdict, and what a cold mypy adds."""

    file: str
    mutant: Mutant
    ours: Verdict
    confirmed: Verdict | None = None
    cold: list[Message] | None = None
    against_saved: bool = False
    """A cold mypy says something of the mutant that it does not say of the file as saved."""
    alone: bool = False
    """That cold mypy ran with no other mutant in the tree."""

    def describe(self) -> dict[str, object]:
        """For the report."""
        return {
            "file": self.file,
            "mutant": vars(self.mutant),
            "ours": self.ours.status,
            "detail": self.ours.detail,
            "findings": [f.message for f in self.ours.findings],
            "confirmed": self.confirmed.status if self.confirmed else None,
            "cold": [f"{m.line}: {m.text} [{m.code}]" for m in self.cold or []],
        }


@dataclass
class Runs:
    """Errors of the tree as saved, with open holes, and with the mutants."""

    saved: list[Message]
    open: list[Message]
    filled: list[Message]


class Journal:
    """What is judged already: verdicts of ours by file, answers of a cold mypy by mutant."""

    def __init__(self, folder: str, seconds: float) -> None:
        self._folder = Path(folder) if folder else None
        self._until = time.monotonic() + seconds if seconds else float("inf")
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def time_is_up(self) -> bool:
        """Whether to stop and go on another time."""
        return time.monotonic() > self._until

    def read(self, name: str) -> list[Trial]:
        """The trials written under ``name``, later ones last."""
        file = self._folder / f"{name}.jsonl" if self._folder is not None else None
        if file is None or not file.exists():
            return []
        return [msgspec.json.decode(line, type=Trial) for line in file.read_bytes().splitlines()]

    def write(self, name: str, trials: list[Trial]) -> None:
        """Add ``trials`` under ``name``."""
        if self._folder is not None:
            with (self._folder / f"{name}.jsonl").open("ab") as file:
                file.writelines(msgspec.json.encode(trial) + b"\n" for trial in trials)


class Blocked(Exception):
    """mypy stopped at a blocking error and said nothing of the other files."""

    def __init__(self, said: str, paths: set[str]) -> None:
        super().__init__(said)
        self.paths = paths
        """The files that it did name."""


def run_mypy(root: Path, targets: list[str], python: str) -> list[Message]:
    """Return the errors of the ``mypy`` command on ``targets``, without a cache; raises Blocked."""
    command = [sys.executable, "-m", "mypy", f"--python-executable={python}", *FLAGS, *targets]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        named = {message.path for message in read_messages(done.stdout.splitlines())}
        raise Blocked(f"{done.stdout[-500:]} {done.stderr[-500:]}", named)
    return read_messages(done.stdout.splitlines())


def _targets(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir() if p.is_dir() or p.suffix == ".py")


_MISSING_RETURN = ("return", "empty-body")
_TOGETHER = {"attr": "rich"}
"""Packages that use one another: an error in the one may come from the other."""
_OF_BASES = ("Invalid base class", "Unsupported dynamic base class")
"""What a cold mypy says of an Any that is a part of a base of a class: it excuses nothing."""


def with_any(mutant: Mutant, text: str) -> Mutant:
    """The mutant that has an Any where the hole is, on as many lines; what was there where none can stand."""
    was = text[mutant.start : mutant.end]
    written = f'__import__("_"{breaks(was)})._'  # Any in every module
    made = Mutant(mutant.start, mutant.end, written, "Any", mutant.place)
    try:
        ast.parse(made.applied(text))
    except SyntaxError:  # in a pattern, say
        return Mutant(mutant.start, mutant.end, was, "Any", mutant.place)
    return made


def cold_added(trial: Trial, path: str, runs: Runs, text: str, alone: str = "") -> list[Message]:
    """What the mutant adds to the errors that its file has with an Any in the hole; where it is ``alone`` in
    a folder, to those of all files there."""
    mutant, stand_in = trial.mutant, with_any(trial.mutant, text)
    hole_span = Span(mutant.start, mutant.start + len(stand_in.fill))
    hole = place(path, stand_in.applied(text), hole_span)
    fill = place(path, mutant.applied(text), Span(mutant.start, mutant.start + len(mutant.fill)))
    mine = not_about([m for m in runs.open if m.path == path], path, stand_in.applied(text), hole_span)
    was = {m.line for m in runs.saved if m.path == path and m.code in _MISSING_RETURN}
    mine = [m for m in mine if m.code not in _MISSING_RETURN or m.line in was]
    known = {m.text for m in runs.saved if m.path == path}
    mine = [m for m in mine if not m.text.startswith(_OF_BASES) or m.text in known]
    if alone:
        mine += [m for m in runs.open if m.path != path and m.path.startswith(alone)]
    theirs = [m for m in runs.filled if m.path == path or (alone and m.path.startswith(alone))]
    return added(mine, theirs, hole, fill)


_IN = re.compile(r"(?P<text>.*) \(in (?P<path>.+):(?P<line>\d+)\)", re.DOTALL)
"""How a finding of ours names an error in another file."""


def foretold(trial: Trial, root: Path, runs: Runs) -> list[Message]:
    """The errors in other files that our verdict says the mutant causes, as far as a cold mypy has them at
    that very place and text, and not while the hole is open."""
    said = set()
    for finding in trial.ours.findings:
        match = _IN.fullmatch(finding.message)
        if match is not None:
            said.add((match["path"], int(match["line"]), match["text"]))
    before = {(m.path, m.line, m.text) for m in runs.open}
    found = []
    for message in runs.filled:
        name = os.path.relpath(message.path, root)  # the tree of a verdict may have been in another folder
        mine = name != trial.file and (message.path, message.line, message.text) not in before
        if mine and any(
            path.endswith(os.sep + name) and (line, text) == (message.line, message.text)
            for path, line, text in said
        ):
            found.append(message)
    return found


def _is_elsewhere(trial: Trial) -> bool:
    """Whether we refuse for nothing but errors in other files."""
    found = trial.ours.findings
    return bool(found) and all(_IN.fullmatch(f.message) for f in found)


async def judge_all(
    root: Path, chosen: dict[str, list[Mutant]], python: str, confirm: bool, journal: Journal
) -> list[Trial]:
    """Our verdict on every mutant, or on as many as there is time for."""
    trials = journal.read("ours")
    done = {trial.file for trial in trials}
    chosen = {name: some for name, some in chosen.items() if name not in done}
    if not chosen:
        return trials
    oracle = TypesOracle()
    why = await oracle.open(str(root), python, False)
    if why:
        raise RuntimeError(why)
    for number, (name, some) in enumerate(chosen.items(), 1):
        if journal.time_is_up():
            break
        path, before = str(root / name), len(trials)
        text = (root / name).read_text("utf-8")
        for span, group in _by_hole(some).items():
            fills = [mutant.fill for mutant in group]
            verdicts = await oracle.check(path, text, span, fills, budget_ms=120000)
            made = [Trial(name, mutant, verdict) for mutant, verdict in zip(group, verdicts, strict=True)]
            if confirm:
                again = await oracle.check(path, text, span, fills, confirm=True, budget_ms=120000)
                for trial, verdict in zip(made, again, strict=True):
                    trial.confirmed = verdict
            trials += made
        await oracle.analyse(path, text, [])  # leave the file as it was saved
        journal.write("ours", trials[before:])
        print(f"\r{number}/{len(chosen)} files judged", end="", file=sys.stderr, flush=True)
    await oracle.close()
    print(file=sys.stderr)
    return trials


def unjudged(chosen: dict[str, list[Mutant]]) -> list[Trial]:
    """The mutants without a verdict of ours."""
    nothing = not_run("not asked")
    return [Trial(name, mutant, nothing) for name, some in chosen.items() for mutant in some]


def _by_hole(some: list[Mutant]) -> dict[Span, list[Mutant]]:
    groups: dict[Span, list[Mutant]] = {}
    for mutant in some:
        groups.setdefault(Span(mutant.start, mutant.end), []).append(mutant)
    return groups


def judge_cold(root: Path, trials: list[Trial], python: str, journal: Journal, again: bool = True) -> None:
    """Put a cold mypy's answer into each trial, many mutants a run, none of them in the same file.

    ``again``: what differs from our verdict is run once more alone.
    """
    targets = _targets(root)
    base = run_mypy(root, targets, python)
    known = {(t.file, t.mutant): t for t in journal.read("cold")}
    queues: dict[str, list[Trial]] = {}
    for trial in trials:
        earlier = known.get((trial.file, trial.mutant))
        if earlier is not None:
            trial.cold, trial.against_saved, trial.alone = earlier.cold, earlier.against_saved, earlier.alone
        else:
            queues.setdefault(trial.file, []).append(trial)
    rounds = max(map(len, queues.values()), default=0)
    for number in range(rounds):
        if journal.time_is_up():
            return
        some = [q[number] for q in queues.values() if number < len(q)]
        _cold_round(root, targets, base, some, python)
        journal.write("cold", some)
        print(f"\r{number + 1}/{rounds} cold runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    _judge_elsewhere(root, trials, python, journal, targets, base)
    apart: dict[str, list[Trial]] = {}
    for trial in trials:
        if again and not trial.alone and _disagree(trial):
            package = trial.file.split("/")[0]
            apart.setdefault(_TOGETHER.get(package, package), []).append(trial)
    while apart and not journal.time_is_up():
        some = [queue.pop() for queue in apart.values()]
        apart = {package: queue for package, queue in apart.items() if queue}
        packages = {name for package in apart_of(some) for name in (package, *_TOGETHER, *_TOGETHER.values())}
        _cold_round(root, sorted(packages & set(targets)), base, some, python, apart=True)
        for trial in some:
            trial.alone = True
        journal.write("cold", some)
        print(f"\r{sum(map(len, apart.values()))} to run apart ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def apart_of(some: list[Trial]) -> set[str]:
    """The packages that ``some`` are in."""
    return {trial.file.split("/")[0] for trial in some}


def _judge_elsewhere(
    root: Path, trials: list[Trial], python: str, journal: Journal, targets: list[str], base: list[Message]
) -> None:
    """Look for the errors in other files that we refuse mutants for, one mutant a file in each run."""
    queues: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.cold is not None and not trial.alone and _disagree(trial) and _is_elsewhere(trial):
            queues.setdefault(trial.file, []).append(trial)
    while queues and not journal.time_is_up():
        some = [queue.pop() for queue in queues.values()]
        queues = {name: queue for name, queue in queues.items() if queue}
        _cold_round(root, targets, base, some, python)
        journal.write("cold", some)
        print(
            f"\r{sum(map(len, queues.values()))} with errors elsewhere ", end="", file=sys.stderr, flush=True
        )


def _cold_round(
    root: Path, targets: list[str], base: list[Message], some: list[Trial], python: str, apart: bool = False
) -> None:
    """``apart``: each mutant is in a package that no other of them is in, nor uses."""
    runs: Runs | None
    saved = {trial.file: (root / trial.file).read_text("utf-8") for trial in some}
    try:
        for trial in some:
            stand_in = with_any(trial.mutant, saved[trial.file])
            (root / trial.file).write_text(stand_in.applied(saved[trial.file]), "utf-8")
        holes = run_mypy(root, targets, python)
        for trial in some:
            (root / trial.file).write_text(trial.mutant.applied(saved[trial.file]), "utf-8")
        runs = Runs(base, holes, run_mypy(root, targets, python))
    except Blocked as stop:
        runs, blocking = None, stop.paths
        if len(some) == 1:
            some[0].cold = [Message("", 0, 0, 0, 0, str(stop).strip(), "blocked")]
    finally:
        for name, text in saved.items():
            (root / name).write_text(text, "utf-8")
    if runs is None:  # one mutant silenced the others
        for part in _apart(root, some, blocking) if len(some) > 1 else ():
            _cold_round(root, targets, base, part, python, apart)
        return
    known = {(m.path, m.code, m.text) for m in base}
    for trial in some:
        path = str(root / trial.file)
        folder = str(root / trial.file.split("/")[0]) if apart else str(root) if len(some) == 1 else ""
        trial.cold = cold_added(trial, path, runs, saved[trial.file], alone=folder and folder + "/")
        trial.cold += [] if folder else foretold(trial, root, runs)
        mine = [m for m in runs.filled if m.path == path]
        trial.against_saved = any((m.path, m.code, m.text) not in known for m in mine)


def _apart(root: Path, some: list[Trial], blocking: set[str]) -> list[list[Trial]]:
    """The mutants in the files named each alone and the rest together; halves where no file is named."""
    named = [trial for trial in some if str(root / trial.file) in blocking]
    rest = [trial for trial in some if trial not in named]
    if named and rest:
        return [*([trial] for trial in named), rest]
    middle = len(some) // 2
    return [some[:middle], some[middle:]]


def _disagree(trial: Trial) -> bool:
    if trial.ours.status not in ("passed", "failed"):
        return bool(trial.cold)
    return trial.ours.status != ("failed" if trial.cold else "passed")


def same_messages(trial: Trial) -> bool:
    """Both name the same errors, not only the same verdict."""
    ours = Counter(f.message for f in trial.ours.findings)
    return ours == Counter(m.text for m in trial.cold or [])


def choose(root: Path, count: int, seed: int) -> dict[str, list[Mutant]]:
    """Spread ``count`` mutants over the files, somewhat more over the larger ones."""
    rng = random.Random(seed)
    # a module beside its own stub is never read by the ``mypy`` command
    seen = [p for p in root.rglob("*.py") if p.stat().st_size > 300 and not p.with_suffix(".pyi").exists()]
    files = sorted(seen)
    sizes = [min(p.stat().st_size, 40_000) ** 0.35 for p in files]
    chosen: dict[str, list[Mutant]] = {}
    for path, size in zip(files, sizes, strict=True):
        wanted = max(1, round(count * size / sum(sizes)))
        found = mutants(path.read_text("utf-8"), rng, wanted)
        if found:
            chosen[str(path.relative_to(root))] = found
    return chosen


def lay_out(packages: list[str], python: str, root: Path, plain: bool = False) -> None:
    """Copy installed packages into ``root``; not ``plain``: untyped functions are to be checked."""
    (root / "mypy.ini").write_text("[mypy]\n" if plain else "[mypy]\ncheck_untyped_defs = True\n", "utf-8")
    script = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site = Path(subprocess.check_output([python, "-I", "-c", script], text=True).strip())
    for name in packages:
        shutil.copytree(site / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "_vendor"))


def report(trials: list[Trial], out: str) -> int:
    """Print the figures; returns how many verdicts differ, or are missing where a cold mypy rejects."""
    holes = len({(t.file, t.mutant.start, t.mutant.end) for t in trials})
    decided = [t for t in trials if t.ours.status in ("passed", "failed")]
    differing = [t for t in decided if _disagree(t)]
    places = Counter(t.mutant.place for t in trials)
    bad = sum(bool(t.cold) for t in trials)
    times = sorted(t.ours.elapsed_ms for t in decided)
    files = len({t.file for t in trials})
    print(f"{len(trials)} mutants of {holes} holes in {files} files; cold mypy rejects {bad}")
    print(f"by place: {dict(places.most_common())}")
    undecided = [t for t in trials if t not in decided]
    rejected = sum(bool(t.cold) for t in undecided)
    print(f"undecided by us: {len(undecided)}, of which a cold mypy rejects {rejected}")
    for why, number in Counter(t.ours.detail.split(";")[0] for t in undecided).most_common():
        print(f"    {number} {why}")
    print(f"verdicts that differ from a cold mypy: {len(differing)}")
    hidden = sum(t.against_saved and not t.cold for t in decided)
    print(f"passed by both, with an error that was there while the hole was open: {hidden}")
    print(f"same verdict, other messages: {sum(not same_messages(t) for t in decided) - len(differing)}")
    if times:
        print(f"our time a fill, its baseline excluded: median {times[len(times) // 2]:.1f} ms")
    for trial in [*differing, *[t for t in undecided if t.cold]][:40]:
        print(json.dumps(trial.describe(), ensure_ascii=False))
    if out:
        Path(out).write_text("\n".join(json.dumps(t.describe()) for t in trials) + "\n", "utf-8")
    return len(differing) + rejected


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", default="attr,packaging,pluggy,click,rich,anyio")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has them installed")
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--confirm", action="store_true", help="judge by fine-grained update as well")
    parser.add_argument("--plain", action="store_true", help="leave untyped functions alone")
    parser.add_argument("--out", default="", help="write one JSON line a mutant here")
    parser.add_argument("--journal", default="", help="folder that keeps what is judged, to go on from")
    parser.add_argument("--cold-first", action="store_true", help="let a cold mypy judge before we do")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so long; 0: never")
    args = parser.parse_args()
    journal = Journal(args.journal, args.seconds)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        lay_out(args.packages.split(","), args.python, root, args.plain)
        chosen = choose(root, args.mutants, args.seed)
        if args.cold_first:
            judge_cold(root, unjudged(chosen), args.python, journal, again=False)
        began = time.monotonic()
        trials = asyncio.run(judge_all(root, chosen, args.python, args.confirm, journal))
        print(f"ours: {time.monotonic() - began:.0f} s for {len(trials)} mutants")
        judge_cold(root, trials, args.python, journal)
        if journal.time_is_up():
            print("not done: the same command goes on from here")
            return 3
        trials = [trial for trial in trials if trial.cold is not None]
    return 1 if report(trials, args.out) else 0


if __name__ == "__main__":
    raise SystemExit(main())
