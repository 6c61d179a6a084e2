"""Buffer text made fit for mypy: holes neutralised, line numbers kept, broken regions left out."""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from astral_lsp.holes.lines import BOM
from astral_lsp.holes.model import Span

HOLE = "__hole__"
"""The name that stands for a hole; `program` puts a function of this name, returning Any, into builtins."""

_BREAK = re.compile(r"\r\n|\n|\r")
_COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=]")
_CLAUSE = re.compile(r"[ \t\f]*(?:else|elif|except|finally|case)\b")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_MENDS = 40


class Unreadable(ValueError):
    """The text cannot be made into a module that mypy reads; the message is one sentence."""


class Lines:
    """Offsets (code points) to lines as Python counts them, and back."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = _starts(text)

    def line(self, offset: int) -> int:
        """Return the 1-based line of ``offset``."""
        return bisect_right(self.starts, offset)

    def offset(self, line: int, column: int) -> int:
        """Return the offset of 0-based ``column`` of 1-based ``line``, kept inside the text."""
        line = min(max(line, 1), len(self.starts))
        return min(self.starts[line - 1] + max(column, 0), len(self.text))

    def get(self, line: int) -> str:
        """Return 1-based ``line`` without its ending."""
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        return self.text[self.starts[line - 1] : end].rstrip("\r\n")


def _starts(text: str) -> list[int]:
    if "\r" in text:
        return [0, *(match.end() for match in _BREAK.finditer(text))]
    return [0, *accumulate(len(line) + 1 for line in text.split("\n")[:-1])]


def breaks(text: str) -> str:
    """Return only the line endings of ``text``."""
    return "".join(_BREAK.findall(text))


def call(number: int, written: str, *siblings: str) -> str:
    """Return the call that stands for a hole ``written`` so; it spans as many lines."""
    return f"{HOLE}({', '.join([str(number), *siblings])}{breaks(written)})"


@dataclass(frozen=True)
class Skeleton:
    """A buffer whose other holes are Any and whose target holes are as they were written."""

    text: str
    targets: tuple[Span, ...]
    left_out: tuple[int, ...] = field(default=())
    """Lines (1-based) replaced because they do not parse."""

    def written(self, index: int) -> str:
        """Return the placeholder of target ``index``."""
        span = self.targets[index]
        return self.text[span.start : span.end]

    def fill(self, texts: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
        """Put ``texts`` in place of the targets; returns the text and where each now stands."""
        return _replace(self.text, list(zip(self.targets, texts, strict=True)))


def skeleton(text: str, targets: Sequence[Span], others: Sequence[Span]) -> Skeleton:
    """Neutralise ``others`` and whatever else mypy would stumble over.

    Raises Unreadable when a target lies outside the text.
    """
    if any(not 0 <= span.start <= span.end <= len(text) for span in targets):
        raise Unreadable(f"the hole lies outside the buffer of {len(text)} characters")
    if "\0" in text:
        raise Unreadable("the buffer holds null characters")
    plain = _SURROGATE.sub("\ufffd", text)
    if plain.startswith(BOM):
        plain = " " + plain[1:] if targets and min(s.start for s in targets) == 0 else plain
    wanted = sorted(targets, key=lambda span: span.start)
    apart = [s for s in others if 0 <= s.start <= s.end <= len(text) and not any(_meet(s, t) for t in wanted)]
    edits = [(span, call(0, plain[span.start : span.end])) for span in sorted(set(apart), key=_start)]
    marks = [(span, plain[span.start : span.end]) for span in targets]
    placed, spans = _replace(plain, edits + marks)
    return Skeleton(_without_cookie(placed), spans[len(edits) :])


def _start(span: Span) -> int:
    return span.start


def _meet(one: Span, other: Span) -> bool:
    return (one.start < other.end and other.start < one.end) or one == other


def _replace(text: str, edits: list[tuple[Span, str]]) -> tuple[str, tuple[Span, ...]]:
    """Apply edits that do not overlap; the spans returned are in the order of ``edits``."""
    parts: list[str] = []
    spans: list[Span] = [Span(0, 0)] * len(edits)
    at, size = 0, 0
    for index in sorted(range(len(edits)), key=lambda i: edits[i][0].start):
        span, new = edits[index]
        if span.start < at:
            raise Unreadable("two holes overlap")
        parts += [text[at : span.start], new]
        start = size + span.start - at
        size = start + len(new)
        spans[index] = Span(start, size)
        at = span.end
    parts.append(text[at:])
    return "".join(parts), tuple(spans)


def _without_cookie(text: str) -> str:
    """Blunt an encoding declaration: the text is decoded already and goes to mypy as UTF-8."""
    lines = Lines(text)
    for number in range(1, min(2, len(lines.starts)) + 1):
        match = _COOKIE.match(lines.get(number))
        if match is not None:
            at = lines.starts[number - 1] + match.end() - 7
            return text[:at] + "c0ding" + text[at + 6 :]
    return text


# --- broken syntax elsewhere ----------------------------------------------------------------------------


def mend(
    source: Skeleton, stand_in: Sequence[str], judge: Callable[[str], int | None]
) -> tuple[Skeleton, str | None]:
    """Leave out lines until the text with ``stand_in`` in place of the targets parses.

    ``judge`` names the first line that does not parse, None when all does. Returns the mended skeleton and
    None, or the skeleton and the reason why it cannot be mended (the hole's own lines are never touched).
    """
    out: Counter[int] = Counter()
    for _ in range(_MOST_MENDS):
        whole, spans = source.fill(stand_in)
        line = judge(whole)
        if line is None:
            return Skeleton(source.text, source.targets, tuple(sorted(out))), None
        lines = Lines(whole)
        kept = {n for s in spans for n in range(lines.line(s.start), lines.line(s.end) + 1)}
        bad = next((n for n in _suspects(whole, line) if n not in kept and out[n] < 2), None)
        if bad is None:
            return source, "the code around the hole does not parse"
        out[bad] += 1
        source = _leave_out(source, stand_in, bad, wholly=out[bad] > 1)
    return source, "too much of the file does not parse"


def _suspects(text: str, line: int) -> list[int]:
    """Lines that may be to blame, likeliest first; Python's own parser points best at an open bracket."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return [n for n in (error.lineno, line, (error.lineno or 1) - 1) if n]
    except (ValueError, RecursionError, MemoryError):
        pass
    return [line, line - 1]


def _leave_out(source: Skeleton, stand_in: Sequence[str], line: int, wholly: bool) -> Skeleton:
    """Replace one line by a statement that keeps its indentation and carries the block below it, if any.

    With ``wholly`` the line becomes blank: its very indentation was wrong.
    """
    whole, spans = source.fill(stand_in)
    lines = Lines(whole)
    old = lines.get(line)
    indent = old[: len(old) - len(old.lstrip())]
    header = _carries_block(lines, line, len(indent))
    new = "" if wholly or not old.strip() else indent + ("if 1:" if header else "pass")
    if new and header and _CLAUSE.match(old) is None:
        name = re.match(r"\s*(?:async\s+)?(?:def|class)\s+(\w+)", old)
        new = f"{indent}def {name[1]}(*_: object):" if name else new
    start = lines.starts[line - 1]
    text = whole[:start] + new + whole[start + len(old) :]
    moved = len(new) - len(old)
    placed = [Span(s.start + moved, s.end + moved) if s.start > start else s for s in spans]
    # back to the targets as written
    written = [source.written(i) for i in range(len(source.targets))]
    final, final_spans = _replace(text, list(zip(placed, written, strict=True)))
    return Skeleton(final, final_spans)


def _carries_block(lines: Lines, line: int, indent: int) -> bool:
    for number in range(line + 1, len(lines.starts) + 1):
        text = lines.get(number)
        if text.strip():
            return len(text) - len(text.lstrip()) > indent
    return False
