"""The worker's loop: calls in, results out, cancels seen between candidates."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from astral_lsp.workers.buffers import ShowUnsaved
from astral_lsp.workers.frames import encode, read_blocking
from astral_lsp.workers.protocol import (
    Analyse,
    Call,
    Cancel,
    CheckTypes,
    Failure,
    FailureKind,
    Message,
    OpenTypes,
    Result,
)

log = logging.getLogger(__name__)


class Refused(Exception):
    """A call that cannot be served; ``kind`` as in `protocol.Failure`."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind


class Server:
    """Serves one pair of pipes until the reading one ends."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source, self._sink = source, sink
        self._waiting: deque[Message] = deque()
        self._cancelled: set[int] = set()
        self._session: Any = None
        self._methods: dict[str, Callable[[Any, Callable[[], bool]], Any]] = {
            "open": self._open,
            "analyse": self._analyse,
            "check": self._check,
            "unsaved": self._unsaved,
        }

    def run(self) -> None:
        """Answer calls one at a time until the input ends."""
        while (message := self._next()) is not None:
            if isinstance(message, Cancel):
                self._cancelled.add(message.id)
            elif isinstance(message, Call):
                self._send(self._answer(message))
                self._cancelled.discard(message.id)

    def _next(self) -> Message | None:
        return self._waiting.popleft() if self._waiting else read_blocking(self._source)

    def _answer(self, message: Call) -> Result | Failure:
        try:
            if message.id in self._cancelled:
                raise Refused("cancelled", "cancelled before it began")
            method = self._methods.get(message.method)
            if method is None:
                raise Refused("bad_request", f"the types worker has no method {message.method!r}")
            body = method(message.params, lambda: self._is_cancelled(message.id))
            return Result(message.id, body)
        except Refused as refused:
            return Failure(message.id, refused.kind, str(refused))
        except msgspec.ValidationError as error:
            return Failure(message.id, "bad_request", f"malformed parameters: {error}")
        except (Exception, SystemExit) as error:
            log.exception("%s failed", message.method)
            self._session = None  # whatever state the build is in, do not use it again
            text = f"mypy failed: {type(error).__name__}: {error}"[:300]
            return Failure(message.id, "unavailable", text, traceback.format_exc())

    def _is_cancelled(self, call_id: int) -> bool:
        """Read what has arrived, without waiting, and look for a cancel."""
        if sys.platform != "win32":
            with contextlib.suppress(OSError, ValueError):
                while select.select([self._source], [], [], 0)[0]:
                    arrived = read_blocking(self._source)
                    if arrived is None:
                        return True  # the server is gone
                    if isinstance(arrived, Cancel):
                        self._cancelled.add(arrived.id)
                    else:
                        self._waiting.append(arrived)
        return call_id in self._cancelled

    def _send(self, message: Message) -> None:
        self._sink.write(encode(message))
        self._sink.flush()

    # --- methods ----------------------------------------------------------------------------------------

    def _open(self, params: Any, _: Callable[[], bool]) -> dict[str, Any]:
        try:
            from astral_lsp.workers.types.configuration import ConfigurationError
            from astral_lsp.workers.types.session import Session
        except ImportError as error:
            hint = "run: pip install 'mypy>=2.2,<2.5'"
            raise Refused("unavailable", f"mypy cannot be loaded ({error}); {hint}") from error

        opened = msgspec.convert(params, OpenTypes)
        if self._session is not None:
            self._session.close()
            self._session = None
        try:
            self._session = Session(opened)
        except (ConfigurationError, OSError) as error:
            raise Refused("unavailable", str(error)) from error
        about: dict[str, Any] = self._session.about()
        return about

    def _analyse(self, params: Any, _: Callable[[], bool]) -> Any:
        return self._opened().analyse(msgspec.convert(params, Analyse))

    def _check(self, params: Any, cancelled: Callable[[], bool]) -> Any:
        return self._opened().check(msgspec.convert(params, CheckTypes), cancelled)

    def _unsaved(self, params: Any, _: Callable[[], bool]) -> Any:
        return self._opened().lay(msgspec.convert(params, ShowUnsaved))

    def _opened(self) -> Any:
        if self._session is None:
            raise Refused("bad_request", "open a workspace first")
        return self._session


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the protocol's pipes to ourselves: whatever prints goes to stderr from here on."""
    # unbuffered input: select() must see what has not been read yet
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    sink = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return _Whole(source), sink  # type: ignore[return-value]


class _Whole:
    """An unbuffered pipe whose ``read`` returns all that was asked for, or less only at its end."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def fileno(self) -> int:
        """For select()."""
        number: int = self._raw.fileno()
        return number

    def read(self, size: int) -> bytes:
        """Read exactly ``size`` bytes, fewer at end of stream."""
        parts: list[bytes] = []
        while size > 0:
            part = self._raw.read(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
