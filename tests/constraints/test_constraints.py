"""□(σ, Γ) compiled, what the model is shown, and tier 1 on finished fills."""

from __future__ import annotations

import ast

import pytest

from astral_lsp.constraints.admissible import admissible
from astral_lsp.constraints.specification import (
    PREFIX_CHARS,
    RELATED_CHARS,
    compile_specification,
    finish,
    propose,
)
from astral_lsp.context.environment import environment
from astral_lsp.holes.find import find_holes, hole_from_range

TEXT = """import os
from a import b

class Item:
    rate: float = 0.2

    def total(self, price: float, count: int) -> float:
        amount = price * count
        return ?x

def helper(n: int) -> int: ...
"""


def findings(text: str, fill: str, number: int = 0) -> list[tuple[str, str]]:
    holes = find_holes(text)
    found = admissible(text, holes[number], fill, environment(text, holes[number]), other_holes=holes)
    return [(item.code, fill[item.span.start : item.span.end]) for item in found if item.span]


def test_specification() -> None:
    hole = find_holes(TEXT)[0]
    made = compile_specification(hole, environment(TEXT, hole), tests=False)
    assert made.category == "expression"
    assert made.expected == "float"
    assert made.required == ("syntax", "types")
    assert {"self", "price", "count", "amount", "Item", "helper", "os", "b"} == set(made.names)
    assert set(made.preferred) == {"price", "self.rate"}


def test_names_are_unknown_under_a_star_import() -> None:
    text = "from a import *\nx = ?x\n"
    (hole,) = find_holes(text)
    assert compile_specification(hole, environment(text, hole)).names == ()
    assert findings(text, "whatever(1)") == []


def test_proposal_parses_around_a_fill_and_hides_other_holes() -> None:
    holes = find_holes(TEXT)
    spec = compile_specification(holes[0], environment(TEXT, holes[0]))
    asked = propose(TEXT, holes[0], spec, "ar", other_holes=holes, related="# m\ndef g(): ...\n", seed=7)
    ast.parse(asked.before + "1" + asked.after)
    assert asked.prefix.startswith("# m\ndef g(): ...\n\nimport os\n")
    assert asked.prefix.endswith("        return ")
    assert "?x" not in asked.prefix + asked.suffix + asked.before + asked.after
    assert (asked.seed, asked.category, asked.engine) == (7, "expression", "ar")


def test_long_related_text_is_cut_and_takes_no_room_from_the_file() -> None:
    text = "x = 1\n" * 2000 + "y = ?x\n"
    (hole,) = find_holes(text)
    spec = compile_specification(hole, environment(text, hole))
    asked = propose(text, hole, spec, "ar", related="# r\n" * 1000)
    alone = propose(text, hole, spec, "ar").prefix
    assert asked.prefix.startswith("# r\n")
    assert asked.prefix.endswith(alone)
    assert len(alone) <= PREFIX_CHARS
    assert len(asked.prefix) <= PREFIX_CHARS + RELATED_CHARS + 2
    assert asked.prefix.endswith("x = 1\ny = ")


def test_the_holes_own_words_reach_the_model() -> None:
    text = "def f(a):\n    ...  # twice a\n"
    (hole,) = find_holes(text)
    spec = compile_specification(hole, environment(text, hole))
    assert propose(text, hole, spec, "ar").prefix == "def f(a):\n    # twice a\n    "
    text = "import astral_lsp\ndef f(a):\n    return 1 + astral_lsp.hole('twice a')\n"
    (hole,) = find_holes(text)
    assert propose(text, hole, spec, "ar").prefix.endswith("    # twice a\n    return 1 + ")


def test_body_on_the_header_line() -> None:
    text = "def f(a): ...\r\nx = 1\r\n"
    (hole,) = find_holes(text)
    spec = compile_specification(hole, environment(text, hole))
    asked = propose(text, hole, spec, "ar")
    assert (asked.before, asked.prefix, asked.indent) == ("def f(a):\r\n    ", "def f(a):\n    ", "    ")
    fill = finish(text, hole, "b = a\n    return b\n")
    assert fill == "\r\n    b = a\r\n    return b"
    assert findings(text, fill) == []


@pytest.mark.parametrize(
    ("text", "candidate", "fill"),
    [
        ("x = ?x * 2\n", "a + 1", "(a + 1)"),
        ("x = ?x\n", " a + 1 ", "a + 1"),
        ("x = 2 - ?x\n", "f(a)", "f(a)"),
        ("x = ?x\n", "a\n  + 1", "(a\n  + 1)"),
        ("x = ?x\n", "a +", "a +"),
        ("f(?x)\n", "a, b", "a, b"),
        ("if ?x: pass\n", "a\nor b", "(a\nor b)"),
        ("def f(a):\r\n    ...\r\n", "x = 1\n    return x\n\n", "x = 1\r\n    return x"),
    ],
)
def test_finish(text: str, candidate: str, fill: str) -> None:
    (hole,) = find_holes(text)
    assert finish(text, hole, candidate) == fill


UNBOUND = [
    ("price * amount", []),
    ("self.rate + len(os.name)", []),
    ("sum(q for q in [price])", []),
    ("(lambda z: z)(price)", []),
    ("[y := price, y]", []),
    ("prices", [("name", "prices")]),
    ("price + tax * rate", [("name", "tax"), ("name", "rate")]),
    ("f'{wrong}'", None),
    ("price if total else Item", [("name", "total")]),
    ("price.total", []),
    ("helper(n=count)", []),
    ("price +", [("syntax", "+")]),
]


@pytest.mark.parametrize(("fill", "expected"), UNBOUND)
def test_unbound_names(fill: str, expected: list[tuple[str, str]] | None) -> None:
    found = findings(TEXT, fill)
    if expected is None:
        assert [code for code, _ in found] == ["name"]
    else:
        assert sorted(found) == sorted(expected)


def test_statements_bind_their_own_names() -> None:
    text = "def f(a):\r\n\t...\r\n"
    fill = (
        "import re as regex\r\n\tfor i, j in a:\r\n\t\twith j as k:\r\n\t\t\tpass\r\n"
        "\ttry:\r\n\t\tdef g(z): return z\r\n\texcept E as e:\r\n\t\tprint(e, é, g, i, k, regex)"
    )
    assert sorted(findings(text, fill)) == [("name", "E"), ("name", "é")]


def test_python_itself_is_always_bound() -> None:
    text = "def f():\n    return ?x\n"
    assert findings(text, "(__name__, __file__, print, len, NotImplemented)") == []


def test_a_piece_of_something_is_left_to_the_other_oracles() -> None:
    text = "x = f(1, 2)\n"
    hole = hole_from_range(text, 5, 8)
    assert hole.category == "any"
    assert admissible(text, hole, "(3, ") == ()


BROKEN_ELSEWHERE = """def total(items):
    return sum(item.price * item.count for item in items)

def broken(items):
    if items
        return 0
"""


def test_the_engine_is_handed_what_parses_and_the_model_reads_what_is_there() -> None:
    start = BROKEN_ELSEWHERE.index("item.price")
    hole = hole_from_range(BROKEN_ELSEWHERE, start, start + len("item.price *"))
    spec = compile_specification(hole, environment(BROKEN_ELSEWHERE, hole))
    asked = propose(BROKEN_ELSEWHERE, hole, spec, "ar")
    assert hole.category == "any"
    ast.parse(asked.before + "item.price +" + asked.after)
    assert asked.suffix == BROKEN_ELSEWHERE[hole.end :]
    assert asked.prefix == BROKEN_ELSEWHERE[: hole.start]
