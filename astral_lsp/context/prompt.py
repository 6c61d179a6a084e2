"""What the denoiser reads around a hole. Training and serving both build it here.

Layout (notes/model.md): ``<fim_prefix> prefix <fim_suffix> suffix <fim_middle> canvas``. When the file is
longer than the budget, the prefix keeps the nearest lines and, before them, what they lean on: the imports of
names they use, the header of the enclosing class and the signature of the enclosing function.
"""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

_WORD = re.compile(r"[^\W\d]\w*")
_HEADER = re.compile(r"^([ \t]*)(?:async[ \t]+def|def|class)\b")
_IMPORT = re.compile(r"^(?:import|from)[ \t]")


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
        before = _near_lines(before, prefix_chars)
    room = prefix_chars - len(before)
    if related and room > 0:
        before = related[:room].rstrip("\n") + "\n\n" + before if len(related) <= room else before
    return Prompt(before, suffix)


def _cut_at_line(text: str) -> str:
    newline = text.rfind("\n")
    return text[: newline + 1] if newline > 0 else text


def _near_lines(before: str, budget: int) -> str:
    """The last lines of ``before`` within ``budget``, headed by the imports and headers they lean on."""
    cut = before.find("\n", len(before) - budget * 4 // 5) + 1
    if cut <= 0:
        return before[-budget:]
    near, far = before[cut:], before[:cut]
    head = _headers(far, near)
    room = budget - len(near) - len(head)
    imports = _imports(far, set(_WORD.findall(near)), max(0, room))
    return imports + head + near


def _headers(far: str, near: str) -> str:
    """Signature lines in ``far`` of the classes and functions that enclose the start of ``near``."""
    limit = next(
        (len(line) - len(line.lstrip()) for line in near.splitlines() if line.strip()),
        0,
    )
    found: list[str] = []
    for line in reversed(far.splitlines(keepends=True)):
        match = _HEADER.match(line)
        if limit == 0:
            break
        if match and len(match[1]) < limit:
            found.append(line)
            limit = len(match[1])
    return "".join(reversed(found))


def _imports(far: str, used: set[str], room: int) -> str:
    """Top-level imports of ``far`` that bind a name in ``used``: whole statements, within ``room``."""
    kept: list[str] = []
    for statement in _import_statements(far):
        if used & set(_WORD.findall(statement)) and len(statement) <= room:
            kept.append(statement)
            room -= len(statement)
    return "".join(kept)


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
