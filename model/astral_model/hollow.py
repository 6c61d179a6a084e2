"""Statements that do nothing: what passes every oracle that looks at a block and still fills no hole.

``pass`` is right for types wherever nothing need be returned; a function that is defined inside another one
and never named hides whatever is in it from mypy, which does not look into functions without annotations.
"""

from __future__ import annotations

import ast
import itertools
import re

_WORD = re.compile(r"\w+")
_CLOSES = (")", "]", "}")


def hollow(statements: list[ast.stmt], before: str, after: str, indent: str) -> bool:
    """Whether ``statements``, a block's content at ``indent`` between ``before`` and ``after``, do nothing:
    docstrings, ``pass``, ``...``; and, in a function, definitions and imports that nothing names later on."""
    function = _function_around(before, indent)
    if function is None:
        return all(map(_says_nothing, statements))
    rest = set(_WORD.findall(_rest_of_function(after, function)))
    return all(
        _says_nothing(node) or _is_idle(node, [other for other in statements if other is not node], rest)
        for node in statements
    )


def _says_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _is_idle(node: ast.stmt, others: list[ast.stmt], rest: set[str]) -> bool:
    """Whether ``node`` only binds names that neither ``others`` nor the ``rest`` of the function has."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        if node.decorator_list:  # which may keep it
            return False
        bound = {node.name}
    elif isinstance(node, ast.Import | ast.ImportFrom):
        bound = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    else:
        return False
    used = {n.id for other in others for n in ast.walk(other) if isinstance(n, ast.Name)}
    return not bound & (used | rest)


def _function_around(before: str, indent: str) -> int | None:
    """Blanks before the ``def`` that a block at ``indent`` behind ``before`` belongs to; None where that is a
    class or the module. Looks at headers, from the inside."""
    depth = len(indent)
    for line in reversed(before.splitlines()):
        code = line.lstrip()
        width = len(line) - len(code)
        if not code or code.startswith("#") or width >= depth:
            continue
        if code.startswith(("def ", "async def ")):
            return width
        if code.startswith("class "):
            return None
        depth = width + 1 if code.startswith(_CLOSES) else width  # a header's first line has the same width
    return None


def _rest_of_function(after: str, width: int) -> str:
    """The first lines of ``after`` that stand deeper than a ``def`` behind ``width`` blanks."""

    def inside(line: str) -> bool:
        return not line.strip() or len(line) - len(line.lstrip()) > width

    first, *others = after.split("\n")  # the first is the end of the hole's own line
    return "\n".join([first, *itertools.takewhile(inside, others)])
