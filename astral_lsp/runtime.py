"""The run-time placeholder ``astral_lsp.hole("hint")``: type checks anywhere, raises if it runs."""

from __future__ import annotations

from typing import Any


class HoleError(NotImplementedError):
    """Raised when a program reaches a hole that nobody has filled yet."""


def hole(hint: str = "") -> Any:
    """Stand for an expression that is still to be written.

    The declared type is ``Any`` so that mypy accepts the call wherever an expression may stand.
    Always raises :class:`HoleError` when it runs; ``hint`` tells the filler what is wanted.
    """
    raise HoleError(f"unfilled hole: {hint}" if hint else "unfilled hole")
