"""Frames on pipes: a 4-byte big-endian length and a JSON object."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Callable
from typing import Any

_HEADER = struct.Struct(">I")
MAX_BYTES = 64 * 1024 * 1024

Message = dict[str, Any]


class Closed(Exception):
    """The peer is gone."""


class BadFrame(Exception):
    """The peer broke the framing."""


def send(fd: int, message: Message) -> None:
    """Write one whole frame; raises Closed."""
    body = json.dumps(message).encode()
    view = memoryview(_HEADER.pack(len(body)) + body)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise Closed(str(error)) from error


def remove_first(waiting: list[Message], wanted: Callable[[Message], bool]) -> bool:
    """Remove the first of ``waiting`` that is ``wanted``; True when there was one."""
    for index, message in enumerate(waiting):
        if wanted(message):
            del waiting[index]
            return True
    return False


class Reader:
    """Takes frames from a descriptor, keeping what has arrived of the next one."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = bytearray()
        self._waiting: list[Message] = []
        self.closed = False

    def ready(self) -> Message | None:
        """A frame that has arrived in whole already, else None."""
        if len(self._buffer) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack_from(self._buffer)
        if length > MAX_BYTES:
            raise BadFrame(f"a frame of {length} bytes")
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        try:
            message = json.loads(body)
        except ValueError as error:
            raise BadFrame(str(error)) from error
        if not isinstance(message, dict):
            raise BadFrame("not an object")
        return message

    def fill(self) -> None:
        """Read what is there, at least one byte (blocks); raises Closed at the end."""
        try:
            chunk = os.read(self.fd, 1 << 20)
        except OSError as error:
            raise Closed(str(error)) from error
        if not chunk:
            raise Closed("end of stream")
        self._buffer += chunk

    def read(self, timeout: float | None = None) -> Message | None:
        """The next frame; None when ``timeout`` seconds pass first. Raises Closed or BadFrame."""
        end = None if timeout is None else time.monotonic() + timeout
        if self._waiting:
            return self._waiting.pop(0)
        while (message := self.ready()) is None:
            if end is not None:
                left = end - time.monotonic()
                if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                    return None
            self.fill()
        return message

    def fill_quietly(self) -> None:
        """As `fill`, but the end of the stream only sets ``closed``."""
        try:
            self.fill()
        except Closed:
            self.closed = True

    def take(self, wanted: Callable[[Message], bool]) -> bool:
        """Remove the first arrived frame that is ``wanted``; the others stay for `read`. True when there was
        one."""
        while (message := self.ready()) is not None:
            self._waiting.append(message)
        return remove_first(self._waiting, wanted)
