"""Where a placeholder stands in the grammar: its kind, what may replace it, and the exact span to replace."""

from __future__ import annotations

from typing import NamedTuple

import tree_sitter

from astral_lsp.holes.lines import indent_unit, line_end, line_ending, line_indent, line_start
from astral_lsp.holes.model import Category, Kind, Position
from astral_lsp.holes.scopes import is_string_statement, statements
from astral_lsp.holes.tree import Step, SyntaxTree

_TRANSPARENT = ("parenthesized_expression", "not_operator", "boolean_operator")
_TYPES = ("type", "type_parameter", "generic_type")
_ELEMENTS = (
    "list", "tuple", "set", "pair", "expression_list", "list_comprehension", "set_comprehension",
    "generator_expression", "dictionary_comprehension", "dictionary",
)  # fmt: skip
_TARGET_PARENTS = (
    "pattern_list", "tuple_pattern", "list_pattern", "as_pattern_target", "case_pattern",
    "list_splat_pattern",
)  # fmt: skip
_TARGET_FIELDS = {
    ("assignment", "left"), ("augmented_assignment", "left"), ("for_statement", "left"),
    ("for_in_clause", "left"),
}  # fmt: skip
_NAME_PARENTS = (
    "parameters", "lambda_parameters", "typed_parameter", "dotted_name", "global_statement",
    "nonlocal_statement", "aliased_import", "dictionary_splat_pattern", "keyword_pattern",
)  # fmt: skip
_NAME_FIELDS = {
    ("attribute", "attribute"), ("keyword_argument", "name"), ("function_definition", "name"),
    ("class_definition", "name"), ("default_parameter", "name"), ("typed_default_parameter", "name"),
    ("named_expression", "name"), ("aliased_import", "alias"),
}  # fmt: skip
_CONDITIONS = {
    ("if_statement", "condition"), ("elif_clause", "condition"), ("while_statement", "condition"),
}  # fmt: skip
_DIRECT: dict[tuple[str, str | None], Kind] = {
    ("return_statement", None): "return",
    ("assignment", "right"): "assignment",
    ("augmented_assignment", "right"): "assignment",
    ("named_expression", "value"): "assignment",
    ("default_parameter", "value"): "default",
    ("typed_default_parameter", "value"): "default",
    ("for_statement", "right"): "iterable",
    ("for_in_clause", "right"): "iterable",
    ("list_splat", None): "iterable",
    ("dictionary_splat", None): "argument",
}


class Place(NamedTuple):
    """The grammar's view of one placeholder; fields as in `Hole`."""

    kind: Kind
    category: Category
    start: int
    end: int
    indent: str
    lead: str
    position: Position


def place_expression(tree: SyntaxTree, path: list[Step], start: int, end: int) -> Place:
    """Place a placeholder ``[start, end)`` that reads as an expression; ``path`` ends at its node."""
    parent = path[-2] if len(path) > 1 else None
    if parent is not None and parent.type == "expression_statement" and parent.node.named_child_count == 1:
        return place_statement(tree, path[:-1], start, end)
    if parent is None or parent.node.is_error or parent.type == "module":
        if _alone_on_line(tree.text, start, end) and not _inside_brackets(tree, path, start):
            return _whole_line(tree.text, start, end, "statement")
        return Place("expression", "expression", start, end, line_indent(tree.text, start), "", "value")
    where = position(path)
    category: Category = "any" if where in ("name", "target") else "expression"
    return Place(_kind(path), category, start, end, line_indent(tree.text, start), "", where)


def place_statement(tree: SyntaxTree, path: list[Step], start: int, end: int) -> Place:
    """Place a placeholder ``[start, end)`` that is a statement by itself; ``path`` ends at that statement."""
    kind: Kind = "body" if _is_whole_body(path) else "statement"
    if _alone_on_line(tree.text, start, end):
        return _whole_line(tree.text, start, end, kind)
    inline = _inline_body(tree, path, start, end)
    if inline is not None:
        return inline._replace(kind=kind)
    return Place(kind, "any", start, end, line_indent(tree.text, start), "", "statement")


def position(path: list[Step]) -> Position:
    """What the grammar allows where the expression that ends ``path`` stands."""
    if in_annotation(path):
        return "type"
    leaf, parent = path[-1], path[-2]
    if parent.type in _NAME_PARENTS or (parent.type, leaf.field) in _NAME_FIELDS:
        return "target" if any(step.type == "case_pattern" for step in path) else "name"
    if parent.type in _TARGET_PARENTS or (parent.type, leaf.field) in _TARGET_FIELDS:
        return "target"
    return "value"


def sole_statement(path: list[Step]) -> bool:
    """The statement that ends ``path`` is all there is in its block, a docstring apart."""
    if len(path) < 2 or path[-2].type != "block":
        return False
    body = statements(path[-2].node)
    if len(body) > 1 and is_string_statement(body[0]):
        body = body[1:]
    return len(body) == 1 and body[0] == path[-1].node


def in_annotation(path: list[Step]) -> bool:
    """Some ancestor is a type annotation."""
    return any(step.type in _TYPES for step in path)


def _is_whole_body(path: list[Step]) -> bool:
    return len(path) > 2 and path[-3].type == "function_definition" and sole_statement(path)


def _whole_line(text: str, start: int, end: int, kind: Kind) -> Place:
    indent = line_indent(text, start)
    first = line_start(text, start) + len(indent)
    return Place(kind, "statements", first, line_end(text, end), indent, "", "statement")


def _alone_on_line(text: str, start: int, end: int) -> bool:
    before = text[line_start(text, start) : start]
    return not before.strip() and _ends_line(text, end)


def _ends_line(text: str, end: int) -> bool:
    after = text[end : line_end(text, end)].strip()
    return not after or after.startswith("#")


def _inline_body(tree: SyntaxTree, path: list[Step], start: int, end: int) -> Place | None:
    """``def f(): ...``: replace from after the colon, so that the fill can start a block of its own."""
    if not sole_statement(path) or not _ends_line(tree.text, end):
        return None
    colon = len(tree.text[:start].rstrip(" \t\f"))
    if not tree.text.endswith(":", 0, colon):
        return None
    header = line_indent(tree.text, tree.start(path[-3].node))
    indent = header + indent_unit(tree.text)
    lead = line_ending(tree.text) + indent
    return Place("statement", "statements", colon, line_end(tree.text, end), indent, lead, "statement")


def _inside_brackets(tree: SyntaxTree, path: list[Step], start: int) -> bool:
    """Among the pieces of a broken region, an opening bracket before ``start`` has not been closed."""
    depth = 0
    for piece in path[-2].node.children if len(path) > 1 else []:
        if piece.start_byte >= tree.byte(start):
            break
        depth += (piece.type in ("(", "[", "{")) - (piece.type in (")", "]", "}"))
    return depth > 0


def _kind(path: list[Step]) -> Kind:
    if _is_condition(path):
        return "condition"
    inner, outer = path[-1], path[-2]
    index = len(path) - 2
    while outer.type == "parenthesized_expression" and index > 0:
        index -= 1
        inner, outer = outer, path[index]
    if outer.type == "keyword_argument" and inner.field == "value":
        return "argument"
    if outer.type == "argument_list":
        return "argument" if index > 0 and path[index - 1].type == "call" else "expression"
    if outer.type in _ELEMENTS:
        return "element"
    return _DIRECT.get((outer.type, inner.field), _DIRECT.get((outer.type, None), "expression"))


def _is_condition(path: list[Step]) -> bool:
    for index in range(len(path) - 1, 0, -1):
        inner, outer = path[index], path[index - 1]
        if outer.type in ("not_operator", "if_clause") or (outer.type, inner.field) in _CONDITIONS:
            return True
        if outer.type == "assert_statement":
            return outer.node.named_child(0) == inner.node
        if outer.type == "conditional_expression":
            return _follows_if(outer.node, inner.node)
        if outer.type not in _TRANSPARENT:
            return False
    return False


def _follows_if(ternary: tree_sitter.Node, child: tree_sitter.Node) -> bool:
    previous = child.prev_sibling
    return previous is not None and previous.type == "if" and previous.parent == ternary
