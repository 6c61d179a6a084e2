"""Buffer text -> holes. Pure functions; DESIGN section 2, ASTRAL §2.3.

Candidates are found lexically, in one pass, and each is then judged by its place in the syntax tree, so that
the cost follows the number of candidates and not the size of the file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from astral_lsp.holes import markers
from astral_lsp.holes.imports import Imports
from astral_lsp.holes.lines import in_open_string, line_end, line_start
from astral_lsp.holes.model import Hole, Marker
from astral_lsp.holes.place import Place, place_expression, place_statement, position
from astral_lsp.holes.scopes import enclosure
from astral_lsp.holes.selection import place_selection
from astral_lsp.holes.tree import Step, SyntaxTree, parse

_MARKERS: tuple[tuple[Marker, str, re.Pattern[str]], ...] = (
    ("ellipsis", "...", re.compile(r"\.\.\.")),
    ("hole_name", "__hole__", re.compile(r"\b__hole__\b")),
    ("question", "?", re.compile(r"(?<![\w?])(?:\?\?|\?[^\W\d]\w*)(?![\w?])")),
    ("not_implemented", "raise", re.compile(r"\braise[ \t]+NotImplementedError\b")),
    ("pass_todo", "pass", re.compile(r"\bpass\b")),
)
"""Marker, the characters to look for, and what must match there."""
_TODO_WORDS = ("TODO", "FIXME", "todo", "fixme", "Todo", "Fixme")
_PACKAGE = "astral_lsp"
_HOLE_ORIGINS = ("astral_lsp.hole", "astral_lsp.runtime.hole")
_MACHINE_COMMENT = re.compile(r"#\s*(?:type:|noqa\b|pragma:|fmt:|pylint:|pyright:|mypy:|ruff:)")


class _Found(NamedTuple):
    """A candidate that is a hole."""

    marker: Marker
    path: list[Step]
    """Down to the placeholder's own node."""
    start: int
    end: int
    hint: str = ""
    name: str | None = None


def find_holes(text: str, tree: SyntaxTree | None = None, *, stub: bool = False) -> list[Hole]:
    """Every hole of a buffer in source order.

    ``tree`` is the buffer's own tree when the caller has it. ``stub``: the file is a ``.pyi``, where ``...``,
    ``pass`` and ``raise`` are never placeholders. Never fails, whatever the text.
    """
    tree = tree if tree is not None and tree.text == text else parse(text)
    imports = Imports(tree)
    found = sorted(_candidates(tree, imports, stub), key=lambda item: (item.start, -item.end))
    holes: list[Hole] = []
    for item in found:
        if not holes or item.start >= holes[-1].end:
            holes.append(_hole(tree, item, len(holes) + 1))
    return holes


def hole_at(
    text: str,
    offset: int,
    tree: SyntaxTree | None = None,
    *,
    stub: bool = False,
    holes: list[Hole] | None = None,
) -> Hole | None:
    """The hole that ``offset`` touches, else the only one that starts on its line, else None.

    ``holes``: what `find_holes` said of this text, when the caller has it. Raises ValueError for an offset
    outside the buffer.
    """
    if not 0 <= offset <= len(text):
        raise ValueError(f"offset {offset} is outside the buffer of {len(text)} characters")
    if holes is None:
        holes = find_holes(text, tree, stub=stub)
    touching = [hole for hole in holes if hole.start <= offset <= hole.end]
    if touching:
        return touching[-1]
    first, last = line_start(text, offset), line_end(text, offset)
    on_line = [hole for hole in holes if first <= hole.start <= last]
    return on_line[0] if len(on_line) == 1 else None


def hole_from_range(text: str, start: int, end: int, tree: SyntaxTree | None = None) -> Hole:
    """The hole that a selection makes (an empty one: an insertion there). Its id is 1.

    White space at both ends of the selection is left out. Raises ValueError for a range outside the buffer.
    """
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"range {start}-{end} is outside the buffer of {len(text)} characters")
    tree = tree if tree is not None and tree.text == text else parse(text)
    place, path = place_selection(tree, start, end)
    return _describe(tree, path, place, "selection", 1, "", None)


def _candidates(tree: SyntaxTree, imports: Imports, stub: bool) -> Iterator[_Found]:
    text = tree.text
    for marker, needle, pattern in _MARKERS:
        if marker == "pass_todo" and not any(word in text for word in _TODO_WORDS):
            continue
        if marker == "not_implemented" and "NotImplementedError" not in text:
            continue
        at = text.find(needle)
        while at >= 0:
            match = pattern.match(text, at)
            if match is not None:
                found = _judge(tree, marker, at, match.end(), imports, stub)
                if found is not None:
                    yield found
            at = text.find(needle, at + len(needle) if match is None else match.end())
    if _PACKAGE in tree.text:
        yield from _hole_calls(tree, imports)


def _judge(
    tree: SyntaxTree, marker: Marker, start: int, end: int, imports: Imports, stub: bool
) -> _Found | None:
    path = tree.path(start)
    leaf = path[-1]
    if tree.start(leaf.node) != start:
        return None
    if marker == "ellipsis":
        is_hole = not stub and leaf.type == "ellipsis" and markers.ellipsis_is_hole(tree, path, imports)
        return _Found(marker, path, start, end) if is_hole else None
    if marker in ("hole_name", "question"):
        if (
            leaf.type != "identifier"
            or tree.end(leaf.node) != end
            or (marker == "hole_name" and position(path) in ("name", "target"))
        ):
            return None
        if path[1].node.has_error and in_open_string(tree.text, start):
            return None
        name = tree.text[start + 1 : end]
        return _Found(marker, path, start, end, name=name if marker == "question" and name != "?" else None)
    if stub:
        return None
    statement = path[:-1]  # the leaf is the keyword
    if marker == "not_implemented" and leaf.type == "raise" and markers.raise_is_hole(tree, statement):
        return _Found(marker, statement, start, tree.end(statement[-1].node))
    if marker == "pass_todo" and leaf.type == "pass" and markers.pass_is_hole(tree, statement):
        return _Found(marker, statement, start, end, hint=_uncomment(markers.todo_comment(tree.text, start)))
    return None


def _hole_calls(tree: SyntaxTree, imports: Imports) -> Iterator[_Found]:
    """Calls of ``astral_lsp.hole`` under whatever name the buffer imports it."""
    calls = {local: origin for local, origin in imports.origins.items() if origin.split(".")[0] == _PACKAGE}
    if not calls:
        return
    names = "|".join(re.escape(name) for name in calls)
    for match in re.finditer(rf"(?<![\w.])(?:{names})(?:\s*\.\s*\w+)*\s*\(", tree.text):
        path = tree.path(match.end() - 1)
        index = next((i for i in range(len(path) - 1, 0, -1) if path[i].type == "call"), 0)
        call = path[index].node
        function = call.child_by_field_name("function") if index else None
        arguments = call.child_by_field_name("arguments") if index else None
        if function is None or arguments is None or tree.start(arguments) != match.end() - 1:
            continue
        if imports.origin(re.sub(r"\s+", "", tree.source(function))) in _HOLE_ORIGINS:
            start, end = tree.start(call), tree.end(call)
            yield _Found(
                "hole_call", path[: index + 1], start, end, hint=_first_string(tree.source(arguments))
            )


def _first_string(arguments: str) -> str:
    """The literal text of ``hole("hint")`` or ``hole(hint="hint")``, '' when it is not a literal."""
    try:
        call = ast.parse("f" + arguments, mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    if not isinstance(call, ast.Call):
        return ""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    value = given[0] if given else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _hole(tree: SyntaxTree, found: _Found, number: int) -> Hole:
    statement = found.marker in ("not_implemented", "pass_todo")
    place = (place_statement if statement else place_expression)(tree, found.path, found.start, found.end)
    return _describe(tree, found.path, place, found.marker, number, found.hint, found.name)


def _describe(
    tree: SyntaxTree, path: list[Step], place: Place, marker: Marker, number: int, hint: str, name: str | None
) -> Hole:
    around = enclosure(tree, path)
    beside = "" if marker == "pass_todo" else _trailing_comment(tree, place)
    comment = "\n".join(part for part in (hint, beside) if part)
    return Hole(
        id=number,
        kind=place.kind,
        marker=marker,
        category=place.category,
        start=place.start,
        end=place.end,
        text=tree.text[place.start : place.end],
        indent=place.indent,
        hint="\n".join(part for part in (comment, around.docstring) if part),
        name=name,
        scope=around.scope,
        function=around.function,
        lead=place.lead,
        comment=comment,
        position=place.position,
    )


def _trailing_comment(tree: SyntaxTree, place: Place) -> str:
    """The words of the comment that ends the line on which the placeholder ends; tool directives are none."""
    last = line_end(tree.text, place.end)
    mark = tree.text.find("#", place.start, last)
    while mark >= 0:
        node = tree.path(mark)[-1].node
        if node.type == "comment" and tree.start(node) == mark:
            comment = tree.text[mark:last]
            return "" if _MACHINE_COMMENT.match(comment) else _uncomment(comment)
        mark = tree.text.find("#", mark + 1, last)
    return ""


def _uncomment(comment: str) -> str:
    return "\n".join(line.strip().lstrip("#").strip() for line in comment.splitlines())
