"""Definitions elsewhere in the repository that the neighbourhood of a hole leans on, as short source.

Files are read as text and parsed by tree-sitter: nothing is imported and nothing runs. What is shown of a
function is its signature and the first line of its docstring; of a class also its fields and methods.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import tree_sitter

from astral_lsp.holes.imports import Imports
from astral_lsp.holes.model import Hole
from astral_lsp.holes.scopes import docstring
from astral_lsp.holes.tree import SyntaxTree, parse

MAX_FILE_BYTES = 400_000
"""Larger files are generated or data; reading them would cost more than they tell."""
_NEAR_CHARS = 1500
_MAX_DEFINITIONS = 12
_MAX_CHAIN = 3
_WORD = re.compile(r"[^\W\d]\w*")


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

    def related(self, text: str, hole: Hole, path: Path, *, expected: str = "", budget: int = 1200) -> str:
        """Source of up to ``budget`` characters, nearest need first; '' when nothing fits or is found.

        ``path`` is where the buffer is saved (or would be); ``expected`` is σ. Unreadable files are skipped.
        """
        tree = parse(text)
        imports = Imports(tree).origins
        shown: list[str] = []
        seen: set[tuple[Path, str]] = set()
        for name in _needed(text, hole, expected):
            origin = imports.get(name)
            found = self._find(origin, path) if origin else None
            if found is None or found[:2] in seen or len(shown) >= _MAX_DEFINITIONS:
                continue
            seen.add(found[:2])
            block = f"# {origin}\n{outline(found[2], found[3])}"
            if len(block) + 1 <= budget:
                shown.append(block)
                budget -= len(block) + 1
        return "\n".join(shown)

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
            node = _definition(tree, name)
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


def outline(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    """Signature, first docstring line and, of a class, fields and method signatures, as valid source."""
    inner = _inner(node)
    if inner.type == "function_definition":
        return _decorators(tree, node) + _function(tree, inner, "")
    if inner.type == "class_definition":
        return _decorators(tree, node) + _class(tree, inner)
    return tree.source(node) + "\n"


def _needed(text: str, hole: Hole, expected: str) -> list[str]:
    """Names to explain, the most telling first: those in σ, then those written nearest to the hole."""
    low = max(hole.function.start if hole.function else 0, hole.start - _NEAR_CHARS)
    before = _WORD.findall(text[low : hole.start])
    after = _WORD.findall(text[hole.end : min(hole.end + _NEAR_CHARS // 3, len(text))])
    header = _WORD.findall(text[hole.function.start : hole.start][:400]) if hole.function else []
    return list(dict.fromkeys([*_WORD.findall(expected), *reversed(before), *header, *after]))


def _definition(tree: SyntaxTree, name: str) -> tree_sitter.Node | None:
    for child in tree.root.named_children:
        inner = _inner(child)
        if inner.type in ("function_definition", "class_definition"):
            own = inner.child_by_field_name("name")
            if own is not None and tree.source(own) == name:
                return child
        elif child.type in ("expression_statement", "type_alias_statement"):
            target = child.named_child(0)
            left = target.child_by_field_name("left") if target is not None else None
            left = left if left is not None else child.child_by_field_name("left")
            if left is not None and tree.source(left) == name and child.end_byte - child.start_byte < 300:
                return child
    return None


def _inner(node: tree_sitter.Node) -> tree_sitter.Node:
    return (node.child_by_field_name("definition") or node) if node.type == "decorated_definition" else node


def _decorators(tree: SyntaxTree, node: tree_sitter.Node, indent: str = "") -> str:
    return "".join(f"{indent}{tree.source(child)}\n" for child in node.children if child.type == "decorator")


def _header(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    body = node.child_by_field_name("body")
    end = tree.start(body) if body is not None else tree.end(node)
    lines = tree.text[tree.start(node) : end].split("\n")
    header = " ".join(line.split("#")[0].strip() for line in lines if not line.strip().startswith("#"))
    return header.replace("( ", "(").replace(", )", ")").replace(",)", ")").strip()


def _function(tree: SyntaxTree, node: tree_sitter.Node, indent: str) -> str:
    summary = docstring(tree, node).split("\n")[0]
    body = f'\n{indent}    """{summary}"""\n' if summary and '"""' not in summary else " ...\n"
    return f"{indent}{_header(tree, node)}{body}"


def _class(tree: SyntaxTree, node: tree_sitter.Node) -> str:
    parts = [_header(tree, node) + "\n"]
    summary = docstring(tree, node).split("\n")[0]
    if summary and '"""' not in summary:
        parts.append(f'    """{summary}"""\n')
    body = node.child_by_field_name("body")
    for child in body.named_children if body is not None else []:
        inner = _inner(child)
        if inner.type == "function_definition":
            parts.append(_decorators(tree, child, "    ") + f"    {_header(tree, inner)} ...\n")
        elif _is_field(child):
            parts.append(f"    {tree.source(child)}\n")
    return "".join(parts) if len(parts) > 1 else parts[0].rstrip("\n") + " ...\n"


def _is_field(node: tree_sitter.Node) -> bool:
    assignment = node.named_child(0) if node.type == "expression_statement" else None
    short = node.end_byte - node.start_byte < 160
    return assignment is not None and assignment.type == "assignment" and short
