"""A workspace in a temporary folder, a hole in one of its files, and a tests oracle to ask about fills."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec

from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict
from astral_lsp.verify.tests import OPEN_SECONDS, TestsOracle, worker
from astral_lsp.workers.process import WorkerProcess
from astral_lsp.workers.protocol import OpenTests, RunTests

PATIENT_MS = 60_000.0
"""Budget where time is not what is tested: the machine may be busy."""


class RunImported(RunTests):
    """As RunTests, but every fill is imported from nothing."""

    no_graft: bool = True


class OpenWithout(OpenTests):
    """As OpenTests, but without some layers of the sandbox."""

    without: list[str] = msgspec.field(default_factory=list)


def digest(root: Path) -> dict[str, str]:
    """Everything below ``root``: kind, mode and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(root))] = f"{state.st_mode:o} {content}"
    return found


class Project:
    """Files of a workspace; one of them holds ``$0`` where the hole is, ``$1``... where other holes are."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, files: dict[str, str]) -> None:
        """Write dedented ``files`` by relative path."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(dedent(text).encode())

    def hole(self, name: str, text: str, save: bool = True) -> Asked:
        """The buffer ``text`` of file ``name`` (saved with its holes as ``...`` unless not ``save``)."""
        text = dedent(text)
        spans: dict[str, Span] = {}
        for mark in ("$0", "$1", "$2"):
            if mark in text:
                start = text.index(mark)
                text = text[:start] + "..." + text[start + 2 :]
                spans = {
                    key: Span(s.start + (s.start > start), s.end + (s.start > start))
                    for key, s in spans.items()
                }
                spans[mark] = Span(start, start + 3)
        if save:
            self.write({name: text})
        return Asked(
            self.root / name, text, spans["$0"], [spans[mark] for mark in sorted(spans) if mark != "$0"]
        )


class Asked(msgspec.Struct):
    """A hole to ask about."""

    path: Path
    text: str
    span: Span
    others: list[Span]

    async def run(self, oracle: TestsOracle, fills: Sequence[str], **options: Any) -> list[Verdict]:
        """Verdicts by the oracle."""
        options = {"timeout_ms": 20_000.0, "budget_ms": PATIENT_MS, **options}
        return await oracle.run(self.path, self.text, self.span, fills, self.others, **options)

    async def run_imported(self, guest: WorkerProcess, fills: Sequence[str]) -> list[Verdict]:
        """Verdicts with every fill imported from nothing."""
        params = RunImported(
            str(self.path), self.text, self.span, list(fills), self.others, 20_000.0, PATIENT_MS
        )
        return list((await guest.call(params, timeout=PATIENT_MS / 1e3 + 15)).verdicts)


async def open_guest(root: Path, without: list[str] | None = None, policy: str = "prefer") -> WorkerProcess:
    """A worker with ``root`` open and layers taken away."""
    guest = worker(sys.executable)
    await guest.start()
    await guest.call(OpenWithout(str(root), policy, without or []), timeout=OPEN_SECONDS)  # type: ignore[arg-type]
    return guest


def live_processes(mark: str) -> list[int]:
    """Processes whose command line holds ``mark``."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in line:
            found.append(int(name))
    return found
