"""Definitions of the types named in σ, for hover: from the buffer itself and from the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from astral_lsp.context.outline import outline
from astral_lsp.context.related import Repository
from astral_lsp.holes.model import Hole
from astral_lsp.holes.tree import SyntaxTree
from astral_lsp.server.documents import OpenDocument, document_path

SHOWN = 3
CHARACTERS = 900
_WORD = re.compile(r"[^\W\d]\w*")
_ORIGIN = re.compile(r"^# ([\w.]+)$", re.MULTILINE)


class Definitions:
    """Looks types up; what it read stays parsed until the file changes."""

    def __init__(self) -> None:
        self._repositories: dict[Path, Repository] = {}

    def of(self, document: OpenDocument, hole: Hole, expected: str, root: Path) -> list[str]:
        """Short source of up to `SHOWN` classes and aliases that ``expected`` names."""
        names = set(_WORD.findall(expected))
        index = document.index
        if index is None or not names:
            return []
        found = [*_in_buffer(index.tree, names), *self._elsewhere(document, hole, expected, names, root)]
        return found[:SHOWN]

    def _elsewhere(
        self, document: OpenDocument, hole: Hole, expected: str, names: set[str], root: Path
    ) -> Iterator[str]:
        repository = self._repositories.setdefault(root, Repository([root], keep=8))
        path = Path(document_path(document.uri, root))
        text = repository.related(document.text, hole, path, expected=expected, budget=CHARACTERS)
        marks = list(_ORIGIN.finditer(text))
        ends = [*(mark.start() for mark in marks[1:]), len(text)]
        for mark, end in zip(marks, ends, strict=False):  # without marks there is one end too many
            if mark[1].rpartition(".")[2] in names:
                yield text[mark.start() : end].rstrip()


def _in_buffer(tree: SyntaxTree, names: set[str]) -> Iterator[str]:
    for child in tree.root.named_children:
        inner = child.child_by_field_name("definition") or child
        own = inner.child_by_field_name("name")
        if inner.type == "class_definition" and own is not None and tree.source(own) in names:
            yield outline(tree, child).rstrip()
