"""Unsaved text of files other than the one asked about: both oracles see it in place of what is on disk."""

from __future__ import annotations

import os
from typing import ClassVar

import msgspec

from astral_lsp.holes.model import Span


def stamp(path: str) -> tuple[int, int] | None:
    """What changes when ``path`` is saved; None where there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class Unsaved(msgspec.Struct, frozen=True):
    """The text of one open buffer that differs from its file."""

    path: str
    text: str
    holes: tuple[Span, ...] = ()


class Laid(msgspec.Struct):
    """What became of the buffers."""

    unread: list[str] = []
    """Paths of those that do not parse as they are: what was there before counts."""


class ShowUnsaved(msgspec.Struct):
    """types and tests: these are the unsaved buffers from now on, beside the one that is asked about."""

    method: ClassVar[str] = "unsaved"
    result: ClassVar[type] = Laid
    buffers: list[Unsaved]
    beside: str = ""
    """The file that is asked about next; it comes with its own text."""


def note(unread: list[str]) -> str:
    """What a verdict says of buffers that could not be read; '' for none."""
    names = ", ".join(sorted({path.replace("\\", "/").rsplit("/", 1)[-1] for path in unread}))
    return f"unsaved text that does not parse left out: {names}" if names else ""
