"""From an error of mypy to the smallest syntax node inside the fill (issue: localizers)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import tree_sitter

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree
from astral_lsp.report import Finding
from astral_lsp.workers.types.messages import Message
from astral_lsp.workers.types.text import Lines

_EXACT, _NODE, _ELSEWHERE = 0.9, 0.6, 0.2


class Localiser:
    """Brings messages about one filled module into the fill's own text; parses only when asked."""

    def __init__(self, path: str, text: str, fill: Span, tree: Callable[[], SyntaxTree]) -> None:
        self._path, self._fill, self._make_tree = path, fill, tree
        self._lines = Lines(text)

    @cached_property
    def _tree(self) -> SyntaxTree:
        return self._make_tree()

    def findings(self, messages: Sequence[Message]) -> tuple[Finding, ...]:
        """One finding a message, those inside the fill first."""
        found = [self._finding(message) for message in messages]
        return tuple(sorted(found, key=lambda f: (f.span is None, f.line or 0)))

    def _finding(self, message: Message) -> Finding:
        if message.path != self._path:
            text = f"{message.text} (in {message.path}:{message.line})"
            return Finding(text, message.code, None, None, _ELSEWHERE)
        span, confidence = self._inside(message)
        return Finding(message.text, message.code, span, message.line, confidence)

    def _inside(self, message: Message) -> tuple[Span | None, float]:
        fill = self._fill
        if message.line > 0 and not self._is_ascii(message):
            return self._inside_unsure(message)
        start, end = self._range(message)
        if start >= fill.end or end <= fill.start or message.line <= 0:
            return None, _ELSEWHERE
        low, high = max(start, fill.start), min(end, fill.end)
        if start < fill.start:
            # the error is about something the fill is only a part of: all of the fill is suspect
            return Span(low - fill.start, high - fill.start), _NODE
        low, high, exact = self._node(low, high)
        return Span(low - fill.start, high - fill.start), _EXACT if exact else _NODE

    def _range(self, message: Message) -> tuple[int, int]:
        column = max(message.column - 1, 0)
        start = self._lines.offset(message.line, column)
        if message.end_line <= 0 or message.end_column <= 0:
            return start, start + 1
        end = self._lines.offset(message.end_line, message.end_column)
        return start, max(end, start + 1)

    def _is_ascii(self, message: Message) -> bool:
        last = max(message.line, message.end_line)
        return all(self._lines.get(n).isascii() for n in {message.line, last})

    def _inside_unsure(self, message: Message) -> tuple[Span | None, float]:
        """mypy's columns on lines beyond ASCII depend on its parser: take the node that fits one reading."""
        fill = self._fill
        first, last = message.line, max(message.line, message.end_line)
        if last < self._lines.line(fill.start) or first > self._lines.line(fill.end):
            return None, _ELSEWHERE
        starts = _readings(self._lines, first, max(message.column - 1, 0))
        ends = _readings(self._lines, last, message.end_column)
        tree = self._tree
        covering = tree.path(self._lines.starts[first - 1], self._lines.offset(last, 1 << 30))[-1].node
        fitting = [
            (tree.start(node), tree.end(node))
            for node in _below(covering)
            if tree.start(node) in starts and tree.end(node) in ends
        ]
        inside = [(low, high) for low, high in fitting if low >= fill.start and high <= fill.end]
        if inside:
            low, high = min(inside, key=lambda pair: pair[1] - pair[0])
            return Span(low - fill.start, high - fill.start), _NODE
        if any(high <= fill.start or low >= fill.end for low, high in fitting):
            return None, _ELSEWHERE
        return Span(0, fill.end - fill.start), _ELSEWHERE

    def _node(self, start: int, end: int) -> tuple[int, int, bool]:
        """The smallest node of the fill that covers ``[start, end)``."""
        for step in reversed(self._tree.path(start, end)):
            low, high = self._tree.start(step.node), self._tree.end(step.node)
            if low <= start and high >= end:
                inside = low >= self._fill.start and high <= self._fill.end
                return (low, high, (low, high) == (start, end)) if inside else (start, end, False)
        return start, end, False


def _readings(lines: Lines, line: int, column: int) -> set[int]:
    """Offsets that 0-based ``column`` may mean: code points, UTF-8 bytes, or code points converted twice.

    The last is what mypy 2.4's native parser gives: it takes code points for bytes and converts them again.
    """
    text, start = lines.get(line), lines.starts[line - 1]
    data = text.encode("utf-8", "replace")
    found = set()
    for at in range(len(text) + 1):
        twice = len(data[:at].decode("utf-8", "ignore"))
        cut = len(data[:at].decode("utf-8", "replace")) - twice  # inside a character: one less
        if column in (at, len(text[:at].encode("utf-8", "replace")), twice, twice - cut):
            found.add(start + at)
    return found


def _below(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        yield from _below(child)
