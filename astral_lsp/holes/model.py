"""What a hole is: plain data, shared by every room above this one.

All offsets count Unicode code points in the buffer text as decoded (line endings kept as they are), never
bytes or UTF-16 units; the server converts at its edge (LSP 3.17, PositionEncodingKind).
"""

from __future__ import annotations

from typing import Literal

import msgspec

Marker = Literal[
    "ellipsis",  # ...
    "hole_name",  # __hole__
    "question",  # ?name or ??
    "hole_call",  # astral_lsp.hole("hint")
    "not_implemented",  # a body that is only: raise NotImplementedError
    "pass_todo",  # a body that is only `pass` under or beside a TODO comment
    "selection",  # any selected range
]
"""How the author wrote the hole."""

Kind = Literal[
    "expression", "argument", "condition", "return", "assignment", "element", "default", "iterable",
    "body", "statement", "selection",
]  # fmt: skip
"""Where the hole stands; shown to people and used by the syntactic table for σ."""

Category = Literal["expression", "statements", "any"]
"""What syntax a fill must be: one expression, one or more statements, or whatever lets the file parse."""


Position = Literal["value", "target", "name", "type", "statement"]
"""What the grammar allows at the hole: any expression, an assignment target or pattern, a bare identifier
(parameter, attribute, keyword, import), a type annotation, or a statement."""


class Span(msgspec.Struct, frozen=True):
    """Half-open range of code points ``[start, end)``."""

    start: int
    end: int


class Hole(msgspec.Struct, frozen=True):
    """A placeholder in one buffer version: □ before σ and Γ are known.

    A fill replaces ``text[start:end]``. For category ``statements`` the span starts at the first non-blank
    character of the placeholder's line and ends before its line ending: the fill's first line carries no
    indentation, each later line carries the whole of it.
    """

    id: int
    """1-based, in source order."""
    kind: Kind
    marker: Marker
    category: Category
    start: int
    end: int
    text: str
    """The placeholder as written."""
    indent: str
    """Leading white space of the line that the fill starts on (a new one when there is a ``lead``)."""
    hint: str = ""
    """Trailing comment on the line, then the docstring of the enclosing function, joined by a newline."""
    name: str | None = None
    """The name in ``?name``."""
    scope: str = ""
    """Qualified name of the enclosing function or class within the module, '' at module level."""
    function: Span | None = None
    """The innermost enclosing function definition, decorators included."""
    lead: str = ""
    """What an insertion puts before the fill's first line: a line ending and ``indent`` when the placeholder
    is the body on the header's own line (``def f(): ...``), else ''. The span then starts after the colon."""
    comment: str = ""
    """The part of ``hint`` that is not the docstring: the marker's own words and the trailing comment."""
    position: Position = "value"
    """What may stand there; tools that rewrite the buffer need it to keep the file valid."""

    @property
    def span(self) -> Span:
        """The range that a fill replaces."""
        return Span(self.start, self.end)


def replace_span(text: str, span: Span, fill: str) -> str:
    """Return ``text`` with the code points of ``span`` replaced by ``fill``."""
    return text[: span.start] + fill + text[span.end :]
