"""Refining keeps one level and leaves holes that the hole finder sees."""

from __future__ import annotations

import pytest

from astral_lsp.holes.find import find_holes
from astral_lsp.server.refine import refine

EXPRESSION = "def f(a, b):\n    return ...\n"
BODY = "def f(a, b):\n    raise NotImplementedError\n"


@pytest.mark.parametrize(
    ("fill", "refined"),
    [
        ("sum(a + 1, start=b)", "sum(..., start=...)"),
        ("sum(x.price for x in a)", "sum(...)"),
        ("sum((x.price for x in a))", "sum(...)"),
        ("sum((x for x in a), b)", "sum(..., ...)"),
        ("await gather( x for x in (a) )", "await gather(...)"),
        ("(a + 1) * b", "(...) * ..."),
        ("a + b * 2", "... + ..."),
        ("a if a > b else b", "... if ... else ..."),
        ("[é for x in b if x]", "[... for x in ... if x]"),
        ("{'😀': a, 'k': b}", "{'😀': ..., 'k': ...}"),
        ("not a", "not ..."),
        ("a < b <= 3", "... < ... <= ..."),
        ("await fetch(a)", "await fetch(...)"),
        ("max(\n        a,\n        b,\n    )", "max(\n        ...,\n        ...,\n    )"),
        ("a", None),
        ("a.b", None),
        ("a[0]", None),
        ("f(", None),
    ],
)
def test_expressions(fill: str, refined: str | None) -> None:
    (hole,) = find_holes(EXPRESSION)
    assert refine(fill, hole) == refined
    if refined is not None:
        text = EXPRESSION.replace("...", refined)
        assert len(find_holes(text)) == refined.count("...")


@pytest.mark.parametrize(
    ("fill", "refined"),
    [
        ("total = a + b\n    return total", "total = ...\n    return ..."),
        (
            "for x in a:\n        b += x\n        b += 1\n    return b",
            "for x in a:\n        ...\n    return ...",
        ),
        (
            "if a:\n        return b\n    else:\n        return a",
            "if a:\n        ...\n    else:\n        ...",
        ),
        ("try:\n        g()\n    except E:\n        h()", "try:\n        ...\n    except E:\n        ..."),
        ("print('😀'); b = 'é'", "print('😀'); b = ..."),
        ("pass", None),
    ],
)
def test_statements(fill: str, refined: str | None) -> None:
    (hole,) = find_holes(BODY)
    assert hole.category == "statements"
    assert refine(fill, hole) == refined
    if refined is not None:
        text = BODY[: hole.start] + refined + BODY[hole.end :]
        compile(text, "refined", "exec")
        assert len(find_holes(text)) == refined.count("...")
