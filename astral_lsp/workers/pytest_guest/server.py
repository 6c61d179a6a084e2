"""The guest's outer process: protocol on stdin and stdout, keepers below. Runs no code of the workspace."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
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

from . import codes, collect, graft, kernel, sandbox, text, wire
from . import keeper as keeper_module
from .session import PREPARE_SECONDS
from .verdicts import not_run

PROTOCOL_VERSION = 1
MAX_KEEPERS = 6
MAX_SESSIONS = 100
START_SECONDS = 20.0
GRACE_SECONDS = 3.0


Request = dict[str, Any]
Key = tuple[str, str, str]
"""Root, path of the module under test, ``cold`` or ``warm`` with a hash of the buffer and its hole."""


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
    generation: int
    """Of `codes` when it was started."""
    files: dict[str, tuple[int, int]]
    """How the files looked that its copy was made of."""

    def end(self) -> None:
        """Kill it and everything in its sandbox."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.connection.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        if self.copy is not None:
            shutil.rmtree(self.copy, ignore_errors=True)


class Session:
    """What a warm keeper holds, or why there is none."""

    def __init__(self, key: Key, identity: str, files: list[str]) -> None:
        self.key = key
        self.identity = identity
        self.files = files
        self.unfit = ""
        self.selection: dict[str, Any] | None = None
        self._stamps: dict[str, tuple[int, int] | None] = {}

    def watch(self, paths: list[str]) -> None:
        """Note how the files look that the tests were collected from."""
        self._stamps = {path: _stamp(path) for path in paths}

    def changed(self, files: list[str]) -> bool:
        """Whether any of them, or the set of Python files, is another now."""
        return files != self.files or any(_stamp(path) != stamp for path, stamp in self._stamps.items())


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class Server:
    """One request at a time; a cancel or a lost client ends the keeper that works on it."""

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self._reader = wire.Reader(input_fd)
        self._in, self._out = input_fd, output_fd
        self._root = ""
        self._policy = "prefer"
        self._layers: dict[str, str] | None = None
        self._probed: dict[str, str] = {}
        self._without: dict[str, str] = {}
        self._keepers: dict[Key, Keeper] = {}
        self._sessions: dict[Key, Session] = {}
        self._current = -1
        self._has_plugins = False
        self._unsaved: dict[str, str] = {}
        """Text of other files that are open and not saved, by path."""
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
        methods = {"open": self._open, "run": self._run, "unsaved": self._take_unsaved}
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

    # --- open -----------------------------------------------------------------------------------------------

    def _open(self, params: dict[str, Any]) -> dict[str, Any]:
        root = os.path.realpath(params["root"])
        if not os.path.isdir(root):
            raise BadRequest(f"{params['root']} is not a folder")
        policy = params.get("sandbox", "prefer")
        if policy != self._policy:
            self._end_keepers()
        self._root, self._policy = root, policy
        if self._layers is None:
            self._layers = self._probed = self._probe(root)
        version = ""
        if self._has_pytest:
            import pytest

            version = pytest.__version__
        without = {name: "switched off" for name in params.get("without", ()) if name in self._layers}
        if without != self._without:
            self._end_keepers()
        self._without = without
        layers = self._layers = {**self._probed, **without}
        return {
            "python": platform.python_version(),
            "executable": sys.executable,
            "pytest": version,
            "sandbox": {name: not why for name, why in layers.items()},
            "missing": {name: why for name, why in layers.items() if why},
            "isolation": self._isolation(),
        }

    def _probe(self, root: str) -> dict[str, str]:
        with in_folder(root):
            return sandbox.probe()

    def _isolation(self) -> str:
        assert self._layers is not None
        if self._policy == "off" or self._layers["mount"]:
            return "copy"
        return "overlay"

    def _end_keepers(self) -> None:
        for keeper in self._keepers.values():
            keeper.end()
        self._keepers.clear()
        self._sessions.clear()

    def _take_unsaved(self, params: dict[str, Any]) -> dict[str, Any]:
        """Other files are as these buffers from now on."""
        found: dict[str, str] = {}
        unread = []
        for buffer in params["buffers"]:
            path = os.path.realpath(buffer["path"])
            plain = text.without_holes(buffer["text"], [text.Span(**hole) for hole in buffer["holes"]])
            if plain is not None:
                found[path] = plain
                continue
            unread.append(buffer["path"])
            if path in self._unsaved:
                found[path] = self._unsaved[path]
        if found != self._unsaved:
            self._end_keepers()
        self._unsaved = found
        return {"unread": unread}

    # --- run ------------------------------------------------------------------------------------------------

    def _run(self, params: dict[str, Any]) -> dict[str, Any]:
        start = time.monotonic()
        if self._layers is None:
            raise BadRequest("open a workspace first")
        missing = sandbox.missing(self._layers) if self._policy != "off" else []
        if self._policy == "require" and missing:
            why = "not run: the sandbox lacks " + ", ".join(missing)
            return self._judged([not_run(why) for _ in params["fills"]], start)
        path = os.path.realpath(params["path"])
        root = self._root if _is_below(path, self._root) else os.path.dirname(path)
        request = {
            "text": params["text"], "hole": params["hole"], "fills": params["fills"],
            "other_holes": params.get("other_holes") or [], "timeout_ms": params.get("timeout_ms", 2000.0),
            "budget_ms": params.get("budget_ms", 8000.0), "no_graft": bool(params.get("no_graft")),
        }  # fmt: skip
        verdicts = self._judge_all(root, path, request, start + request["budget_ms"] / 1e3)
        for verdict in verdicts:
            if verdict["status"] in ("passed", "failed") and (missing or self._policy == "off"):
                lacking = "off" if self._policy == "off" else self._lacking(missing)
                verdict["detail"] += f"; sandbox: {lacking}"
        return self._judged(verdicts, start)

    def _lacking(self, missing: list[str]) -> str:
        return "no " + ", no ".join(missing)

    @staticmethod
    def _judged(verdicts: list[dict[str, Any]], start: float) -> dict[str, Any]:
        return {"verdicts": verdicts, "elapsed_ms": (time.monotonic() - start) * 1e3}

    def _judge_all(self, root: str, path: str, request: Request, end: float) -> list[dict[str, Any]]:
        """Verdicts for all fills, in order: grafted into a warm keeper where that is sound, else imported
        anew."""
        fills = request["fills"]
        files = collect.python_files(root)
        files += sorted(other for other in self._unsaved if _is_below(other, root) and other not in files)
        session, unfit = self._warm_session(root, path, request, files, end)
        answers: list[dict[str, Any]] = [{"cold": unfit} for _ in fills]
        if session is not None:
            answers = self._ask_each(session.key, request, fills, end)
        for elsewhere in (False, True):
            cold = [
                index for index, answer in enumerate(answers) if answer.get("elsewhere", False) is elsewhere
            ]
            cold = [index for index in cold if "cold" in answers[index]]
            selection = session.selection if session is not None and not elsewhere else None
            ask = {**request, "selection": selection}
            later = self._ask_each((root, path, "cold"), ask, [fills[index] for index in cold], end)
            for index, answer in zip(cold, later, strict=True):
                answers[index] = answer
                self._compile(root, answer.get("loaded", {}))
        return [answer["verdict"] for answer in answers]

    def _warm_session(
        self, root: str, path: str, request: Request, files: list[str], end: float
    ) -> tuple[Session | None, str]:
        """(a session for just this buffer, prepared now if need be; why there is none)."""
        identity = json.dumps([request["text"], request["hole"], request["other_holes"]])
        key = (root, path, f"warm {hash(identity):x}")
        session = self._sessions.get(key)
        gone = session is not None and not session.unfit and key not in self._keepers
        if session is not None and (gone or session.identity != identity or session.changed(files)):
            self._drop(key)
            session = None
        if session is None:
            session = self._prepare(key, identity, request, files, end)
            self._sessions[key] = session
            if len(self._sessions) > MAX_SESSIONS:
                self._drop(next(iter(self._sessions)))
        return (session, "") if not session.unfit else (None, session.unfit)

    def _prepare(self, key: Key, identity: str, request: Request, files: list[str], end: float) -> Session:
        session = Session(key, identity, files)
        session.unfit = "asked not to" if request["no_graft"] else _unfit(request, key[1])
        if session.unfit:
            return session
        request = {**request, "files": files}
        answer = self._prepared(key, request, end)
        if answer.get("not_imported"):
            self._end_keeper(key)  # some metaclasses do not take a method that closes over its class
            request = {**request, "hold_class": False}
            answer = self._prepared(key, request, end)
        if answer.get("left_out") and not answer["prepared"]["run"]:
            self._end_keeper(key)  # no test that speaks of the hole reaches it: another may
            answer = self._prepared(key, {**request, "everything": True}, end)
        if "unfit" in answer:
            session.unfit = answer["unfit"]
            self._end_keeper(key)
        else:
            session.selection = answer["prepared"]
            session.watch(answer["watched"])
            self._compile(key[0], answer["loaded"])
        return session

    @staticmethod
    def _compile(root: str, loaded: dict[str, bool]) -> None:
        """Have the files that were imported compiled for the keepers to come. Runs nothing of them."""
        codes.HELD.want({file: rewritten for file, rewritten in loaded.items() if _is_below(file, root)})

    def _prepared(self, key: Key, request: Request, end: float) -> dict[str, Any]:
        left = min(end - time.monotonic(), PREPARE_SECONDS)
        ask = {**request, "do": "prepare", "fills": [], "budget_ms": left * 1e3 / 2}
        answers, trouble = self._ask(key, ask, time.monotonic() + left, 1)
        return answers[0] if answers else {"unfit": trouble}

    def _ask_each(self, key: Key, request: Request, fills: list[str], end: float) -> list[dict[str, Any]]:
        """One answer per fill; a keeper that dies costs the fill that it was at, not the next."""
        answers: list[dict[str, Any]] = []
        while len(answers) < len(fills):
            left = end - time.monotonic()
            if left <= 0:
                answers.append({"verdict": not_run(keeper_module.OUT_OF_TIME)})
                continue
            if key[2] != "cold" and key not in self._keepers:
                answers.append({"cold": "the keeper of its tests is gone"})
                continue
            rest = fills[len(answers) :]
            ask = {**request, "do": "judge", "fills": rest, "budget_ms": left * 1e3}
            found, trouble = self._ask(key, ask, end + GRACE_SECONDS, len(rest))
            answers += found
            if trouble:
                answers.append({"verdict": {"status": "unavailable", "detail": trouble}})
        return answers

    def _ask(self, key: Key, request: Request, end: float, number: int) -> tuple[list[dict[str, Any]], str]:
        """(at most ``number`` answers, what ended them early)."""
        found: list[dict[str, Any]] = []
        try:
            keeper = self._keeper(key)
            wire.send(keeper.connection.fileno(), request)
            while len(found) < number:
                answer = self._hear(keeper, end)
                if answer is None:
                    raise TimeoutError("the test runner hung and was stopped")
                if "broken" in answer:
                    raise OSError(answer["broken"])
                if "done" not in answer:
                    found.append(answer)
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

    def _drop(self, key: Key) -> None:
        self._sessions.pop(key, None)
        self._end_keeper(key)

    def _end_keeper(self, key: Key) -> None:
        keeper = self._keepers.pop(key, None)
        if keeper is not None:
            keeper.end()

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

    # --- keepers --------------------------------------------------------------------------------------------

    def _keeper(self, key: Key) -> Keeper:
        codes.HELD.take()
        old = self._keepers.get(key)
        if old is not None and key[2] == "cold":
            stale = old.copy is not None and old.files != collect.seen(key[0])
            if stale or old.generation != codes.HELD.generation:  # a new one imports the tests faster
                self._end_keeper(key)
        if key in self._keepers:
            self._keepers[key] = self._keepers.pop(key)  # most recently used last
            return self._keepers[key]
        while len(self._keepers) >= MAX_KEEPERS:
            self._drop(next(iter(self._keepers)))
        self._warm(*key[:2])
        keeper = self._start(*key[:2])
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

            codes.use_for_rewriting()
            if not self._has_plugins and collect.may_have_tests(collect.python_files(root), path, ""):
                collect.import_plugins()
                self._has_plugins = True

    def _start(self, root: str, path: str) -> Keeper:
        assert self._layers is not None
        others = {
            other: said for other, said in self._unsaved.items() if _is_below(other, root) and other != path
        }
        place = sandbox.Place(root, path, dict(self._layers), use=self._policy != "off", others=others)
        copy, files = None, {}
        if not place.overlaid:
            files = collect.seen(root)
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
        generation = codes.HELD.generation
        keeper = Keeper(child, wire.Reader(ours.fileno()), ours, copy, place.layers, [], generation, files)
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
    """In a child of the server: take the namespaces, then fork the keeper as their first process. No
    return."""
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


def _unfit(request: Request, path: str) -> str:
    """Why no fill of this hole can be grafted, as far as the text alone tells; '' when it may be possible."""
    buffer = keeper_module.buffer_of(request)
    source = text.baseline(buffer)
    if source is None:
        return "the buffer does not parse around the hole"
    try:
        graft.Graft(buffer, source, ast.parse(text.compiled(source)), path)
    except graft.Unfit as why:
        return str(why)
    return ""


def _is_below(path: str, root: str) -> bool:
    return path.startswith(root.rstrip(os.sep) + os.sep)


@contextlib.contextmanager
def in_folder(folder: str) -> Any:
    """Work in ``folder`` for a while."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
