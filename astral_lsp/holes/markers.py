"""Which `...`, `pass` and `raise NotImplementedError` are placeholders, and which are ordinary Python.

Explicit markers (``__hole__``, ``?name``, ``??``, ``astral_lsp.hole()``) are always holes. The three that
Python itself gives a meaning to are holes only where that meaning makes no sense.
"""

from __future__ import annotations

import re

import tree_sitter

from astral_lsp.holes.imports import Imports
from astral_lsp.holes.lines import line_end, line_start
from astral_lsp.holes.place import in_annotation, sole_statement
from astral_lsp.holes.scopes import definition_node
from astral_lsp.holes.tree import Step, SyntaxTree

_TODO = re.compile(r"#.*\b(?:TODO|FIXME)\b", re.IGNORECASE)
_REFUSAL = re.compile(
    r"not allowed|n[o']t support|unsupported|must be|must implement|overrid|subclass|cannot|can't|abstract"
    r"|\binstead\b|\bnever\b",
    re.IGNORECASE,
)
"""Messages of a NotImplementedError that is meant to stay."""
_PROTOCOL = re.compile(r"(?:\w+\.)*Protocol$")
_ABSTRACT_BASE = re.compile(r"(?:\w+\.)*(?:ABC|Protocol)$|.*\bmetaclass\s*=\s*(?:\w+\.)*ABCMeta$", re.DOTALL)
_ABSTRACT_NAME = re.compile(r"_*(?:Abstract|Base(?=[A-Z_]))|\w*(?:Base|ABC|Interface|Mixin)$")
_DECORATOR_OF_STUBS = re.compile(r"(?:\w+\.)*(?:overload|abstract\w*)$")
_DISPLAYS = ("tuple", "list", "set", "parenthesized_expression", "slice", "expression_list")
_ELLIPSIS_TYPE = re.compile(r"\bEllipsisType\b|\bellipsis\b")
_REQUIRED_PACKAGES = ("pydantic", "fastapi", "typer", "sqlmodel", "ninja", "hypothesis")
"""Libraries to which ``...`` means something: a required value in ``Field(...)``, ``Query(...)`` and
``Option(...)``, an inferred one in ``given(...)`` and ``builds(..., x=...)``."""
_TYPE_FACTORIES = ("TypeVar", "ParamSpec", "TypeVarTuple", "NewType", "type")


def ellipsis_is_hole(tree: SyntaxTree, path: list[Step], imports: Imports) -> bool:
    """Whether the ``...`` that ends ``path`` is a placeholder; the buffer is not a stub file."""
    return not (
        in_annotation(path)
        or _is_index(path)
        or _is_compared_by_identity(path)
        or _is_library_argument(tree, path, imports)
        or _is_sentinel(tree, path)
        or _is_empty_class(path)
        or is_declaration(tree, path)
    )


def raise_is_hole(tree: SyntaxTree, path: list[Step]) -> bool:
    """Whether the raise statement that ends ``path`` is a function's whole body, still to be written."""
    if len(path) < 3 or path[-3].type != "function_definition" or not sole_statement(path):
        return False
    raised: tree_sitter.Node | None = path[-1].node.named_child(0)
    if raised is not None and raised.type == "call":
        if _REFUSAL.search(tree.source(raised)):
            return False
        raised = raised.child_by_field_name("function")
    if raised is None or tree.source(raised) != "NotImplementedError" or path[-1].node.named_child_count != 1:
        return False
    return not is_declaration(tree, path) and not _in_abstract_base(tree, path)


def pass_is_hole(tree: SyntaxTree, path: list[Step]) -> bool:
    """Whether the ``pass`` that ends ``path`` is a whole body with a TODO or FIXME beside or above it."""
    if not sole_statement(path) or is_declaration(tree, path):
        return False
    return bool(todo_comment(tree.text, tree.start(path[-1].node)))


def todo_comment(text: str, offset: int) -> str:
    """The TODO or FIXME comment on the line of ``offset`` or in the comment lines and header above it."""
    start = line_start(text, offset)
    own = text[offset : line_end(text, offset)]
    found = [own[own.index("#") :]] if _TODO.search(own) else []
    while start > 1:
        start = line_start(text, start - 1)
        line = text[start : line_end(text, start)]
        comment = line.strip().startswith("#")
        header = line.split("#")[0].rstrip().endswith(":")
        if (comment or header) and _TODO.search(line):
            found.insert(0, line[line.index("#") :].strip())
        if not comment:
            break
    return "\n".join(found)


def is_declaration(tree: SyntaxTree, path: list[Step]) -> bool:
    """Inside an overload, an abstract method, a Protocol or a ``TYPE_CHECKING`` block: bodies are not run."""
    for index, step in enumerate(path):
        if step.type == "function_definition" and _has_stub_decorator(tree, path, index):
            return True
        if step.type == "class_definition" and any(_PROTOCOL.match(base) for base in _bases(tree, step.node)):
            return True
        if step.type == "if_statement" and index + 1 < len(path) and path[index + 1].field == "consequence":
            condition = step.node.child_by_field_name("condition")
            if condition is not None and tree.source(condition).endswith("TYPE_CHECKING"):
                return True
    return False


def _has_stub_decorator(tree: SyntaxTree, path: list[Step], index: int) -> bool:
    whole = definition_node(path, index)
    decorators = (child for child in whole.children if child.type == "decorator")
    return any(
        _DECORATOR_OF_STUBS.match(tree.source(child)[1:].split("#")[0].strip()) for child in decorators
    )


def _bases(tree: SyntaxTree, definition: tree_sitter.Node) -> list[str]:
    """Base classes and keywords of a class as source, type arguments left out."""
    arguments = definition.child_by_field_name("superclasses")
    children = arguments.named_children if arguments is not None else []
    return [tree.source(child).split("[")[0].strip() for child in children]


def _in_abstract_base(tree: SyntaxTree, path: list[Step]) -> bool:
    """The method's class declares itself abstract, is named as a base, or is overridden in this file."""
    classes = [index for index, step in enumerate(path) if step.type == "class_definition"]
    if not classes or path[classes[-1] + 1 :][1].type not in ("function_definition", "decorated_definition"):
        return False
    owner = path[classes[-1]].node
    if any(_ABSTRACT_BASE.match(base) for base in _bases(tree, owner)):
        return True
    name_node = owner.child_by_field_name("name")
    name = tree.source(name_node) if name_node is not None else ""
    if _ABSTRACT_NAME.match(name) or "@abstract" in tree.source(owner) or ".abstract" in tree.source(owner):
        return True
    return _is_overridden(tree, name, path[-3].node)


def _is_overridden(tree: SyntaxTree, class_name: str, method: tree_sitter.Node) -> bool:
    """Some class of this file derives from ``class_name`` and defines the method again."""
    name_node = method.child_by_field_name("name")
    if not class_name or name_node is None:
        return False
    definition = re.compile(rf"\bdef[ \t]+{re.escape(tree.source(name_node))}\b")
    heirs = re.compile(rf"^[ \t]*class[ \t]+\w+[^:\n]*\(([^:\n]*\W)?{re.escape(class_name)}\b", re.MULTILINE)
    for heir in heirs.finditer(tree.text):
        path = tree.path(heir.end() - 1)
        owner = next((step.node for step in reversed(path) if step.type == "class_definition"), None)
        if owner is not None and definition.search(tree.source(owner)):
            return True
    return False


def _is_index(path: list[Step]) -> bool:
    """``a[...]``, ``a[..., 0]``, ``tuple[int, ...]``, ``Callable[..., T]``, ``Generic[[...]]``; also deep in
    ``Annotated[T, f(...)]``, which is an annotation wherever it stands."""
    if any(step.type == "subscript" and _is_annotated(step.node) for step in path):
        return True
    for index in range(len(path) - 1, 0, -1):
        if path[index - 1].type == "subscript":
            return path[index].field == "subscript"
        if path[index - 1].type not in _DISPLAYS:
            return False
    return False


def _is_annotated(subscript: tree_sitter.Node) -> bool:
    value = subscript.child_by_field_name("value")
    name = value.text if value is not None else None
    return name is not None and name.rpartition(b".")[2] == b"Annotated"


def _is_compared_by_identity(path: list[Step]) -> bool:
    """``x is ...``, ``x is not ...``, ``x in (..., None)``: the singleton itself is meant."""
    inner = len(path) - 1
    while inner > 0 and path[inner - 1].type in _DISPLAYS:
        inner -= 1
    parent = path[inner - 1].node
    if inner == 0 or parent.type != "comparison_operator":
        return False
    operators = {child.type for child in parent.children if not child.is_named}
    nested = inner < len(path) - 1
    return bool(operators & ({"in", "not in", "not"} if nested else {"is", "is not", "not"}))


def _is_library_argument(tree: SyntaxTree, path: list[Step], imports: Imports) -> bool:
    """``Field(...)`` and its kin, and the Ellipsis in calls that make types."""
    for index in range(len(path) - 1, 0, -1):
        if path[index - 1].type == "call" and path[index].field == "arguments":
            call = path[index - 1].node.child_by_field_name("function")
            called = tree.source(call) if call is not None else ""
            if called.rpartition(".")[2] in _TYPE_FACTORIES:
                return True
            own = path[index + 1 :]
            direct = len(own) == 1 or (len(own) == 2 and own[0].type == "keyword_argument")
            return direct and imports.origin(called).split(".")[0] in _REQUIRED_PACKAGES
        if path[index - 1].type not in (*_DISPLAYS, "argument_list", "keyword_argument"):
            return False
    return False


def _is_sentinel(tree: SyntaxTree, path: list[Step]) -> bool:
    """``def get(key, default=...)`` whose body asks ``default is ...``, or an ``EllipsisType`` annotation."""
    parent = path[-2].node if len(path) > 1 else None
    if parent is None or parent.type not in ("default_parameter", "typed_default_parameter", "assignment"):
        return False
    annotation = parent.child_by_field_name("type")
    if annotation is not None and _ELLIPSIS_TYPE.search(tree.source(annotation)):
        return True
    name = parent.child_by_field_name("name")
    owner = next((step.node for step in reversed(path) if step.type == "function_definition"), None)
    if name is None or owner is None:
        return False
    asked = rf"\b{re.escape(tree.source(name))}\s+(?:is|is\s+not)\s+(?:\.\.\.|Ellipsis\b)"
    return re.search(asked, tree.source(owner)) is not None


def _is_empty_class(path: list[Step]) -> bool:
    """``class Missing(Exception): ...``: nothing is missing from it."""
    return (
        len(path) > 3
        and path[-2].type == "expression_statement"
        and path[-4].type == "class_definition"
        and sole_statement(path[:-1])
    )
