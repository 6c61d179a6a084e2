"""Rewriting a buffer so that its holes are ordinary Python for tools that know none.

Line numbers never change: a replacement keeps the line endings of what it replaces and adds none.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from astral_lsp.holes.find import find_holes, hole_from_range
from astral_lsp.holes.model import Hole, Span
from astral_lsp.holes.tree import SyntaxTree, parse

_LINE_ENDING = re.compile(r"\r\n|\n|\r")
_WORD = re.compile(r"\w")


class Masked(NamedTuple):
    """A rewritten buffer with the way back."""

    text: str
    replaced: list[tuple[Span, Span]]
    """(span in the original, span in ``text``) of each hole, in source order."""

    def to_original(self, offset: int) -> int:
        """Offset in ``text`` -> offset in the original; inside a replacement: where the hole starts."""
        index = bisect_right([new.start for _, new in self.replaced], offset) - 1
        if index < 0:
            return offset
        old, new = self.replaced[index]
        return old.start if offset < new.end else offset - new.end + old.end

    def to_masked(self, offset: int) -> int:
        """Offset in the original -> offset in ``text``; inside a hole: where its replacement starts."""
        index = bisect_right([old.start for old, _ in self.replaced], offset) - 1
        if index < 0:
            return offset
        old, new = self.replaced[index]
        return new.start if offset < old.end else offset - old.end + new.end


def stand_in(hole: Hole) -> str:
    """Valid Python for ``hole`` that binds and reads only the name ``__hole_N__``."""
    return "..." if hole.position == "statement" else f"__hole_{hole.id}__"


def neutralise(text: str, holes: Sequence[Hole], *, replacement: Callable[[Hole], str] = stand_in) -> Masked:
    """Replace every hole by ``replacement(hole)``, one line of source that fits its ``position``.

    ``holes`` may come in any order; one that overlaps an earlier one is left alone. For ``position`` value
    any expression fits, for target, name and type an identifier, for statement a statement.
    """
    parts: list[str] = []
    replaced: list[tuple[Span, Span]] = []
    at = length = 0
    for hole in sorted(holes, key=lambda item: (item.start, item.end)):
        if hole.start < at or hole.end > len(text):
            continue
        new = _fitted(text, hole, replacement(hole))
        start = length + hole.start - at
        parts += (text[at : hole.start], new)
        length = start + len(new)
        replaced.append((hole.span, Span(start, length)))
        at = hole.end
    return Masked("".join([*parts, text[at:]]), replaced)


def describe(
    text: str, spans: Sequence[Span], tree: SyntaxTree | None = None, *, stub: bool = False
) -> list[Hole]:
    """The holes at ``spans``, numbered from 1 in the order given; a span that is no marker is a selection.

    For callers that were sent spans only. Raises ValueError for a span outside the buffer.
    """
    tree = tree if tree is not None and tree.text == text else parse(text)
    known = {hole.span: hole for hole in find_holes(text, tree, stub=stub)}
    described = []
    for number, span in enumerate(spans, 1):
        hole = known.get(span) or hole_from_range(text, span.start, span.end, tree)
        described.append(msgspec.structs.replace(hole, id=number))
    return described


def _fitted(text: str, hole: Hole, new: str) -> str:
    """``new`` with the line endings of what it replaces, kept apart from words on both sides."""
    endings = "".join(_LINE_ENDING.findall(text[hole.start : hole.end]))
    if endings:
        new = new + endings if hole.position == "statement" else f"({new}{endings})"
    if hole.lead or (_WORD.match(new) and _WORD.match(text, max(0, hole.start - 1), hole.start)):
        new = " " + new
    if _WORD.match(new[-1:]) and _WORD.match(text, hole.end):
        new += " "
    return new
