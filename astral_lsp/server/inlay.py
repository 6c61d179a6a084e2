"""textDocument/inlayHint: σ behind each hole of the visible range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from astral_lsp.server import titles

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

WIDTH = 40


def register(server: AstralServer) -> None:
    """Serve textDocument/inlayHint."""
    server.feature(types.TEXT_DOCUMENT_INLAY_HINT)(inlay_hints)


def inlay_hints(ls: AstralServer, params: types.InlayHintParams) -> list[types.InlayHint] | None:
    """Expected types that are known."""
    document = ls.documents.get(params.text_document.uri)
    if document is None or not ls.settings_for(document.uri).inlay_hints:
        return None
    start, end = document.buffer.span(params.range)
    known = ls.known(document)
    hints = []
    for hole in document.holes:
        if hole.end < start or hole.start > end:
            continue
        entry = known.types_of(hole.span)
        if entry is None or not entry.environment.expected:
            continue
        expected = entry.environment.expected
        hints.append(
            types.InlayHint(
                document.buffer.position(hole.end),
                f": {titles.shorten(expected, WIDTH)}",
                kind=types.InlayHintKind.Type,
                tooltip=f"expected type of the hole: {expected}",
                padding_left=True,
            )
        )
    return hints
