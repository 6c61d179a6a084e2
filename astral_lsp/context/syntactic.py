"""σ from syntax: what the grammar and the annotations around a hole ask for, where mypy has no context.

A condition wants a ``bool``, a ``for`` an iterable, a ``with`` a context manager (notes/verification.md); a
return, an annotated assignment, a default and an argument of a function in this file want what is written.
"""

from __future__ import annotations

import re

import tree_sitter

from astral_lsp.holes.model import Hole
from astral_lsp.holes.tree import Step, SyntaxTree

_CONDITION = "bool"
_ITERABLE = "Iterable[object]"
_SUBSCRIPTED = re.compile(r"(?:\w+\.)*(?P<name>\w+)\[(?P<arguments>.*)\]", re.DOTALL)
_QUALIFIED = re.compile(
    r"(?:\w+\.)*(?P<qualifier>Final|ClassVar|InitVar|TypeAlias)(?:\[(?P<inner>.*)\])?", re.DOTALL
)
_YIELDING = ("Iterator", "Iterable", "Generator", "AsyncIterator", "AsyncIterable", "AsyncGenerator")
_PLAIN: dict[tuple[str, str | None], str] = {
    ("with_item", "value"): "AbstractContextManager[object]",
    ("raise_statement", "cause"): "BaseException | None",
    ("raise_statement", None): "BaseException | type[BaseException]",
    ("except_clause", "value"): "type[BaseException] | tuple[type[BaseException], ...]",
    ("await", None): "Awaitable[object]",
    ("decorator", None): "Callable[..., object]",
    ("interpolation", "expression"): "object",
    ("list_splat", None): _ITERABLE,
    ("dictionary_splat", None): "Mapping[str, object]",
}


def expected_type(tree: SyntaxTree, hole: Hole) -> str | None:
    """σ in Python syntax, None where syntax says nothing."""
    start = tree.text.find(hole.text.strip()[:1], hole.start) if hole.text.strip() else hole.start
    path = tree.path(start, min(max(hole.end, start), len(tree.text)))
    if hole.kind == "body":
        function = _function(path)
        return _returned(tree, function) if function is not None else None
    if hole.category == "statements" or hole.position in ("name", "target", "statement"):
        return None
    if hole.position == "type":
        return "type"
    if hole.kind == "condition":
        return _CONDITION
    return _of_expression(tree, path)


def _of_expression(tree: SyntaxTree, path: list[Step]) -> str | None:
    """Climb from the hole through parentheses to the construct that consumes its value."""
    for index in range(len(path) - 1, 0, -1):
        if path[index - 1].type in ("parenthesized_expression", "conditional_expression", "as_pattern"):
            continue
        return _consumed(tree, path, index)
    return None


def _consumed(tree: SyntaxTree, path: list[Step], index: int) -> str | None:
    inner, outer = path[index], path[index - 1]
    if outer.type == "return_statement":
        function = _function(path[:index])
        return _returned(tree, function) if function is not None else None
    if outer.type == "yield":
        function = _function(path[:index])
        return _yielded(tree, function) if function is not None else None
    if outer.type in ("assignment", "typed_default_parameter"):
        value = inner.field in ("right", "value")
        return _declared(_annotation(tree, outer.node.child_by_field_name("type"))) if value else None
    if outer.type in ("for_statement", "for_in_clause") and inner.field == "right":
        return "AsyncIterable[object]" if _is_async(outer.node) else _ITERABLE
    if outer.type == "with_item" and _is_async(path[index - 3].node if index > 2 else outer.node):
        return "AbstractAsyncContextManager[object]"
    if outer.type in ("argument_list", "keyword_argument"):
        return _argument(tree, path, index)
    return _PLAIN.get((outer.type, inner.field), _PLAIN.get((outer.type, None)))


def _is_async(node: tree_sitter.Node) -> bool:
    first = node.child(0)
    return first is not None and first.type == "async"


def _function(path: list[Step]) -> tree_sitter.Node | None:
    return next((step.node for step in reversed(path) if step.type == "function_definition"), None)


def _annotation(tree: SyntaxTree, node: tree_sitter.Node | None) -> str | None:
    """The written annotation on one line, out of its quotes; None when it is missing or itself a hole."""
    if node is None:
        return None
    text = " ".join(tree.source(node).split())
    if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        text = text[1:-1]
    return None if "?" in text or "__hole__" in text or text == "..." else text


def _declared(annotation: str | None) -> str | None:
    """What an annotated assignment wants of its value: qualifiers say how a name is bound, not its type."""
    match = _QUALIFIED.fullmatch(annotation or "")
    if match is None:
        return annotation
    if match["qualifier"] == "TypeAlias":
        return "type"
    return _declared(match["inner"]) if match["inner"] else None


def _returned(tree: SyntaxTree, function: tree_sitter.Node) -> str | None:
    """The declared result; in a generator that is what ``return`` gives, which the annotation rarely says."""
    written = _annotation(tree, function.child_by_field_name("return_type"))
    body = function.child_by_field_name("body")
    if written is not None and body is not None and _is_generator(body):
        arguments = _arguments_of(written)
        return arguments[2] if len(arguments) == 3 else "None"
    return written


def _yielded(tree: SyntaxTree, function: tree_sitter.Node) -> str | None:
    written = _annotation(tree, function.child_by_field_name("return_type"))
    arguments = _arguments_of(written or "")
    return arguments[0] if arguments else None


def _arguments_of(annotation: str) -> list[str]:
    """``Generator[int, None, str]`` -> its three arguments; [] for other types."""
    match = _SUBSCRIPTED.fullmatch(annotation)
    if match is None or match["name"] not in _YIELDING:
        return []
    parts, depth, current = [], 0, ""
    for character in match["arguments"]:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return [*parts, current.strip()]


def _is_generator(body: tree_sitter.Node) -> bool:
    queue = [body]
    while queue:
        node = queue.pop()
        if node.type == "yield":
            return True
        if node.type not in ("function_definition", "class_definition", "lambda"):
            queue.extend(node.named_children)
    return False


# --- arguments of functions in the same file ----------------------------------------------------------------


def _argument(tree: SyntaxTree, path: list[Step], index: int) -> str | None:
    """The annotation of the parameter that the argument at ``path[index]`` goes to."""
    outer = path[index - 1]
    keyword: str | None = None
    at = index - 1
    if outer.type == "keyword_argument":
        name = outer.node.child_by_field_name("name")
        keyword = tree.source(name) if name is not None and path[index].field == "value" else None
        if keyword is None:
            return None
        at = index - 2
    if at < 1 or path[at - 1].type != "call":
        return None
    called = path[at - 1].node.child_by_field_name("function")
    if called is None:
        return None
    definition, bound = _definition(tree, path, called)
    if definition is None:
        return None
    position = _position(path[at].node, path[at + 1].node)
    if keyword is None and position is None:
        return None
    return _parameter_type(tree, definition, keyword, (position or 0) + bound)


def _position(arguments: tree_sitter.Node, argument: tree_sitter.Node) -> int | None:
    """Place of a positional argument, None after a starred one."""
    for place, child in enumerate(item for item in arguments.named_children if item.type != "comment"):
        if child == argument:
            return place
        if child.type in ("list_splat", "dictionary_splat"):
            return None
    return None


def _definition(
    tree: SyntaxTree, path: list[Step], called: tree_sitter.Node
) -> tuple[tree_sitter.Node | None, int]:
    """The definition of ``f``, ``C`` or ``self.m`` in this file, and how many parameters are bound."""
    if called.type == "identifier":
        node = _child_definition(tree, tree.root, tree.source(called))
        if node is not None and node.type == "class_definition":
            body = node.child_by_field_name("body")
            return (_child_definition(tree, body, "__init__") if body is not None else None), 1
        return node, 0
    receiver = called.child_by_field_name("object")
    name = called.child_by_field_name("attribute")
    owner = next((step.node for step in reversed(path) if step.type == "class_definition"), None)
    body = owner.child_by_field_name("body") if owner is not None else None
    if receiver is None or name is None or body is None or tree.source(receiver) not in ("self", "cls"):
        return None, 0
    node = _child_definition(tree, body, tree.source(name))
    static = node is not None and node.parent is not None and "@staticmethod" in tree.source(node.parent)
    return node, 0 if static else 1


def _child_definition(tree: SyntaxTree, block: tree_sitter.Node, name: str) -> tree_sitter.Node | None:
    for child in block.named_children:
        node = child.child_by_field_name("definition") if child.type == "decorated_definition" else child
        if node is None or node.type not in ("function_definition", "class_definition"):
            continue
        own = node.child_by_field_name("name")
        if own is not None and tree.source(own) == name:
            return node
    return None


def _parameter_type(
    tree: SyntaxTree, definition: tree_sitter.Node, keyword: str | None, position: int
) -> str | None:
    parameters = definition.child_by_field_name("parameters")
    place = 0
    for parameter in parameters.named_children if parameters is not None else []:
        if parameter.type in ("keyword_separator", "list_splat_pattern") and keyword is None:
            return None
        if parameter.type in ("positional_separator", "keyword_separator", "comment"):
            continue
        name = parameter.child_by_field_name("name")
        if name is None and parameter.type == "typed_parameter":
            name = parameter.named_children[0]
        written = _annotation(tree, parameter.child_by_field_name("type"))
        starred = name is not None and name.type in ("list_splat_pattern", "dictionary_splat_pattern")
        own = tree.source(name if name is not None else parameter)
        if keyword is not None and own.lstrip("*") == keyword and not starred:
            return written
        if keyword is None and (starred or place == position):
            return written
        place += 1
    return None
