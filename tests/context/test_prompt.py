"""The model's context: whole when it fits, else the nearest statements under imports and headers."""

from __future__ import annotations

import ast
import textwrap

import pytest

from astral_lsp.context.prompt import Prompt, build_prompt, in_sight
from astral_lsp.holes.find import find_holes
from astral_lsp.holes.model import Span

IMPORTS = """\
from __future__ import annotations

import os
import sys as system
from a import (
    helper,
    other,
)

"""
FILLER = "".join(f"def g{number}(a):\n    return a + {number}\n\n\n" for number in range(300))


def prompt_of(text: str, prefix_chars: int = 1000) -> Prompt:
    (hole,) = find_holes(text)
    prompt = build_prompt(text, hole.start, hole.end, prefix_chars=prefix_chars)
    assert len(prompt.prefix) <= prefix_chars
    assert text[: hole.start].endswith(prompt.prefix[-8:])
    return prompt


def method(body: str) -> str:
    """A file too long for a prompt, with ``body`` in a method at its end."""
    header = 'class Shop:\n    """Sells."""\n\n'
    header += "    def total(\n        self,\n        items: list[int],\n    ) -> int:\n"
    return IMPORTS + FILLER + header + textwrap.indent(body, " " * 8)


def test_short_files_go_in_whole() -> None:
    text = "import os\n\n\ndef f(a):\n    return ?x\n"
    (hole,) = find_holes(text)
    prompt = build_prompt(text, hole.start, hole.end)
    assert prompt == Prompt(text[: hole.start], text[hole.end :])
    assert in_sight(text, hole.start, hole.end) == Span(0, len(text))


def test_the_header_around_the_hole_is_whole_even_when_the_cut_falls_into_the_function() -> None:
    steps = "".join(f"total = total + items[{number}]\n" for number in range(80))
    prompt = prompt_of(method(steps + "return helper(?x)\n"))
    assert "class Shop:\n" in prompt.prefix
    assert (
        "    def total(\n        self,\n        items: list[int],\n    ) -> int:\n        total"
        in prompt.prefix
    )
    ast.parse(prompt.prefix + "x)")


def test_of_a_long_docstring_the_first_line_and_the_last_ones_stay() -> None:
    words = "".join(f"More words, line {number}.\n" for number in range(60))
    prompt = prompt_of(method(f'"""Add up.\n\n{words}"""\nreturn ?x\n'), 900)
    assert '        """Add up.\n        More words, line' in prompt.prefix
    assert 'line 59.\n        """\n        return ' in prompt.prefix
    ast.parse(prompt.prefix + "x")


def test_of_a_docstring_out_of_sight_the_first_line_stays() -> None:
    prompt = prompt_of(method('"""Add up.\n\nMore words.\n"""\n' + "total = 0\n" * 70 + "return ?x\n"))
    assert '        """Add up."""\n        total = 0' in prompt.prefix
    assert "More words" not in prompt.prefix


def test_headers_of_blocks_keep_the_indentation_whole() -> None:
    steps = textwrap.indent("".join(f"total += items[{number}]\n" for number in range(60)), " " * 8)
    prompt = prompt_of(method(f"for item in items:\n    while item:\n{steps}        total += ?x\n"))
    assert "        for item in items:\n            while item:\n" in prompt.prefix
    ast.parse(prompt.prefix + "x")


def test_no_statement_is_cut_through() -> None:
    call = "configure(\n" + "".join(f"    option_{number}={number},\n" for number in range(30)) + ")\n"
    prompt = prompt_of(method(call * 2 + "total = ?x\n"))
    ast.parse(prompt.prefix + "x")


def test_a_function_that_is_cut_keeps_its_header_or_goes() -> None:
    last, own = "def last(a):\n" + "    a += 1\n" * 20, "def f(a):\n" + "    a += 2\n" * 60
    text = f"{IMPORTS}{FILLER}{last}\n\n{own}    return ?x\n"
    kept = {}
    for chars in range(750, 1000, 10):
        prefix = prompt_of(text, chars).prefix
        ast.parse(prefix + "x")
        kept[chars] = "a += 1" in prefix
        assert kept[chars] == ("def last(a):\n    a += 1" in prefix)
    assert set(kept.values()) == {False, True}


def test_imports_that_are_used_are_shown_and_no_others() -> None:
    text = method("total = 0\n" * 200 + "return helper(?x)\n")
    forms = {prompt_of(text, chars).prefix.partition("class")[0] for chars in range(600, 1300, 10)}
    assert forms == {"from a import helper\n\n", "from a import (\n    helper,\n    other,\n)\n\n"}


@pytest.mark.parametrize("tail", ["def broken(:\n    x = (\n", '"""', "\\", "    return [(\n"])
@pytest.mark.parametrize("budget", [0, 1, 10, 80, 300, 1000])
def test_broken_text_still_gives_a_prompt(tail: str, budget: int) -> None:
    for text in (method("x = 1\n" * 50) + tail, tail * 50, "x" * 5000, "\n" * 5000, FILLER + tail + FILLER):
        for at in (len(text), len(text) // 2):
            prompt = build_prompt(text, at, at, prefix_chars=budget, suffix_chars=budget)
            assert len(prompt.prefix) <= budget
            assert len(prompt.suffix) <= budget
