"""Words of Python source, those that are bound everywhere, and the strings that hide others."""

from __future__ import annotations

import builtins
import re

WORD = re.compile(r"[^\W\d]\w*")
STRING = re.compile(
    r"\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|#[^\n]*(?=\n)",
    re.DOTALL,
)
"""A string, or a comment that ends."""
BUILTINS = frozenset(dir(builtins)) | {"__file__", "__name__", "__class__"}


def words(*texts: str) -> frozenset[str]:
    """Every word of ``texts``, in code, strings and comments alike."""
    return frozenset(word for text in texts for word in WORD.findall(text))
