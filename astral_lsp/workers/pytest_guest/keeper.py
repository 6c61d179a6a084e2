"""The first process of a sandbox: keeps it, forks runs in it, and undoes what they wrote."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from . import wire
from .reach import Reach
from .sandbox import Place
from .session import ColdRun
from .supervise import Outcome, fork_run
from .text import Buffer, Span, around
from .verdicts import Judge, Verdict, not_run, verdict

PREPARE_SECONDS = 10.0
"""Most that importing and collecting may take for one fill, apart from the fill's own time."""


class Keeper:
    """Answers the server's requests about one module under test."""

    def __init__(self, place: Place, has_pytest: bool) -> None:
        self._place = place
        self._reach = Reach()
        self._has_pytest = has_pytest

    def serve(self, fd: int) -> None:
        """Answer requests on ``fd`` until the server goes."""
        self._reach.install()
        gc.collect()
        gc.freeze()  # pages of objects that live anyway are not copied by a collection in a run
        reader = wire.Reader(fd)
        while True:
            request = reader.read()
            assert request is not None
            for answer in self._answer(request):
                wire.send(fd, answer)

    def _answer(self, request: dict[str, Any]) -> Any:
        buffer = around(
            request["text"], Span(**request["hole"]), [Span(**span) for span in request["other_holes"]]
        )
        timeout = request["timeout_ms"] / 1e3
        end = time.monotonic() + request["budget_ms"] / 1e3
        for index, fill in enumerate(request["fills"]):
            start = time.monotonic()
            if start >= end:
                found = not_run("no time was left for its tests")
            else:
                found = self._judge(buffer, fill, timeout, end - start)
            found["elapsed_ms"] = round((time.monotonic() - start) * 1e3, 3)
            yield {"index": index, "verdict": found}
        yield {"done": True}

    def _judge(self, buffer: Buffer, fill: str, timeout: float, left: float) -> Verdict:
        self._place.write_module(buffer.filled(fill))
        cold = ColdRun(self._place, self._reach, self._has_pytest)
        outcome = fork_run(
            lambda emit: cold.judge(buffer, fill, timeout, PREPARE_SECONDS, emit),
            min(PREPARE_SECONDS, left),
            self._place.init,
            at_most=left,
        )
        self._place.renew()
        return self._verdict(buffer, fill, outcome, timeout)

    def _verdict(self, buffer: Buffer, fill: str, outcome: Outcome, timeout: float) -> Verdict:
        for event in outcome.events:
            if event["e"] == "syntax":
                return verdict("failed", f"does not parse: {event['why']}")
        return Judge(buffer, fill).judge(outcome, timeout, self._reach.target)


def main(fd: int, place: Place, has_pytest: bool) -> None:
    """Set the place up, say so, serve. Never returns."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.close(null)
        place.set_up()
        wire.send(fd, {"layers": place.layers})
        Keeper(place, has_pytest).serve(fd)
    except wire.Closed:
        pass
    except BaseException as error:
        try:
            wire.send(fd, {"broken": f"{type(error).__name__}: {error}"})
        except wire.Closed:
            pass
    finally:
        os._exit(0)
