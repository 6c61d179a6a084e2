"""Holes cut into real functions: what a user does with a hole, on code that nobody wrote for us."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from astral_lsp.holes.model import Span
from astral_lsp.workers.types.text import Lines

Kind = Literal["body", "statement", "value"]

_DANGEROUS = ("rmtree", "unlink", "remove(", "rmdir", "kill", "rename(", "replace(", "system(", "exec")
"""A mutant of such code is run by a cold pytest without any sandbox: leave it alone."""
_MOST_BODY_LINES = 40


@dataclass(frozen=True)
class RealHole:
    """A piece of a real function, taken out."""

    file: str
    function: str
    """Dotted name of the function around it."""
    kind: Kind
    span: Span
    original: str
    line: int

    @property
    def wrong(self) -> str:
        """What no type checker lets pass and no test survives (unless it never runs or swallows all)."""
        name = "undefined_name_of_the_benchmark"
        return f"raise {name}" if self.kind != "value" else name


def cut(root: Path, files: list[Path], count: int, seed: int) -> list[RealHole]:
    """``count`` holes in ``files``: bodies, statements and values, the same ones for the same seed."""
    found: list[RealHole] = []
    for path in files:
        text = path.read_text("utf-8")
        if "\r" in text:
            continue
        found += _holes(str(path.relative_to(root)), text)
    rng = random.Random(seed)
    rng.shuffle(found)
    chosen: list[RealHole] = []
    for kind in ("body", "statement", "value"):
        chosen += [hole for hole in found if hole.kind == kind][: -(-count // 3)]
    return chosen[:count]


def _holes(file: str, text: str) -> Iterator[RealHole]:
    lines = Lines(text)
    for name, function in _functions(ast.parse(text), ""):
        body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
        if not body or body[0].lineno == function.lineno:
            continue
        size = (body[-1].end_lineno or 0) - body[0].lineno + 1
        if size <= _MOST_BODY_LINES:
            yield from _hole(file, name, "body", text, lines, body[0], body[-1])
        for part in _own(function):
            if isinstance(part, ast.stmt) and not isinstance(
                part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
            ):
                if part in body and len(body) == 1:
                    continue
                yield from _hole(file, name, "statement", text, lines, part, part)
            value = getattr(part, "value", None)
            if isinstance(part, (ast.Return, ast.Assign, ast.AugAssign)) and isinstance(value, ast.expr):
                yield from _hole(file, name, "value", text, lines, value, value)


def _hole(
    file: str, name: str, kind: Kind, text: str, lines: Lines, first: ast.stmt | ast.expr, last: ast.AST
) -> Iterator[RealHole]:
    start = _offset(lines, first.lineno, first.col_offset)
    end = _offset(lines, getattr(last, "end_lineno", 0), getattr(last, "end_col_offset", 0))
    original = text[start:end]
    if text[:start].rpartition("\n")[2].strip() and kind != "value":
        return  # shares its line with what is before
    if not any(word in original for word in _DANGEROUS):
        yield RealHole(file, name, kind, Span(start, end), original, first.lineno)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{prefix}{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield name, child
            yield from _functions(child, f"{name}.")
        else:
            yield from _functions(child, prefix)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function but those of functions and classes inside it."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _own(child)


def _offset(lines: Lines, line: int, byte: int) -> int:
    return lines.starts[line - 1] + len(lines.get(line).encode()[:byte].decode(errors="ignore"))
