"""One version of one buffer."""

from __future__ import annotations

import msgspec

from astral_lsp.workers.buffers import Unsaved


class Document(msgspec.Struct, frozen=True):
    """Text of a buffer as the editor has it, saved or not."""

    path: str
    """Absolute path; for an untitled buffer the path that it would have in the workspace root."""
    text: str
    version: int = 0
    """The editor's version number (LSP 3.17, VersionedTextDocumentIdentifier)."""
    unsaved: tuple[Unsaved, ...] = ()
    """Other open buffers that differ from their files: the program is made of these."""
