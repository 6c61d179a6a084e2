"""What the syntax around a hole says: σ where mypy has no context, and which names are bound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import tree_sitter

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import Step, SyntaxTree

Rule = Literal["", "same", "container of", "item of", "statement"]
"""How a sibling's type bears on σ: 'same' type, Container[...] of it, or the items of it."""

_FUNCTIONS = ("function_definition", "lambda")
_COMPREHENSIONS = (
    "list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression",
)  # fmt: skip
_BINDERS = ("assignment", "for_statement", "for_in_clause", "named_expression")
_BRANCHES = ("block", "elif_clause", "else_clause", "case_clause")
_RISKY = ("named_expression", "yield", "await")


@dataclass(frozen=True)
class Site:
    """The syntactic side of σ for one hole."""

    expected: str | None = None
    """σ by the table, in Python syntax."""
    rule: Rule = ""
    sibling: str = ""
    """Source of the expression whose type decides, for a ``rule``."""
    note: str = ""
    statement: bool = False
    """The hole is a statement of its own."""
    in_function: bool = False
    position: int | str | None = None
    """Of an argument: which positional one it is, or its keyword."""
    arguments: int = 0
    """How many arguments that call has; its callee is the ``sibling``."""
    narrowest: bool = False
    """Of several contexts the narrowest one counts (`or`, `and`), not their union (overloads)."""


def site(tree: SyntaxTree, span: Span) -> Site:
    """Look around the expression at ``span`` (a placeholder call); see the notes on σ without context."""
    path = tree.path(span.start, span.end)
    while len(path) > 1 and tree.end(path[-1].node) < span.end:
        path.pop()
    while len(path) > 1 and tree.start(path[-2].node) == span.start and tree.end(path[-2].node) == span.end:
        if path[-2].type in ("expression_statement", "module", "block"):
            break
        path.pop()
    inside = any(step.type == "function_definition" for step in path[:-1])
    if len(path) < 2:
        return Site(statement=True, in_function=False)
    found = _look(tree, path)
    return replace(_argument(tree, path, found), in_function=inside)


def _look(tree: SyntaxTree, path: list[Step]) -> Site:
    index = len(path) - 1
    while index > 0 and path[index - 1].type == "parenthesized_expression":
        index -= 1
    inner, outer = path[index], path[index - 1]
    callee = inner.node.child_by_field_name("function") if inner.type == "call" else None
    if callee is not None and callee.type == "list_splat":
        return _ITERABLE  # the grammar reads `*f(x)` as a call of `*f`
    kind = outer.type
    if kind in ("expression_statement", "module", "block"):
        return Site(statement=True, note="a statement has no expected type")
    if kind == "comparison_operator":
        return _comparison(tree, outer.node, inner.node)
    if kind == "binary_operator" and inner.field == "right" and _is_format(outer.node):
        return Site("object", note="a value to format")
    if kind in ("binary_operator", "augmented_assignment"):
        other = outer.node.child_by_field_name("right" if inner.field == "left" else "left")
        return _sibling(tree, other, "same", "by the other operand")
    if kind == "boolean_operator":
        return replace(_look(tree, path[:index]), narrowest=True)
    if (
        kind in ("for_statement", "for_in_clause")
        and inner.field == "right"
        and outer.node.children[0].type == "async"
    ):
        return Site("AsyncIterable[Any]", note="something to iterate over")
    if _is_test(path, index):
        return Site("bool", note="a condition")
    return _TABLE.get((kind, inner.field), _TABLE.get((kind, None), Site()))


def _is_format(operation: tree_sitter.Node) -> bool:
    operator, left = operation.child_by_field_name("operator"), operation.child_by_field_name("left")
    return operator is not None and operator.type == "%" and left is not None and left.type == "string"


def _argument(tree: SyntaxTree, path: list[Step], found: Site) -> Site:
    """Add which argument of which callee the hole is: overloads have a context each."""
    index = len(path) - 1
    while index > 0 and path[index - 1].type == "parenthesized_expression":
        index -= 1
    keyword = ""
    if index > 0 and path[index - 1].type == "keyword_argument" and path[index].field == "value":
        index -= 1
        name = path[index].node.child_by_field_name("name")
        keyword = tree.source(name) if name is not None else ""
    if index < 2 or path[index - 1].type != "argument_list" or path[index - 2].type != "call":
        return found
    callee = path[index - 2].node.child_by_field_name("function")
    arguments = [child for child in path[index - 1].node.named_children if child.type != "comment"]
    starred = any("splat" in child.type for child in arguments)
    if callee is None or starred or _holds(callee, _RISKY) or callee.end_byte - callee.start_byte > 200:
        return found
    before = sum(child.end_byte <= path[index].node.start_byte for child in arguments)
    return replace(found, sibling=tree.source(callee), position=keyword or before, arguments=len(arguments))


def _is_test(path: list[Step], index: int) -> bool:
    inner, outer = path[index], path[index - 1]
    if outer.type in ("not_operator", "if_clause", "assert_statement"):
        return outer.type != "assert_statement" or outer.node.named_child(0) == inner.node
    if outer.type == "conditional_expression":
        before = inner.node.prev_sibling
        return before is not None and before.type == "if"
    return inner.field == "condition"


def _comparison(tree: SyntaxTree, comparison: tree_sitter.Node, hole: tree_sitter.Node) -> Site:
    children = comparison.children
    at = children.index(hole)
    if at > 0:
        operator, other, left = children[at - 1], children[at - 2], False
    else:
        operator, other, left = children[1], children[2], True
    word = tree.source(operator).replace(" ", "")
    if word in ("in", "notin"):
        return _sibling(tree, other, "item of" if left else "container of", "by the other operand")
    return _sibling(tree, other, "same", "by the other operand")


def _sibling(tree: SyntaxTree, node: tree_sitter.Node | None, rule: Rule, note: str) -> Site:
    if node is None or _holds(node, _RISKY):
        return Site()
    return Site(None, rule, tree.source(node), note)


def _holds(node: tree_sitter.Node, kinds: tuple[str, ...]) -> bool:
    return node.type in kinds or any(_holds(child, kinds) for child in node.children)


_ITERABLE = Site("Iterable[Any]", note="something to iterate over")
_CALLABLE = Site("Callable[..., Any]", note="something to call")
_TABLE: dict[tuple[str, str | None], Site] = {
    ("for_statement", "right"): _ITERABLE,
    ("for_in_clause", "right"): _ITERABLE,
    ("list_splat", None): _ITERABLE,
    ("yield", None): _ITERABLE,
    ("dictionary_splat", None): Site("Mapping[str, Any]", note="keyword arguments"),
    ("with_item", None): Site("AbstractContextManager[Any]", note="a context manager"),
    ("as_pattern", None): Site("AbstractContextManager[Any]", note="a context manager"),
    ("raise_statement", None): Site("BaseException | type[BaseException]", note="something to raise"),
    ("except_clause", None): Site("type[BaseException] | tuple[type[BaseException], ...]", note="to catch"),
    ("interpolation", None): Site("object", note="anything with a text form"),
    ("await", None): Site("Awaitable[Any]", note="something to await"),
    ("decorator", None): _CALLABLE,
    ("call", "function"): _CALLABLE,
    ("match_statement", None): Site("object", note="the subject of a match"),
    ("attribute", "object"): Site(note="the receiver of an attribute"),
    ("subscript", "value"): Site(note="something with items"),
}


def ends_function(tree: SyntaxTree, span: Span) -> bool:
    """Whether control leaves the function right after the statement at ``span``: nothing follows it."""
    path = [step.node for step in tree.path(span.start, span.end)]
    for inner, outer in zip(reversed(path), reversed(path[:-1]), strict=False):
        if outer.type == "function_definition":
            return inner.type == "block"
        if outer.type in ("for_statement", "while_statement", "class_definition", "lambda"):
            return False
        if outer.type == "block" and any(_follows(child, inner) for child in outer.named_children):
            return False
    return False


def is_base(tree: SyntaxTree, span: Span) -> bool:
    """Whether ``span`` is in a base of a class statement (not in a keyword of it)."""
    path = tree.path(span.start, span.end)
    for step, outer in zip(reversed(path), reversed(path[:-1]), strict=False):
        if step.type in ("keyword_argument", "block"):
            return False
        if outer.type == "class_definition":
            return step.field == "superclasses"
    return False


def _follows(child: tree_sitter.Node, inner: tree_sitter.Node) -> bool:
    return child.start_byte >= inner.end_byte and child.type not in ("comment", "case_clause")


# --- names in scope -------------------------------------------------------------------------------------


def bound_names(tree: SyntaxTree, at: int) -> frozenset[str]:
    """Return the local names that some binding before ``at`` can have given a value there.

    Left out: names bound only in another branch, in a comprehension or nested function that does not hold
    ``at``, or further down.
    """
    byte = tree.byte(at)
    path = [step.node for step in tree.path(at, at)]
    start = next((n for n in path if n.type == "function_definition"), tree.root)
    found: set[str] = set()
    _collect(tree, start, byte, found)
    return frozenset(found)


def _collect(tree: SyntaxTree, node: tree_sitter.Node, at: int, found: set[str]) -> None:
    if node.start_byte >= at and node.type not in ("for_in_clause", "case_pattern"):
        return
    holds = node.start_byte <= at <= node.end_byte
    if node.type in ("lambda", *_COMPREHENSIONS) and not holds:
        return
    if node.type in ("function_definition", "class_definition"):
        name = node.child_by_field_name("name")
        if name is not None:
            found.add(tree.source(name))
        if not holds:
            return
    if node.type == "identifier":
        if not holds or node.end_byte < at:
            found.add(tree.source(node))
        return
    for child in _visible(node, at):
        _collect(tree, child, at, found)


def _visible(node: tree_sitter.Node, at: int) -> list[tree_sitter.Node]:
    """The children whose bindings reach ``at``: of exclusive branches around ``at`` only its own."""
    children = list(node.children)
    if node.type in _BINDERS and node.end_byte >= at:
        value = node.child_by_field_name("right") or node.child_by_field_name("value")
        if (
            value is not None
            and value.start_byte <= at <= value.end_byte
            and node.type != "augmented_assignment"
        ):
            return [value]
    if node.type in ("if_statement", "try_statement", "match_statement") and node.end_byte >= at:
        branches = ("except_clause",) if node.type == "try_statement" else _BRANCHES
        mine = [c for c in children if c.start_byte <= at <= c.end_byte]
        if any(c.type in branches for c in mine):
            return [c for c in children if c.type not in branches or c in mine]
    if node.type == "block" and node.parent is not None and node.parent.type == "match_statement":
        return [c for c in children if c.type != "case_clause" or c.start_byte <= at <= c.end_byte]
    return children
