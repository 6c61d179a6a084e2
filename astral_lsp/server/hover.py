"""textDocument/hover on a hole: σ, the hint, Γ by fitness, the last verdicts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsprotocol import types

from astral_lsp.context.environment import Environment
from astral_lsp.holes.model import Hole
from astral_lsp.server import titles
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.known import KnownFills
from astral_lsp.server.status import UNTRUSTED
from astral_lsp.workers.protocol import Name

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

NAMES_SHOWN = 12
HINT_LINES = 4
_MARKUP = re.compile(r"`{3,}|\*\*|__|<|^[#>]")
"""What of a line would not be seen, or change what follows; more backslashes would only be in the way."""
_ESCAPED = re.compile(r"\\([`*_<#>])")
_NEAREST = {"local": 0, "argument": 1, "self": 2, "global": 3, "import": 4, "builtin": 5}


def register(server: AstralServer) -> None:
    """Serve textDocument/hover."""
    server.feature(types.TEXT_DOCUMENT_HOVER)(hover)


def hover(ls: AstralServer, params: types.HoverParams) -> types.Hover | None:
    """What is known of the hole under the pointer; computes nothing itself."""
    document = ls.documents.get(params.text_document.uri)
    if document is None:
        return None
    offset = document.buffer.offset(params.position)
    hole = document.hole_at(offset)
    if hole is None or not hole.start <= offset <= hole.end:
        return None
    ls.background.pointed_at(document, hole)
    text = describe(ls, document, hole)
    kind = types.MarkupKind.Markdown
    if not ls.client.markdown_hover:
        kind, text = types.MarkupKind.PlainText, _plain(text)
    return types.Hover(types.MarkupContent(kind, text), document.buffer.range(hole.start, hole.end))


def describe(ls: AstralServer, document: OpenDocument, hole: Hole) -> str:
    """Markdown about one hole."""
    known = ls.known(document)
    types_known = known.types_of(hole.span)
    environment = types_known.environment if types_known is not None else None
    parts = [_heading(hole, environment)]
    if hole.hint:
        parts.append(_hint(hole.hint))
    if environment is not None:
        if environment.expected:
            root = ls.root_of(document.uri)
            found = ls.definitions.of(document, hole, environment.expected, root)
            parts += [f"```python\n{definition}\n```" for definition in found]
        if environment.names:
            parts.append(_table(environment.names))
    fills = known.fills_of(document, hole.span)
    if fills is not None:
        parts.append(_fills(fills, fresh=fills.is_fresh(document)))
    if not ls.settings.is_trusted(ls.root_of(document.uri)):
        parts.append(f"*{UNTRUSTED}*")
    return "\n\n".join(parts)


def _heading(hole: Hole, environment: Environment | None) -> str:
    if environment is None:
        return f"**Hole** ({hole.kind}): its type is not known yet"
    if environment.expected:
        return f"**Hole** ({hole.kind}): expected\n```python\n{environment.expected}\n```"
    note = environment.note
    return f"**Hole** ({hole.kind}): no expected type" + (f" ({note})" if note else "")


def _hint(hint: str) -> str:
    """Its first paragraph, literally: a docstring may be long, and is no Markdown."""
    lines = hint.strip().splitlines()
    first = lines[: lines.index("")] if "" in lines else lines
    shown = [_MARKUP.sub(_literally, titles.shorten(line, 100)) for line in first[:HINT_LINES]]
    if len(shown) < len([line for line in lines if line.strip()]):
        shown[-1] += " …"
    return "\n".join(f"> {line}" for line in shown)


def _literally(markup: re.Match[str]) -> str:
    return "".join("\\" + character for character in markup[0])


def ranked(names: Sequence[Name]) -> list[Name]:
    """Names that fit σ first, then the nearest; what people seldom write out comes last of its kind."""
    return sorted(names, key=lambda name: (not name.fits, *_distance(name)))


def _distance(name: Name) -> tuple[bool, int, bool, str]:
    last = name.name.rsplit(".", 1)[-1]
    special = last.startswith("__") and last.endswith("__")
    return special, _NEAREST[name.reach], last.startswith("_"), name.name


def _table(names: Sequence[Name]) -> str:
    shown = ranked(names)[:NAMES_SHOWN]
    rows = [f"| {'●' if n.fits else '·'} | {_cell(n.name)} | {_cell(n.type)} | {n.reach} |" for n in shown]
    more = len(names) - len(shown)
    tail = f"\n\n{more} more names in scope" if more > 0 else ""
    return "| fits | name | type | |\n|---|---|---|---|\n" + "\n".join(rows) + tail


def _cell(text: str) -> str:
    return "`" + titles.shorten(text, 70).replace("|", "\\|") + "`" if text else ""


def _fills(known: KnownFills, *, fresh: bool) -> str:
    head = "**Fills**" if fresh else f"**Fills** checked in version {known.version}, before later edits"
    rows = [f"- `{titles.shorten(f.text)}` · {titles.marks(f.verdicts)}" for f in known.fills[:6]]
    if not rows:
        rows = [known.report.message or "no candidate was found"]
    return head + "\n" + "\n".join(rows)


def _plain(markdown: str) -> str:
    """The same for an editor that shows text as it is: our markup goes, code and hints stay to the letter."""
    shown: list[str] = []
    in_code = False
    for line in markdown.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        elif in_code:
            shown.append(line)
        elif line.startswith("> "):
            shown.append(_ESCAPED.sub(r"\1", line[2:]))
        elif not line.startswith("|---"):
            shown.append(line.replace("**", "").replace("`", "").replace("\\|", "|").strip("*"))
    return "\n".join(shown)
