"""A file system with unsaved buffers laid over it, in the shape mypy reads files through."""

from __future__ import annotations

import os
import stat

from mypy.fscache import FileSystemCache
from mypy.util import hash_digest


class OverlayFS(FileSystemCache):
    """mypy's file cache, with buffers in place of the files of the same absolute path."""

    def __init__(self) -> None:
        self.buffers: dict[str, bytes] = {}
        super().__init__()

    def put(self, path: str, data: bytes) -> None:
        """Lay ``data`` over ``path``, which need not exist on disk."""
        self.buffers[path] = data
        self.forget(path)

    def drop(self, path: str) -> None:
        """Let the file on disk show again."""
        self.buffers.pop(path, None)
        self.forget(path)

    def forget(self, path: str) -> None:
        """Drop what is cached of ``path``."""
        for cache in (self.read_cache, self.hash_cache, self.stat_or_none_cache, self.read_error_cache):
            cache.pop(path, None)

    def stat_or_none(self, path: str) -> os.stat_result | None:
        real = super().stat_or_none(path)
        if real is not None or path not in self.buffers:
            return real
        fields: list[float] = [0] * 10
        fields[stat.ST_MODE] = stat.S_IFREG | 0o444
        fields[stat.ST_SIZE] = len(self.buffers[path])
        made = os.stat_result(fields)
        self.stat_or_none_cache[path] = made
        return made

    def read(self, path: str) -> bytes:
        if path not in self.buffers:
            return super().read(path)
        data = self.buffers[path]
        self.read_cache[path] = data
        self.hash_cache[path] = hash_digest(data)
        return data

    def now(self, path: str) -> bytes:
        """What a reader of ``path`` gets, without keeping it; raises OSError."""
        if path in self.buffers:
            return self.buffers[path]
        with open(path, "rb") as file:
            return file.read()

    def exists(self, path: str, real_only: bool = False) -> bool:
        # "Not really there" makes mypy read through us: its native parser would open the saved file itself.
        if path in self.buffers:
            return not real_only
        return super().exists(path, real_only)

    def listdir(self, path: str) -> list[str]:
        folder = os.path.normpath(path)
        extra = [os.path.basename(p) for p in self.buffers if os.path.dirname(p) == folder]
        try:
            names = super().listdir(path)
        except OSError:
            if not extra:
                raise
            names = []
        return names + [name for name in extra if name not in names]
