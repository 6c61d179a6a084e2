"""Any selected range as a hole: what syntax the selection is decides what a fill must be."""

from __future__ import annotations

from astral_lsp.holes.lines import line_end, line_indent, line_start
from astral_lsp.holes.place import Place, position
from astral_lsp.holes.tree import Step, SyntaxTree

_BLOCKS = ("block", "module")


def place_selection(tree: SyntaxTree, start: int, end: int) -> tuple[Place, list[Step]]:
    """Place the selection ``[start, end)`` and return the path to the smallest node around it."""
    start, end = _trim(tree.text, start, end)
    indent = line_indent(tree.text, start)
    if start == end:
        return _insertion(tree, start, indent), tree.path(start, start)
    path = tree.path(start, end)
    if _covers_lines(tree.text, start, end) and _is_statements(tree, path, start, end):
        return Place("selection", "statements", start, end, indent, "", "statement"), path
    exact = next(
        (i for i, step in enumerate(path) if (tree.start(step.node), tree.end(step.node)) == (start, end)), 0
    )
    if exact and not path[exact].node.has_error and _is_expression(path[: exact + 1]):
        where = position(path[: exact + 1])
        return Place("selection", "expression", start, end, indent, "", where), path[: exact + 1]
    return Place("selection", "any", start, end, indent, "", "value"), path


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    chosen = text[start:end]
    if not chosen.strip():
        return (start, start) if "\n" not in chosen and "\r" not in chosen else (end, end)
    return start + len(chosen) - len(chosen.lstrip()), end - (len(chosen) - len(chosen.rstrip()))


def _insertion(tree: SyntaxTree, offset: int, indent: str) -> Place:
    """An empty selection: statements on a blank line, else whatever parses."""
    first, last = line_start(tree.text, offset), line_end(tree.text, offset)
    line = tree.text[first:last]
    if line.strip():
        return Place("selection", "any", offset, offset, indent, "", "value")
    return Place("selection", "statements", offset, offset, tree.text[first:offset], "", "statement")


def _covers_lines(text: str, start: int, end: int) -> bool:
    before = text[line_start(text, start) : start]
    after = text[end : line_end(text, end)].strip()
    return not before.strip() and (not after or after.startswith("#"))


def _is_statements(tree: SyntaxTree, path: list[Step], start: int, end: int) -> bool:
    """The selection begins where a statement begins and ends where one (of the same block) ends."""
    for step in reversed(path):
        if step.type in _BLOCKS:
            children = step.node.named_children
            return any(tree.start(child) == start for child in children) and any(
                tree.end(child) == end for child in children
            )
        if tree.start(step.node) != start or tree.end(step.node) != end:
            return False
    return False


def _is_expression(path: list[Step]) -> bool:
    """The node that ends ``path`` stands where the grammar wants an expression or a type."""
    leaf, parent = path[-1], path[-2]
    if (
        not leaf.node.is_named
        or leaf.type in _BLOCKS
        or leaf.type.endswith(("_statement", "_clause", "_definition"))
    ):
        return False
    if leaf.type in (
        "argument_list",
        "slice",
        "parameters",
        "keyword_argument",
        "pair",
        "comment",
        "decorator",
        "ERROR",
    ):
        return False
    return parent.type not in _BLOCKS and position(path) in ("value", "type")
