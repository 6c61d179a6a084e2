"""Notes whether a run reached a hole, and which: by the calls that stand for holes, or by a mark before the fill."""

from __future__ import annotations

import ast
import builtins
import mmap
from typing import Any

from .text import HOLE_CALL

TARGET = 0
_ENTERED = 1023
ENTER_CALL = "__astral_enter__"
MARK_CALL = "__astral_mark__"


class ReachedHole(NotImplementedError):
    """Raised where a hole stands that nobody has filled."""


class Reach:
    """A page shared with all forks: one byte a hole, so that a hole reached in a child process counts too."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1024)

    def install(self) -> None:
        """Make the calls known to every module."""
        setattr(builtins, HOLE_CALL, self._hole)
        setattr(builtins, ENTER_CALL, self._enter)
        setattr(builtins, MARK_CALL, self.mark)

    def _hole(self, number: int) -> Any:
        self._page[min(number, _ENTERED - 1)] = 1
        raise ReachedHole("an unfilled hole was reached")

    def _enter(self) -> None:
        self._page[_ENTERED] = 1

    def mark(self) -> None:
        """Note that the hole in question was reached."""
        self._page[TARGET] = 1

    def reset(self) -> None:
        """Forget everything."""
        self._page[:] = bytes(1024)

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


def mark_statement(tree: ast.Module, first: int, last: int) -> None:
    """Insert, in place, a call of `Reach.mark` before the statement of ``tree`` that lines ``first`` to ``last`` begin.

    Reaching a fill means here that the statement which holds its beginning is about to run. No line moves.
    """
    body, index = _place(tree, first, last)
    line = body[index].lineno if index < len(body) else first
    call = ast.Expr(ast.Call(ast.Name(MARK_CALL, ast.Load()), [], []))
    for node in ast.walk(call):
        if isinstance(node, (ast.expr, ast.stmt)):
            node.lineno = node.end_lineno = line
            node.col_offset = node.end_col_offset = 0
    if index < len(body) and _must_stay_first(body, index):
        index += 1
    body.insert(index, call)


def _place(tree: ast.Module, first: int, last: int) -> tuple[list[ast.stmt], int]:
    """(statement list, index) of the innermost statement that starts in, or holds, the given lines."""
    found: tuple[list[ast.stmt], int] = (tree.body, 0)
    bodies: list[list[ast.stmt]] = [tree.body]
    while bodies:
        body = bodies.pop()
        for index, statement in enumerate(body):
            end = statement.end_lineno or statement.lineno
            if end < first or statement.lineno > last:
                continue
            found = (body, index)
            if statement.lineno < first:  # it began before the fill: look inside
                bodies = list(_bodies(statement))
                inside = next((part for part in bodies if _overlaps(part, first, last)), None)
                bodies = [inside] if inside is not None else []
                if inside is None and isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    found = _gap(statement, first, found)
            break
    return found


def _gap(function: Any, first: int, found: tuple[list[ast.stmt], int]) -> tuple[list[ast.stmt], int]:
    """A fill without statements (a comment, nothing) in the body of ``function``: before what follows it."""
    body: list[ast.stmt] = function.body
    if first < body[0].lineno:
        return found  # it is in the header, which runs where the function is defined
    return body, next((index for index, part in enumerate(body) if part.lineno >= first), len(body))


def _bodies(statement: ast.stmt) -> list[list[ast.stmt]]:
    found = [getattr(statement, name, None) for name in ("body", "orelse", "finalbody")]
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        found.append(part.body)
    return [body for body in found if isinstance(body, list) and body and isinstance(body[0], ast.stmt)]


def _overlaps(body: list[ast.stmt], first: int, last: int) -> bool:
    return any((part.end_lineno or part.lineno) >= first and part.lineno <= last for part in body)


def _must_stay_first(body: list[ast.stmt], index: int) -> bool:
    part = body[index]
    if isinstance(part, ast.ImportFrom) and part.module == "__future__":
        return True
    return index == 0 and isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
