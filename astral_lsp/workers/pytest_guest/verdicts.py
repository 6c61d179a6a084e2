"""Events of a run -> one verdict, shaped as `astral_lsp.report.Verdict` in JSON."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .execute import CANNOT, fails_as_before
from .supervise import Event, Outcome
from .text import Buffer, line_span

Verdict = dict[str, Any]

IN_FILL, IN_MODULE, ELSEWHERE = 0.9, 0.5, 0.3
"""Confidence of a finding: the deepest frame is in the fill, in the module, nowhere near."""
DETAIL_CHARACTERS = 240


def verdict(status: str, detail: str, **more: Any) -> Verdict:
    """A verdict in JSON."""
    return {"status": status, "detail": detail[:DETAIL_CHARACTERS], **more}


def not_run(detail: str, applies: bool = True) -> Verdict:
    """Nothing ran, and why."""
    return verdict("not_run", detail, applies=applies)


def unavailable(detail: str) -> Verdict:
    """Nothing could run, and why."""
    return verdict("unavailable", detail)


def count(number: int, thing: str) -> str:
    """'1 test', '3 tests'."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def finding(test: str, why: str, fill: str, buffer: Buffer, inside: int | None, line: int | None) -> Event:
    """A reason for a failed verdict. ``inside`` and ``line``: lines of the file with the fill inserted."""
    span = None
    confidence = IN_MODULE if line is not None else ELSEWHERE
    if inside is not None:
        found = line_span(fill, inside - buffer.first_line)
        span = {"start": found.start, "end": found.end}
        line, confidence = inside, IN_FILL
    return {"message": why, "code": test, "span": span, "line": line, "confidence": confidence}


def short(test: str) -> str:
    """A node id without its folders."""
    return (
        test.rsplit("::", 1)[-1]
        if "[" not in test
        else test.split("[", 1)[0].rsplit("::", 1)[-1] + "[" + test.split("[", 1)[1]
    )


def some(tests: Sequence[str]) -> str:
    """'test_a', 'test_a and 2 more'."""
    return short(tests[0]) + (f" and {len(tests) - 1} more" if len(tests) > 1 else "")


class Judge:
    """Turns what one run reported about one fill into a verdict."""

    def __init__(
        self,
        buffer: Buffer,
        fill: str,
        flaky: frozenset[str] = frozenset(),
        beyond: Sequence[int] = (),
        excused: dict[str, str] | None = None,
        due: Collection[str] = (),
    ) -> None:
        """``flaky``: tests that are known to flip, never held against a fill. ``beyond``: other holes that
        keep tests from this one. ``excused``: how tests fail without the fill. ``due``: tests that are known
        to depend on the fill."""
        self._buffer, self._fill, self._flaky, self._beyond = buffer, fill, flaky, beyond
        self._due = frozenset(due)
        self._excused = excused or {}

    def judge(self, outcome: Outcome, timeout: float, reached: bool) -> Verdict:
        """The verdict. ``timeout`` in seconds is what the run was given; ``reached``: its last test ran the
        fill."""
        tests = [event for event in outcome.events if event["e"] == "test"]
        failed = [event for event in tests if self._counts(event) and event["outcome"] == "failed"]
        if failed:
            return self._failed(failed[0])
        if outcome.ended != "done":
            return self._broken_off(outcome, timeout, reached)
        return self._finished(outcome, tests)

    def _counts(self, event: Event) -> bool:
        if event["others"] or event["id"] in self._flaky or fails_as_before(event, self._excused):
            return False
        return bool(event["reached"] or event["held"])

    def _failed(self, event: Event) -> Verdict:
        found = finding(event["id"], event["why"], self._fill, self._buffer, event["inside"], event["line"])
        return verdict("failed", f"{short(event['id'])}: {event['why']}", findings=[found])

    def _broken_off(self, outcome: Outcome, timeout: float, reached: bool) -> Verdict:
        started = [event["id"] for event in outcome.events if event["e"] == "start"]
        during = started[-1] if started else "importing the module and its tests"
        late = [event for event in outcome.events if event["e"] == "late"]
        inside = late[-1]["inside"] if late else None
        # importing has a time of its own
        spent = timeout if started else outcome.seconds
        why = outcome.how if outcome.ended == "died" else f"no end after {spent * 1e3:.0f} ms"
        if outcome.ended == "crashed":
            said = outcome.events[-1]["why"]
            if not (started and reached):
                return unavailable(f"the tests could not be run: {said}")
            why = f"broke the test run: {said}"  # such as sys.modules emptied under pytest's feet
        if not reached and not any(event["ours"] for event in late):
            return self._unreached(outcome, during, why)
        if outcome.ended == "timeout" and late and inside is None:
            return self._elsewhere(outcome, during, why)
        found = finding(during, why, self._fill, self._buffer, inside, None)
        return verdict("failed", f"{short(during)}: {why}", findings=[found])

    def _elsewhere(self, outcome: Outcome, during: str, why: str) -> Verdict:
        """The time ran out outside of the fill, which was reached before: the test may be slow with any
        fill."""
        sound = [event for event in outcome.events if event["e"] == "test" and self._passed(event)]
        before = f"; {count(len(sound), 'test')} passed before" if sound else ""
        return not_run(f"{short(during)}: {why}, spent outside of the fill{before}")

    def _unreached(self, outcome: Outcome, during: str, why: str) -> Verdict:
        """The run ended in a test that had not come to the fill. What passed before counts, as long as no
        test that is known to depend on the fill is left."""
        tests = [event for event in outcome.events if event["e"] == "test"]
        ended = {event["id"] for event in tests}
        planned = [name for event in outcome.events if event["e"] == "plan" for name in event["ids"]]
        left = [name for name in planned if name not in ended]
        due = [name for name in left if name in self._due and name not in self._flaky]
        always = any(event["e"] == "ready" and event.get("always") for event in outcome.events)
        sound = [event for event in tests if self._passed(event)]
        if always:  # every test reaches such a fill: it runs at import
            sound = [event for event in sound if event["id"] in self._due]
        said = f"{short(during)}: {why}, before the fill was reached"
        if sound and not due:
            others = [name for name in left if name != during]
            said += f"; no time for {some(others)}" if others else ""
            return self._finished(outcome, tests, said)
        said += f"; {count(len(sound), 'test')} passed before" if sound else ""
        others = [name for name in due if name != during]
        said += f"; no time for {some(others)}" if others else ""
        return not_run(said)

    def _passed(self, event: Event) -> bool:
        """Whether a test ran the fill and speaks for it."""
        alone = not event["others"] and event["id"] not in self._flaky
        return bool(event["reached"] and event["outcome"] == "passed" and alone)

    def _finished(self, outcome: Outcome, tests: list[Event], note: str = "") -> Verdict:
        broken = [event for event in outcome.events if event["e"] == "broken"]
        for event in broken:
            if event["reached"]:
                return self._failed({**event, "why": event["why"]})
        sound = [event for event in tests if self._passed(event)]
        said = [event for event in outcome.events if event["e"] == "note"]
        notes = [note] if note else []
        notes += self._notes(tests, broken) + [event["why"] for event in said]
        if sound:
            examples = sum(event.get("examples", 0) for event in sound)
            items = sum("examples" not in event for event in sound)
            parts = [count(items, "test")] if items else []
            parts += [count(examples, "doctest example")] if examples else []
            return verdict("passed", "; ".join([", ".join(parts), *notes]), count=items + examples)
        others = sorted({number for event in tests for number in event["others"]} | set(self._beyond))
        if others:
            return not_run(f"reaches another unfilled hole {self._where(others[0])}")
        skipped = [
            event for event in tests if event["reached"] and event["outcome"] in ("skipped", "xfailed")
        ]
        if skipped:
            return not_run("; ".join([f"{count(len(skipped), 'test')} skipped or expected to fail", *notes]))
        if any(event.get("no_pytest") for event in said):
            return unavailable(f"{said[-1]['why']}: install it there with `-m pip install pytest`")
        untried = any(event.get("taken") or event.get("left_out") or event.get("missed") for event in said)
        untried = untried or any(event["outcome"] == CANNOT and event["reached"] for event in tests)
        none = "no test that ran reaches this hole" if untried else "no test reaches this hole"
        return not_run("; ".join([none, *notes]), applies=untried)

    def _where(self, hole: int) -> str:
        line = self._buffer.other_lines.get(hole)
        return f"at line {line}" if line is not None else "in another file"

    def _notes(self, tests: list[Event], broken: list[Event]) -> list[str]:
        notes = []
        failing = [event for event in tests if event["outcome"] == "failed" and not event["reached"]]
        failing = [event for event in failing if not event["others"]]
        flaky = [event for event in tests if event["id"] in self._flaky]
        beyond = [event for event in tests if event["others"]]
        for key, words in (
            ("by_value", "equal by value, not by text"),
            ("unsaid", "with no output to compare"),
        ):
            number = sum(event.get(key, 0) for event in tests if event["outcome"] == "passed")
            if number:
                notes.append(f"{number} {words}")
        if failing:
            notes.append(f"{short(failing[0]['id'])} fails before it reaches the fill: {failing[0]['why']}")
        before = [event for event in tests if fails_as_before(event, self._excused)]
        if before:
            more = f" and {len(before) - 1} more" if len(before) > 1 else ""
            notes.append(f"{short(before[0]['id'])}{more} fails in the same way without the fill")
        cannot = [event for event in tests if event["outcome"] == CANNOT]
        if cannot:
            notes.append(f"{count(len(cannot), 'test')} cannot run: {cannot[0]['why']}")
        if flaky:
            notes.append(f"{short(flaky[0]['id'])} is flaky")
        if beyond:
            where = self._where(beyond[0]["others"][0])
            notes.append(f"{count(len(beyond), 'test')} reached another unfilled hole {where}")
        if broken:
            notes.append(f"{broken[0]['id']} cannot be collected: {broken[0]['why']}")
        return notes
