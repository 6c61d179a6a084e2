"""Forked copies of this process that judge candidates on the state they were forked from.

A copy bounds what a candidate can do to the build: leaks, crashes and endless checks end with the copy.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

CAN_FORK = sys.platform != "win32" and hasattr(os, "fork")
_HEADER = struct.Struct(">I")
_MEMORY_BYTES = 2 << 30
"""How much more than now a copy may allocate."""


MOST_ASKED = 400
"""Questions after which a copy is replaced by a fresh one."""


class BranchFailed(Exception):
    """The copy gave no answer; the message says why, for people."""


class Branch:
    """One forked copy; `ask` runs ``work`` in it, again and again on its own evolving state."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        down_read, self._down = os.pipe()
        self._up, up_write = os.pipe()
        self.asked = 0
        pid = os.fork()
        if pid == 0:
            _live(work, down_read, up_write)
        self._pid: int | None = pid
        os.close(down_read)
        os.close(up_write)

    @property
    def alive(self) -> bool:
        """Whether it may still be asked."""
        return self._pid is not None

    @property
    def worn(self) -> bool:
        """Whether a fresh copy should take its place: it has ended, or was asked often enough."""
        return not self.alive or self.asked >= MOST_ASKED

    def ask(self, question: Any, seconds: float) -> Any:
        """Return ``work(question)`` from the copy; raises BranchFailed and ends the copy otherwise."""
        self.asked += 1
        deadline = time.monotonic() + seconds
        body = pickle.dumps(question, pickle.HIGHEST_PROTOCOL)
        try:
            _write(self._down, _HEADER.pack(len(body)) + body)
            (size,) = _HEADER.unpack(_read(self._up, _HEADER.size, deadline))
            outcome, value = pickle.loads(_read(self._up, size, deadline))
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            late = isinstance(error, TimeoutError)
            given = f"mypy took more than {seconds:.1f} s" if seconds >= 0.1 else "no time was left for mypy"
            reason = given if late else "mypy crashed on it"
            raise BranchFailed(reason) from None
        if outcome == "failed":
            self.close()
            raise BranchFailed(f"mypy failed: {value}")
        return value

    def close(self) -> None:
        """End the copy."""
        if self._pid is None:
            return
        for end in (self._down, self._up):
            os.close(end)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        self._pid = None


def _live(work: Callable[[Any], Any], down: int, up: int) -> None:
    """The life of the copy: never returns into the code it was forked from."""
    status = 1
    try:
        _close_all_but(down, up)
        _limit_memory()
        while True:
            (size,) = _HEADER.unpack(_read(down, _HEADER.size, None))
            question = pickle.loads(_read(down, size, None))
            try:
                answer = ("done", work(question))
            except BaseException as error:
                answer = ("failed", f"{type(error).__name__}: {error}"[:500])
            body = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
            _write(up, _HEADER.pack(len(body)) + body)
            if answer[0] == "failed":
                break
    except (EOFError, OSError):
        status = 0
    finally:
        os._exit(status)


def _close_all_but(*kept: int) -> None:
    """Let go of every pipe of the parent, so that its end is seen when it dies; 0 to 2 lead nowhere."""
    low = 3
    for end in sorted(kept):
        os.closerange(low, end)
        low = end + 1
    os.closerange(low, 1024)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        most = pages * resource.getpagesize() + _MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _write(end: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(end, view) :]


def _read(end: int, size: int, deadline: float | None) -> bytes:
    parts: list[bytes] = []
    while size:
        if deadline is not None:
            ready, _, _ = select.select([end], [], [], max(deadline - time.monotonic(), 0.0))
            if not ready:
                raise TimeoutError
        part = os.read(end, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
