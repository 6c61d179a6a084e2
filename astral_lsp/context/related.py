"""Definitions out of the model's sight that the neighbourhood of a hole leans on, as short source: those of
other files of the repository and of far parts of the same file.

Files are read as text and parsed by tree-sitter: nothing is imported and nothing runs. What is shown of a
function is its signature and the first line of its docstring; of a class also its fields and methods.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import tree_sitter

from astral_lsp.context.outline import definition, member_name, members_outline, outline
from astral_lsp.holes.imports import Imports
from astral_lsp.holes.model import Hole, Span
from astral_lsp.holes.tree import SyntaxTree, parse

MAX_FILE_BYTES = 400_000
"""Larger files are generated or data; reading them would cost more than they tell."""
_NEAR_CHARS = 1500
_MAX_DEFINITIONS = 12
_MAX_CHAIN = 3
_OWN_SHARE = 1
"""Thirds of the budget that definitions of the same file may fill up: near lines are worth more than they."""
LONGEST = 500
"""Characters of one definition: a large class must not push out everything else."""
_WORD = re.compile(r"[^\W\d]\w*")
_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_MEMBER = re.compile(r"\b(?:self|cls)\.([^\W\d]\w*)")


class _File(NamedTuple):
    stamp: tuple[int, int]
    tree: SyntaxTree


class Repository:
    """Source files below some roots, parsed once and read again when they change on disk."""

    def __init__(self, roots: Sequence[Path], *, keep: int = 64) -> None:
        self._within = list(roots)
        self._roots = [folder for root in roots for folder in (root / "src", root)]
        self._keep = keep
        self._files: OrderedDict[Path, _File] = OrderedDict()

    def related(
        self,
        text: str,
        hole: Hole,
        path: Path,
        *,
        expected: str = "",
        types: Mapping[str, str] | None = None,
        near: Span | None = None,
        budget: int = 1200,
    ) -> str:
        """Source of up to ``budget`` characters, nearest need first; '' when nothing fits or is found.

        ``path`` is where the buffer is saved (or would be), ``expected`` is σ, ``types`` what Γ says of names
        and ``near`` what of the buffer the model sees anyway (None: all). Unreadable files are skipped.
        """
        tree = parse(text)
        imports = Imports(tree).origins
        blocks = _Blocks(budget)
        names = _needed(text, hole, expected, types or {})
        for name in names:
            origin = imports.get(name)
            found = self._find(origin, path) if origin is not None else None
            if found is not None:
                block = f"# {origin}\n" + outline(found[2], found[3], LONGEST)
                blocks.add(block, (str(found[0]), found[1]))
        if near is not None:
            blocks.shrink(budget * _OWN_SHARE // 3)
            blocks.add(_own_members(tree, hole, near))
            for name in names:
                node = definition(tree, name) if name not in imports else None
                if node is not None and _hidden(tree, node, near):
                    blocks.add("# in this module\n" + outline(tree, node, LONGEST // 2), ("", name))
        return "\n".join(blocks.shown)

    def _find(
        self, origin: str, importer: Path, chain: int = 0
    ) -> tuple[Path, str, SyntaxTree, tree_sitter.Node] | None:
        """Where ``package.module.name`` is defined, through re-exports; None when not in this repository."""
        module, _, name = origin.rpartition(".")
        for file in self._candidates(module, importer) if name else ():
            inside = any(file.is_relative_to(root) for root in self._within)
            tree = self._tree(file) if inside else None
            if tree is None:
                continue
            node = definition(tree, name)
            if node is not None:
                return file, name, tree, node
            again = Imports(tree).origins.get(name)
            return self._find(again, file, chain + 1) if again and chain < _MAX_CHAIN else None
        return None

    def _candidates(self, module: str, importer: Path) -> Iterator[Path]:
        """Files that a dotted (or, with leading dots, relative) module name may mean."""
        dots = len(module) - len(module.lstrip("."))
        parts = [part for part in module.split(".") if part]
        folders = [*self._roots, importer.parent]
        if dots:
            folder = importer.parent
            for _ in range(dots - 1):
                folder = folder.parent
            folders = [folder]
        for folder in folders:
            whole = folder.joinpath(*parts)
            if parts:
                yield whole.with_name(whole.name + ".py")
            yield whole / "__init__.py"

    def _tree(self, path: Path) -> SyntaxTree | None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._files.get(path)
            if known is not None and known.stamp == stamp:
                self._files.move_to_end(path)
                return known.tree
            if status.st_size > MAX_FILE_BYTES:
                return None
            tree = parse(path.read_bytes().decode("utf-8-sig"))
        except (OSError, UnicodeDecodeError, ValueError):
            return None
        self._files[path] = _File(stamp, tree)
        while len(self._files) > self._keep:
            self._files.popitem(last=False)
        return tree


class _Blocks:
    """Pieces of source within a budget, each thing once."""

    def __init__(self, budget: int) -> None:
        self.shown: list[str] = []
        self._left = budget
        self._seen: set[tuple[str, str]] = set()

    def shrink(self, budget: int) -> None:
        """From now on at most ``budget`` characters in all."""
        self._left = min(self._left, budget - sum(len(block) + 1 for block in self.shown))

    def add(self, block: str, key: tuple[str, str] | None = None) -> None:
        """Take ``block`` when there is room for it and its key is new."""
        if key is not None and key in self._seen:
            return
        if key is not None:
            self._seen.add(key)
        if block and len(block) + 1 <= self._left and len(self.shown) < _MAX_DEFINITIONS:
            self.shown.append(block)
            self._left -= len(block) + 1


def _needed(text: str, hole: Hole, expected: str, types: Mapping[str, str]) -> list[str]:
    """Names to explain, the most telling first: those in σ, then those written nearest to the hole, each
    followed by those in its type."""
    low = max(hole.function.start if hole.function else 0, hole.start - _NEAR_CHARS)
    before = _DOTTED.findall(text[low : hole.start])
    after = _DOTTED.findall(text[hole.end : min(hole.end + _NEAR_CHARS // 3, len(text))])
    header = _DOTTED.findall(text[hole.function.start : hole.start][:400]) if hole.function else []
    names = _WORD.findall(expected)
    for dotted in dict.fromkeys([*reversed(before), *header, *after]):
        names.append(dotted.partition(".")[0])
        names += _WORD.findall(types.get(dotted) or types.get(dotted.rpartition(".")[0]) or "")
    return list(dict.fromkeys(names))


def _own_members(tree: SyntaxTree, hole: Hole, near: Span) -> str:
    """Members of the class around the hole that its neighbourhood names and the model does not see."""
    path = tree.path(min(hole.start, max(len(tree.text) - 1, 0))) if tree.text else []
    owner = next((step.node for step in reversed(path) if step.type == "class_definition"), None)
    body = owner.child_by_field_name("body") if owner is not None else None
    if owner is None or body is None:
        return ""
    hidden = {member_name(tree, child) for child in body.named_children if _hidden(tree, child, near)}
    low, high = max(near.start, hole.start - _NEAR_CHARS), min(near.end, hole.end + _NEAR_CHARS // 3)
    named = _MEMBER.findall(tree.text[low : hole.start])[::-1] + _MEMBER.findall(tree.text[hole.end : high])
    return members_outline(tree, owner, [n for n in dict.fromkeys(named) if n in hidden], LONGEST // 2)


def _hidden(tree: SyntaxTree, node: tree_sitter.Node, near: Span) -> bool:
    return tree.end(node) <= near.start or tree.start(node) >= near.end
