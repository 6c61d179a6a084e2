"""A place at the cursor where an expression is missing, such as the end of ``total = ``: a hole of no width.

The engine sees the program with ``...`` at that place, and what it finds is inserted there: an insertion and
no replacement, which is all that some editors draw as ghost text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from astral_lsp.fill.document import Document
from astral_lsp.holes.index import HoleIndex
from astral_lsp.holes.model import Hole
from astral_lsp.server.documents import View, without_magics

PLACEHOLDER = "..."
_BEFORE = re.compile(
    r"(?:(?:[-=+*/%@<>|&^~:,]"
    r"|\b(?:return|yield|from|await|and|or|not|in|is|if|elif|else|while|assert|lambda))[ \t]+"
    r"|[(\[{][ \t]*)$"
)
_AFTER = re.compile(r"[ \t]*(?:[)\]},:#].*)?$")


class Gap(NamedTuple):
    """The program with a hole in the gap."""

    view: View
    hole: Hole


def gap_at(view: View, offset: int) -> Gap | None:
    """The gap at ``offset`` of the buffer that ``view`` is of; None where nothing seems to be missing."""
    text, place = without_magics(view.document.text), view.base + offset
    line_start = text.rfind("\n", 0, place) + 1
    line_end = text.find("\n", place)
    rest = text[place : line_end if line_end >= 0 else len(text)].rstrip("\r")
    if not (_BEFORE.search(text[line_start:place]) and _AFTER.match(rest)):
        return None
    index = HoleIndex(text[:place] + PLACEHOLDER + text[place:])
    hole = next((h for h in index.holes if (h.start, h.end) == (place, place + len(PLACEHOLDER))), None)
    if hole is None or hole.category != "expression":
        return None  # a comment, a string, an annotation, a stub, ...
    document = Document(view.document.path, index.text, view.document.version)
    return Gap(View(document, view.base, list(index.holes)), hole)
