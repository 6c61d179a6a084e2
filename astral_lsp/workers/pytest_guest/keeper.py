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
from typing import Any

from . import supervise, wire
from .graft import Unfit
from .reach import LATER_CALL, Reach
from .sandbox import Place
from .session import PREPARE_SECONDS, ColdRun
from .supervise import Emit, Outcome, fork_run
from .text import Buffer, Span, around, baseline, is_value
from .verdicts import Judge, Verdict, not_run, unavailable, verdict
from .warm import Warm

WITHOUT_SECONDS = 10.0
"""Most that the tests of a hole that runs at import may take, once, without any fill."""
RETRIES = 3
OUT_OF_TIME = "no time was left for its tests"

Request = dict[str, Any]
Answer = dict[str, Any]


def buffer_of(request: Request) -> Buffer:
    """The buffer that a request is about."""
    return around(request["text"], Span(**request["hole"]), [Span(**span) for span in request["other_holes"]])


class Keeper:
    """Answers the server's requests about one module under test."""

    def __init__(self, place: Place, has_pytest: bool) -> None:
        self._place = place
        self._reach = Reach()
        self._has_pytest = has_pytest
        self._warm: Warm | None = None
        self._steady: set[str] = set()
        """Tests that failed a fill twice: they do not flip."""
        self._flaky: set[str] = set()
        self._without: tuple[Buffer | None, dict[str, str]] = (None, {})
        """How tests fail with the hole's value left open, and for which buffer that was asked."""

    def serve(self, fd: int) -> None:
        """Answer requests on ``fd`` until the server goes."""
        self._reach.install()
        gc.collect()
        gc.freeze()  # pages of objects that live anyway are not copied by a collection in a run
        reader = wire.Reader(fd)
        while True:
            request = reader.read()
            assert request is not None
            answers = self._prepare if request["do"] == "prepare" else self._judge_all
            for answer in answers(request):
                wire.send(fd, answer)

    def _prepare(self, request: Request) -> Iterator[Answer]:
        everything = bool(request.get("everything"))
        warm = Warm(self._place, self._reach, self._has_pytest, request["files"], everything)
        try:
            warm.prepare(buffer_of(request), request["budget_ms"] / 1e3)
        except Unfit as why:
            yield {"unfit": str(why)}
            return
        self._warm = warm
        self._flaky = warm.selection.flaky
        yield {
            "prepared": warm.selection.as_json(),
            "watched": warm.watched(),
            "tests": warm.tests,
            "left_out": warm.left_out,
        }

    def _judge_all(self, request: Request) -> Iterator[Answer]:
        """One answer for each fill: a verdict, or ``cold`` when it must be imported from nothing."""
        buffer = buffer_of(request)
        timeout = request["timeout_ms"] / 1e3
        end = time.monotonic() + request["budget_ms"] / 1e3
        for fill in request["fills"]:
            start = time.monotonic()
            left = end - start
            if left <= 0:
                answer: Answer = {"verdict": not_run(OUT_OF_TIME)}
            elif self._warm is not None:
                answer = self._judge(
                    buffer, fill, timeout, left, self._run_warm, self._warm.selection.as_json()
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
        if selection is None and self._fails_anyway(buffer, outcome, found, left - outcome.seconds):
            outcome = run(buffer, fill, timeout, left - outcome.seconds, selection, False)
            found = self._verdict(buffer, fill, outcome, timeout, selection, left) or found
        suspect = self._suspect(outcome, found)
        if suspect is not None and self._flips(
            suspect,
            lambda only, left: run(buffer, fill, timeout, left, only, True),
            selection,
            left - outcome.seconds,
        ):
            outcome = run(buffer, fill, timeout, left - outcome.seconds, selection, False)
            found = self._verdict(buffer, fill, outcome, timeout, selection, left) or found
        return {"verdict": found}

    def _fails_anyway(self, buffer: Buffer, outcome: Outcome, found: Verdict, left: float) -> bool:
        """Whether the test that refused a fill fails in the same way without any.

        For holes that run at import, where every test depends on the fill. Asked when a test fails, once for
        a buffer: it takes a run of all tests.
        """
        if found["status"] != "failed" or not found.get("findings") or self._without[0] == buffer:
            return False
        if not any(event["e"] == "ready" and event.get("always") for event in outcome.events):
            return False
        self._without = (buffer, {})
        if not is_value(buffer) or left <= 0:
            return False
        cold = ColdRun(self._place, self._reach, self._has_pytest, None, frozenset())
        self._place.write_module(buffer.filled(f"{LATER_CALL}()"))
        events = self._run(
            lambda emit: cold.without(buffer, WITHOUT_SECONDS, emit), min(PREPARE_SECONDS, left), left
        ).events
        failing = [event for event in events if event["e"] == "test" and event["outcome"] == "failed"]
        own = {event["id"]: event["why"] for event in failing if not event["reached"] and not event["others"]}
        self._without = (buffer, own)
        return bool(own)

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
        cold = ColdRun(
            self._place,
            self._reach,
            self._has_pytest,
            selection,
            frozenset(self._flaky),
            self._excused(buffer),
        )

        def work(emit: Emit) -> None:
            cold.judge(buffer, fill, timeout, PREPARE_SECONDS, emit)

        return self._run(work, min(PREPARE_SECONDS, left), left)

    def _excused(self, buffer: Buffer) -> dict[str, str]:
        return self._without[1] if self._without[0] == buffer else {}

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
        judge = Judge(buffer, fill, frozenset(self._flaky), beyond, self._excused(buffer))
        return judge.judge(outcome, timeout, self._reach.target)


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
