"""Concrete syntax trees of buffers that need not be valid Python, kept up to date edit by edit.

tree-sitter reads a *shadow* of the buffer: UTF-8, byte for byte as long as the buffer, in which the ``?`` of
``?name`` and ``??`` is an underscore (so a hole is an identifier instead of an error that spoils the tree
around it) and a lone carriage return is a line feed (tree-sitter counts rows by line feeds alone). Whether a
``?`` stood in code or in a string or comment is then read off the tree.

Offsets that leave this module count code points of the buffer text; bytes stay inside.
"""

from __future__ import annotations

import importlib
import re
from bisect import bisect_right
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import tree_sitter

_SHADOW = re.compile(r"\?(?=[^\W\d]|\?)|(?<=\?)\?|\r(?!\n)")
_ENCODING_ERRORS = "surrogatepass"  # a lone surrogate is no character but must not lose the buffer
_ENOUGH_CONTEXT = 2
"""Code points on each side of an edit whose shadow the edit can change."""


class LanguageUnavailable(LookupError):
    """No grammar is installed for the language; the message says what to install."""


@cache
def language(name: str) -> tree_sitter.Language:
    """The tree-sitter grammar for ``name``; the only function that knows a grammar package.

    Raises LanguageUnavailable for a language other than Python whose grammar is not installed.
    """
    if name == "python":
        import tree_sitter_python

        return tree_sitter.Language(tree_sitter_python.language())
    try:
        pack = importlib.import_module("tree_sitter_language_pack")
    except ImportError as error:
        hint = "pip install 'astral-lsp[languages]'"
        raise LanguageUnavailable(f"the grammar for {name!r} is not installed: {hint}") from error
    try:
        grammar: tree_sitter.Language = pack.get_language(name)
    except Exception as error:  # the pack raises LookupError, and its own errors since version 1
        raise LanguageUnavailable(f"the language pack has no grammar for {name!r}") from error
    return grammar


class Step(NamedTuple):
    """One node on the way from the root to a leaf, with the field of its parent that it fills."""

    node: tree_sitter.Node
    field: str | None

    @property
    def type(self) -> str:
        """The node's grammar symbol."""
        return self.node.type


class SyntaxTree:
    """The syntax tree of one buffer version; `edited` makes that of the next."""

    def __init__(self, text: str, data: bytes, tree: tree_sitter.Tree) -> None:
        self.text = text
        self.data = data
        """The shadow: what tree-sitter read."""
        self.tree = tree
        self._ascii = len(data) == len(text)
        self._lines: tuple[list[int], list[int]] | None = None

    @property
    def root(self) -> tree_sitter.Node:
        """The module node."""
        return self.tree.root_node

    @property
    def has_error(self) -> bool:
        """Some part of the buffer is not valid Python (holes apart)."""
        return self.root.has_error

    def edited(self, start: int, end: int, new_text: str) -> SyntaxTree:
        """The tree after ``text[start:end]`` became ``new_text``; reparses only what that touches.

        ``self`` stays usable. Raises ValueError for a range outside the buffer.
        """
        if not 0 <= start <= end <= len(self.text):
            raise ValueError(f"edit range {start}-{end} is outside the buffer of {len(self.text)} characters")
        text = self.text[:start] + new_text + self.text[end:]
        low = max(0, start - _ENOUGH_CONTEXT)
        old_high = min(len(self.text), end + _ENOUGH_CONTEXT)
        new_high = start + len(new_text) + (old_high - end)
        low_byte = self.byte(low)
        old_byte = low_byte + _byte_length(self.text[low:old_high])
        middle = _shadow_slice(text, low, new_high)
        data = self.data[:low_byte] + middle + self.data[old_byte:]
        new_byte = low_byte + len(middle)
        old = self.tree.copy()
        old.edit(
            start_byte=low_byte,
            old_end_byte=old_byte,
            new_end_byte=new_byte,
            start_point=_point(self.data, low_byte),
            old_end_point=_point(self.data, old_byte),
            new_end_point=_point(data, new_byte),
        )
        return SyntaxTree(text, data, _parser().parse(data, old))

    # --- offsets ---------------------------------------------------------------------------------------

    def byte(self, offset: int) -> int:
        """Code points to bytes of UTF-8."""
        if self._ascii:
            return offset
        byte_starts, starts = self._line_table()
        row = bisect_right(starts, offset) - 1
        return byte_starts[row] + _byte_length(self.text[starts[row] : offset])

    def offset(self, byte: int) -> int:
        """Bytes of UTF-8 to code points; a byte inside a character counts as its start."""
        if self._ascii:
            return byte
        byte_starts, starts = self._line_table()
        row = bisect_right(byte_starts, byte) - 1
        while byte < len(self.data) and self.data[byte] & 0xC0 == 0x80:
            byte -= 1
        return starts[row] + len(self.data[byte_starts[row] : byte].decode("utf-8", _ENCODING_ERRORS))

    def start(self, node: tree_sitter.Node) -> int:
        """Where ``node`` starts, in code points."""
        return self.offset(node.start_byte)

    def end(self, node: tree_sitter.Node) -> int:
        """Where ``node`` ends, in code points."""
        return self.offset(node.end_byte)

    def source(self, node: tree_sitter.Node) -> str:
        """The buffer text of ``node``."""
        return self.text[self.start(node) : self.end(node)]

    def _line_table(self) -> tuple[list[int], list[int]]:
        if self._lines is None:
            lines = self.data.splitlines(keepends=True) if b"\r" not in self.data else _lines(self.data)
            sizes = [len(line) for line in lines]
            counts = [
                size if line.isascii() else len(line.decode("utf-8", _ENCODING_ERRORS))
                for line, size in zip(lines, sizes, strict=True)
            ]
            self._lines = ([0, *accumulate(sizes)], [0, *accumulate(counts)])
        return self._lines

    # --- nodes -----------------------------------------------------------------------------------------

    def path(self, start: int, end: int | None = None) -> list[Step]:
        """Nodes from the root to the smallest one that covers code points ``[start, end)`` (default: one)."""
        first = self.byte(start)
        last = first + 1 if end is None else max(self.byte(end), first)
        cursor = self.tree.walk()
        steps: list[Step] = []
        node: tree_sitter.Node | None = cursor.node
        while node is not None:
            steps.append(Step(node, cursor.field_name))
            if cursor.goto_first_child_for_byte(first) is None:
                break
            node = cursor.node
            if node is None or node.start_byte > first or node.end_byte < last:
                break
        return steps


def parse(text: str) -> SyntaxTree:
    """Parse a whole buffer; never fails, whatever the text."""
    data = _shadow(text).encode("utf-8", _ENCODING_ERRORS)
    return SyntaxTree(text, data, _parser().parse(data))


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(language("python"))


def _shadow(text: str) -> str:
    if "?" not in text and "\r" not in text:
        return text
    return _SHADOW.sub(lambda match: "\n" if match[0] == "\r" else "_", text)


def _shadow_slice(text: str, low: int, high: int) -> bytes:
    """The shadow of ``text[low:high]``, judged with its neighbours in view."""
    left = max(0, low - 1)
    return _shadow(text[left : high + 1])[low - left :][: high - low].encode("utf-8", _ENCODING_ERRORS)


def _byte_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", _ENCODING_ERRORS))


def _lines(data: bytes) -> list[bytes]:
    """Lines ending in line feeds only, as tree-sitter counts them."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + parts[-1:]


def _point(data: bytes, byte: int) -> tuple[int, int]:
    """tree-sitter's (row, column): line feeds before ``byte``, then bytes since the last."""
    return data.count(b"\n", 0, byte), byte - (data.rfind(b"\n", 0, byte) + 1)
