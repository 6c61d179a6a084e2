"""Bytes in and out: LSP base protocol framing over stdio (two threads and one loop) or a TCP connection.

Own reading loop because pygls's drops a request that it cannot deserialise without an answer, shares its
thread pool with handlers, and writes to stdout from the event loop, which deadlocks with a client that
writes a lot before it reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import queue
import threading
from collections.abc import Callable
from typing import BinaryIO

MAX_MESSAGE_BYTES = 256 * 1024 * 1024
log = logging.getLogger(__name__)


class FramingError(ValueError):
    """The peer's headers make no sense; the stream cannot be resynchronised."""


def read_message(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> bytes | None:
    """Read one framed body; None at end of stream. Raises FramingError."""
    length = -1
    while True:
        header = readline()
        if not header:
            return None
        if not header.strip():
            if length >= 0:
                break
            continue
        length = _content_length(header, length)
    body = read(length)
    return body if len(body) == length else None


def _content_length(header: bytes, known: int) -> int:
    name, _, value = header.partition(b":")
    if name.strip().lower() != b"content-length":
        return known
    try:
        length = int(value)
    except ValueError:
        raise FramingError(f"Content-Length is not a number: {value!r}") from None
    if not 0 <= length <= MAX_MESSAGE_BYTES:
        raise FramingError(f"a message of {length} bytes is refused")
    return length


class ThreadWriter:
    """A pygls writer whose writes never block the event loop; order is kept."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="astral-writer", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Queue ``data``."""
        self._queue.put(data)

    def close(self) -> None:
        """Write what is queued (for at most two seconds) and stop."""
        self._queue.put(None)
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            while (data := self._queue.get()) is not None:
                self._stream.write(data)
                if self._queue.empty():
                    self._stream.flush()
            self._stream.flush()
        except (OSError, ValueError):
            log.info("the client closed the connection")


def start_reader(
    stream: BinaryIO,
    loop: asyncio.AbstractEventLoop,
    on_body: Callable[[bytes], None],
    on_end: Callable[[], None],
) -> None:
    """Read ``stream`` in a daemon thread; both callbacks run in ``loop``."""

    def run() -> None:
        try:
            while (body := read_message(stream.readline, stream.read)) is not None:
                loop.call_soon_threadsafe(on_body, body)
        except (OSError, ValueError) as error:
            log.error("reading from the client failed: %s", error)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(on_end)

    threading.Thread(target=run, name="astral-reader", daemon=True).start()


async def read_socket(reader: asyncio.StreamReader, on_body: Callable[[bytes], None]) -> None:
    """Read framed bodies from a socket until it ends."""
    while True:
        length = -1
        while (header := await reader.readline()).strip() or length < 0:
            if not header:
                return
            if header.strip():
                length = _content_length(header, length)
        try:
            on_body(await reader.readexactly(length))
        except asyncio.IncompleteReadError:
            return


def parse_body(body: bytes) -> object:
    """Decode one JSON body; raises ValueError."""
    return json.loads(body)
