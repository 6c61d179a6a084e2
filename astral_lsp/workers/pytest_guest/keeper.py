"""The first process of a sandbox: keeps it, forks runs in it, and undoes what they wrote.

A warm keeper imports the module and its tests before the first fill; a cold one imports nothing, so that
each run can import the filled module for itself.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import codes, supervise, wire
from .graft import Unfit
from .reach import LATER_CALL, Reach
from .sandbox import Place
from .session import PREPARE_SECONDS, TEST_SECONDS, Job, do
from .supervise import Emit, Outcome, fork_run
from .text import Buffer, Span, around, baseline, call, is_value
from .verdicts import Judge, Verdict, not_run, unavailable, verdict
from .warm import MAX_BROKEN_TESTS, NotImported, Warm

WITHOUT_SECONDS = 10.0
"""Most that the tests of a hole that runs at import may take, once, without any fill."""
RETRIES = 3
GOING_ON = 0.25
"""Share of a budget that may go into trying tests that were not tried yet."""
OUT_OF_TIME = "no time was left for its tests"

Request = dict[str, Any]
Answer = dict[str, Any]


def buffer_of(request: Request) -> Buffer:
    """The buffer that a request is about."""
    return around(request["text"], Span(**request["hole"]), [Span(**span) for span in request["other_holes"]])


@dataclass
class Without:
    """What tests do with the value of a hole that runs at import left open."""

    buffer: Buffer | None
    """The buffer that was asked about."""
    own: dict[str, str] = field(default_factory=dict)
    """How tests fail all the same."""
    using: set[str] = field(default_factory=set)
    """Tests that use the value."""
    endless: set[str] = field(default_factory=set)
    """Tests that have no end, or end their process, without using it."""


class Keeper:
    """Answers the server's requests about one module under test."""

    def __init__(self, place: Place, has_pytest: bool, reach: Reach | None = None) -> None:
        self._place = place
        self._reach = reach or Reach()
        self._has_pytest = has_pytest
        self._warm: Warm | None = None
        self._steady: set[str] = set()
        """Tests that failed a fill twice: they do not flip."""
        self._flaky: set[str] = set()
        self._without = Without(None)

    def serve(self, fd: int) -> None:
        """Answer requests on ``fd`` until the server goes."""
        self._reach.install()
        gc.collect()
        gc.freeze()  # pages of objects that live anyway are not copied by a collection in a run
        reader = wire.Reader(fd)
        while True:
            request = reader.read()
            assert request is not None
            answers = self._prepare if request["do"] == "prepare" else self.judge_all
            for answer in answers(request):
                wire.send(fd, answer)

    def _prepare(self, request: Request) -> Iterator[Answer]:
        everything = bool(request.get("everything"))
        hold_class = bool(request.get("hold_class", True))
        warm = Warm(self._place, self._reach, self._has_pytest, request["files"], everything, hold_class)
        try:
            warm.prepare(buffer_of(request), request["budget_ms"] / 1e3)
        except Unfit as why:
            yield {"unfit": str(why), "not_imported": isinstance(why, NotImported)}
            return
        self._warm = warm
        self._flaky = warm.selection.flaky
        yield {
            "prepared": warm.selection.as_json(),
            "watched": warm.watched(),
            "tests": warm.tests,
            "left_out": warm.left_out,
            "loaded": codes.loaded(self._place.root, self._place.paths),
        }

    def judge_all(self, request: Request) -> Iterator[Answer]:
        """One answer for each fill: a verdict, or ``cold`` when it must be imported from nothing."""
        buffer = buffer_of(request)
        timeout = request["timeout_ms"] / 1e3
        end = time.monotonic() + request["budget_ms"] / 1e3
        if self._warm is not None and self._warm.selection.unknown:
            self._warm.go_on((end - time.monotonic()) * GOING_ON)
        for fill in request["fills"]:
            start = time.monotonic()
            left = end - start
            if left <= 0:
                answer: Answer = {"verdict": not_run(OUT_OF_TIME)}
            elif self._warm is not None:
                answer = self._judge(
                    buffer, fill, timeout, left, self._run_warm, self._warm.selection.as_json(timeout)
                )
            else:
                answer = self._judge(buffer, fill, timeout, left, self._run_cold, request.get("selection"))
            if "verdict" in answer:
                answer["verdict"]["elapsed_ms"] = round((time.monotonic() - start) * 1e3, 3)
            yield answer
        yield {"done": True}

    def _judge(
        self, buffer: Buffer, fill: str, timeout: float, left: float,
        run: Callable[..., Outcome], selection: dict[str, Any] | None,
    ) -> Answer:  # fmt: skip
        self._place.write_module(buffer.filled(fill))
        if selection is not None:
            self._flaky.update(selection["flaky"])
        outcome = run(buffer, fill, timeout, left, selection, False)
        found = self._verdict(buffer, fill, outcome, timeout, selection, left)
        if found is None:
            event = outcome.events[-1]
            return {"cold": event["why"], "elsewhere": event["elsewhere"]}
        left -= outcome.seconds
        if selection is None and self._learns(buffer, outcome, found, left):
            began = time.monotonic()
            self._try_without(buffer, left, _stand_in(outcome))
            left -= time.monotonic() - began
            known = self._without
            if left > 0 and (known.own or (outcome.ended != "done" and (known.using or known.endless))):
                self._place.write_module(buffer.filled(fill))
                outcome = run(buffer, fill, timeout, left, selection, False)
                found = self._verdict(buffer, fill, outcome, timeout, selection, left) or found
                left -= outcome.seconds
        suspect = self._suspect(outcome, found)
        if suspect is not None and self._flips(
            suspect,
            lambda only, left: run(buffer, fill, timeout, left, only, True),
            selection,
            left,
        ):
            outcome = run(buffer, fill, timeout, left, selection, False)
            found = self._verdict(buffer, fill, outcome, timeout, selection, left) or found
        loaded = [event["files"] for event in outcome.events if event["e"] == "loaded"]
        return {"verdict": found, **({"loaded": loaded[-1]} if loaded else {})}

    def _learns(self, buffer: Buffer, outcome: Outcome, found: Verdict, left: float) -> bool:
        """Whether it is worth to see what the tests do without any fill.

        Where the hole runs at import and so every test seems to depend on the fill: when one fails. Anywhere
        when one has no end and is not known to come to the fill. Once for a buffer: it takes a run of all
        tests.
        """
        always = _always(outcome)
        failed = always and found["status"] == "failed" and found.get("findings")
        ended = outcome.ended in ("timeout", "died") and (always or found["status"] == "not_run")
        if not (failed or ended) or self._without.buffer == buffer:
            return False
        self._without = Without(buffer)
        return (is_value(buffer) or not always) and left > 0

    def _try_without(self, buffer: Buffer, left: float, stand_in: str) -> None:
        """Run all tests with ``stand_in`` in the hole; one that hangs costs only itself."""
        known, done = self._without, set[str]()
        end = time.monotonic() + min(PREPARE_SECONDS, left)
        for _ in range(MAX_BROKEN_TESTS):
            seconds = end - time.monotonic()
            if seconds <= 0:
                break
            self._place.write_module(buffer.filled(stand_in))
            job: Job = {
                "do": "without",
                "stand_in": stand_in,
                "seconds": WITHOUT_SECONDS,
                "done": sorted(done),
            }
            outcome = self._run_job(buffer, job, seconds, seconds)
            for event in outcome.events:
                if event["e"] == "test":
                    done.add(event["id"])
                    if event["reached"]:
                        known.using.add(event["id"])
                    elif event["outcome"] == "failed" and not event["others"]:
                        known.own[event["id"]] = event["why"]
            started = [event["id"] for event in outcome.events if event["e"] == "start"]
            if outcome.ended == "done" or not started or started[-1] in done:
                break
            done.add(started[-1])
            if self._reach.target:
                known.using.add(started[-1])
            elif time.monotonic() < end:
                known.endless.add(started[-1])

    def _flips(
        self,
        test: str,
        run: Callable[[dict[str, Any], float], Outcome],
        selection: dict[str, Any] | None,
        left: float,
    ) -> bool:
        """Run the failed ``test`` again, at most `RETRIES` times, to see whether it can pass with the same
        fill."""
        only = {"held": [], "beyond": [], **(selection or {}), "run": [test], "flaky": []}
        for _ in range(RETRIES):
            again = run(only, left)
            left -= again.seconds
            if any(event["e"] == "test" and event["outcome"] == "passed" for event in again.events):
                self._flaky.add(test)
                return True
            if left <= 0:
                return False
        self._steady.add(test)
        return False

    def _suspect(self, outcome: Outcome, found: Verdict) -> str | None:
        """The test to run once more: the first time that a pytest test fails we see whether it flips."""
        if found["status"] != "failed" or outcome.ended != "done" or not found.get("findings"):
            return None
        test: str = found["findings"][0]["code"]
        ran = any(
            event["e"] == "test" and event["id"] == test and "examples" not in event
            for event in outcome.events
        )
        return test if ran and test not in self._steady and test not in self._flaky else None

    def _run_warm(
        self, buffer: Buffer, fill: str, timeout: float, left: float, selection: dict[str, Any], again: bool
    ) -> Outcome:
        warm = self._warm
        assert warm is not None

        def work(emit: Emit) -> None:
            warm.judge(fill, selection["run"], timeout, again, emit)

        return self._run(work, min(timeout, left), left)

    def _run_cold(
        self,
        buffer: Buffer,
        fill: str,
        timeout: float,
        left: float,
        selection: dict[str, Any] | None,
        again: bool,
    ) -> Outcome:
        first, never = self._sorted(buffer, timeout)
        job: Job = {
            "do": "judge", "fill": fill, "seconds": timeout, "selection": selection,
            "flaky": sorted(self._flaky), "excused": self._excused(buffer), "first": sorted(first),
            "never": sorted(never),
        }  # fmt: skip
        return self._run_job(buffer, job, min(PREPARE_SECONDS, left), left)

    def _run_job(self, buffer: Buffer, job: Job, seconds: float, at_most: float) -> Outcome:
        """Run ``job`` with nothing imported before."""
        whole = {**job, "before": buffer.before, "after": buffer.after, "other_lines": buffer.other_lines}
        return self._run(
            lambda emit: do(whole, self._place, self._reach, self._has_pytest, emit), seconds, at_most
        )

    def _excused(self, buffer: Buffer) -> dict[str, str]:
        return self._without.own if self._without.buffer == buffer else {}

    def _sorted(self, buffer: Buffer, timeout: float) -> tuple[frozenset[str], frozenset[str]]:
        """Tests to run first, and tests not to run at all in ``timeout`` seconds."""
        known = self._without
        if known.buffer != buffer:
            return frozenset(), frozenset()
        return frozenset(known.using), frozenset(known.endless if timeout <= TEST_SECONDS else ())

    def _run(self, work: Callable[[Emit], None], seconds: float, at_most: float) -> Outcome:
        outcome = fork_run(work, seconds, self._place.init, at_most)
        self._place.renew()
        return outcome

    def _verdict(
        self,
        buffer: Buffer,
        fill: str,
        outcome: Outcome,
        timeout: float,
        selection: dict[str, Any] | None,
        left: float,
    ) -> Verdict | None:
        """None: the fill must be imported from nothing."""
        for event in outcome.events:
            if event["e"] == "syntax":
                if baseline(buffer) is None:  # nor did it before the fill
                    return unavailable(f"no test can import the file: {event['why']}")
                return verdict("failed", f"does not parse: {event['why']}")
            if event["e"] == "cold":
                return None
        if outcome.ended == "timeout" and outcome.seconds >= left:
            return not_run(OUT_OF_TIME)
        beyond = selection["beyond"] if selection is not None else []
        due = selection["held"] if selection is not None else self._sorted(buffer, timeout)[0]
        judge = Judge(buffer, fill, frozenset(self._flaky), beyond, self._excused(buffer), due)
        return judge.judge(outcome, timeout, self._reach.target)


def _always(outcome: Outcome) -> bool:
    """Whether the fill ran when the module was imported."""
    return any(event["e"] == "ready" and event.get("always") for event in outcome.events)


def _stand_in(outcome: Outcome) -> str:
    """What to put into the hole instead of a fill: a value that notes when it is used where the module could
    not be imported with a call that raises."""
    return f"{LATER_CALL}()" if _always(outcome) else call(0)


def main(fd: int, place: Place, has_pytest: bool) -> None:
    """Set the place up, say so, serve. Never returns."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.close(null)
        place.set_up()
        supervise.PRIVATE.append(fd)
        wire.send(fd, {"layers": place.layers})
        Keeper(place, has_pytest).serve(fd)
    except wire.Closed:
        pass
    except BaseException as error:
        with contextlib.suppress(wire.Closed):
            wire.send(fd, {"broken": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)
