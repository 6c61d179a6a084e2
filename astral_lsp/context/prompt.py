"""What the denoiser reads around a hole. Training and serving both build it here.

Layout (notes/model.md): ``<fim_prefix> prefix <fim_suffix> suffix <fim_middle> canvas``. When the file is
longer than the budget, the prefix keeps the nearest statements and, before them, what they lean on: the
imports and the headers of the blocks around them.
"""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

import tree_sitter

from astral_lsp.holes.lines import line_end, line_indent, line_start
from astral_lsp.holes.model import Span
from astral_lsp.holes.scopes import docstring, is_string_statement, statements
from astral_lsp.holes.tree import Step, SyntaxTree, parse

_WORD = re.compile(r"[^\W\d]\w*")
_IMPORT = re.compile(r"^(?:import|from)[ \t](?![ \t]*__future__)")
_BLOCKS = ("block", "module")
_AFFORDED = 8
"""One part in so many of the near text may be given up for beginning with a whole statement."""
_DEFINITIONS = ("function_definition", "class_definition")


class Prompt(NamedTuple):
    """Text on both sides of the canvas; ``prefix`` ends where the fill starts, ``suffix`` where it ends."""

    prefix: str
    suffix: str


def build_prompt(
    text: str, start: int, end: int, *, prefix_chars: int = 3000, suffix_chars: int = 1000, related: str = ""
) -> Prompt:
    """Cut the context of the canvas that replaces ``text[start:end]``.

    ``related`` is source of definitions elsewhere in the repository; it goes first. Budgets are characters
    (a Python token averages 3.2 of them under this tokenizer); the near lines have priority over ``related``.
    """
    before, after = text[:start], text[end:]
    suffix = after if len(after) <= suffix_chars else _cut_at_line(after[:suffix_chars])
    if len(before) > prefix_chars:
        before = _near(before, after, prefix_chars)
    room = prefix_chars - len(before)
    if related and room > 0:
        before = related[:room].rstrip("\n") + "\n\n" + before if len(related) <= room else before
    return Prompt(before, suffix)


def in_sight(text: str, start: int, end: int, *, prefix_chars: int = 3000, suffix_chars: int = 1000) -> Span:
    """What of ``text`` a prompt of these budgets shows at least."""
    low = 0 if start <= prefix_chars else start - _near_budget(prefix_chars)
    return Span(low, min(len(text), end + suffix_chars))


def _near_budget(budget: int) -> int:
    """What of the prefix goes to the nearest lines; the rest is for imports and headers."""
    return budget * 4 // 5


def _cut_at_line(text: str) -> str:
    newline = text.rfind("\n")
    return text[: newline + 1] if newline > 0 else text


def _near(before: str, after: str, budget: int) -> str:
    """The last statements of ``before`` within ``budget``, headed by what they lean on."""
    tree = parse(f"{before}x{after[:_AHEAD]}")
    shown, needed = before[len(before) - budget :], 0
    for share in (_near_budget(budget), budget):
        # once more with what the head did not need, unless that cuts the head short
        least = before.find("\n", len(before) - share + needed) + 1
        if least <= 0:
            break
        cut = _first_statement(tree, least, len(before))
        near = before[cut:]
        headers = _headers(tree, cut)
        if needed and len(near) + len("".join(headers)) > budget:
            break
        head = _within(headers, budget - len(near))
        used = set(_WORD.findall(head + near + after[:_AHEAD]))
        head = _imports(before[:cut], used, budget - len(near) - len(head)) + head
        shown, needed = head + near, max(len(head), 1)
    return shown


_AHEAD = 2000
"""Characters after the hole that the parser is shown, so that it sees the blocks around the hole closed."""


def _first_statement(tree: SyntaxTree, least: int, hole: int) -> int:
    """Start of the line at or after ``least`` with which the near part begins: that of a whole statement,
    where there is one before the ``hole``."""
    path = tree.path(least)
    for index, step in enumerate(path[1:], 1):
        if step.node.is_error:
            return least
        if path[index - 1].type not in _BLOCKS:
            continue
        stop = tree.end(step.node)
        if stop > hole:
            least = max(least, _body_start(tree, step.node, hole))
            continue  # it holds the hole: only a part of it is left out
        if tree.start(step.node) >= least or _is_docstring(path, index):
            break  # of a docstring the beginning stays, and the nearest lines
        if stop - least > (hole - least) // _AFFORDED:
            inside = _body_start(tree, step.node, hole)
            if not inside:
                break
            least = max(least, inside)
            continue
        least = stop + 1
        break
    return min(_skip_blank(tree.text, least, hole), line_start(tree.text, hole))


def _body_start(tree: SyntaxTree, node: tree_sitter.Node, hole: int) -> int:
    """Where the lines after the header of a compound statement begin, 0 when the hole is in its header."""
    inner = node.child_by_field_name("definition") or node
    body = inner.child_by_field_name("body") or inner.child_by_field_name("consequence")
    start = tree.start(body) if body is not None else 0
    return line_start(tree.text, start) if 0 < start <= hole else 0


def _is_docstring(path: list[Step], index: int) -> bool:
    block = path[index - 1].node
    inside = index > 1 and path[index - 2].type in _DEFINITIONS
    return inside and statements(block)[0] == path[index].node and is_string_statement(path[index].node)


def _skip_blank(text: str, offset: int, limit: int) -> int:
    """The first line from ``offset`` on that is not blank."""
    offset = line_start(text, offset) if offset < limit else limit
    while offset < limit and not text[offset : line_end(text, offset)].strip():
        following = line_end(text, offset) + 1
        if following > limit:
            break
        offset = following
    return offset


# --- headers ----------------------------------------------------------------------------------------------


def _headers(tree: SyntaxTree, cut: int) -> list[str]:
    """Headers of the blocks around ``cut`` that begin before it, outermost first."""
    at = cut + len(line_indent(tree.text, cut))
    path = tree.path(at)
    return [
        _header(tree, path, index, cut)
        for index in range(1, len(path))
        if path[index].type == "block" and tree.start(path[index - 1].node) < cut
    ]


def _within(headers: list[str], room: int) -> str:
    """The innermost of ``headers`` that ``room`` characters hold."""
    shown = ""
    for header in reversed(headers):
        if len(header) + len(shown) > room:
            break
        shown = header + shown
    return shown


def _header(tree: SyntaxTree, path: list[Step], index: int, cut: int) -> str:
    """The lines that open the block at ``path[index]``; with a docstring that they cut off, its first one."""
    owner, block = path[index - 1].node, path[index].node
    start = line_start(tree.text, tree.start(owner))
    shown = tree.text[start : tree.start(block)].rstrip() + "\n"
    if owner.type not in _DEFINITIONS or tree.start(block) >= cut:
        return shown
    own = statements(block)[:1]
    if own and is_string_statement(own[0]) and tree.end(own[0]) > cut:
        begins = tree.start(own[0])
        return shown + tree.text[line_start(tree.text, begins) : line_end(tree.text, begins)] + "\n"
    first = docstring(tree, owner).split("\n")[0]
    if first and '"""' not in first:
        shown += f'{line_indent(tree.text, tree.start(block))}"""{first}"""\n'
    return shown


# --- imports ----------------------------------------------------------------------------------------------


def _imports(far: str, used: set[str], room: int) -> str:
    """Top-level imports of ``far`` that bind a name in ``used``, as many as there is room for."""
    shown = ""
    for statement in _import_statements(far):
        if not used & set(_bound(statement)):
            continue
        form = next((form for form in (statement, _only(statement, used)) if len(form) < room), "")
        shown += form
        room -= len(form)
    return shown + "\n" if shown else ""


def _bound(statement: str) -> list[str]:
    """Names that an import statement binds; of ``import a.b`` the first."""
    node = ast.parse(statement).body[0]
    names = node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else []
    return [name.asname or name.name.partition(".")[0] for name in names]


def _only(statement: str, used: set[str]) -> str:
    """The import without the names that are not ``used``."""
    node = ast.parse(statement).body[0]
    if isinstance(node, ast.ImportFrom):
        node.names = [name for name in node.names if (name.asname or name.name) in used]
    return ast.unparse(node) + "\n"


def _import_statements(text: str) -> list[str]:
    """Top-level imports as source, parenthesised ones whole; works on text that does not parse."""
    statements: list[str] = []
    lines = text.splitlines(keepends=True)
    index = 0
    while index < len(lines):
        if not _IMPORT.match(lines[index]):
            index += 1
            continue
        stop = index + 1
        while stop < min(len(lines), index + 60) and not _parses("".join(lines[index:stop])):
            stop += 1
        statement = "".join(lines[index:stop])
        if _parses(statement):
            statements.append(statement)
            index = stop
        else:
            index += 1
    return statements


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True
