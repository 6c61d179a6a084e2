"""Buffer text made fit for mypy: holes neutralised, line numbers kept, broken regions left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from astral_lsp.holes.lines import BOM
from astral_lsp.holes.lines import Lines as Lines
from astral_lsp.holes.mend import CannotMend
from astral_lsp.holes.mend import mend as mend_text
from astral_lsp.holes.model import Span

HOLE = "__hole__"
"""The name that stands for a hole; `program` puts a function of this name, returning Any, into builtins."""

_BREAK = re.compile(r"\r\n|\n|\r")
_COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Unreadable(ValueError):
    """The text cannot be made into a module that mypy reads; the message is one sentence."""


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
    whole, spans = source.fill(stand_in)
    try:
        mended = mend_text(whole, spans, judge)
    except CannotMend as why:
        return source, str(why)
    written = [source.written(index) for index in range(len(source.targets))]
    text, targets = _replace(mended.text, list(zip(mended.kept, written, strict=True)))
    return Skeleton(text, targets, mended.left_out), None
