"""The word that straddles the end of a hole: is it whole?

The denoiser says where a hole ends token by token, and a token is often a part of a word. Whether ``tok`` in
front of ``)`` is a name that ends there, or ``tokens`` cut short, is told by the file: words stand in it more
than once. The same goes for a hole that ends inside a word that the suffix completes.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable
from itertools import chain

from astral_model.words import words

_LAST = re.compile(r"[^\W\d]\w*\Z")
_FIRST = re.compile(r"\w+")
_COMMON = frozenset(
    chain(
        keyword.kwlist,
        dir(builtins),
        *(dir(kind) for kind in (str, bytes, int, float, list, dict, set, tuple, BaseException)),
        ("self", "cls", "args", "kwargs", "match", "case", "type"),
    )
)


class Seam:
    """The two edges of one hole and the words of its file."""

    def __init__(self, before: str, after: str, names: Iterable[str] = ()) -> None:
        first, last = _FIRST.match(after), _LAST.search(before)
        self._rest = first[0] if first else ""
        """What of a word stands behind the hole."""
        self._head = last[0] if last else ""
        inner = (before[: len(before) - len(self._head)], after[len(self._rest) :])
        self._words = _COMMON | frozenset(names) | words(*inner)

    def broken(self, text: str) -> bool:
        """Whether a hole that holds ``text`` would end in a word that the file hardly means.

        With nothing of a word behind the hole: only where ``text`` stops in the middle of a word of the file.
        """
        last = _LAST.search(self._head + text)
        word = (last[0] if last else "") + self._rest
        if not last or word in self._words:
            return False
        return bool(self._rest) or any(known.startswith(word) for known in self._words)
