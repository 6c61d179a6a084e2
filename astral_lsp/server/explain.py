"""Why candidates were rejected: Markdown, as a virtual document where the editor has those (LSP 3.18)."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lsprotocol import types
from pygls.uris import from_fs_path

from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill
from astral_lsp.server import titles
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.known import KnownFills

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

SCHEME = "astral-rejected"
SHOW_SECONDS = 3.0


def register(server: AstralServer) -> None:
    """Serve workspace/textDocumentContent for our scheme."""
    server.feature(types.WORKSPACE_TEXT_DOCUMENT_CONTENT)(content)


def content(ls: AstralServer, params: types.TextDocumentContentParams) -> types.TextDocumentContentResult:
    """The text of one explanation."""
    return types.TextDocumentContentResult(ls.explanations.get(params.uri, "This explanation is gone.\n"))


async def explain(ls: AstralServer, document: OpenDocument, hole: Hole, *, show: bool) -> dict[str, Any]:
    """Markdown about every candidate of ``hole`` that did not pass; shown when ``show``."""
    known = ls.known(document).fills_of(document, hole.span)
    text = markdown(document, hole, known)
    name = Path(document.uri.split("#")[0]).name
    uri = f"{SCHEME}:/{quote(name)}-line-{document.buffer.line_of(hole.start) + 1}.md"
    ls.explanations[uri] = text
    if show:
        await _show(ls, uri, text)
    return {"uri": uri, "text": text}


def markdown(document: OpenDocument, hole: Hole, known: KnownFills | None) -> str:
    """The explanation as Markdown."""
    line = document.buffer.line_of(hole.start) + 1
    head = f"# Candidates for the hole `{titles.shorten(hole.text, 30)}` on line {line}\n"
    if known is None:
        return head + "\nNothing is known: the hole has not been filled yet, or it was edited since.\n"
    head += f"\nExpected type: `{known.report.expected_type or 'unknown'}`. Engine: {known.report.engine}.\n"
    if not known.is_fresh(document):
        head += f"\nThe verdicts are of version {known.version}; the buffer has changed since.\n"
    if known.report.message:
        head += f"\n{known.report.message}\n"
    return head + "".join(_section(candidate) for candidate in known.fills)


def _section(candidate: Fill) -> str:
    word = "rejected" if titles.refused(candidate) else "verified" if candidate.verified else "not verified"
    lines = [f"\n## {word} · {titles.marks(candidate.verdicts)}\n", "```python", candidate.text, "```", ""]
    for reason in titles.reasons(candidate):
        indented = reason.startswith(" ")
        lines.append(("  - " if indented else "- ") + reason.strip())
    return "\n".join(lines) + "\n"


async def _show(ls: AstralServer, uri: str, text: str) -> None:
    """As a virtual document; else as a temporary file; else in the log and one message."""
    if ls.client.show_document and not ls.client.text_document_content:
        directory = Path(tempfile.mkdtemp(prefix="astral-rejected-"))
        path = directory / "rejected.md"
        path.write_text(text, "utf-8")
        ls.temporary.append(directory)
        uri = from_fs_path(str(path)) or uri
    if ls.client.show_document:
        request = ls.window_show_document_async(types.ShowDocumentParams(uri=uri, take_focus=True))
        await asyncio.wait({asyncio.ensure_future(request)}, timeout=SHOW_SECONDS)
        return
    ls.window_log_message(types.LogMessageParams(types.MessageType.Info, text))
    ls.say("the explanation is in the server's log")
