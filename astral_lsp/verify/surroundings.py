"""The buffer on both sides of a hole, as far as Python can read it.

Broken syntax elsewhere is not the fill's fault and must not keep a fill from being judged: lines that do not
parse are left out of what a fill is judged in. What the model reads and what is written keep them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from astral_lsp.holes.lines import Lines
from astral_lsp.holes.mask import neutralise, stand_in
from astral_lsp.holes.mend import TOO_MUCH, CannotMend, mend
from astral_lsp.holes.model import Hole, Span
from astral_lsp.verify.python_source import syntax_error

_WAITING = re.compile(r"never closed|unterminated|unmatched|does not match|EOF")
"""What Python says of a bracket or a quote whose other half is elsewhere."""
_TOP_LEVEL = re.compile(r"^[^\s#)\]}'\"]", re.MULTILINE)
"""Where a statement of the module may start."""


class Surroundings(NamedTuple):
    """A buffer cut at one hole, other holes as stand-ins."""

    before: str
    after: str
    filler: str | None
    """A text with which all of it parses; None when there is none."""
    left_out: tuple[int, ...] = ()
    """Lines (1-based) replaced because they do not parse; () when the buffer needs none."""


def cut(text: str, hole: Hole, other_holes: Sequence[Hole] = ()) -> tuple[str, str]:
    """The buffer before and after ``hole`` as it is, other holes as stand-ins."""
    masked = neutralise(text, _apart(hole, other_holes))
    start = masked.to_masked(hole.start)
    return masked.text[:start], masked.text[start + hole.end - hole.start :]


def surroundings(text: str, hole: Hole, other_holes: Sequence[Hole] = ()) -> Surroundings:
    """Cut ``text`` at ``hole`` and leave out what is broken elsewhere, when the rest can be read without."""
    return _surroundings(text, hole, _apart(hole, other_holes))


def _apart(hole: Hole, other_holes: Sequence[Hole]) -> tuple[Hole, ...]:
    return tuple(other for other in other_holes if other.end <= hole.start or other.start >= hole.end)


@lru_cache(maxsize=64)
def _surroundings(text: str, hole: Hole, others: tuple[Hole, ...]) -> Surroundings:
    before, after = cut(text, hole, others)
    start = len(before)
    for filler in _fillers(hole):
        if syntax_error(before + filler + after) is None:
            return Surroundings(before, after, filler)
    if hole.category == "any":
        return _apart_from_statement(before, after, hole.text, _fillers(hole))
    for filler in _fillers(hole):
        whole = before + filler + after
        try:
            mended = mend(whole, [Span(start, start + len(filler))])
        except CannotMend as why:
            if str(why) == TOO_MUCH:  # no other filler changes that
                break
            continue
        (kept,) = mended.kept
        return Surroundings(mended.text[: kept.start], mended.text[kept.end :], filler, mended.left_out)
    return Surroundings(before, after, None)


def _fillers(hole: Hole) -> list[str]:
    """Texts one of which fits the hole in any file that is not broken elsewhere."""
    if hole.category == "any":
        body = f"\n{hole.indent}    pass"
        return [hole.text, f" __hole_{hole.id}__", "...", "", body, ": ...", "\npass\n"]
    filler = stand_in(hole)
    return [f"{hole.lead}{filler}", f" {filler} "]


def _apart_from_statement(before: str, after: str, written: str, fillers: list[str]) -> Surroundings:
    """Leave out what is broken outside the top-level statement around the hole, and nothing inside it: that a
    range of any kind does not parse there is what a fill is to mend."""
    starts = [match.start() for match in _TOP_LEVEL.finditer(before)]
    first = starts[-1] if starts else 0
    line_end = after.find("\n") + 1
    following = _TOP_LEVEL.search(after, line_end) if line_end else None
    last = following.start() if following is not None else len(after)
    skipped = (before + written + after[:last]).count("\n")
    try:
        head, tail = mend(before[:first], []), mend(after[last:], [])
    except CannotMend:
        return Surroundings(before, after, None)
    if _waits(before[:first], head.left_out) or _waits(after[last:], tail.left_out):
        return Surroundings(before, after, None)
    before, after = head.text + before[first:], after[:last] + tail.text
    left_out = (*head.left_out, *(line + skipped for line in tail.left_out))
    filler = next((f for f in fillers if syntax_error(before + f + after) is None), None)
    return Surroundings(before, after, filler, left_out)


def _waits(text: str, left_out: tuple[int, ...]) -> bool:
    """Whether a line left out opens what the hole may close, or closes what it may open: a fill that may be
    anything is there to mend that, and must see it."""
    lines = Lines(text)
    errors = (syntax_error(lines.get(number).strip()) for number in left_out)
    return any(error is not None and _WAITING.search(error.msg or "") for error in errors)
