"""Refine a hole: keep one level of a fill and leave holes below it, as Agda's and Idris's refine do."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from astral_lsp.holes.model import Hole

PLACEHOLDER = "..."


def refine(fill: str, hole: Hole) -> str | None:
    """The outermost construct of ``fill`` with holes for its parts; None when it has no parts."""
    if hole.category == "statements":
        return _statements(fill, hole.indent)
    try:
        expression = ast.parse(f"({fill})", mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return _replace(f"({fill})", list(_parts(expression)), strip=1)


def _statements(fill: str, indent: str) -> str | None:
    source = textwrap.dedent(indent + fill)
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError):
        return None
    spans = [span for statement in statements for span in _holes_of(statement)]
    refined = _replace(source, spans)
    if refined is None:
        return None
    return textwrap.indent(refined, indent)[len(indent) :]


class _Span(NamedTuple):
    """First and last node of what becomes one hole."""

    first: ast.AST
    last: ast.AST
    placeholder: str = PLACEHOLDER


def _parts(node: ast.expr) -> Iterator[_Span]:
    """Direct operands and arguments of an expression."""
    parts: list[ast.expr] = []
    if isinstance(node, (ast.Await, ast.Starred)):
        yield from _parts(node.value)
        return
    if isinstance(node, ast.Call) and _is_bare(node):
        yield _Span(node.args[0], node.args[0], f"({PLACEHOLDER})")
    elif isinstance(node, ast.Call):
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        parts = [arg.value if isinstance(arg, ast.Starred) else arg for arg in given]
    elif isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.BoolOp):
        parts = node.values
    elif isinstance(node, ast.UnaryOp):
        parts = [node.operand]
    elif isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.IfExp):
        parts = [node.body, node.test, node.orelse]
    elif isinstance(node, (ast.List, ast.Set, ast.Tuple)):
        parts = [item for item in node.elts if not isinstance(item, ast.Starred)]
    elif isinstance(node, ast.Dict):
        parts = node.values
    elif isinstance(node, ast.Lambda):
        parts = [node.body]
    elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
        parts = [node.elt, *(generator.iter for generator in node.generators)]
    elif isinstance(node, ast.DictComp):
        parts = [node.value, *(generator.iter for generator in node.generators)]
    yield from (_Span(part, part) for part in parts)


def _is_bare(call: ast.Call) -> bool:
    """Whether the only argument is a generator without parentheses of its own: it has the call's then."""
    only = call.args[0] if len(call.args) == 1 and not call.keywords else None
    ends = [(node.end_lineno, node.end_col_offset) for node in (call, only) if node is not None]
    return isinstance(only, ast.GeneratorExp) and ends[0] == ends[1]


def _holes_of(statement: ast.stmt) -> Iterator[_Span]:
    """Values of simple statements, blocks of compound ones."""
    value = getattr(statement, "value", None)
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)):
        if isinstance(value, ast.expr):
            yield _Span(value, value)
        return
    blocks = [getattr(statement, name, None) for name in ("body", "orelse", "finalbody")]
    blocks += [handler.body for handler in getattr(statement, "handlers", ())]
    blocks += [case.body for case in getattr(statement, "cases", ())]
    for block in blocks:
        if isinstance(block, list) and block:
            yield _Span(block[0], block[-1])


def _replace(source: str, spans: list[_Span], *, strip: int = 0) -> str | None:
    """``source`` with each span a placeholder; ``strip`` characters fewer at both ends."""
    if not spans:
        return None
    places = {(_start(source, span.first), _end(source, span.last), span.placeholder) for span in spans}
    for start, end, placeholder in sorted(places, reverse=True):
        source = source[:start] + placeholder + source[end:]
    return source[strip : len(source) - strip]


def _start(source: str, node: ast.AST) -> int:
    line, column = node.lineno, node.col_offset  # type: ignore[attr-defined]
    for decorator in getattr(node, "decorator_list", ()):
        if (decorator.lineno, decorator.col_offset) < (line, column):
            line, column = decorator.lineno, decorator.col_offset - 1
    return _offset(source, line, column)


def _end(source: str, node: ast.AST) -> int:
    return _offset(source, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


def _offset(source: str, line: int, column: int) -> int:
    """Code point of an `ast` position: lines from 1, columns in UTF-8 bytes."""
    start = 0
    for _ in range(line - 1):
        start = source.index("\n", start) + 1
    stop = source.find("\n", start)
    text = source[start:] if stop < 0 else source[start:stop]
    return start + len(text.encode("utf-8")[:column].decode("utf-8"))
