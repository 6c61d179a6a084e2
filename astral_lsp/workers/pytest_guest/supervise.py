"""Run something in a fork of this process, hear it out over a pipe, and leave nothing of it alive."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from . import locate

Event = dict[str, Any]
Emit = Callable[[Event], None]

MAX_REPORT_BYTES = 4 << 20
PRIVATE: list[int] = []
"""Descriptors of this process that no run may hold."""
LAST_WORDS_SECONDS = 0.15
"""How long a run that is out of time may take to say where it was."""


@dataclass
class Outcome:
    """What came of one fork."""

    events: list[Event] = field(default_factory=list)
    ended: Literal["done", "timeout", "died", "crashed"] = "died"
    status: int = 0
    """As of waitpid when it died."""
    seconds: float = 0.0
    words: str = ""
    """How it ended, where there is no status."""

    @property
    def how(self) -> str:
        """The end in words."""
        if self.words:
            return self.words
        if os.WIFSIGNALED(self.status):
            number = os.WTERMSIG(self.status)
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(number).name}"
            return f"killed by signal {number}"
        return f"the process ended with exit code {os.waitstatus_to_exitcode(self.status)}"


def fork_run(
    work: Callable[[Emit], None], seconds: float, whole_namespace: bool, at_most: float | None = None
) -> Outcome:
    """Fork, call ``work(emit)`` there, return its events; at most ``seconds`` of wall clock.

    A run may set its clock anew by any event with ``seconds`` (once it is prepared, for instance);
    ``at_most`` bounds it all the same.

    ``whole_namespace``: this process is the init of its PID namespace, so everything else in it can be
    killed at once; otherwise the run's process group and all orphans that came to us are.
    """
    start = time.monotonic()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        for descriptor in (read, *PRIVATE):
            os.close(descriptor)
        _in_child(work, write)
    os.close(write)
    outcome = Outcome()
    try:
        _listen(read, child, start + seconds, start + (at_most or seconds), outcome)
    finally:
        os.close(read)
        status = _end_all(child, whole_namespace)
        if outcome.ended == "died":
            outcome.status = status
        outcome.seconds = time.monotonic() - start
    return outcome


def _in_child(work: Callable[[Emit], None], write: int) -> None:
    def emit(event: Event) -> None:
        data = json.dumps(event).encode() + b"\n"
        while data:
            data = data[os.write(write, data) :]

    try:
        os.setsid()
        work(emit)
        emit({"e": "end"})
    except BaseException as error:
        with contextlib.suppress(BaseException):
            emit({"e": "crash", "why": locate.message(error), "trace": traceback.format_exc()[-4000:]})
    finally:
        os._exit(0)


def _listen(read: int, child: int, end: float, last: float, outcome: Outcome) -> None:
    buffer = b""
    total = 0
    try:
        death: int | None = os.pidfd_open(child)
    except (AttributeError, OSError):
        death = None
    asked = False
    try:
        while True:
            left = end - time.monotonic()
            if left <= 0:
                if asked:
                    outcome.ended = "timeout"
                    return
                asked, end = True, time.monotonic() + LAST_WORDS_SECONDS
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGUSR2)
                continue
            ready = select.select([read] + ([death] if death is not None else []), [], [], min(left, 0.05))[0]
            if read in ready:
                chunk = os.read(read, 65536)
                total += len(chunk)
                *lines, buffer = (buffer + chunk).split(b"\n")
                known = len(outcome.events)
                if take(lines, outcome) or total > MAX_REPORT_BYTES:
                    return
                for event in outcome.events[known:]:
                    if "seconds" in event and not asked:
                        end = min(last, time.monotonic() + event["seconds"])
                    if event["e"] == "late" and asked:
                        outcome.ended = "timeout"
                        return
                if not chunk:
                    return
            elif death in ready or (death is None and not ready and _is_dead(child)):
                return
    finally:
        if death is not None:
            os.close(death)


def take(lines: list[bytes], outcome: Outcome) -> bool:
    """Note the events; True when the run has said its last."""
    for line in lines:
        try:
            event = json.loads(line)
            kind = event["e"]
        except (ValueError, TypeError, KeyError):
            continue  # foreign code wrote into the pipe
        if kind == "end":
            outcome.ended = "done"
            return True
        outcome.events.append(event)
        if kind == "crash":
            outcome.ended = "crashed"
            return True
    return False


def _is_dead(child: int) -> bool:
    """Whether it has ended; it stays for waitpid. Where the system cannot tell (macOS), no: its pipe will."""
    if not hasattr(os, "waitid"):
        return False
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_all(child: int, whole_namespace: bool) -> int:
    """Kill the run and all that it started; returns the run's own wait status."""
    if not _is_dead(child):
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            if whole_namespace:
                os.kill(-1, signal.SIGKILL)
            else:
                _kill_children()
        except ProcessLookupError:
            pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break  # nobody is left
        time.sleep(0.002)
    return status


def _kill_children() -> None:
    me = os.getpid()
    with contextlib.suppress(OSError), open(f"/proc/{me}/task/{me}/children") as file:
        for pid in file.read().split():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGKILL)
