"""From verdicts to an order: tier 3 decides, the engine's score breaks ties (ASTRAL §4)."""

from __future__ import annotations

from collections.abc import Iterable

from astral_lsp.report import Fill, Verdict, Verdicts

_WORTH = {"passed": 2, "not_run": 1, "unavailable": 1, "failed": 0}


def is_verified(verdicts: Verdicts, *, types_required: bool, tests_required: bool) -> bool:
    """Whether every required oracle answered ``passed`` (DESIGN section 7).

    Tests that do not apply, because none reaches the hole, are not required; nor are types where the user's
    own mypy does not look, but then tests must have passed.
    """
    tested = verdicts.tests.status == "passed"
    tests_ok = tested or not verdicts.tests.applies or not tests_required
    left_alone = verdicts.types.status == "not_run" and not verdicts.types.applies and tested
    types_ok = verdicts.types.status == "passed" or left_alone or not types_required
    return verdicts.syntax.status == "passed" and types_ok and tests_ok


def refused(verdicts: Verdicts) -> bool:
    """Whether at least one oracle answered ``failed``."""
    return "failed" in (verdicts.syntax.status, verdicts.types.status, verdicts.tests.status)


def best_first(fills: Iterable[Fill]) -> list[Fill]:
    """Order fills: verified, then by what passed (tests weigh more than types), then by score."""
    return sorted(fills, key=_key, reverse=True)


def _key(fill: Fill) -> tuple[bool, bool, int, float]:
    verdicts = fill.verdicts
    evidence = 2 * _worth(verdicts.tests) + _worth(verdicts.types)
    return (fill.verified, verdicts.syntax.status == "passed", evidence, fill.score)


def _worth(verdict: Verdict) -> int:
    return _WORTH[verdict.status]
