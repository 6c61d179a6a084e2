"""Run chosen tests in this process and tell what came of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from . import doctests, locate
from .collect import Collected
from .reach import Reach
from .supervise import Emit, Event

CANNOT = "cannot"
"""Outcome of a test that pytest cannot begin."""
_NO_ASYNC = "async def functions are not natively supported"


class Runner:
    """Runs tests of one filled buffer, one event a test, until one counts against the fill."""

    def __init__(self, emit: Emit, reach: Reach, paths: set[str], lines: tuple[int, int]) -> None:
        """``lines``: first and last line of the fill."""
        self._emit, self._reach, self._paths, self._lines = emit, reach, paths, lines
        self.stop_at_failure = True
        self.always = False
        """The fill ran at import: every test depends on it."""
        self.held: frozenset[str] = frozenset()
        """Tests that pass without the fill and must pass with it, though they do not reach it."""
        self.held_when_entered: frozenset[str] = frozenset()
        """Tests that count, when they call the function around the fill, even if they do not reach the fill
        itself."""
        self.flaky: frozenset[str] = frozenset()
        self.excused: dict[str, str] = {}
        """How tests fail without any fill; whoever fails so with one is not held against it."""
        self.seconds: float | None = None
        """Wall clock for each single test."""
        self.has_fixtures = True
        """The file under test may define fixtures: that one is missing may be the fill's doing."""

    def run(self, name: str, body: Callable[[], Event]) -> bool:
        """Run one test; True when it is a reason to stop: it failed, reached the fill and no other hole."""
        self._emit(
            {"e": "start", "id": name} | ({"seconds": self.seconds} if self.seconds is not None else {})
        )
        self._reach.reset()
        start = time.perf_counter()
        event = body()
        entered = self._reach.entered
        event.update(e="test", id=name, reached=self._reach.target or self.always, entered=entered)
        event.update(held=name in self.held or (entered and name in self.held_when_entered))
        event.update(others=self._reach.others, ms=round((time.perf_counter() - start) * 1e3, 3))
        self._emit(event)
        counts = (event["reached"] or event["held"]) and not event["others"] and name not in self.flaky
        counts = counts and not fails_as_before(event, self.excused)
        return self.stop_at_failure and event["outcome"] == "failed" and bool(counts)

    def failure(self, error: BaseException | None, text: str = "") -> Event:
        """The event of a failed test."""
        inside = line = None
        if error is not None:
            inside, line = locate.deepest_line(error, self._paths, *self._lines)
        why = text or (locate.message(error) if error is not None else "failed")
        return {"outcome": "failed", "why": why, "inside": inside, "line": line}

    def run_case(self, case: doctests.Case, module: Any, flags: int) -> bool:
        """Run the doctest ``case``."""

        def body() -> Event:
            result = doctests.run(case, module, flags)
            counts = {
                "examples": result.passed,
                "by_value": result.by_value,
                "unsaid": result.unsaid,
            }
            if result.failure:
                return {**self.failure(result.error, result.failure), **counts}
            ran = result.passed > 0 or not result.unfinished
            return {"outcome": "passed" if ran else "skipped", **counts}

        return self.run(case.id, body)

    def run_item(self, collected: Collected, item: Any, following: Any) -> bool:
        """Run one pytest item through all its phases."""

        def body() -> Event:
            collected.reports.clear()
            collected.errors.clear()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            return self._judge(collected, item.nodeid)

        return self.run(item.nodeid, body)

    def _judge(self, collected: Collected, name: str) -> Event:
        reports = [report for report in collected.reports if report.nodeid == name]
        if why := self._cannot_run(collected.errors.get(name)):
            return {"outcome": CANNOT, "why": why}
        for report in reports:
            if report.failed:
                event = self.failure(
                    collected.errors.get(name), "" if name in collected.errors else _words(report)
                )
                if report.when != "call":
                    event["why"] = f"{report.when}: {event['why']}"
                return event
        if any(getattr(report, "wasxfail", None) is not None for report in reports):
            return {"outcome": "xfailed"}
        if any(report.skipped for report in reports):
            return {"outcome": "skipped"}
        if not any(report.when == "call" and report.passed for report in reports):
            return {"outcome": "skipped"}
        return {"outcome": "passed"}

    def _cannot_run(self, error: BaseException | None) -> str:
        """Why pytest cannot even begin this test, for want of a plugin mostly; '' when it can."""
        if type(error).__name__ == "FixtureLookupError" and not self.has_fixtures:
            return f"fixture {getattr(error, 'argname', '')!r} not found"
        if error is not None and str(error).startswith(_NO_ASYNC):
            return "no plugin for coroutines"
        return ""


def fails_as_before(event: Event, excused: dict[str, str]) -> bool:
    """Whether a test fails, and in the very way in which it fails without a fill."""
    return bool(event["outcome"] == "failed" and excused.get(event["id"]) == event["why"])


def _words(report: Any) -> str:
    text = str(getattr(report, "longreprtext", "")).strip()
    return text.splitlines()[-1][: locate.MESSAGE_CHARACTERS] if text else "failed"
