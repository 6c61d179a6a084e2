"""textDocument/codeLens: one line above each function that has holes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from lsprotocol import types

from astral_lsp.holes.model import Hole
from astral_lsp.server import titles
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.locate import target

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer


def register(server: AstralServer) -> None:
    """Serve textDocument/codeLens."""
    server.feature(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions(resolve_provider=False))(code_lenses)


def code_lenses(ls: AstralServer, params: types.CodeLensParams) -> list[types.CodeLens] | None:
    """``Fill · types ✓ · tests –`` for one hole, ``Fill 3 holes`` for several."""
    document = ls.documents.get(params.text_document.uri)
    if document is None or not ls.settings_for(document.uri).code_lens:
        return None
    functions: dict[tuple[int, int], list[Hole]] = {}
    for hole in document.holes:
        if hole.function is not None:
            functions.setdefault((hole.function.start, hole.function.end), []).append(hole)
    return [_lens(ls, document, start, holes) for (start, _), holes in functions.items()]


def _lens(ls: AstralServer, document: OpenDocument, start: int, holes: list[Hole]) -> types.CodeLens:
    arguments = [msgspec.to_builtins(target(document, holes[0], "best"))]
    if len(holes) > 1:
        command = types.Command(f"Fill {len(holes)} holes", "astral.fillFunction", arguments=arguments)
    else:
        command = types.Command(_title(ls, document, holes[0]), "astral.fillHole", arguments=arguments)
    return types.CodeLens(document.buffer.range(start, start), command)


def _title(ls: AstralServer, document: OpenDocument, hole: Hole) -> str:
    known = ls.known(document).fills_of(document, hole.span)
    if known is None or not known.fills or not known.is_fresh(document):
        return "Fill"
    return f"Fill · {titles.marks(known.fills[0].verdicts)}"
