"""Where in the module the fill stands: the definitions around it. Pure functions on syntax trees."""

from __future__ import annotations

import ast
from dataclasses import dataclass

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Scope:
    """The definitions around a line, outermost first."""

    chain: tuple[Definition, ...]

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [node.name for node in self.chain]

    @property
    def function(self) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The outermost function."""
        return next((node for node in self.chain if not isinstance(node, ast.ClassDef)), None)

    def documented(self) -> list[tuple[str, str, int]]:
        """(dotted name, docstring, its line) for each definition with examples, innermost first."""
        found = []
        for depth in range(len(self.chain), 0, -1):
            node = self.chain[depth - 1]
            text = ast.get_docstring(node, clean=False)
            if text and ">>>" in text:
                found.append((".".join(self.names[:depth]), text, node.body[0].lineno))
        return found


def around(tree: ast.Module, first: int, last: int) -> Scope:
    """The definitions whose lines (decorators included) hold all of lines ``first`` to ``last``."""
    chain: list[Definition] = []
    body: list[ast.AST] = [tree]
    while body:
        node = body.pop()
        for child in ast.iter_child_nodes(node):
            start, end = extent(child)
            if not (0 < start <= first and last <= end):
                continue
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                chain.append(child)
            body = [child]
            break
    return Scope(tuple(chain))


def extent(node: ast.AST) -> tuple[int, int]:
    """First and last line of ``node``, decorators included; (0, 0) for a node without a place."""
    start = getattr(node, "lineno", 0)
    for decorator in getattr(node, "decorator_list", ()):
        start = min(start, decorator.lineno)
    return start, getattr(node, "end_lineno", 0)
