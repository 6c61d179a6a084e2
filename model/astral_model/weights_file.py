"""Writes a safetensors file a tensor at a time, so that a conversion never holds all weights in memory.

The library writes a finished dict of tensors and copies all of it first. The format (safetensors, "Format"):
the header's length in eight bytes, the header in JSON, which blanks may pad, and the data without gaps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

_NAMES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32", torch.int8: "I8"}


class WeightsWriter:
    """A context manager; the file is whole once it is left without an error. Raises `OSError`."""

    def __init__(self, path: Path, about: dict[str, str], room: int) -> None:
        """``room``: bytes kept for the header, a multiple of eight."""
        self._header: dict[str, object] = {"__metadata__": about}
        self._room, self._size = room, 0
        self._stream = path.open("wb")
        self._stream.write(bytes(8 + room))

    def __enter__(self) -> WeightsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stream as stream:
            if kind is None:
                header = json.dumps(self._header, separators=(",", ":")).encode()
                if len(header) > self._room:
                    raise ValueError(f"a header of {len(header)} bytes does not fit into {self._room}")
                stream.seek(0)
                stream.write(self._room.to_bytes(8, "little") + header.ljust(self._room))

    def put(self, name: str, parts: Iterable[Tensor]) -> None:
        """Add the tensor that ``parts`` are when joined along their first dimension."""
        rows, first = 0, self._size
        for part in parts:
            data = part.contiguous().flatten().view(torch.uint8).numpy()
            self._stream.write(data.data)
            self._size += len(data)
            rows, kind, rest = rows + len(part), _NAMES[part.dtype], list(part.shape[1:])
        self._header[name] = {"dtype": kind, "shape": [rows, *rest], "data_offsets": [first, self._size]}
