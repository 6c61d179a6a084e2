"""Workspace edits as this editor takes them: versioned, annotated, or plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lsprotocol import types

from astral_lsp.holes.model import Span
from astral_lsp.server.client import Client
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.text import Buffer


class Replacement(NamedTuple):
    """One span of a buffer's present version and the text for it."""

    span: Span
    text: str


def workspace_edit(
    client: Client,
    document: OpenDocument,
    replacements: list[Replacement],
    *,
    label: str = "",
    description: str = "",
) -> types.WorkspaceEdit:
    """The edit of ``document``'s present version; names that version where the client understands it."""
    return workspace_edits(client, [(document, replacements)], label=label, description=description)


def workspace_edits(
    client: Client,
    changes: Sequence[tuple[OpenDocument, list[Replacement]]],
    *,
    label: str = "",
    description: str = "",
) -> types.WorkspaceEdit:
    """One edit of several buffers, each in its present version."""
    edits = [(document, _text_edits(document, replacements)) for document, replacements in changes]
    if not client.document_changes:
        return types.WorkspaceEdit(changes={document.uri: plain for document, plain in edits})
    if not (client.change_annotations and label):
        return types.WorkspaceEdit(
            document_changes=[
                types.TextDocumentEdit(_named(document), list(plain)) for document, plain in edits
            ]
        )
    return types.WorkspaceEdit(
        document_changes=[
            types.TextDocumentEdit(
                _named(document),
                [types.AnnotatedTextEdit("astral", edit.range, edit.new_text) for edit in plain],
            )
            for document, plain in edits
        ],
        change_annotations={
            "astral": types.ChangeAnnotation(label, needs_confirmation=False, description=description or None)
        },
    )


def _named(document: OpenDocument) -> types.OptionalVersionedTextDocumentIdentifier:
    return types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)


def _text_edits(document: OpenDocument, replacements: list[Replacement]) -> list[types.TextEdit]:
    return [
        types.TextEdit(document.buffer.range(r.span.start, r.span.end), line_endings(document.text, r.text))
        for r in replacements
    ]


def inserted(document: OpenDocument, span: Span, text: str) -> types.Range:
    """Where ``text`` is once it has taken the place of ``span`` of the present version."""
    start = document.buffer.position(span.start)
    written = line_endings(document.text, text)
    size = Buffer(written, document.buffer.encoding).position(len(written))
    column = size.character + (start.character if size.line == 0 else 0)
    return types.Range(start, types.Position(start.line + size.line, column))


def line_endings(buffer: str, text: str) -> str:
    """``text`` with the line ending of ``buffer``, so that a fill never mixes them."""
    if "\n" not in text:
        return text
    first = buffer.find("\n")
    crlf = first > 0 and buffer[first - 1] == "\r"
    unix = text.replace("\r\n", "\n")
    return unix.replace("\n", "\r\n") if crlf else unix
