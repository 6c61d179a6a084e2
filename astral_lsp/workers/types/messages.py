"""mypy's messages: read, and compared (which of them did a fill add?)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FORM = re.compile(
    r"^(?P<path>.+?):(?P<line>\d+)(?::(?P<column>\d+)(?::(?P<end_line>\d+):(?P<end_column>\d+))?)?"
    r": (?P<severity>error|note): (?P<text>.*?)(?:  \[(?P<code>[a-z0-9-]+)\])?$",
    re.DOTALL,
)
_NUMBERS = ("line", "column", "end_line", "end_column")
_QUOTED = re.compile(r'"(?:.*\.)?([^".]+)"')
_WORD = re.compile(r"[^\W\d]\w*")
_LINE_IN_TEXT = re.compile(r"\bline (\d+)")

NOT_COUNTED = frozenset({"import-untyped"})
"""Codes that say something about the environment, not about the fill."""


@dataclass(frozen=True)
class Message:
    """One error of mypy. Lines are 1-based, columns 1-based and the last one inclusive; 0 means unknown."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str
    code: str


def read_messages(lines: Iterable[str]) -> list[Message]:
    """Keep the errors of mypy's output; notes are dropped."""
    found = []
    for written in lines:
        match = _FORM.match(written)
        if match is None or match["severity"] != "error":
            continue
        line, column, end_line, end_column = (int(match[n] or 0) for n in _NUMBERS)
        code = match["code"] or ""
        found.append(Message(match["path"], line, column, end_line, end_column, match["text"], code))
    return found


@dataclass(frozen=True)
class Place:
    """Where a hole's text stands in a module: the first and last line it touches (1-based)."""

    path: str
    first: int
    last: int


def added(
    before: Sequence[Message], after: Sequence[Message], hole: Place, fill: Place, text: str = ""
) -> list[Message]:
    """Return the messages of ``after`` that have no counterpart in ``before``.

    ``before`` belongs to the buffer with the hole at ``hole``, ``after`` to the buffer with the fill at
    ``fill``, whose text is ``text``. A message keeps its identity when only its line moved; columns do not
    count.
    """
    shift = fill.last - hole.last
    known = Counter(_key(message, hole, 0) for message in before)
    calls = Counter(_call_key(message, hole, 0) for message in before if message.code == "call-overload")
    names = words(text)
    new = []
    for message in after:
        if message.code in NOT_COUNTED or is_of_order(message, fill, names):
            continue
        key = _key(message, fill, shift)
        if known[key] > 0:
            known[key] -= 1
            continue
        # the text of a failed overload names the types of all arguments, the fill's too
        if message.code == "call-overload" and calls[_call_key(message, fill, shift)] > 0:
            calls[_call_key(message, fill, shift)] -= 1
            continue
        new.append(message)
    return new


def words(text: str) -> frozenset[str]:
    """The names in ``text``."""
    return frozenset(_WORD.findall(text))


def is_of_order(message: Message, fill: Place, names: frozenset[str]) -> bool:
    """Whether this only tells in which order an update checked things: "Cannot determine type of ...".

    Elsewhere than in the fill mypy says so when an attribute or variable without annotation is used before
    its definition has been checked again; a build from nothing puts that off and says nothing. A variable
    that the fill itself names is another matter: ``x = x`` leaves the lines below without a type of ``x``.
    """
    if message.code != "has-type":
        return False
    inside = message.path == fill.path and fill.first <= message.line <= fill.last
    quoted = _QUOTED.search(message.text)
    named = message.path == fill.path and quoted is not None and quoted[1] in names
    return not inside and not named


def _line(number: int, place: Place, shift: int) -> int | str:
    """Bring a line number of the filled module back to the module with the hole."""
    if number > place.last:
        return number - shift
    if number >= place.first:
        return "hole"
    return number


def _key(message: Message, place: Place, shift: int) -> tuple[object, ...]:
    if message.path != place.path:
        return (message.path, message.line, message.code, message.text)
    text = _LINE_IN_TEXT.sub(lambda m: f"line {_line(int(m[1]), place, shift)}", message.text)
    return (message.path, _line(message.line, place, shift), message.code, text)


def _call_key(message: Message, place: Place, shift: int) -> tuple[object, ...]:
    same = message.path == place.path
    line = _line(message.line, place, shift) if same else message.line
    return (message.path, line, message.text.split(" matches argument type")[0])
