"""How long a fill may be, and how large a canvas to give it.

An answer of unknown length is given room it will not fill and says itself where it ends: nobody sees a mask,
so the size of a canvas tells nothing.
"""

from __future__ import annotations

from astral_model.engine import Category

LEAST = 8
LONGEST = 96
"""Tokens of the longest answers the adapter was trained on (94), the end, and one."""

ROOM = {"expression": 16, "statements": 40, "any": 24}
"""Tokens that another candidate may have beyond twice those of one that ended."""


def room(tokens: int, category: Category) -> int:
    """How long other candidates of a hole may become once one of ``tokens`` tokens has ended: what goes on
    much longer has most often missed the end of the hole, and keeps everybody waiting."""
    return 2 * tokens + ROOM[category]


def canvas_size(category: Category, max_tokens: int) -> int:
    """Positions of the canvas for an order that needs one: room for an expression is smaller than for
    statements."""
    wanted = 32 if category == "expression" else 64
    return max(LEAST, min(wanted, max_tokens + 1, LONGEST))
