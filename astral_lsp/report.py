"""Verdicts: what was checked of a fill and what came of it (DESIGN section 7, ASTRAL §4.3 and §6)."""

from __future__ import annotations

from typing import Literal

import msgspec

from astral_lsp.holes.model import Span

Status = Literal["passed", "failed", "not_run", "unavailable"]
Domain = Literal["syntax", "types", "tests"]


class Finding(msgspec.Struct, frozen=True):
    """One reason for a failed verdict."""

    message: str
    code: str = ""
    """mypy's error code, or the failing test's node id."""
    span: Span | None = None
    """Where inside the fill (code points of the fill's own text); None when it points elsewhere."""
    line: int | None = None
    """1-based line in the file with the fill inserted, where known."""
    confidence: float = 0.0
    """How sure the localizer is that ``span`` must change, in [0, 1]."""


class Verdict(msgspec.Struct, frozen=True):
    """The answer of one oracle about one fill. Nothing is ``passed`` that did not run."""

    status: Status
    detail: str = ""
    """One line for people: '3 tests', 'sandbox: network namespace missing', 'untrusted workspace', ..."""
    findings: tuple[Finding, ...] = ()
    count: int = 0
    """Checks behind a ``passed``: how many tests ran (0 for syntax and types)."""
    elapsed_ms: float = 0.0
    applies: bool = True
    """False when there is nothing to check here (no test reaches the hole): then it is not required."""


class Verdicts(msgspec.Struct, frozen=True):
    """One verdict per domain."""

    syntax: Verdict
    types: Verdict
    tests: Verdict


class Fill(msgspec.Struct, frozen=True):
    """A candidate text for a hole with its report."""

    text: str
    """Exactly what would be inserted."""
    score: float
    """The engine's own score, natural log; comparable within one hole only."""
    verified: bool
    """Every required oracle answered ``passed`` on this exact text and buffer version."""
    verdicts: Verdicts


def not_run(why: str, *, applies: bool = True) -> Verdict:
    """A verdict for an oracle that was not asked, with the reason."""
    return Verdict("not_run", why, applies=applies)


def unavailable(why: str) -> Verdict:
    """A verdict for an oracle that could not answer, with the reason."""
    return Verdict("unavailable", why)
