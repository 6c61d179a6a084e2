"""A text made to parse by leaving out the lines that do not, so that what stands around a hole can be judged.

Line numbers and the text at the kept spans never change. Which line is to blame is Python's own guess: a
person who has half written a statement sees the same line underlined.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from astral_lsp.holes.lines import BOM, Lines
from astral_lsp.holes.model import Span

_BREAK = re.compile(r"\r\n|\n|\r")
_CLAUSE = re.compile(r"[ \t\f]*(else|elif|except|finally|case)\b")
_CLAUSES = {
    "else": "else:", "elif": "elif 1:", "except": "except Exception:",
    "finally": "finally:", "case": "case _:",
}  # fmt: skip
_DEFINITION = re.compile(r"\s*(?:async\s+)?(?:def|class)\s+(\w+)")
_MOST_MENDS = 40
AROUND_THE_HOLE = "the code around the hole does not parse"
TOO_MUCH = "too much of the file does not parse"


class CannotMend(ValueError):
    """The text cannot be made to parse; the message is one sentence."""


class Mended(NamedTuple):
    """A text that parses."""

    text: str
    kept: tuple[Span, ...]
    """Where the kept spans stand now."""
    left_out: tuple[int, ...]
    """Lines (1-based) that were replaced because they do not parse."""


def mend(text: str, kept: Sequence[Span], judge: Callable[[str], int | None] | None = None) -> Mended:
    """Leave out lines of ``text`` until it parses; raises CannotMend.

    ``judge`` names the first line that does not parse, None when all does (default: Python's parser). No line
    that meets one of ``kept`` is touched.
    """
    judge = judge or first_bad_line
    spans = tuple(kept)
    out: Counter[int] = Counter()
    for _ in range(_MOST_MENDS):
        line = judge(text)
        if line is None:
            return Mended(text, spans, tuple(sorted(out)))
        lines = Lines(text)
        safe = {n for s in spans for n in range(lines.line(s.start), lines.line(s.end) + 1)}
        bad = next((n for n in _suspects(text, line) if n not in safe and out[n] < 2), None)
        if bad is None:
            raise CannotMend(AROUND_THE_HOLE)
        out[bad] += 1
        text, spans = _leave_out(lines, spans, bad, wholly=out[bad] > 1)
    raise CannotMend(TOO_MUCH)


def first_bad_line(text: str) -> int | None:
    """The line (1-based) at which Python's parser gives up, None when ``text`` parses."""
    error = _syntax_error(text)
    return None if error is None else getattr(error, "lineno", None) or 1


@lru_cache(maxsize=4)
def _syntax_error(text: str) -> Exception | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(_BREAK.sub("\n", text.removeprefix(BOM)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return error
    return None


def _suspects(text: str, line: int) -> list[int]:
    """Lines that may be to blame, likeliest first; Python's own parser points best at an open bracket."""
    error = _syntax_error(text)
    if isinstance(error, SyntaxError):
        return [n for n in (error.lineno, line, (error.lineno or 1) - 1) if n]
    return [line, line - 1]


def _leave_out(
    lines: Lines, spans: tuple[Span, ...], line: int, *, wholly: bool
) -> tuple[str, tuple[Span, ...]]:
    """Replace one line by a statement that keeps its indentation and carries the block below it, if any.

    With ``wholly`` the line becomes blank: its very indentation was wrong.
    """
    old = lines.get(line)
    indent = old[: len(old) - len(old.lstrip())]
    header = _carries_block(lines, line, len(indent))
    new = "" if wholly or not old.strip() else indent + (_header(old) if header else "pass")
    start = lines.starts[line - 1]
    moved = len(new) - len(old)
    placed = tuple(Span(s.start + moved, s.end + moved) if s.start > start else s for s in spans)
    return lines.text[:start] + new + lines.text[start + len(old) :], placed


def _header(old: str) -> str:
    """A header in place of ``old`` that does parse."""
    if (definition := _DEFINITION.match(old)) is not None:
        return f"def {definition[1]}(*_: object):"
    clause = _CLAUSE.match(old)
    if clause is None or old.rstrip().endswith(
        ":"
    ):  # a whole clause stands where none may: its head is broken
        return "if 1:"
    return _CLAUSES[clause[1]]


def _carries_block(lines: Lines, line: int, indent: int) -> bool:
    for number in range(line + 1, len(lines.starts) + 1):
        text = lines.get(number)
        if text.strip():
            return len(text) - len(text.lstrip()) > indent
    return False
