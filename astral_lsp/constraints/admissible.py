"""Tier 1 exactly, on a finished fill: the file compiles with it and every name that it uses is bound.

The model worker prunes as it draws; this is the judge of what it hands over (ASTRAL §4.1).
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from astral_lsp.context.bindings import bindings_anywhere
from astral_lsp.context.environment import Environment
from astral_lsp.holes.model import Hole, Span
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.report import Finding
from astral_lsp.verify.python_source import parse_or_none, plain, position, unplain
from astral_lsp.verify.syntax import check_syntax

_ALWAYS_BOUND = frozenset(dir(builtins)) | {
    "__annotations__", "__builtins__", "__class__", "__doc__", "__file__", "__loader__", "__module__",
    "__name__", "__package__", "__path__", "__qualname__", "__spec__", "reveal_type", "reveal_locals",
}  # fmt: skip


def admissible(
    text: str,
    hole: Hole,
    fill: str,
    environment: Environment | None = None,
    *,
    other_holes: Sequence[Hole] = (),
    tree: SyntaxTree | None = None,
) -> tuple[Finding, ...]:
    """Why ``fill`` cannot stand for ``hole``; () when it can. Spans count code points of ``fill``."""
    verdict = check_syntax(text, hole, fill, other_holes)
    if verdict.status != "passed":
        return verdict.findings
    return tuple(unbound_names(text, hole, fill, environment, tree))


def unbound_names(
    text: str, hole: Hole, fill: str, environment: Environment | None = None, tree: SyntaxTree | None = None
) -> list[Finding]:
    """A finding for each name in ``fill`` that nothing binds: not Γ, not the file, not Python, not the fill.

    [] under a star import, which binds names that cannot be known, and for a fill that is not by itself an
    expression or statements.
    """
    parsed = _parse(fill, hole)
    if parsed is None:
        return []
    tree = tree if tree is not None and tree.text == text else parse(text)
    scope = bindings_anywhere(tree, hole)
    if scope.star_import:
        return []
    known = set(_ALWAYS_BOUND) | {name.partition(".")[0] for name in scope.names}
    known |= {name.name.partition(".")[0] for name in (environment.names if environment else ())}
    known |= set(_bound(parsed.module))
    return [_finding(node, parsed, fill) for node in _loads(parsed.module) if node.id not in known]


class _Parsed(NamedTuple):
    module: ast.Module
    source: str
    """What was parsed, with line feeds only."""
    shift: int
    """What to add to an offset in ``source`` for the offset in the fill, line endings apart."""


def _parse(fill: str, hole: Hole) -> _Parsed | None:
    """The fill as Python by itself, None when it is only a piece of something."""
    body = fill.removeprefix(hole.lead)
    block = f"if 1:\n{hole.indent}" if hole.indent else ""
    frames = {"expression": [("_f(", "\n)"), ("_f[", "\n]")], "statements": [(block, "")]}
    for lead, tail in frames.get(hole.category, [("_f(", "\n)"), (block, "")]):
        source = plain(lead + body + tail)
        module = parse_or_none(source)
        if module is not None:
            return _Parsed(module, source, len(plain(fill)) - len(plain(body)) - len(lead))
    return None


def _loads(module: ast.Module) -> Iterator[ast.Name]:
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id != "_f":
            yield node


def _bound(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from node.names


def _finding(node: ast.Name, parsed: _Parsed, fill: str) -> Finding:
    at = position(parsed.source, node.lineno, node.col_offset) + parsed.shift
    span = Span(unplain(fill, at), unplain(fill, at + len(node.id)))
    return Finding(f"the name {node.id!r} is not bound here", "name", span, confidence=0.9)
