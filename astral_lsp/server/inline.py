"""textDocument/inlineCompletion (LSP 3.18), off unless ``inlineCompletion`` is set: ghost text at a hole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from astral_lsp.server.edits import line_endings
from astral_lsp.server.filling import fill
from astral_lsp.server.rpc import RequestError

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer


def register(server: AstralServer) -> None:
    """Serve textDocument/inlineCompletion."""
    options = types.InlineCompletionOptions()
    server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, options)(inline_completion)


async def inline_completion(
    ls: AstralServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList | None:
    """Fills that no oracle refused, as they are ranked; computes only when it was asked for by key."""
    document = ls.documents.get(params.text_document.uri)
    if document is None or not ls.settings_for(document.uri).inline_completion:
        return None
    offset = document.buffer.offset(params.position)
    hole = next((h for h in document.holes if h.start <= offset <= h.end), None)
    if hole is None or "\n" in hole.text:
        return None
    version = document.version
    known = ls.known(document).fills_of(document, hole.span)
    if known is None or not known.is_fresh(document):
        if params.context.trigger_kind != types.InlineCompletionTriggerKind.Invoked:
            ls.background.looked_at(document, hole)
            return None
        try:
            known = await fill(ls, document, hole)
        except RequestError:
            return None
    if document.version != version:
        return None
    range_ = document.buffer.range(hole.start, hole.end)
    items = [
        types.InlineCompletionItem(line_endings(document.text, f.text), filter_text=hole.text, range=range_)
        for f in known.report.fills
    ]
    return types.InlineCompletionList(items) if items else None
