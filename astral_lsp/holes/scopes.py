"""Which functions and classes enclose a place, what they are called, and what their docstrings say."""

from __future__ import annotations

import ast
import inspect
import re
from typing import NamedTuple

import tree_sitter

from astral_lsp.holes.lines import line_end, line_indent, line_start
from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import Step, SyntaxTree

_DEFINITIONS = ("function_definition", "class_definition")
_HEADER = re.compile(r"(?P<indent>[ \t\f]*)(?P<word>async[ \t]+def|def|class)[ \t]+(?P<name>[^\W\d]\w*)")
_STRINGS = ("string", "concatenated_string")


class Enclosure(NamedTuple):
    """The definitions around a place."""

    scope: str
    """Dotted names from the module down, '' at module level."""
    function: Span | None
    """The innermost function, decorators included."""
    docstring: str
    """That function's docstring, cleaned; '' when it has none."""


def enclosure(tree: SyntaxTree, path: list[Step]) -> Enclosure:
    """Describe the definitions that enclose the last node of ``path``."""
    names: list[str] = []
    function: int | None = None
    broken = False
    for index, step in enumerate(path[:-1]):
        broken = broken or step.node.is_error
        if step.type in _DEFINITIONS:
            name = step.node.child_by_field_name("name")
            names.append("" if name is None else tree.source(name))
            function = index if step.type == "function_definition" else function
    if broken and function is None:
        return _lexical_enclosure(tree.text, tree.start(path[-1].node))
    if function is None:
        return Enclosure(".".join(names), None, "")
    whole = definition_node(path, function)
    span = Span(tree.start(whole), tree.end(whole))
    return Enclosure(".".join(names), span, docstring(tree, path[function].node))


def definition_node(path: list[Step], index: int) -> tree_sitter.Node:
    """The definition at ``path[index]`` together with its decorators."""
    above = path[index - 1]
    return above.node if above.type == "decorated_definition" else path[index].node


def statements(block: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The statements of a block or module, comments left out."""
    return [child for child in block.named_children if child.type != "comment"]


def is_string_statement(node: tree_sitter.Node) -> bool:
    """A statement that is only a string, as a docstring is."""
    if node.type != "expression_statement" or node.named_child_count != 1:
        return False
    child = node.named_child(0)
    return child is not None and child.type in _STRINGS


def docstring(tree: SyntaxTree, definition: tree_sitter.Node) -> str:
    """The cleaned docstring of a function or class, '' when it has none."""
    body = definition.child_by_field_name("body")
    first = statements(body)[:1] if body is not None else []
    if not first or not is_string_statement(first[0]):
        return ""
    return _string_value(tree.source(first[0]))


def _string_value(source: str) -> str:
    try:
        value = ast.literal_eval(source)
    except (SyntaxError, ValueError):
        return ""
    return inspect.cleandoc(value) if isinstance(value, str) else ""


def _lexical_enclosure(text: str, offset: int) -> Enclosure:
    """The same by indentation alone, for places that broken syntax hides from the tree."""
    limit = len(line_indent(text, offset))
    names: list[str] = []
    function: Span | None = None
    at = line_start(text, offset)
    while limit > 0 and at > 0:
        at = line_start(text, at - 1)
        match = _HEADER.match(text, at)
        if match is not None and len(match["indent"]) < limit:
            limit = len(match["indent"])
            names.append(match["name"])
            if function is None and match["word"] != "class":
                function = Span(match.start("word"), _block_end(text, at, limit))
        if at <= 1:
            break
    return Enclosure(".".join(reversed(names)), function, "")


def _block_end(text: str, start: int, indent: int) -> int:
    """End of the last line after ``start`` that is indented by more than ``indent``."""
    end = line_end(text, start)
    at = end
    while at < len(text):
        at += 2 if text.startswith("\r\n", at) else 1
        stop = line_end(text, at)
        if text[at:stop].strip():
            if len(line_indent(text, at)) <= indent and text[at] not in ")]}":
                return end
            end = stop
        at = stop
    return end
