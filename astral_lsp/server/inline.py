"""textDocument/inlineCompletion (LSP 3.18), off unless ``inlineCompletion`` is set: ghost text.

At a hole an item replaces it; where an expression is missing at the cursor an item is a pure insertion.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lsprotocol import types

from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.edits import line_endings
from astral_lsp.server.filling import Run, fill
from astral_lsp.server.gap import gap_at
from astral_lsp.server.rpc import RequestError

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

REST_SECONDS = 0.3
"""The cursor rests this long at a gap before it is filled unasked."""
GAPS_KEPT = 20


def register(server: AstralServer) -> None:
    """Serve textDocument/inlineCompletion."""
    options = types.InlineCompletionOptions()
    server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, options)(inline_completion)


async def inline_completion(
    ls: AstralServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList | None:
    """Fills that no oracle refused, as they are ranked; computes only when it was asked for by key, and in
    mode onHole."""
    document = ls.documents.get(params.text_document.uri)
    if document is None or not ls.settings_for(document.uri).inline_completion:
        return None
    offset, version = document.buffer.offset(params.position), document.version
    hole = next((h for h in document.holes if h.start <= offset <= h.end), None)
    invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    if hole is None:
        start, end, replaced = offset, offset, None
        fills = await _of_gap(ls, document, offset, invoked=invoked)
    else:
        start, end, replaced = hole.start, hole.end, hole.text
        fills = await _of_hole(ls, document, hole, invoked=invoked)
    if document.version != version or not fills:
        return None
    range_ = document.buffer.range(start, end)
    return types.InlineCompletionList(
        [
            types.InlineCompletionItem(
                line_endings(document.text, f.text), filter_text=replaced, range=range_
            )
            for f in fills
        ]
    )


async def _of_hole(ls: AstralServer, document: OpenDocument, hole: Hole, *, invoked: bool) -> list[Fill]:
    if "\n" in hole.text:
        return []
    known = ls.known(document).fills_of(document, hole.span)
    if known is None or not known.is_fresh(document):
        if not invoked:
            ls.background.looked_at(document, hole)
            return []
        try:
            known = await fill(ls, document, hole)
        except RequestError:
            return []
    return known.report.fills


async def _of_gap(ls: AstralServer, document: OpenDocument, offset: int, *, invoked: bool) -> list[Fill]:
    key = (document.uri, document.digest, offset)
    if key in ls.gaps:
        return ls.gaps[key]
    if not invoked and ls.settings_for(document.uri).fill.mode != "onHole":
        return []
    gap = gap_at(ls.view(document), offset)
    if gap is None:
        return []
    if not invoked:
        await asyncio.sleep(REST_SECONDS)
    run = Run(ls, document, background=not invoked)
    if invoked:
        run.show("Filling at the cursor")
    try:
        report = await run.fill(gap.view, gap.hole)
    except RequestError:
        return []
    finally:
        run.end()
    ls.gaps[key] = report.fills
    while len(ls.gaps) > GAPS_KEPT:
        del ls.gaps[next(iter(ls.gaps))]
    return report.fills
