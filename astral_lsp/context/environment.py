"""□(σ, Γ) complete: what mypy says of a hole, with syntax where mypy says nothing."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from astral_lsp.context.bindings import bindings_before
from astral_lsp.context.syntactic import expected_type
from astral_lsp.holes.model import Hole
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.workers.protocol import HoleTypes, Name

Source = Literal["mypy", "syntax"]
_UNKNOWN = ("", "Any", "typing.Any")
_WRITABLE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
"""mypy has names of its own, such as ``_Wrapper@16`` for a class inside a function."""
_REACH_ORDER = ("local", "argument", "self", "global", "import", "builtin")


class Environment(msgspec.Struct, frozen=True):
    """σ and Γ of one hole."""

    expected: str | None
    """σ in Python syntax; None when nobody knows."""
    source: Source | None
    """Who said σ."""
    names: tuple[Name, ...]
    """Γ: names that fit σ first, then the nearest scope first."""
    complete: bool = True
    """False when names may be missing (a star import, or mypy and syntax both unable)."""
    note: str = ""
    """Why σ is missing or partial."""


def environment(
    text: str, hole: Hole, types: HoleTypes | None = None, tree: SyntaxTree | None = None
) -> Environment:
    """Join mypy's σ and Γ (``types``, None when it is unavailable) with those of syntax.

    mypy's σ counts unless it is absent or ``Any``; a name keeps mypy's type where mypy has one.
    """
    tree = tree if tree is not None and tree.text == text else parse(text)
    written = bindings_before(tree, hole)
    expected, source = _expected(tree, hole, types)
    said = types.names if types is not None else []
    names = {name.name: name for name in said if _WRITABLE.fullmatch(name.name)}
    for name in written.names.values():
        known = names.setdefault(name.name, name)
        if known.type in _UNKNOWN and name.type not in _UNKNOWN:
            names[name.name] = Name(name.name, name.type, known.reach, known.fits)
    if types is None and expected is not None:
        names = {key: _fitted(name, expected) for key, name in names.items()}
    note = types.note if types is not None else "mypy did not answer; σ and Γ are from syntax alone"
    return Environment(expected, source, tuple(_sorted(names)), not written.star_import, note)


def _expected(tree: SyntaxTree, hole: Hole, types: HoleTypes | None) -> tuple[str | None, Source | None]:
    if types is not None and types.expected is not None and types.expected not in _UNKNOWN:
        return types.expected, "mypy"
    written = expected_type(tree, hole)
    return written, ("syntax" if written is not None else None)


def _fitted(name: Name, expected: str) -> Name:
    """Without mypy only the very same type is known to fit."""
    return Name(name.name, name.type, name.reach, name.type == expected)


def _sorted(names: dict[str, Name]) -> list[Name]:
    return sorted(names.values(), key=lambda name: (not name.fits, _REACH_ORDER.index(name.reach)))
