"""Statements that do nothing: what passes every oracle that looks at a block and still fills no hole.

``pass`` is right for types wherever nothing need be returned; a function that is defined inside another one
and never named hides whatever is in it from mypy, which does not look into functions without annotations.
"""

from __future__ import annotations

import ast
import itertools

from astral_model.words import words

_CLOSES = (")", "]", "}")


def hollow(statements: list[ast.stmt], before: str, after: str, indent: str) -> bool:
    """Whether ``statements``, a block's content at ``indent`` between ``before`` and ``after``, do nothing:
    docstrings, ``pass``, ``...``; and, in a function, definitions and imports that nothing names later on."""
    speaking = [node for node in statements if not _says_nothing(node)]
    if not all(map(_binds, speaking)):  # as nearly always: nothing around the hole need be looked at
        return False
    function = _function_around(before, indent) if speaking else None
    if function is None:
        return not speaking
    rest = words(_rest_of_function(after, function))
    return not any(_binds(node) & (rest | _names_in(speaking, node)) for node in speaking)


def _says_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _binds(node: ast.stmt) -> set[str]:
    """Names that ``node`` binds; none where it does anything else. A decorator may keep what it decorates."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return set() if node.decorator_list else {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return set()


def _names_in(statements: list[ast.stmt], apart: ast.stmt) -> set[str]:
    others = (node for node in statements if node is not apart)
    return {n.id for node in others for n in ast.walk(node) if isinstance(n, ast.Name)}


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
