"""From an error of mypy to the smallest syntax node inside the fill (issue: localizers)."""

from __future__ import annotations

from collections.abc import Sequence

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.report import Finding
from astral_lsp.workers.types.messages import Message
from astral_lsp.workers.types.text import Lines

_EXACT, _NODE, _ELSEWHERE = 0.9, 0.6, 0.2


class Localiser:
    """Brings messages about one filled module into the fill's own text; parses only when asked."""

    def __init__(self, path: str, text: str, fill: Span) -> None:
        self._path, self._text, self._fill = path, text, fill
        self._lines = Lines(text)
        self._tree: SyntaxTree | None = None

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
        start, end = self._range(message)
        fill = self._fill
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

    def _node(self, start: int, end: int) -> tuple[int, int, bool]:
        """The smallest node of the fill that covers ``[start, end)``."""
        if self._tree is None:
            self._tree = parse(self._text)
        for step in reversed(self._tree.path(start, end)):
            low, high = self._tree.start(step.node), self._tree.end(step.node)
            if low <= start and high >= end:
                inside = low >= self._fill.start and high <= self._fill.end
                return (low, high, (low, high) == (start, end)) if inside else (start, end, False)
        return start, end, False
