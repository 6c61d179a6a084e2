"""Length-prefixed frames of `protocol.Message`, for asyncio streams and for blocking pipes."""

from __future__ import annotations

import asyncio
import struct
from typing import BinaryIO, Literal

import msgspec

from astral_lsp.workers.protocol import MAX_FRAME_BYTES, Message

Codec = Literal["msgpack", "json"]
_HEADER = struct.Struct(">I")
_MSGPACK: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_JSON: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class FrameError(ValueError):
    """The peer broke the framing or sent something that is not a message."""


def encode(message: Message, codec: Codec = "msgpack") -> bytes:
    """Return one whole frame."""
    body = msgspec.msgpack.encode(message) if codec == "msgpack" else msgspec.json.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a message of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return _HEADER.pack(len(body)) + body


def decode(body: bytes, codec: Codec = "msgpack") -> Message:
    """Read one payload; raises FrameError when it is not a message."""
    try:
        return _MSGPACK.decode(body) if codec == "msgpack" else _JSON.decode(body)
    except msgspec.DecodeError as error:
        raise FrameError(str(error)) from error


def _length(header: bytes) -> int:
    length: int = _HEADER.unpack(header)[0]
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes is over the limit of {MAX_FRAME_BYTES}")
    return length


async def read_async(reader: asyncio.StreamReader, codec: Codec = "msgpack") -> Message | None:
    """Read the next message; None at end of stream."""
    try:
        header = await reader.readexactly(_HEADER.size)
        body = await reader.readexactly(_length(header))
    except asyncio.IncompleteReadError:
        return None
    return decode(body, codec)


def read_blocking(stream: BinaryIO, codec: Codec = "msgpack") -> Message | None:
    """Read the next message from a blocking pipe; None at end of stream."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    length = _length(header)
    body = stream.read(length)
    return decode(body, codec) if len(body) == length else None
