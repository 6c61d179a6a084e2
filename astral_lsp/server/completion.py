"""Completion items at a hole: known fills as they are ranked, then the names that fit σ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill
from astral_lsp.server import titles
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.edits import line_endings
from astral_lsp.server.hover import ranked
from astral_lsp.workers.protocol import Name

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

NAMES = 20


def register(server: AstralServer) -> None:
    """Serve textDocument/completion."""
    options = types.CompletionOptions(trigger_characters=[".", "?"], resolve_provider=False)
    server.feature(types.TEXT_DOCUMENT_COMPLETION, options)(completion)


def completion(ls: AstralServer, params: types.CompletionParams) -> types.CompletionList | None:
    """Items that replace the whole hole; nothing anywhere else, and nothing is computed."""
    document = ls.documents.get(params.text_document.uri)
    if document is None:
        return None
    offset = document.buffer.offset(params.position)
    hole = next((h for h in document.holes if h.start <= offset <= h.end), None)
    if hole is None or "\n" in hole.text:
        return None
    known = ls.known(document)
    fills = known.fills_of(document, hole.span)
    items = []
    if fills is not None and fills.is_fresh(document):
        items = [_of_fill(document, hole, n, f) for n, f in enumerate(fills.report.fills)]
    environment = known.types_of(hole.span)
    if environment is not None and hole.category == "expression":
        fitting = [name for name in ranked(environment.environment.names) if name.fits][:NAMES]
        items += [_of_name(document, hole, n, name) for n, name in enumerate(fitting)]
    return types.CompletionList(is_incomplete=True, items=items) if items else None


def _of_fill(document: OpenDocument, hole: Hole, number: int, candidate: Fill) -> types.CompletionItem:
    item = _item(document, hole, titles.shorten(candidate.text), candidate.text, f"0{number:03d}")
    item.kind = types.CompletionItemKind.Snippet
    item.detail = titles.marks(candidate.verdicts)
    item.documentation = types.MarkupContent(types.MarkupKind.Markdown, f"```python\n{candidate.text}\n```")
    item.preselect = number == 0 and candidate.verified
    return item


def _of_name(document: OpenDocument, hole: Hole, number: int, name: Name) -> types.CompletionItem:
    item = _item(document, hole, name.name, name.name, f"1{number:03d}")
    item.kind = types.CompletionItemKind.Variable
    item.detail = name.type
    return item


def _item(document: OpenDocument, hole: Hole, label: str, text: str, order: str) -> types.CompletionItem:
    edit = types.TextEdit(document.buffer.range(hole.start, hole.end), line_endings(document.text, text))
    return types.CompletionItem(label, text_edit=edit, filter_text=hole.text, sort_text=f"astral{order}")
