"""Which hole a request means: by place in the present buffer, or by what it was in an earlier version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from astral_lsp.holes.model import Hole, Span
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.rpc import RequestError, content_modified, invalid_params
from astral_lsp.server.titles import shorten

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

Deed = Literal["best", "again", "candidate", "refine"]


class Target(msgspec.Struct, rename="camel"):
    """A hole, or a selection, of one version: the client carries it in ``data`` and command arguments."""

    uri: str
    version: int | None = None
    start: int = 0
    """Offsets in code points of that version."""
    end: int = 0
    text: str = ""
    """The hole as written in that version."""
    deed: Deed = "best"
    fill: str = ""
    """The candidate's text, for deed 'candidate'."""
    selection: bool = False
    """Not a hole of the buffer but a range that the person selected."""

    @property
    def span(self) -> Span:
        """The hole's place in its version."""
        return Span(self.start, self.end)


def target(document: OpenDocument, hole: Hole, deed: Deed, fill: str = "") -> Target:
    """Name ``hole`` of the present version."""
    chosen = hole.marker == "selection"
    return Target(document.uri, document.version, hole.start, hole.end, hole.text, deed, fill, chosen)


def read_target(data: object) -> Target:
    """Take a `Target` back from the client; raises RequestError."""
    try:
        return msgspec.convert(plain(data), Target)
    except msgspec.ValidationError as error:
        raise invalid_params(f"not an action of this server: {error}") from None


def plain(value: Any) -> Any:
    """Builtins instead of the named tuples that pygls makes of objects in free-form parameters."""
    if hasattr(value, "_asdict"):
        return {key: plain(item) for key, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def open_document(server: AstralServer, uri: str) -> OpenDocument:
    """The open buffer of ``uri``; raises RequestError."""
    document = server.documents.get(uri)
    if document is None:
        raise RequestError(f"{uri} is not open in the editor; nothing was changed")
    return document


def locate(document: OpenDocument, wanted: Target) -> Hole:
    """The hole of the present version that ``wanted`` has become; raises RequestError saying what changed."""
    version = document.version if wanted.version is None else wanted.version
    span = document.rebase(wanted.span, version)
    name = f"`{shorten(wanted.text, 30)}`"
    if span is None or document.text[span.start : span.end] != wanted.text:
        raise content_modified(
            f"the hole {name} was edited since version {version} (now {document.version}); nothing changed"
        )
    hole = document.selection(span.start, span.end) if wanted.selection else document.hole_with_span(span)
    if hole is None:
        raise content_modified(
            f"{name} is no hole any more in version {document.version} (it was in {version}); nothing changed"
        )
    return hole
