"""Notes whether a run reached a hole, and which: by the calls that stand for holes, or by a mark before the
fill."""

from __future__ import annotations

import ast
import builtins
import mmap
from collections.abc import Callable
from typing import Any

from .text import HOLE_CALL, Position

TARGET = 0
SIZE = 1024
_ENTERED = SIZE - 1
_SAVED = SIZE - 2
ENTER_CALL = "__astral_enter__"
MARK_CALL = "__astral_mark__"
LATER_CALL = "__astral_unfilled__"
SAVED_HOLE = "__hole__"
"""How a hole may stand in a file that is imported as it was saved."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class ReachedHole(NotImplementedError):
    """Raised where a hole stands that nobody has filled."""


class Reach:
    """A page shared with all forks: one byte a hole, so that a hole reached in a child process counts too."""

    def __init__(self, path: str = "") -> None:
        """``path``: a file of `SIZE` bytes that holds the page, to share it with processes that are no
        forks."""
        if path:
            with open(path, "r+b") as file:
                self._page = mmap.mmap(file.fileno(), SIZE)
        else:
            self._page = mmap.mmap(-1, SIZE)

    def install(self) -> None:
        """Make the calls known to every module."""
        setattr(builtins, HOLE_CALL, self._hole)
        setattr(builtins, ENTER_CALL, self._enter)
        setattr(builtins, MARK_CALL, self.mark)
        setattr(builtins, LATER_CALL, lambda: Unfilled(self.use))
        setattr(builtins, SAVED_HOLE, Unfilled(lambda: self._hole(_SAVED)))

    def _hole(self, number: int) -> Any:
        self._page[min(number, _SAVED)] = 1
        raise ReachedHole("an unfilled hole was reached")

    def _enter(self) -> None:
        self._page[_ENTERED] = 1

    def mark(self) -> None:
        """Note that the hole in question was reached."""
        self._page[TARGET] = 1

    def use(self) -> Any:
        """What stands for the hole is used: note it and raise."""
        self.mark()
        raise ReachedHole("an unfilled hole was reached")

    def reset(self) -> None:
        """Forget everything."""
        self._page[:] = bytes(SIZE)

    @property
    def target(self) -> bool:
        """The hole in question was reached."""
        return self._page[TARGET] == 1

    @property
    def entered(self) -> bool:
        """The function around the hole in question was called."""
        return self._page[_ENTERED] == 1

    @property
    def others(self) -> list[int]:
        """Numbers of the other holes that were reached."""
        return [number for number in range(1, _ENTERED) if self._page[number]]


class Unfilled:
    """Stands for the value of a hole that nobody fills now: it may be bound and passed on, not used."""

    __slots__ = ("use",)

    def __init__(self, use: Callable[[], Any]) -> None:
        object.__setattr__(self, "use", use)

    def __getattribute__(self, name: str) -> Any:
        object.__getattribute__(self, "use")()


def _use(self: Unfilled, *_: Any, **__: Any) -> Any:
    object.__getattribute__(self, "use")()


_OPERATORS = """
    abs add and await aiter anext aenter aexit bool bytes call ceil complex contains delattr delitem divmod
    enter eq exit float floor floordiv format ge getitem gt hash iadd iand ifloordiv ilshift imatmul imod imul
    index int invert ior ipow irshift isub iter itruediv ixor le len lshift lt matmul mod mul ne neg next or
    pos pow radd rand rdivmod repr reversed rfloordiv rlshift rmatmul rmod rmul ror round rpow rrshift rshift
    rsub rtruediv rxor setattr setitem str sub truediv trunc xor
"""
for _name in _OPERATORS.split():
    setattr(Unfilled, f"__{_name}__", _use)


def mark_statement(tree: ast.Module, region: tuple[Position, Position]) -> None:
    """Insert, in place, calls of `Reach.mark` before the statements of ``tree`` that ``region`` begins or
    goes on with.

    Reaching a fill means here that such a statement is about to run. No line moves.
    """
    for body, index in _places(tree.body, *region) or [(tree.body, 0)]:
        line = body[index].lineno if index < len(body) else region[0][0]
        if index < len(body) and _must_stay_first(body, index):
            index += 1
        body.insert(index, call_statement(MARK_CALL, line))


def mark_entry(function: Function) -> None:
    """Insert, in place, a call that notes that ``function`` was entered."""
    _put_first(function, call_statement(ENTER_CALL))


def hold_class(function: Function) -> None:
    """Have the method ``function`` close over its class, in place, whether or not it uses ``super()``."""
    never = ast.If(ast.Constant(0), [ast.Expr(ast.Name("__class__", ast.Load()))], [])
    _put_first(function, never)


def _put_first(function: Function, statement: ast.stmt) -> None:
    index = 1 if ast.get_docstring(function, clean=False) is not None else 0
    first = function.body[0]  # its column too: the head may be on the same line
    function.body.insert(index, _placed(statement, first.lineno, first.col_offset))


def call_statement(name: str, line: int = 1) -> ast.stmt:
    """``name()`` standing on ``line``."""
    return _placed(ast.Expr(ast.Call(ast.Name(name, ast.Load()), [], [])), line, 0)


def _placed(statement: ast.stmt, line: int, column: int) -> ast.stmt:
    for node in ast.walk(statement):
        if isinstance(node, (ast.expr, ast.stmt)):
            node.lineno = node.end_lineno = line
            node.col_offset = node.end_col_offset = column
    return statement


def _start(part: ast.stmt) -> Position:
    return part.lineno, part.col_offset


def _end(part: ast.stmt) -> Position:
    return part.end_lineno or part.lineno, part.end_col_offset or part.col_offset


def _places(body: list[ast.stmt], first: Position, last: Position) -> list[tuple[list[ast.stmt], int]]:
    """(statement list, index) for the first statement in each list that begins in the region, or else holds
    it."""
    found: list[tuple[list[ast.stmt], int]] = []
    for index, part in enumerate(body):
        if _end(part) < first or _start(part) > last:
            continue
        if _start(part) >= first:
            found.append((body, index))
            break
        inside = [place for inner in _bodies(part) for place in _places(inner, first, last)]
        if not inside and isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = [_gap(part, first, (body, index))]
        found += inside or [(body, index)]
    return found


def _gap(
    function: Function, first: Position, found: tuple[list[ast.stmt], int]
) -> tuple[list[ast.stmt], int]:
    """A fill without statements (a comment, nothing) in the body of ``function``: before what follows it."""
    body = function.body
    if first < _start(body[0]):
        return found  # it is in the header, which runs where the function is defined
    return body, next((index for index, part in enumerate(body) if _start(part) >= first), len(body))


def _bodies(statement: ast.stmt) -> list[list[ast.stmt]]:
    found = [getattr(statement, name, None) for name in ("body", "orelse", "finalbody")]
    found += [part.body for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ()))]
    return [body for body in found if isinstance(body, list) and body and isinstance(body[0], ast.stmt)]


def _must_stay_first(body: list[ast.stmt], index: int) -> bool:
    part = body[index]
    if isinstance(part, ast.ImportFrom) and part.module == "__future__":
        return True
    return index == 0 and isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
