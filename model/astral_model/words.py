"""Words of Python source, and those that are bound everywhere."""

from __future__ import annotations

import builtins
import re

WORD = re.compile(r"[^\W\d]\w*")
BUILTINS = frozenset(dir(builtins)) | {"__file__", "__name__", "__class__"}


def words(*texts: str) -> frozenset[str]:
    """Every word of ``texts``, in code, strings and comments alike."""
    return frozenset(word for text in texts for word in WORD.findall(text))
