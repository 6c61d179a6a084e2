"""Swap a fill into an imported module: compile the one definition around it and give its function the new
code.

Sound only where nothing but the body of one function can depend on the fill; every doubt raises `Unfit` and
the fill is then imported from nothing (`session`). What is checked: the filled definition is one statement
with the same head, its siblings stand where they stood, the function is of the same kind (plain, generator,
coroutine) and closes over the same variables, and it did not run while the module was imported.
"""

from __future__ import annotations
import __future__

import ast
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from . import reach, text
from .reach import Function
from .text import HOLE_CALL, Buffer

_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag

_KIND = 0x20 | 0x80 | 0x100 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR


class Unfit(Exception):
    """A fill, or a hole, that cannot be grafted; the message says why."""


class Elsewhere(Unfit):
    """A fill that reaches beyond its hole's block: what tests reach the hole tells nothing about it."""


@dataclass(frozen=True)
class Anchor:
    """Where a hole stands in the tree of the baseline."""

    statement: ast.stmt
    """The statement of the module that holds it."""
    classes: tuple[ast.ClassDef, ...]
    """From ``statement`` inwards."""
    function: Function
    """The outermost function that holds it, in its body."""

    @property
    def name(self) -> str:
        """Dotted name of the function."""
        return ".".join([*(node.name for node in self.classes), self.function.name])


def _holds_hole(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Call)
        and isinstance(part.func, ast.Name)
        and part.func.id == HOLE_CALL
        and isinstance(part.args[0], ast.Constant)
        and part.args[0].value == reach.TARGET
        for part in ast.walk(node)
    )


def find(tree: ast.Module) -> Anchor:
    """Locate the hole call 0 in ``tree``; raises Unfit when it is not in the body of a function."""
    classes: list[ast.ClassDef] = []
    body: list[ast.stmt] = tree.body
    outermost: ast.stmt | None = None
    while True:
        statement = next((part for part in body if _holds_hole(part)), None)
        if statement is None:
            raise Unfit("the hole is in the head of a definition")
        outermost = outermost or statement
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not any(_holds_hole(part) for part in statement.body):
                raise Unfit("the hole is in the head of a function")
            return Anchor(outermost, tuple(classes), statement)
        if not isinstance(statement, ast.ClassDef):
            raise Unfit("the hole runs when the module is imported")
        classes.append(statement)
        body = statement.body


def first_line(node: ast.AST) -> int:
    """First line of a definition, decorators included (as in co_firstlineno)."""
    parts: list[Any] = [*getattr(node, "decorator_list", []), node]
    return min(int(part.lineno) for part in parts)


def codes(code: CodeType) -> Iterator[CodeType]:
    """``code`` and all code inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def code_of(code: CodeType, function: Function) -> CodeType:
    """The code of ``function`` within ``code``; raises Unfit."""
    line = first_line(function)
    for inner in codes(code):
        if inner.co_name == function.name and inner.co_firstlineno == line:
            return inner
    raise Unfit("the function's code cannot be found")


def functions_of(code: CodeType) -> list[FunctionType]:
    """Every function object that runs ``code``, whatever decorators or registries hold it."""
    return [
        holder
        for holder in gc.get_referrers(code)
        if isinstance(holder, FunctionType) and holder.__code__ is code
    ]


class Graft:
    """Prepared for one buffer; `apply` is called in the process that shall run one fill's tests."""

    def __init__(
        self, buffer: Buffer, baseline: str, tree: ast.Module, path: str, hold_class: bool = True
    ) -> None:
        """``tree``: of ``baseline``, changed in place; raises Unfit. ``hold_class``: a method closes over its
        class, so that fills may use ``super()``."""
        self._buffer, self._path = buffer, path
        self.anchor = find(tree)
        self._start = _line_offset(buffer.before, first_line(self.anchor.statement))
        tail = baseline[_line_offset(baseline, (self.anchor.statement.end_lineno or 0) + 1) :]
        if not buffer.after.endswith(tail) or self._start > len(buffer.before):
            raise Unfit("the definition around the hole has no clear end")
        self._tail = len(tail)
        self._lines = text.count_lines(baseline)
        self._head = _head(self.anchor.function)
        self._docstring = ast.get_docstring(self.anchor.function, clean=False)
        self._siblings = [_siblings(node) for node in self.anchor.classes]
        self._tree = tree
        self._hold_class = hold_class and bool(self.anchor.classes)
        if self._hold_class:
            reach.hold_class(self.anchor.function)
        self.functions: list[FunctionType] = []
        self._old: CodeType | None = None
        self._flags = 0

    def bind(self, module_code: CodeType) -> None:
        """Find the live functions, once the module is imported from ``module_code``; raises Unfit."""
        self._flags = module_code.co_flags & _FUTURE
        self._old = code_of(module_code, self.anchor.function)
        self.functions = functions_of(self._old)
        if not self.functions:
            raise Unfit("no function runs the code around the hole")

    def compile(self, fill: str) -> CodeType:
        """New code for the function; raises Unfit, SyntaxError and what else compile() raises."""
        if text.leaves_block(self._buffer, fill):
            raise Elsewhere("the fill goes on outside of its block")
        filled = text.compiled(self._buffer.filled(fill))
        shift = len(self._buffer.filled(fill)) - len(filled)
        chunk = filled[max(0, self._start - shift) : len(filled) - self._tail]
        line = text.count_lines(self._buffer.before[: self._start])
        tree = ast.parse("\n" * (line - 1) + chunk)
        if len(tree.body) != 1 or type(tree.body[0]) is not type(self.anchor.statement):
            raise Unfit("the fill ends the definition that it stands in")
        delta = text.count_lines(filled) - self._lines
        function = self._same_place(tree.body[0], delta)
        if self._hold_class:
            reach.hold_class(function)
        reach.mark_statement(tree, self._buffer.fill_region(fill))
        code = compile(tree, self._path, "exec", flags=self._flags, dont_inherit=True)
        return self._checked(code_of(code, function))

    def apply(self, fill: str) -> None:
        """Give the live functions the code of ``fill``."""
        code = self.compile(fill)
        for function in self.functions:
            function.__code__ = code

    def _same_place(self, statement: ast.stmt, delta: int) -> Function:
        for before, siblings in zip(self.anchor.classes, self._siblings, strict=True):
            if not isinstance(statement, ast.ClassDef) or len(statement.body) != len(before.body):
                raise Unfit("the fill adds to a class")
            index = next(place for place, node in enumerate(before.body) if _holds_hole(node))
            if [kind for kind, _ in _siblings(statement)] != [kind for kind, _ in siblings]:
                raise Unfit("the fill adds to a class")
            moved = [
                line - (delta if place > index else 0) for place, (_, line) in enumerate(_siblings(statement))
            ]
            if moved != [line for _, line in siblings]:
                raise Unfit("the fill moves definitions of a class")
            statement = statement.body[index]
        if (
            not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
            or _head(statement) != self._head
        ):
            raise Unfit("the fill changes the head of its function")
        if ast.get_docstring(statement, clean=False) != self._docstring:
            raise Unfit("the fill changes a docstring")
        return statement

    def _checked(self, code: CodeType) -> CodeType:
        old = self._old
        assert old is not None
        if code.co_flags & _KIND != old.co_flags & _KIND:
            raise Unfit("the fill makes the function another kind (generator or coroutine)")
        if code.co_freevars != old.co_freevars:
            raise Unfit("the fill closes over other variables")
        return code


def _head(function: Function) -> str:
    parts = [function.args, *function.decorator_list, *getattr(function, "type_params", [])]
    if function.returns is not None:
        parts.append(function.returns)
    return "|".join([type(function).__name__, function.name, *(ast.dump(part) for part in parts)])


def _siblings(node: ast.ClassDef) -> list[tuple[str, int]]:
    return [(f"{type(part).__name__} {getattr(part, 'name', '')}", first_line(part)) for part in node.body]


def _line_offset(source: str, line: int) -> int:
    """Offset of the start of 1-based ``line``; the end of ``source`` when it has fewer."""
    position = 0
    for match in text.LINE_END.finditer(source):
        if line <= 1:
            break
        position, line = match.end(), line - 1
    return position if line <= 1 else len(source)
