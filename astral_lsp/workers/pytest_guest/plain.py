"""The guest where there is no fork (Windows): each fill in a new process on a copy of the workspace.

Nothing is imported ahead and no layer of the sandbox is there; verdicts say so. What a run wrote in the copy
is undone after it, and what it has started is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from . import collect, sandbox, wire
from .__main__ import without_secrets
from .keeper import OUT_OF_TIME, Keeper
from .reach import SIZE, Reach
from .server import Request, Server, in_folder
from .session import Job
from .supervise import MAX_REPORT_BYTES, Outcome, take
from .text import Buffer
from .verdicts import Verdict, not_run, unavailable

WHY = "this platform cannot fork"
_ENTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
_LINE_BYTES = 1 << 20
_MOST_COPIES = 4


class Inbox:
    """Reads calls on a thread: a pipe cannot be waited for everywhere while something else is."""

    def __init__(self, fd: int) -> None:
        self.closed = False
        self._arrived: queue.Queue[wire.Message | None] = queue.Queue()
        self._waiting: list[wire.Message] = []
        threading.Thread(target=self._read, args=(wire.Reader(fd),), daemon=True).start()

    def read(self) -> wire.Message:
        """The next message; raises Closed."""
        message = self._waiting.pop(0) if self._waiting else self._arrived.get()
        if message is None:
            raise wire.Closed("end of stream")
        return message

    def take(self, wanted: Callable[[wire.Message], bool]) -> bool:
        """Remove the first arrived message that is ``wanted``; True when there was one."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._arrived.get_nowait()
                if message is None:
                    self.closed = True
                    self._arrived.put(None)
                    break
                self._waiting.append(message)
        return wire.remove_first(self._waiting, wanted)

    def _read(self, reader: wire.Reader) -> None:
        try:
            while True:
                self._arrived.put(reader.read())
        except (wire.Closed, wire.BadFrame):
            self._arrived.put(None)


@dataclass
class Copy:
    """A copy of the workspace for one module under test."""

    folder: str
    keeper: PlainKeeper
    files: dict[str, tuple[int, int]]
    """How the files looked that it was made of."""


class PlainServer(Server):
    """Answers the same calls as `Server`."""

    def __init__(self, input_fd: int, output_fd: int) -> None:
        super().__init__(input_fd, output_fd)
        self._reader = Inbox(input_fd)  # type: ignore[assignment]
        self._copies: dict[tuple[str, str], Copy] = {}

    def serve(self) -> None:
        """Answer until the client goes."""
        try:
            super().serve()
        finally:
            self._end_keepers()

    def _probe(self, root: str) -> dict[str, str]:
        return dict.fromkeys((*sandbox.LAYERS, "landlock"), WHY)

    def _isolation(self) -> str:
        return "copy"

    def _lacking(self, missing: list[str]) -> str:
        return "none, a subprocess on a copy"

    def _end_keepers(self) -> None:
        for copy in self._copies.values():
            shutil.rmtree(copy.folder, ignore_errors=True)
        self._copies.clear()

    def _judge_all(self, root: str, path: str, request: Request, end: float) -> list[Verdict]:
        if not request["fills"]:
            return []
        try:
            keeper = self._copy(root, path).keeper
        except sandbox.CannotIsolate as why:
            return [unavailable(str(why)) for _ in request["fills"]]
        left = end - time.monotonic()
        answers = keeper.judge_all({**request, "budget_ms": left * 1e3})
        return [answer.get("verdict") or not_run(OUT_OF_TIME) for answer in answers if "done" not in answer]

    def _copy(self, root: str, path: str) -> Copy:
        files = collect.seen(root)
        found = self._copies.pop((root, path), None)
        if found is not None and found.files != files:
            shutil.rmtree(found.folder, ignore_errors=True)
            found = None
        if found is None:
            while len(self._copies) >= _MOST_COPIES:
                old = self._copies.pop(next(iter(self._copies)))
                shutil.rmtree(old.folder, ignore_errors=True)
            folder = sandbox.copy_tree(root)
            others = {other: text for other, text in self._unsaved.items() if other != path}
            others = {o: t for o, t in others.items() if o.startswith(root + os.sep)}
            place = sandbox.Place(root, path, dict(self._layers or {}), use=False, others=others)
            place.use_copy(folder)
            keeper = PlainKeeper(place, folder, self._has_pytest, self._look_for_cancel)
            found = Copy(folder, keeper, files)
        self._copies[root, path] = found  # most recently used last
        return found


class PlainKeeper(Keeper):
    """Runs jobs in processes of their own."""

    def __init__(self, place: sandbox.Place, folder: str, has_pytest: bool, look: Callable[[], None]) -> None:
        """``look``: raises when nobody wants the answer any more."""
        handle, self._page = tempfile.mkstemp(dir=folder)
        os.write(handle, bytes(SIZE))
        os.close(handle)
        super().__init__(place, has_pytest, Reach(self._page))
        self._folder, self._look = folder, look

    def _run_job(self, buffer: Buffer, job: Job, seconds: float, at_most: float) -> Outcome:
        place = self._place
        whole = {
            **job, "before": buffer.before, "after": buffer.after, "other_lines": buffer.other_lines,
            "root": place.original_root, "path": place.original_path, "layers": place.layers,
            "folder": self._folder, "page": self._page,
        }  # fmt: skip
        self._reach.reset()
        try:
            return spawn_run(whole, place.root, seconds, at_most, self._look)
        finally:
            with in_folder(place.root):
                place.renew()


def spawn_run(job: Job, folder: str, seconds: float, at_most: float, look: Callable[[], None]) -> Outcome:
    """As `supervise.fork_run`, in a new process that works in ``folder``."""
    start = time.monotonic()
    pipes: dict[str, Any] = {**_GROUP, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, _ENTRY, "--once"],
        cwd=folder, env=without_secrets(), stderr=subprocess.DEVNULL, **pipes,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True).start()
    outcome = Outcome()
    try:
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(job).encode())
            process.stdin.close()
        _listen(process, lines, start + seconds, start + at_most, outcome, look)
    finally:
        _end_tree(process)
        outcome.seconds = time.monotonic() - start
    if outcome.ended == "died":
        outcome.words = f"the process ended with exit code {process.returncode}"
    return outcome


def _listen(
    process: subprocess.Popen[bytes], lines: queue.Queue[bytes | None], end: float, last: float,
    outcome: Outcome, look: Callable[[], None],
) -> None:  # fmt: skip
    total = 0
    while True:
        look()
        left = end - time.monotonic()
        if left <= 0:
            outcome.ended = "timeout"
            return
        try:
            line = lines.get(timeout=min(left, 0.05))
        except queue.Empty:
            if process.poll() is not None and lines.empty():
                return  # what it has started may keep the pipe open
            continue
        total += len(line or b"")
        known = len(outcome.events)
        if line is None or take([line], outcome) or total > MAX_REPORT_BYTES:
            return
        for event in outcome.events[known:]:
            if "seconds" in event:
                end = min(last, time.monotonic() + event["seconds"])


def _read_lines(pipe: IO[bytes], lines: queue.Queue[bytes | None]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while line := pipe.readline(_LINE_BYTES):
            lines.put(line)
    lines.put(None)


if sys.platform == "win32":
    _GROUP: dict[str, Any] = {
        "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    }
else:
    _GROUP = {"start_new_session": True}


def _end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a run and what it has started."""
    if sys.platform == "win32":
        kill = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(kill, capture_output=True, check=False)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()
