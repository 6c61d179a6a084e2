"""The holes of one open buffer, kept while it is edited."""

from __future__ import annotations

from astral_lsp.holes.find import find_holes, hole_at, hole_from_range
from astral_lsp.holes.model import Hole
from astral_lsp.holes.tree import SyntaxTree, parse


class HoleIndex:
    """Buffer text, syntax tree and holes of one version, moved on by `edit`.

    ``holes`` is computed when first asked for in a version, so that a burst of edits costs only the reparses.
    """

    def __init__(self, text: str, *, stub: bool = False) -> None:
        self.stub = stub
        """The buffer is a ``.pyi`` file."""
        self._tree = parse(text)
        self._holes: list[Hole] | None = None

    @property
    def text(self) -> str:
        """The buffer."""
        return self._tree.text

    @property
    def tree(self) -> SyntaxTree:
        """Its syntax tree; immutable, so a reader may keep it across edits."""
        return self._tree

    @property
    def holes(self) -> list[Hole]:
        """Every hole in source order; see `find.find_holes`."""
        if self._holes is None:
            self._holes = find_holes(self._tree.text, self._tree, stub=self.stub)
        return self._holes

    def edit(self, start: int, end: int, new_text: str) -> None:
        """Replace code points ``[start, end)``; ValueError for a range outside the buffer, which stays."""
        self._tree = self._tree.edited(start, end, new_text)
        self._holes = None

    def replace(self, text: str) -> None:
        """Take a whole new text, reparsing only what lies between the common ends."""
        old = self._tree.text
        if text == old:
            return
        limit = min(len(old), len(text))
        start = _common_prefix(old, text, limit)
        tail = _common_suffix(old, text, limit - start)
        self.edit(start, len(old) - tail, text[start : len(text) - tail])

    def at(self, offset: int) -> Hole | None:
        """The hole at ``offset``; see `find.hole_at`."""
        return hole_at(self.text, offset, holes=self.holes)

    def selection(self, start: int, end: int) -> Hole:
        """The hole that a selected range makes; one of `holes` when it is exactly that one."""
        for hole in self.holes:
            if (hole.start, hole.end) == (start, end):
                return hole
        return hole_from_range(self.text, start, end, self._tree)


def _common_prefix(one: str, other: str, limit: int) -> int:
    """Length of the longest common beginning, by bisection over slice comparisons."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_suffix(one: str, other: str, limit: int) -> int:
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low
