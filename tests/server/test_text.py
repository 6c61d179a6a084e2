"""Buffers and positions against an independent oracle: lists of encoded lines."""

from __future__ import annotations

import random

import pytest
from lsprotocol import types

from astral_lsp.server.text import Buffer, Change, Encoding, smallest_change

ALPHABET = ["a", "b", "\n", "\r\n", "\r", "é", "→", "😀", "𝒳", " ", "\t", "\f", "\u2028", "\x85", "...", "?x"]
CODECS: dict[Encoding, tuple[str, int]] = {
    "utf-8": ("utf-8", 1),
    "utf-16": ("utf-16-le", 2),
    "utf-32": ("utf-32-le", 4),
}


def oracle_lines(text: str) -> list[str]:
    """Lines with their endings, written the slow and obvious way."""
    lines, line, index = [], "", 0
    while index < len(text):
        if text.startswith("\r\n", index):
            ending = "\r\n"
        elif text[index] in "\r\n":
            ending = text[index]
        else:
            line += text[index]
            index += 1
            continue
        lines.append(line + ending)
        line = ""
        index += len(ending)
    return [*lines, line]


def oracle_offset(text: str, position: types.Position, encoding: Encoding) -> int:
    codec, width = CODECS[encoding]
    lines = oracle_lines(text)
    if position.line >= len(lines):
        return len(text)
    line = lines[position.line].rstrip("\r\n")
    head = line.encode(codec)[: position.character * width].decode(codec)
    return sum(map(len, lines[: position.line])) + len(head)


def random_text(random_: random.Random, size: int) -> str:
    return "".join(random_.choice(ALPHABET) for _ in range(size))


def random_position(random_: random.Random, text: str, encoding: Encoding) -> types.Position:
    """A position between two whole characters, not inside a line ending."""
    codec, width = CODECS[encoding]
    lines = oracle_lines(text)
    number = random_.randrange(len(lines))
    line = lines[number].rstrip("\r\n")
    head = line[: random_.randint(0, len(line))]
    return types.Position(number, len(head.encode(codec)) // width)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_random_edits_agree_with_the_oracle(encoding: Encoding) -> None:
    random_ = random.Random(encoding)
    text = random_text(random_, 60)
    buffer = Buffer(text, encoding)
    for _ in range(1500):
        one, other = (random_position(random_, text, encoding) for _ in range(2))
        start, end = sorted(oracle_offset(text, p, encoding) for p in (one, other))
        if end - start > 30:
            end = start
        new = random_text(random_, random_.randrange(6))
        if len(text) > 400:
            new = ""
        range_ = buffer.range(start, end)
        assert buffer.span(range_) == (start, end)
        change = buffer.change_from_client(types.TextDocumentContentChangePartial(text=new, range=range_))
        assert change == Change(start, end, new)
        buffer.edit(change)
        text = text[:start] + new + text[end:]
        assert buffer.text == text
        assert [buffer.line(n) for n in range(buffer.line_count)] == [
            line.rstrip("\r\n") for line in oracle_lines(text)
        ]


def test_positions_past_the_end_are_clamped() -> None:
    buffer = Buffer("ab\r\nc😀d\n", "utf-16")
    assert buffer.offset(types.Position(0, 99)) == 2
    assert buffer.offset(types.Position(1, 99)) == 7
    assert buffer.offset(types.Position(9, 0)) == len(buffer.text)
    assert buffer.offset(types.Position(1, 2)) == 5, "inside a surrogate pair: before the character"


def test_a_reversed_range_is_put_in_order() -> None:
    buffer = Buffer("abcdef")
    assert buffer.span(types.Range(types.Position(0, 4), types.Position(0, 1))) == (1, 4)


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("abc", "abc", Change(3, 3, "")),
        ("aXc", "aYc", Change(1, 2, "Y")),
        ("aaa", "aaaa", Change(3, 3, "a")),
        ("", "x", Change(0, 0, "x")),
        ("x", "", Change(0, 1, "")),
    ],
)
def test_smallest_change(old: str, new: str, change: Change) -> None:
    assert smallest_change(old, new) == change


def test_a_lone_surrogate_does_not_break_positions() -> None:
    buffer = Buffer("a\ud83db", "utf-8")
    assert buffer.offset(buffer.position(2)) == 2
