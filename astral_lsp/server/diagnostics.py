"""A hint on each hole: pushed, or pulled by editors that can (LSP 3.17: Pull Diagnostics); never both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lsprotocol import types

from astral_lsp.holes.model import Hole
from astral_lsp.server.documents import OpenDocument

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

SOURCE = "astral-lsp"
CODE = "hole"


def register(server: AstralServer) -> None:
    """Serve textDocument/diagnostic."""
    options = types.DiagnosticOptions(
        inter_file_dependencies=True, workspace_diagnostics=False, identifier=SOURCE
    )
    server.feature(types.TEXT_DOCUMENT_DIAGNOSTIC, options)(pull)


def hole_diagnostics(ls: AstralServer, document: OpenDocument) -> list[types.Diagnostic]:
    """One hint per hole."""
    if not ls.settings_for(document.uri).diagnostics:
        return []
    return [_diagnostic(ls, document, hole) for hole in document.holes]


def _diagnostic(ls: AstralServer, document: OpenDocument, hole: Hole) -> types.Diagnostic:
    known = ls.known(document).types_of(hole.span)
    expected = known.environment.expected if known is not None else None
    return types.Diagnostic(
        range=document.buffer.range(hole.start, hole.end),
        message=f"Hole: expected `{expected}`" if expected else f"Hole: {hole.kind}",
        severity=types.DiagnosticSeverity.Hint,
        code=CODE,
        source=SOURCE,
        data=_data(hole, expected),
    )


def _data(hole: Hole, expected: str | None) -> dict[str, Any]:
    return {"hole": hole.id, "kind": hole.kind, "marker": hole.marker, "expected": expected}


def publish(ls: AstralServer, document: OpenDocument) -> None:
    """Push, or ask for a pull."""
    if ls.stopping or ls.documents.get(document.uri) is not document:
        return
    if ls.client.pull_diagnostics:
        ls.refresh("workspace/diagnostic/refresh")
        return
    ls.text_document_publish_diagnostics(
        types.PublishDiagnosticsParams(
            uri=document.uri,
            diagnostics=hole_diagnostics(ls, document),
            version=document.version if ls.client.diagnostic_versions else None,
        )
    )


def clear(ls: AstralServer, document: OpenDocument) -> None:
    """Take a closed buffer's diagnostics away."""
    if not ls.client.pull_diagnostics and not ls.stopping:
        ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(document.uri, []))


def pull(ls: AstralServer, params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
    """textDocument/diagnostic; ``unchanged`` when text and types are those of the last answer."""
    document = ls.documents.get(params.text_document.uri)
    if document is None:
        return types.RelatedFullDocumentDiagnosticReport(items=[])
    items = hole_diagnostics(ls, document)
    expected = "|".join(str(item.message) for item in items)
    result_id = f"{document.digest}:{hash(expected) & 0xFFFFFFFF:x}"
    if params.previous_result_id == result_id:
        return types.RelatedUnchangedDocumentDiagnosticReport(result_id=result_id)
    return types.RelatedFullDocumentDiagnosticReport(items=items, result_id=result_id)
