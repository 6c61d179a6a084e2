"""Cuts holes out of source as users meet them.

A hole is drawn inside one function: first its kind by weight (so that none starves), then a place. The text
the model reads around it is built by the server's own `build_prompt`.
"""

from __future__ import annotations

import ast
import random
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from astral_model.healing import heal

from astral_lsp.context.prompt import build_prompt

WEIGHTS: dict[str, float] = {
    "argument": 0.07,
    "rhs": 0.09,
    "condition": 0.07,
    "return": 0.07,
    "call": 0.03,
    "comprehension": 0.03,
    "iterable": 0.02,
    "operand": 0.04,
    "rest_of_line": 0.05,
    "line": 0.19,
    "block": 0.09,
    "body": 0.04,
    "span": 0.21,
}
"""Share of each kind of hole; ``span`` is a random run of characters, often from mid-identifier."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_MAX_FUNCTION_LINES = 70


@dataclass(frozen=True)
class CutHole:
    """One training example as text: prefix + answer + suffix is a piece of real source."""

    kind: str
    prefix: str
    answer: str
    suffix: str
    nodes: tuple[tuple[int, int], ...]
    """Spans of AST nodes that lie inside the answer, as offsets into it (for structural corruption)."""
    forced: int
    """Characters at the start of the answer that stood before the hole (token healing)."""


class SourceText:
    """Source with its tree, and character offsets for the tree's line and UTF-8 column positions."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._lines = text.split("\n")
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Half-open character range of ``node``."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self._offset(node.lineno, node.col_offset), self._offset(end_line, end_column)

    def line_start(self, line: int) -> int:
        """Offset of 1-based ``line``."""
        return self._starts[line - 1]

    def _offset(self, line: int, column: int) -> int:
        text = self._lines[line - 1]
        if not text.isascii():
            column = len(text.encode()[:column].decode(errors="ignore"))
        return self._starts[line - 1] + column

    def functions(self) -> Iterator[_Function]:
        """Functions short enough to learn from."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if 3 <= lines <= _MAX_FUNCTION_LINES and not _only_docstring(node):
                    yield node


def _only_docstring(function: _Function) -> bool:
    return all(isinstance(s, ast.Pass | ast.Expr) and not _is_call(s) for s in function.body)


def _is_call(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await)


def standalone(source: SourceText, function: _Function, rng: random.Random) -> str:
    """The function alone, dedented, at times after the imports of its module (the shape of small scripts)."""
    start = source.line_start(min([function.lineno, *(d.lineno for d in function.decorator_list)]))
    end = source.span(function)[1]
    text = textwrap.dedent(source.text[start:end]) + "\n"
    if rng.random() < 0.5:
        words = set(re.findall(r"\w+", text))
        imports = [
            ast.unparse(node)
            for node in source.tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            and words & {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        ]
        if imports:
            text = "\n".join(imports[:5]) + "\n\n\n" + text
    return text


def cut(source: SourceText, function: _Function, rng: random.Random, kind: str) -> tuple[int, int] | None:
    """Character range of one hole of ``kind`` inside ``function``, or None if there is no place for it."""
    body = _body_without_docstring(function)
    if not body:
        return None
    start, end = source.line_start(body[0].lineno), source.span(function)[1]
    if kind in _EXPRESSIONS:
        places = [node for statement in body for node in _EXPRESSIONS[kind](statement)]
        return source.span(rng.choice(places)) if places else None
    return _RANGES[kind](source.text, start, end, body, source, rng)


def _body_without_docstring(function: _Function) -> list[ast.stmt]:
    body = function.body
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return body[1:]
    return body


# --- expressions ------------------------------------------------------------------------------------------


def _arguments(root: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(root):
        if isinstance(node, ast.Call):
            yield from (a for a in node.args if not isinstance(a, ast.Starred))
            yield from (k.value for k in node.keywords)


def _right_sides(root: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(root):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
            yield node.value


def _conditions(root: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(root):
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            yield node.test
        elif isinstance(node, ast.comprehension):
            yield from node.ifs


def _returns(root: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(root):
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            yield node.value


def _calls(root: ast.AST) -> Iterator[ast.expr]:
    return (node for node in ast.walk(root) if isinstance(node, ast.Call))


def _comprehensions(root: ast.AST) -> Iterator[ast.expr]:
    kinds = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | ast.Lambda
    return (node for node in ast.walk(root) if isinstance(node, kinds))


def _iterables(root: ast.AST) -> Iterator[ast.expr]:
    return (node.iter for node in ast.walk(root) if isinstance(node, ast.For | ast.comprehension))


def _operands(root: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(root):
        if isinstance(node, ast.BinOp):
            yield from (node.left, node.right)
        elif isinstance(node, ast.Compare):
            yield from (node.left, *node.comparators)
        elif isinstance(node, ast.BoolOp):
            yield from node.values
        elif isinstance(node, ast.Subscript):
            yield node.slice


_EXPRESSIONS: dict[str, Callable[[ast.AST], Iterator[ast.expr]]] = {
    "argument": _arguments,
    "rhs": _right_sides,
    "condition": _conditions,
    "return": _returns,
    "call": _calls,
    "comprehension": _comprehensions,
    "iterable": _iterables,
    "operand": _operands,
}


# --- lines and spans --------------------------------------------------------------------------------------


def _line_ranges(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Non-blank lines of text[start:end], without their line endings."""
    ranges, at = [], start
    for line in text[start:end].split("\n"):
        if line.strip():
            ranges.append((at, at + len(line)))
        at += len(line) + 1
    return ranges


def _with_newline(text: str, start: int, end: int, rng: random.Random) -> tuple[int, int]:
    """Whole lines are missing with or without the last line's ending, half and half."""
    return (start, end + 1) if end < len(text) and text[end] == "\n" and rng.random() < 0.5 else (start, end)


def _line(
    text: str, start: int, end: int, body: list[ast.stmt], source: SourceText, rng: random.Random
) -> tuple[int, int] | None:
    return _with_newline(text, *rng.choice(_line_ranges(text, start, end)), rng)


def _block(
    text: str, start: int, end: int, body: list[ast.stmt], source: SourceText, rng: random.Random
) -> tuple[int, int] | None:
    lines = _line_ranges(text, start, end)
    count = rng.randint(2, 6)
    if len(lines) < count:
        return None
    first = rng.randrange(len(lines) - count + 1)
    return _with_newline(text, lines[first][0], lines[first + count - 1][1], rng)


def _whole_body(
    text: str, start: int, end: int, body: list[ast.stmt], source: SourceText, rng: random.Random
) -> tuple[int, int] | None:
    """The body of the function or of one statement inside it."""
    bodies = [body]
    for statement in body:
        for node in ast.walk(statement):
            inner = getattr(node, "body", None)
            if isinstance(inner, list) and inner and isinstance(node, ast.stmt):
                bodies.append(inner)
    chosen = rng.choice(bodies)
    first, last = source.line_start(chosen[0].lineno), source.span(chosen[-1])[1]
    return _with_newline(text, first, last, rng)


def _rest_of_line(
    text: str, start: int, end: int, body: list[ast.stmt], source: SourceText, rng: random.Random
) -> tuple[int, int] | None:
    first, last = rng.choice(_line_ranges(text, start, end))
    indent = len(text[first:last]) - len(text[first:last].lstrip())
    inside = last - first - indent
    return (first + indent + rng.randrange(1, inside), last) if inside > 4 else None


def _span(
    text: str, start: int, end: int, body: list[ast.stmt], source: SourceText, rng: random.Random
) -> tuple[int, int] | None:
    length = min(260, 1 + int(rng.expovariate(1 / 50)))
    if end - start <= length:
        return None
    first = rng.randrange(start, end - length)
    return first, first + length


_RANGES: dict[
    str,
    Callable[[str, int, int, list[ast.stmt], SourceText, random.Random], tuple[int, int] | None],
] = {"line": _line, "block": _block, "body": _whole_body, "rest_of_line": _rest_of_line, "span": _span}


# --- one example ------------------------------------------------------------------------------------------


def draw_hole(
    source: SourceText, function: _Function, rng: random.Random, serving: bool = False
) -> CutHole | None:
    """A hole in ``function``: its kind by `WEIGHTS`, its context short or long, alone or in its module;
    with ``serving`` always in its module and as long as the server makes it."""
    if not serving and rng.random() < 0.55:
        source = SourceText(standalone(source, function, rng))
        function = next(n for n in source.tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    place = cut(source, function, rng, kind)
    if place is None:
        return None
    start, end = place
    forced = len(heal(source.text[:start]).forced)
    start -= forced
    answer = source.text[start:end]
    if not answer.strip() or len(answer) > 400:
        return None
    if serving:
        prompt = build_prompt(source.text, start, end)
    else:
        before, after = int(rng.triangular(120, 1100, 420)), int(rng.triangular(20, 500, 160))
        prompt = build_prompt(source.text, start, end, prefix_chars=before, suffix_chars=after)
    return CutHole(
        kind, prompt.prefix, answer, prompt.suffix, _nodes_inside(source, function, start, end), forced
    )


def _nodes_inside(
    source: SourceText, function: _Function, start: int, end: int
) -> tuple[tuple[int, int], ...]:
    spans = set()
    for node in ast.walk(function):
        if isinstance(node, ast.expr | ast.stmt):
            first, last = source.span(node)
            if start <= first < last <= end:
                spans.add((first - start, last - start))
    return tuple(sorted(spans))[:40]
