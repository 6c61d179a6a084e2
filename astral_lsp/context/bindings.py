"""Γ from syntax alone: names bound in the scopes around a hole, with the types that the source writes down.

Used when mypy is unavailable, beside it for names it does not type, and to decide which names a fill may use.
Works on broken files: it reads the concrete syntax tree and skips what it cannot make out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import tree_sitter

from astral_lsp.holes.model import Hole
from astral_lsp.holes.tree import Step, SyntaxTree
from astral_lsp.workers.protocol import Name

Reach = Literal["local", "argument", "self", "global", "import", "builtin"]
_SCOPES = ("function_definition", "lambda")
_COMPREHENSIONS = (
    "list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression",
)  # fmt: skip
_LITERALS = {
    "integer": "int", "float": "float", "string": "str", "concatenated_string": "str", "true": "bool",
    "false": "bool", "none": "None", "comparison_operator": "bool", "not_operator": "bool",
    "list": "list[Any]", "list_comprehension": "list[Any]", "dictionary": "dict[Any, Any]",
    "dictionary_comprehension": "dict[Any, Any]", "set": "set[Any]", "set_comprehension": "set[Any]",
    "tuple": "tuple[Any, ...]",
}  # fmt: skip
_PARAMETERS = (
    "identifier", "typed_parameter", "default_parameter", "typed_default_parameter", "list_splat_pattern",
    "dictionary_splat_pattern",
)  # fmt: skip
_PATTERNS = ("case_pattern", "keyword_pattern")
_SELF = re.compile(r"\b(self|cls)\s*\.\s*([^\W\d]\w*)\s*(?::\s*([^=\n]+?))?\s*=(?!=)")


class Bindings:
    """Names visible at a hole: nearest scope first, each name once."""

    def __init__(self) -> None:
        self.names: dict[str, Name] = {}
        self.star_import = False
        """A star import binds names that syntax cannot know."""

    def add(self, name: str, kind: str, reach: Reach) -> None:
        """Bind ``name`` unless a nearer scope did; a known type replaces an unknown one."""
        old = self.names.get(name)
        if not name or name.startswith("__hole"):
            return
        if old is None:
            self.names[name] = Name(name, kind, reach)
        elif not old.type and kind and old.reach == reach:
            old.type = kind


def bindings_before(tree: SyntaxTree, hole: Hole) -> Bindings:
    """Names bound before the hole in its scopes; in enclosing scopes also those bound later."""
    return _collect(tree, hole, everything=False)


def bindings_anywhere(tree: SyntaxTree, hole: Hole) -> Bindings:
    """Every name that any statement of the enclosing scopes binds: what a fill may use at all."""
    return _collect(tree, hole, everything=True)


def _collect(tree: SyntaxTree, hole: Hole, *, everything: bool) -> Bindings:
    found = Bindings()
    start = max(hole.start, min(hole.end, len(tree.text)) - 1) if hole.lead else hole.start
    path = tree.path(start) if tree.text else []
    limit = None if everything else hole.start
    innermost = True
    for index in range(len(path) - 1, -1, -1):
        step = path[index]
        if step.type in _COMPREHENSIONS:
            _bind_statements(tree, step.node, found, "local", None)
        elif step.type in _SCOPES:
            _bind_function(tree, path, index, found, limit if innermost else None)
            innermost = False
        elif step.type == "class_definition":
            if innermost:
                body = step.node.child_by_field_name("body")
                if body is not None:
                    _bind_statements(tree, body, found, "local", limit)
        elif step.type in ("module", "ERROR") and step.node.parent is None:
            _bind_statements(tree, step.node, found, "global", limit if innermost else None)
    return found


def _bind_function(
    tree: SyntaxTree, path: list[Step], index: int, found: Bindings, limit: int | None
) -> None:
    node = path[index].node
    inside_body = index + 1 < len(path) and path[index + 1].field == "body"
    parameters = node.child_by_field_name("parameters")
    if inside_body or parameters is None:
        for parameter in parameters.named_children if parameters is not None else []:
            _bind_parameter(tree, parameter, found)
        body = node.child_by_field_name("body")
        if body is not None:
            _bind_statements(tree, body, found, "local", limit)
        _bind_attributes(tree, path[:index], parameters, found)


def _bind_parameter(tree: SyntaxTree, parameter: tree_sitter.Node, found: Bindings) -> None:
    if parameter.type not in _PARAMETERS:
        return
    name = parameter.child_by_field_name("name") or parameter
    if name is parameter and parameter.type == "typed_parameter":
        name = parameter.named_children[0]
    annotation = parameter.child_by_field_name("type")
    kind = tree.source(annotation) if annotation is not None else ""
    if name.type == "list_splat_pattern":
        kind = f"tuple[{kind or 'Any'}, ...]"
    elif name.type == "dictionary_splat_pattern":
        kind = f"dict[str, {kind or 'Any'}]"
    if not kind and parameter.type == "default_parameter":
        kind = _literal_type(tree, parameter.child_by_field_name("value"), found)
    found.add(tree.source(name).lstrip("*"), kind, "argument")


def _bind_attributes(
    tree: SyntaxTree, above: list[Step], parameters: tree_sitter.Node | None, found: Bindings
) -> None:
    """``self.x`` from the class body's annotations, its methods, and assignments to ``self.x`` in them."""
    owner = above[-1].node if above else None
    if owner is not None and owner.type == "decorated_definition":
        above = above[:-1]
    if len(above) < 2 or above[-1].type != "block" or above[-2].type != "class_definition":
        return
    first = parameters.named_children[0] if parameters is not None and parameters.named_children else None
    if first is None or tree.source(first) not in ("self", "cls"):
        return
    me = tree.source(first)
    inner = Bindings()
    _bind_statements(tree, above[-1].node, inner, "self", None)
    for match in _SELF.finditer(tree.source(above[-2].node)):
        inner.add(match[2], (match[3] or "").strip(), "self")
    for name in inner.names.values():
        found.add(f"{me}.{name.name}", name.type, "self")


# --- statements -------------------------------------------------------------------------------------------


def _bind_statements(
    tree: SyntaxTree, node: tree_sitter.Node, found: Bindings, reach: Reach, limit: int | None
) -> None:
    """Bind what the statements below ``node`` bind in its own scope, up to code point ``limit``."""
    stop = None if limit is None else tree.byte(limit)
    queue = [node]
    while queue:
        item = queue.pop()
        if stop is not None and item.start_byte >= stop:
            continue
        if item is not node and item.type in ("lambda", *_COMPREHENSIONS):
            continue  # a scope of its own
        later = stop is not None and _binds_later(item, stop)
        if later or _bind(tree, item, found, reach):
            queue.extend(reversed(item.named_children))


def _binds_later(node: tree_sitter.Node, stop: int) -> bool:
    """``node`` binds its target only after the hole at byte ``stop``, which is in the value that it binds."""
    if node.type in ("for_statement", "for_in_clause"):
        value = node.child_by_field_name("right")
        return value is not None and value.end_byte > stop
    return node.type in ("assignment", "named_expression", "as_pattern") and node.end_byte > stop


def _bind(tree: SyntaxTree, node: tree_sitter.Node, found: Bindings, reach: Reach) -> bool:
    """Bind what ``node`` itself binds; whether its children may bind more in the same scope."""
    kind = node.type
    if kind in ("function_definition", "class_definition"):
        name = node.child_by_field_name("name")
        if name is not None:
            found.add(tree.source(name), _definition_type(tree, node), reach)
        return False
    if kind in ("import_statement", "import_from_statement", "future_import_statement"):
        _bind_import(tree, node, found)
        return False
    if kind == "assignment":
        _bind_assignment(tree, node, found, reach)
    elif kind in ("for_statement", "for_in_clause", "augmented_assignment"):
        _bind_target(tree, node.child_by_field_name("left"), found, reach, "")
    elif kind == "named_expression":
        value = _literal_type(tree, node.child_by_field_name("value"), found)
        _bind_target(tree, node.child_by_field_name("name"), found, reach, value)
    elif kind == "as_pattern":
        alias = node.child_by_field_name("alias") or node.named_children[-1]
        _bind_target(tree, alias, found, reach, "")
    elif kind in ("global_statement", "nonlocal_statement", "type_alias_statement", "splat_pattern"):
        for name in _identifiers(node):
            found.add(tree.source(name), "", reach)
    elif kind == "dotted_name" and _is_capture(node):
        found.add(tree.source(node), "", reach)
    return True


def _is_capture(node: tree_sitter.Node) -> bool:
    """``case [first, *_]``: a bare name in a pattern binds it."""
    parent = node.parent
    return node.named_child_count == 1 and parent is not None and parent.type in _PATTERNS


def _bind_import(tree: SyntaxTree, node: tree_sitter.Node, found: Bindings) -> None:
    if any(child.type == "wildcard_import" for child in node.children):
        found.star_import = True
    module = node.child_by_field_name("module_name")
    for name in node.children_by_field_name("name"):
        alias = name.child_by_field_name("alias") if name.type == "aliased_import" else None
        if alias is not None:
            found.add(tree.source(alias), "" if module is not None else "Module", "import")
        elif module is not None:
            found.add(tree.source(name), "", "import")
        else:
            found.add(tree.source(name).partition(".")[0], "Module", "import")


def _bind_assignment(tree: SyntaxTree, node: tree_sitter.Node, found: Bindings, reach: Reach) -> None:
    annotation = node.child_by_field_name("type")
    kind = tree.source(annotation) if annotation is not None else ""
    kind = kind or _literal_type(tree, node.child_by_field_name("right"), found)
    _bind_target(tree, node.child_by_field_name("left"), found, reach, kind)


def _bind_target(
    tree: SyntaxTree, target: tree_sitter.Node | None, found: Bindings, reach: Reach, kind: str
) -> None:
    if target is None:
        return
    if target.type == "identifier":
        found.add(tree.source(target), kind, reach)
    elif target.type not in ("attribute", "subscript"):
        for name in _identifiers(target):
            found.add(tree.source(name), "", reach)


def _identifiers(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    queue = [node]
    while queue:
        item = queue.pop()
        if item.type == "identifier":
            yield item
        elif item.type not in ("attribute", "subscript", "call"):
            queue.extend(reversed(item.named_children))


# --- types that the source writes down --------------------------------------------------------------------


def _definition_type(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    name = node.child_by_field_name("name")
    if node.type == "class_definition":
        return f"type[{tree.source(name)}]" if name is not None else ""
    parameters = node.child_by_field_name("parameters")
    result = node.child_by_field_name("return_type")
    shown = " ".join(tree.source(parameters).split()) if parameters is not None else "()"
    return f"def {shown}" + (f" -> {tree.source(result)}" if result is not None else "")


def _literal_type(tree: SyntaxTree, value: tree_sitter.Node | None, found: Bindings) -> str:
    """The type of a literal or of a call of a known class; '' when that takes more than a look."""
    if value is None:
        return ""
    if value.type == "string" and tree.source(value)[:1] in "bB":
        return "bytes"
    if value.type == "call":
        called = value.child_by_field_name("function")
        name = tree.source(called) if called is not None else ""
        known = found.names.get(name)
        if known is not None and known.type == f"type[{name}]":
            return name
        return name if name in ("int", "str", "float", "bool", "bytes", "len") and name != "len" else ""
    return _LITERALS.get(value.type, "")
