"""The guest's outer process: protocol on stdin and stdout, keepers below. Runs no code of the workspace."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import select
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

from . import collect, kernel, sandbox, wire
from . import keeper as keeper_module

PROTOCOL_VERSION = 1
MAX_KEEPERS = 3
START_SECONDS = 20.0
GRACE_SECONDS = 3.0


class Unavailable(Exception):
    """The call cannot be answered; the message says why, for people."""


class BadRequest(Exception):
    """The call makes no sense."""


class Cancelled(Exception):
    """The server wants no answer to the current call any more."""


@dataclass
class Keeper:
    """A running keeper as the server holds it."""

    pid: int
    reader: wire.Reader
    connection: socket.socket
    copy: str | None
    layers: dict[str, str]
    missing: list[str]

    def end(self) -> None:
        """Kill it and everything in its sandbox."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.connection.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        if self.copy is not None:
            shutil.rmtree(self.copy, ignore_errors=True)


class Server:
    """One request at a time; a cancel or a lost client ends the keeper that works on it."""

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self._reader = wire.Reader(input_fd)
        self._in, self._out = input_fd, output_fd
        self._root = ""
        self._policy = "prefer"
        self._layers: dict[str, str] | None = None
        self._keepers: dict[tuple[str, str], Keeper] = {}
        self._current = -1
        self._has_plugins = False
        self._has_pytest = importlib.util.find_spec("pytest") is not None

    def serve(self) -> None:
        """Answer until the client goes."""
        wire.send(
            self._out,
            {"type": "ready", "version": PROTOCOL_VERSION, "pid": os.getpid(),
             "about": {"python": platform.python_version(), "executable": sys.executable}},
        )  # fmt: skip
        try:
            while True:
                message = self._reader.read()
                assert message is not None
                if message.get("type") == "call":
                    self._call(message)
        except wire.Closed:
            pass
        finally:
            for keeper in self._keepers.values():
                keeper.end()

    def _call(self, message: dict[str, Any]) -> None:
        number = self._current = message["id"]
        methods = {"open": self._open, "run": self._run}
        try:
            method = methods.get(message["method"])
            if method is None:
                raise BadRequest(f"no method {message['method']!r}")
            answer: dict[str, Any] = {
                "type": "result",
                "id": number,
                "body": method(message.get("params") or {}),
            }
        except Cancelled:
            answer = {"type": "failure", "id": number, "kind": "cancelled", "message": "cancelled"}
        except (BadRequest, KeyError, TypeError) as error:
            answer = {"type": "failure", "id": number, "kind": "bad_request", "message": str(error)}
        except (Unavailable, sandbox.CannotIsolate, OSError) as error:
            answer = {"type": "failure", "id": number, "kind": "unavailable", "message": str(error)}
        wire.send(self._out, answer)

    # --- open ---------------------------------------------------------------------------------------------------

    def _open(self, params: dict[str, Any]) -> dict[str, Any]:
        root = os.path.realpath(params["root"])
        if not os.path.isdir(root):
            raise BadRequest(f"{params['root']} is not a folder")
        policy = params.get("sandbox", "prefer")
        if policy != self._policy:
            self._end_keepers()
        self._root, self._policy = root, policy
        if self._layers is None:
            with _in_folder(root):
                self._layers = sandbox.probe()
        version = ""
        if self._has_pytest:
            import pytest

            version = pytest.__version__
        layers = self._layers
        return {
            "python": platform.python_version(),
            "executable": sys.executable,
            "pytest": version,
            "sandbox": {name: not why for name, why in layers.items()},
            "missing": {name: why for name, why in layers.items() if why},
            "isolation": self._isolation(),
        }

    def _isolation(self) -> str:
        assert self._layers is not None
        if self._policy == "off" or self._layers["mount"]:
            return "copy"
        return "overlay"

    def _end_keepers(self) -> None:
        for keeper in self._keepers.values():
            keeper.end()
        self._keepers.clear()

    # --- run ----------------------------------------------------------------------------------------------------

    def _run(self, params: dict[str, Any]) -> dict[str, Any]:
        start = time.monotonic()
        if self._layers is None:
            raise BadRequest("open a workspace first")
        missing = sandbox.missing(self._layers) if self._policy != "off" else []
        if self._policy == "require" and missing:
            why = "not run: the sandbox lacks " + ", ".join(missing)
            return self._judged([keeper_module.not_run(why)] * len(params["fills"]), start)
        path = os.path.realpath(params["path"])
        request = {
            "text": params["text"], "hole": params["hole"], "fills": params["fills"],
            "other_holes": params.get("other_holes") or [], "timeout_ms": params.get("timeout_ms", 2000.0),
            "budget_ms": params.get("budget_ms", 8000.0),
        }  # fmt: skip
        verdicts = self._judge_all(path, request, start + request["budget_ms"] / 1e3)
        for verdict in verdicts:
            if verdict["status"] in ("passed", "failed") and (missing or self._policy == "off"):
                lacking = "off" if self._policy == "off" else "no " + ", no ".join(missing)
                verdict["detail"] += f"; sandbox: {lacking}"
        return self._judged(verdicts, start)

    @staticmethod
    def _judged(verdicts: list[dict[str, Any]], start: float) -> dict[str, Any]:
        return {"verdicts": verdicts, "elapsed_ms": (time.monotonic() - start) * 1e3}

    def _judge_all(self, path: str, request: dict[str, Any], end: float) -> list[dict[str, Any]]:
        """Verdicts for all fills; a keeper that dies costs the fill that it was at, not the next."""
        fills = request["fills"]
        verdicts: list[dict[str, Any]] = []
        while len(verdicts) < len(fills):
            left = end - time.monotonic()
            if left <= 0:
                return verdicts + [
                    keeper_module.not_run("no time was left for its tests") for _ in fills[len(verdicts) :]
                ]
            rest = {**request, "fills": fills[len(verdicts) :], "budget_ms": left * 1e3}
            found, trouble = self._ask(path, rest, end + GRACE_SECONDS)
            verdicts += found
            if trouble:
                verdicts.append({"status": "unavailable", "detail": trouble})
        return verdicts

    def _ask(self, path: str, request: dict[str, Any], end: float) -> tuple[list[dict[str, Any]], str]:
        """(verdicts before any trouble, what the trouble was)."""
        key = (self._root, path)
        keeper = self._keeper(key)
        found: list[dict[str, Any]] = []
        try:
            wire.send(keeper.connection.fileno(), request)
            while True:
                answer = self._hear(keeper, end)
                if answer is None:
                    raise TimeoutError("the test runner hung and was stopped")
                if "verdict" in answer:
                    found.append(answer["verdict"])
                elif "broken" in answer:
                    raise OSError(answer["broken"])
                elif "done" in answer:
                    return found, ""
        except (wire.Closed, wire.BadFrame):
            self._drop(key)
            return found, "the test runner was killed"
        except OSError as error:
            self._drop(key)
            return found, str(error)
        except Cancelled:
            self._drop(key)
            raise

    def _drop(self, key: tuple[str, str]) -> None:
        self._keepers.pop(key).end()

    def _hear(self, keeper: Keeper, end: float) -> dict[str, Any] | None:
        """The keeper's next frame, None at ``end``; raises Cancelled when the client wants no more."""
        while True:
            if (answer := keeper.reader.ready()) is not None:
                return answer
            self._look_for_cancel()
            left = end - time.monotonic()
            if left <= 0:
                return None
            ready = select.select([self._in, keeper.reader.fd], [], [], left)[0]
            if keeper.reader.fd in ready:
                keeper.reader.fill()
            if self._in in ready:
                self._reader.fill_quietly()

    def _look_for_cancel(self) -> None:
        if self._reader.take(
            lambda message: message.get("type") == "cancel" and message.get("id") == self._current
        ):
            raise Cancelled
        if self._reader.closed:
            raise Cancelled

    # --- keepers ------------------------------------------------------------------------------------------------

    def _keeper(self, key: tuple[str, str]) -> Keeper:
        if key in self._keepers:
            self._keepers[key] = self._keepers.pop(key)  # most recently used last
            return self._keepers[key]
        while len(self._keepers) >= MAX_KEEPERS:
            self._drop(next(iter(self._keepers)))
        self._warm(*key)
        keeper = self._start(*key)
        self._keepers[key] = keeper
        return keeper

    def _warm(self, root: str, path: str) -> None:
        """Import what every keeper needs once, here: the standard library's share, pytest and its plugins."""
        import doctest  # noqa: F401

        if self._has_pytest:
            import _pytest.config
            import _pytest.doctest
            import _pytest.main
            import _pytest.python  # noqa: F401

            if not self._has_plugins and collect.may_have_tests(collect.python_files(root), path, ""):
                collect.import_plugins()
                self._has_plugins = True

    def _start(self, root: str, path: str) -> Keeper:
        assert self._layers is not None
        if os.path.commonpath([root, path]) != root:
            root = os.path.dirname(path)
        place = sandbox.Place(root, path, dict(self._layers), use=self._policy != "off")
        copy = None
        if not place.overlaid:
            copy = sandbox.copy_tree(root)
            place.use_copy(copy)
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            ours.close()
            os.close(self._in)
            os.close(self._out)
            for other in self._keepers.values():
                other.connection.close()
            _become_keeper(theirs.fileno(), place, self._has_pytest)
        theirs.close()
        keeper = Keeper(child, wire.Reader(ours.fileno()), ours, copy, place.layers, [])
        try:
            hello = keeper.reader.read(START_SECONDS)
        except wire.Closed:
            hello = {"broken": "it ended at once"}
        if hello is None or "broken" in hello:
            keeper.end()
            raise Unavailable(f"the sandbox cannot be set up: {(hello or {}).get('broken', 'no answer')}")
        keeper.layers = hello["layers"]
        return keeper


def _become_keeper(fd: int, place: sandbox.Place, has_pytest: bool) -> None:
    """In a child of the server: take the namespaces, then fork the keeper as their first process. No return."""
    try:
        kernel.die_with_parent()
        sandbox.leave_host(
            {name: not place.layers[name] for name in ("user", "mount", "network", "pid", "ipc")}
        )
        child = os.fork()
        if child == 0:
            kernel.die_with_parent()
            keeper_module.main(fd, place, has_pytest)
        os.close(fd)
        os.waitpid(child, 0)
    except BaseException as error:
        with contextlib.suppress(wire.Closed):
            wire.send(fd, {"broken": str(error)})
    finally:
        os._exit(0)


@contextlib.contextmanager
def _in_folder(folder: str) -> Any:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
