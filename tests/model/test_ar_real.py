"""The left-to-right engine on the real base: holes that any reader fills at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from astral_model.ar import ArEngine
from astral_model.backbone import Backbone
from astral_model.engine import Category, Control, Request
from astral_model.store import Store

pytestmark = [pytest.mark.real_model, pytest.mark.slow]


@pytest.fixture(scope="module")
def engine() -> ArEngine:
    kept = Store()
    path: Path = kept.pull()
    return ArEngine(Backbone.load(path, cache_dir=kept.converted))


FIND = """\
def find(xs: list[int], x: int) -> int:
    for i, y in enumerate(xs):
        if $0:
            return i
    return -1
"""
TOTAL = """\
def total(items: list[Item]) -> float:
    result = 0.0
    for item in $0:
        result += item.price * item.count
    return result
"""
MIDDLE = """\
def has_close(numbers: list[float], threshold: float) -> bool:
    for i, a in enumerate(numbers):
        for j, b in enumerate(numbers):
            if i != j:
                distance = abs(a$0 < threshold:
                    return True
    return False
"""


@pytest.mark.parametrize(
    ("marked", "category", "right"),
    [
        (FIND, "expression", {"y == x", "x == y"}),
        (TOTAL, "expression", {"items"}),
        (MIDDLE, "any", {" - b)\n                if distance"}),
    ],
)
def test_the_first_candidate_is_right_and_ends_where_the_hole_ends(
    engine: ArEngine, marked: str, category: Category, right: set[str]
) -> None:
    before, after = marked.split("$0")
    hole = Request(before, after, before, after, category, candidates=4, max_tokens=24)
    assert engine.propose(hole, Control())[0].text in right
