"""A child process that answers calls of `protocol.Message`: lazy start, cancel, time-outs, restart.

The server's side of DESIGN section 3. A worker that dies fails its open calls with ``unavailable`` and is
started afresh by the next call; one that keeps dying is left alone for a while.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import msgspec

from astral_lsp.workers.frames import Codec, FrameError, encode, read_async
from astral_lsp.workers.protocol import (
    PROTOCOL_VERSION,
    Call,
    Cancel,
    Event,
    Failure,
    FailureKind,
    Message,
    Ready,
    Result,
)

log = logging.getLogger(__name__)

START_SECONDS = 20.0
"""A worker says `Ready` before any heavy loading; the margin is for a cold disk."""
GRACE_SECONDS = 2.0
"""The usual ``grace`` of a worker."""
KILL = signal.SIGKILL if os.name == "posix" else signal.SIGTERM
CRASH_WINDOW_SECONDS = 60.0
CRASHES_ALLOWED = 3


class Params(Protocol):
    """A params struct of `protocol`: names its method and its result type."""

    @property
    def method(self) -> str: ...
    @property
    def result(self) -> type: ...


class WorkerFailure(Exception):
    """A call did not succeed; ``message`` is one sentence for people."""

    def __init__(self, kind: FailureKind, message: str, trace: str = "", *, died: bool = False) -> None:
        """``died``: the worker ended by itself, so that a fresh one may do better."""
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.trace = trace
        self.died = died


class _Pending(msgspec.Struct, frozen=True):
    future: asyncio.Future[Any]
    on_event: Callable[[Event], None] | None


class WorkerProcess:
    """One child process. Not thread-safe: use it from one event loop."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        name: str,
        codec: Codec = "msgpack",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        grace: float | None = None,
    ) -> None:
        """``grace``: seconds that a cancelled call may take to answer before the worker is killed."""
        self.name = name
        self._grace = GRACE_SECONDS if grace is None else grace
        self.generation = 0
        """Counts starts: a client that opened something must open it again when this has changed."""
        self.about: dict[str, str] = {}
        self._argv, self._codec, self._env, self._cwd = list(argv), codec, env, cwd
        self._process: asyncio.subprocess.Process | None = None
        self._pending: dict[int, _Pending] = {}
        self._next_id = 0
        self._starting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stderr: collections.deque[str] = collections.deque(maxlen=40)
        self._deaths: collections.deque[float] = collections.deque(maxlen=CRASHES_ALLOWED)
        self._stopping = False

    @property
    def running(self) -> bool:
        """Whether the child is alive."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Process id of the live child, else None."""
        return self._process.pid if self._process is not None and self.running else None

    async def start(self) -> None:
        """Start the child if it is not running; raises WorkerFailure when it cannot be started."""
        async with self._starting:
            if self.running:
                return
            self._refuse_crash_loop()
            await self._spawn()

    async def call(
        self,
        params: Params,
        *,
        timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        stop: asyncio.Event | None = None,
    ) -> Any:
        """Run ``params`` in the worker and return its result, a ``params.result``.

        ``timeout`` in seconds: past it the call is cancelled, and the worker killed if it does not answer
        within the grace. Setting ``stop`` cancels but still returns what the worker answers (the best so
        far). Cancelling the awaiting task sends a cancel and does not wait. Raises WorkerFailure.
        """
        await self.start()
        self._next_id += 1
        call_id = self._next_id
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[call_id] = _Pending(future, on_event)
        try:
            self._send(Call(call_id, params.method, params))
            body = await self._answer(call_id, future, timeout, stop)
        except asyncio.CancelledError:
            self._send_quietly(Cancel(call_id))
            raise
        finally:
            self._pending.pop(call_id, None)
        try:
            return msgspec.convert(body, params.result)
        except msgspec.ValidationError as error:
            raise WorkerFailure(
                "internal", f"the {self.name} worker sent a malformed result: {error}"
            ) from error

    async def close(self) -> None:
        """End the child: ask by closing its input, then terminate, then kill."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(OSError, RuntimeError):
            if process.stdin is not None:
                process.stdin.close()
        for action in (None, signal.SIGTERM, KILL):
            if action is not None:
                self._signal(process, action)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), 1.0)
                break
        self._fail_pending("was closed")

    def kill(self) -> None:
        """End the child at once; open calls fail as ``unavailable``."""
        process, self._process = self._process, None  # the next call must not write to a dying child
        if process is not None and process.returncode is None:
            self._deaths.append(time.monotonic())
            self._signal(process, KILL)
        self._fail_pending("was killed")

    # --- inside -------------------------------------------------------------------------------------------

    def _refuse_crash_loop(self) -> None:
        recent = [when for when in self._deaths if time.monotonic() - when < CRASH_WINDOW_SECONDS]
        if len(recent) >= CRASHES_ALLOWED:
            last = self._stderr[-1] if self._stderr else "it printed nothing"
            raise WorkerFailure(
                "unavailable", f"the {self.name} worker stopped {len(recent)} times in a minute ({last})"
            )

    async def _spawn(self) -> None:
        self._stopping = False
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=dict(self._env) if self._env is not None else None,
                cwd=self._cwd,
                # its own group: Ctrl-C reaches us alone, and killing it takes its children along
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            raise WorkerFailure("unavailable", f"cannot start the {self.name} worker: {error}") from error
        self._process = process
        self.generation += 1
        self._keep(self._read_stderr(process))
        try:
            await self._await_ready(process)
        except BaseException:
            # half started, it would never be read from: no call may be sent to it. It has nothing to lose yet
            # (and one that stands still hears nothing milder)
            self._process = None
            self._signal(process, KILL)
            raise
        self._keep(self._read_messages(process))

    async def _await_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            message = await asyncio.wait_for(read_async(process.stdout, self._codec), START_SECONDS)
        except asyncio.TimeoutError:
            message, why = None, f"said nothing for {START_SECONDS:.0f} s"
        except FrameError as error:
            message, why = None, f"broke the protocol: {error}"
        else:
            why = "ended while starting"
        if isinstance(message, Ready) and message.version == PROTOCOL_VERSION:
            self.about = message.about
            return
        if isinstance(message, Ready):
            why = f"speaks protocol {message.version}, not {PROTOCOL_VERSION}"
        self._deaths.append(time.monotonic())
        await asyncio.sleep(0.05)  # lets its last words arrive
        tail = f": {self._stderr[-1]}" if self._stderr else ""
        raise WorkerFailure("unavailable", f"the {self.name} worker {why}{tail}")

    async def _answer(
        self, call_id: int, future: asyncio.Future[Any], timeout: float | None, stop: asyncio.Event | None
    ) -> Any:
        stopper = asyncio.ensure_future(stop.wait()) if stop is not None else None
        waiting: set[asyncio.Future[Any]] = {future} | ({stopper} if stopper is not None else set())
        try:
            await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                self._send_quietly(Cancel(call_id))
                await asyncio.wait({future}, timeout=self._grace)
            if not future.done():
                limit = f"in {timeout:.3g} s" if timeout is not None else "to a cancel"
                why = f"the {self.name} worker did not answer {limit} and was stopped"
                future.set_exception(WorkerFailure("unavailable", why))
                self.kill()
            return future.result()
        finally:
            if stopper is not None:
                stopper.cancel()

    async def _read_messages(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            while (message := await read_async(process.stdout, self._codec)) is not None:
                self._dispatch(message)
        except (FrameError, ConnectionError) as error:
            log.error("the %s worker broke the protocol: %s", self.name, error)
            self._signal(process, KILL)
        code = await process.wait()
        if self._process is process:
            if not self._stopping:
                self._deaths.append(time.monotonic())
            self._fail_pending(f"stopped ({_ending(code)}{self._last_words()})", died=not self._stopping)

    def _last_words(self) -> str:
        return f": {self._stderr[-1][:300]}" if self._stderr else ""

    def _dispatch(self, message: Message) -> None:
        if not isinstance(message, (Event, Result, Failure)):
            return
        pending = self._pending.get(message.id)
        if pending is None or pending.future.done():
            return
        if isinstance(message, Event):
            if pending.on_event is not None:
                pending.on_event(message)
        elif isinstance(message, Result):
            pending.future.set_result(message.body)
        else:
            pending.future.set_exception(WorkerFailure(message.kind, message.message, message.trace))

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while chunk := await process.stderr.read(8192):
            for line in chunk.decode("utf-8", "replace").splitlines():
                if line.strip():
                    self._stderr.append(line.rstrip()[:2000])
                    log.debug("%s: %s", self.name, line.rstrip())

    def _fail_pending(self, why: str, *, died: bool = False) -> None:
        message = f"the {self.name} worker {why}"
        for pending in list(self._pending.values()):
            if not pending.future.done():
                pending.future.set_exception(WorkerFailure("unavailable", message, died=died))

    def _send(self, message: Message) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            raise WorkerFailure("unavailable", f"the {self.name} worker is not running")
        try:
            process.stdin.write(encode(message, self._codec))
        except FrameError as error:
            raise WorkerFailure("bad_request", str(error)) from error

    def _send_quietly(self, message: Message) -> None:
        with contextlib.suppress(WorkerFailure, OSError, RuntimeError):
            self._send(message)

    def _keep(self, work: Any) -> None:
        task = cast("asyncio.Task[None]", asyncio.ensure_future(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _signal(process: asyncio.subprocess.Process, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform != "win32":
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if os.name == "posix" and code == -signal.SIGKILL:
        return "killed from outside: often the system, for lack of memory"
    return f"exit code {code}"
