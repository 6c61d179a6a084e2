"""Holes as a list, and the way from one to the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from astral_lsp.holes.model import Hole
from astral_lsp.server import titles
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.locate import plain
from astral_lsp.server.rpc import invalid_params

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

HOLES = "astral/holes"
SHOW_SECONDS = 3.0


def register(server: AstralServer) -> None:
    """Serve the custom request ``astral/holes``: {textDocument: {uri}} to a list of holes."""
    server.feature(HOLES)(holes)


def holes(ls: AstralServer, params: object) -> list[dict[str, Any]]:
    """Every hole of a buffer with its range, σ and known fills; [] when it is not open."""
    raw = plain(params)
    uri = raw.get("textDocument", {}).get("uri") if isinstance(raw, dict) else None
    if not isinstance(uri, str):
        raise invalid_params(f"{HOLES} takes {{textDocument: {{uri}}}}")
    document = ls.documents.get(uri)
    return holes_json(ls, document) if document is not None else []


def holes_json(ls: AstralServer, document: OpenDocument) -> list[dict[str, Any]]:
    """The holes of one buffer."""
    return [_json(ls, document, hole) for hole in document.holes]


def _json(ls: AstralServer, document: OpenDocument, hole: Hole) -> dict[str, Any]:
    known = ls.known(document)
    environment = known.types_of(hole.span)
    fills = known.fills_of(document, hole.span)
    return {
        "id": hole.id,
        "uri": document.uri,
        "version": document.version,
        "kind": hole.kind,
        "marker": hole.marker,
        "text": hole.text,
        "hint": hole.hint,
        "scope": hole.scope,
        "range": range_json(document.buffer.range(hole.start, hole.end)),
        "expectedType": environment.environment.expected if environment is not None else None,
        "fresh": fills is not None and fills.is_fresh(document),
        "fills": [titles.fill_title(f) for f in fills.fills] if fills is not None else [],
    }


def range_json(range_: types.Range) -> dict[str, Any]:
    """A range as plain JSON."""
    start, end = range_.start, range_.end
    return {
        "start": {"line": start.line, "character": start.character},
        "end": {"line": end.line, "character": end.character},
    }


async def step(
    ls: AstralServer, document: OpenDocument, offset: int, way: int, *, show: bool
) -> dict[str, Any] | None:
    """The hole after (``way`` 1) or before (-1) ``offset``, round the end; None without holes.

    In a notebook the way goes through all cells.
    """
    cells = ls.documents.program(document)
    here = cells.index(document)
    every = [(number, cell, hole) for number, cell in enumerate(cells) for hole in cell.holes]
    if not every:
        return None
    if way > 0:
        ahead = (item for item in every if (item[0], item[2].start) > (here, offset))
        _, cell, hole = next(ahead, every[0])
    else:
        behind = (item for item in reversed(every) if (item[0], item[2].end) < (here, offset))
        _, cell, hole = next(behind, every[-1])
    range_ = cell.buffer.range(hole.start, hole.end)
    if show and ls.client.show_document:
        request = ls.window_show_document_async(
            types.ShowDocumentParams(uri=cell.uri, take_focus=True, selection=range_)
        )
        await asyncio.wait({asyncio.ensure_future(request)}, timeout=SHOW_SECONDS)
    return {"uri": cell.uri, "range": range_json(range_), "id": hole.id}
