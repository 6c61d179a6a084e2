"""Which open buffers differ from their files: a fill is judged in a program made of these."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pygls.uris import to_fs_path

from astral_lsp.server.documents import OpenDocument
from astral_lsp.workers.buffers import Unsaved, stamp

_MOST_BYTES = 1 << 20
_MOST_BUFFERS = 40


class UnsavedBuffers:
    """Compares buffers with the disk, each version of each of them once."""

    def __init__(self) -> None:
        self._same: dict[str, tuple[str, tuple[int, int] | None, bool]] = {}
        """By path: digest of the buffer, stamp of the file, whether they hold the same text."""

    def beside(self, documents: Iterable[OpenDocument], path: str, root: Path) -> tuple[Unsaved, ...]:
        """The unsaved Python buffers of ``root`` other than the one of ``path``."""
        found = []
        for document in documents:
            mine = to_fs_path(document.uri) if document.uri.startswith("file:") else None
            if mine is None or not mine.endswith((".py", ".pyi")) or document.notebook is not None:
                continue
            if mine == path or root not in Path(mine).parents or len(document.text) > _MOST_BYTES:
                continue
            if not self._is_saved(document, mine):
                holes = tuple(hole.span for hole in document.holes)
                found.append(Unsaved(mine, document.text, holes))
        return tuple(sorted(found, key=lambda buffer: buffer.path)[:_MOST_BUFFERS])

    def _is_saved(self, document: OpenDocument, path: str) -> bool:
        saved = stamp(path)
        known = self._same.get(path)
        if known is None or known[:2] != (document.digest, saved):
            known = self._same[path] = (document.digest, saved, _holds(path, document.text))
        return known[2]


def _holds(path: str, text: str) -> bool:
    try:
        data = Path(path).read_bytes()
    except OSError:
        return False
    raw = text.encode("utf-8", "surrogatepass")
    return data.removeprefix(b"\xef\xbb\xbf") == raw.removeprefix(b"\xef\xbb\xbf")
