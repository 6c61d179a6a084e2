"""A definition as short source: what a caller of it has to know."""

from __future__ import annotations

import tree_sitter

from astral_lsp.holes.scopes import docstring
from astral_lsp.holes.tree import SyntaxTree

LIMIT = 900
_LONGEST_VALUE = 300
_LONGEST_FIELD = 160


def outline(tree: SyntaxTree, node: tree_sitter.Node, limit: int = LIMIT) -> str:
    """Signature, first docstring line and, of a class, fields and method signatures, as valid source.

    A class that takes more than ``limit`` characters loses its private members, then its last ones.
    """
    inner = undecorated(node)
    if inner.type == "function_definition":
        return _decorators(tree, node) + _function(tree, inner)
    if inner.type == "class_definition":
        return _decorators(tree, node) + _class(tree, inner, limit)
    return tree.source(node) + "\n"


def members_outline(tree: SyntaxTree, owner: tree_sitter.Node, names: list[str], limit: int = LIMIT) -> str:
    """The class ``owner`` with the members of ``names`` only, as many as ``limit`` allows; '' for none."""
    body = owner.child_by_field_name("body")
    children = body.named_children if body is not None else []
    known = {member_name(tree, child): child for child in children}
    parts = [_member(tree, known[name]) for name in names if name in known]
    head = header(tree, owner) + "\n"
    parts = _fitting([part for part in parts if part], limit - len(head))
    return head + "".join(parts) if parts else ""


def definition(tree: SyntaxTree, name: str) -> tree_sitter.Node | None:
    """The top-level class, function or short assignment that binds ``name``."""
    for child in tree.root.named_children:
        inner = undecorated(child)
        if inner.type in ("function_definition", "class_definition"):
            own = inner.child_by_field_name("name")
            if own is not None and tree.source(own) == name:
                return child
        elif child.type in ("expression_statement", "type_alias_statement"):
            target = child.named_child(0)
            left = target.child_by_field_name("left") if target is not None else None
            left = left if left is not None else child.child_by_field_name("left")
            short = child.end_byte - child.start_byte < _LONGEST_VALUE
            if left is not None and tree.source(left) == name and short:
                return child
    return None


def undecorated(node: tree_sitter.Node) -> tree_sitter.Node:
    """The definition itself."""
    return (node.child_by_field_name("definition") or node) if node.type == "decorated_definition" else node


def member_name(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    """What a statement of a class body binds, '' when that is no method and no field."""
    inner = undecorated(node)
    if inner.type in ("function_definition", "class_definition"):
        own = inner.child_by_field_name("name")
        return tree.source(own) if own is not None else ""
    left = _assigned(node)
    return tree.source(left) if left is not None else ""


def header(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    """The header of a definition on one line, comments left out, with its colon."""
    body = node.child_by_field_name("body")
    end = tree.start(body) if body is not None else tree.end(node)
    lines = tree.text[tree.start(node) : end].split("\n")
    line = " ".join(line.split("#")[0].strip() for line in lines if not line.strip().startswith("#"))
    return line.replace("( ", "(").replace(", )", ")").replace(",)", ")").strip()


def _decorators(tree: SyntaxTree, node: tree_sitter.Node, indent: str = "") -> str:
    return "".join(f"{indent}{tree.source(child)}\n" for child in node.children if child.type == "decorator")


def _function(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    summary = _summary(tree, node, "    ")
    return f"{header(tree, node)}\n{summary}" if summary else f"{header(tree, node)} ...\n"


def _summary(tree: SyntaxTree, node: tree_sitter.Node, indent: str) -> str:
    first = docstring(tree, node).split("\n")[0]
    return f'{indent}"""{first}"""\n' if first and '"""' not in first else ""


def _class(tree: SyntaxTree, node: tree_sitter.Node, limit: int) -> str:
    head = f"{header(tree, node)}\n{_summary(tree, node, '    ')}"
    body = node.child_by_field_name("body")
    children = body.named_children if body is not None else []
    members = [(member_name(tree, child), _member(tree, child)) for child in children]
    members = [(name, shown) for name, shown in members if shown]
    if len(head) + sum(len(shown) for _, shown in members) > limit:
        members = [(name, shown) for name, shown in members if name == "__init__" or name[:1] != "_"]
    shown = _fitting([shown for _, shown in members], limit - len(head))
    return head + "".join(shown) if shown or '"""' in head else head.rstrip("\n") + " ...\n"


def _member(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    inner = undecorated(node)
    if inner.type == "function_definition":
        return _decorators(tree, node, "    ") + f"    {header(tree, inner)} ...\n"
    short = node.end_byte - node.start_byte < _LONGEST_FIELD
    return f"    {tree.source(node)}\n" if _assigned(node) is not None and short else ""


def _assigned(node: tree_sitter.Node) -> tree_sitter.Node | None:
    assignment = node.named_child(0) if node.type == "expression_statement" else None
    if assignment is None or assignment.type != "assignment":
        return None
    return assignment.child_by_field_name("left")


def _fitting(parts: list[str], limit: int) -> list[str]:
    """The first of ``parts`` that ``limit`` characters hold; one that is too long by itself is left out."""
    kept: list[str] = []
    for part in parts:
        if len(part) <= limit:
            kept.append(part)
            limit -= len(part)
    return kept
