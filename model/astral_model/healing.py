"""Token healing: what to do when the text before a canvas does not end where a token would.

The base never saw ``x = `` followed by ``foo``: its tokens are `` =`` and `` foo``. So the last piece that
the tokenizer could join with what follows (white space after the last word, or a begun word) moves into the
canvas, and the canvas must begin with it. Training, the left-to-right engine and the flow share this rule.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import NamedTuple

# The base's own pre-tokenizer, \p{L} and \p{N} as Python's re can say them. Merges never cross its pieces.
_PIECE = re.compile(
    r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|(?:[^\r\n\w]|_)?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LOOK_BACK = 400
"""Characters of the last line that are split into pieces; a longer run of one piece is left alone."""


class Healed(NamedTuple):
    """``prefix + forced`` is the text before the hole; the canvas must start with ``forced``."""

    prefix: str
    forced: str


def heal(prefix: str) -> Healed:
    """Move the last piece of ``prefix`` into the canvas, unless it ends in a line break."""
    line = prefix[max(prefix.rfind("\n") + 1, len(prefix) - _LOOK_BACK) :]
    if not line or line.endswith("\r"):
        return Healed(prefix, "")
    pieces = [match.start() for match in _PIECE.finditer(line)]
    size = len(line) - pieces[-1] if pieces else 0
    if line[len(line) - size :].isspace():
        size = 1  # of a run of blanks only the last joins the next word; the others are a token by themselves
    return Healed(prefix[: len(prefix) - size], prefix[len(prefix) - size :])


def strip_forced(text: str, forced: str) -> str:
    """The fill proper: ``text`` of the canvas without the characters that stand before the hole already."""
    if not text.startswith(forced):
        raise ValueError(f"the canvas text {text!r} does not start with {forced!r}")
    return text[len(forced) :]


class ForcedBytes:
    """Which tokens may come next while some bytes are still owed."""

    def __init__(self, pieces: list[bytes]) -> None:
        """``pieces``: bytes of every token id, empty for special ids."""
        order = sorted((piece, i) for i, piece in enumerate(pieces) if piece)
        self._sorted = [piece for piece, _ in order]
        self._ids = [i for _, i in order]
        self._exact = {piece: i for piece, i in reversed(order)}
        self._pieces = pieces
        self.allowed = lru_cache(maxsize=256)(self._allowed)
        """ids that agree with the owed bytes: they begin with all of them, or are a beginning of them."""

    def _allowed(self, owed: bytes) -> list[int]:
        first = bisect_left(self._sorted, owed)
        last = first
        while last < len(self._sorted) and self._sorted[last].startswith(owed):
            last += 1
        shorter = [self._exact[owed[:n]] for n in range(1, len(owed)) if owed[:n] in self._exact]
        return shorter + self._ids[first:last]

    def rest(self, owed: bytes, token: int) -> bytes:
        """What is still owed after ``token``."""
        return owed[len(self._pieces[token]) :]
