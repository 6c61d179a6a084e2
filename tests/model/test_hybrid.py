"""Hybrid: one ranking over what both engines drew; engines behind one door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from astral_model import hybrid, ranking
from astral_model.adapter import AdapterError
from astral_model.ar import ArEngine
from astral_model.engine import Control, Draft, Request
from astral_model.hybrid import Engines, HybridEngine
from astral_model.length import room
from astral_model.ranking import Evidence

from tests.model.tiny import tiny_backbone

HOLE = Request(
    "def f(a, b):\n    return ", "\n", "def f(a, b):\n    return ", "\n", "expression", "    ",
    candidates=5, max_tokens=6, preferred=("a", "b"),
)  # fmt: skip


class FakeFlow:
    name = "flow"

    def __init__(self, texts: list[str]) -> None:
        self.drafts = [Draft(text, -1.0, 1, 3, "flow") for text in texts]
        self.asked: list[str] = []
        self.scored: list[str] = []

    def propose(self, request: Request, control: Control) -> list[Draft]:
        control.evaluations += 3 * len(self.drafts)
        for draft in self.drafts:
            control.on_draft(draft)
        return self.drafts

    def repair(
        self, request: Request, text: str, spans: list[tuple[int, int]], control: Control
    ) -> list[Draft]:
        self.asked = sorted(request.rejected)
        return self.drafts

    def score(self, request: Request, texts: list[str], control: Control) -> list[float]:
        self.scored = texts
        return [-0.1 if text == "b" else -5.0 for text in texts]


@pytest.fixture(scope="module")
def ar() -> ArEngine:
    return ArEngine(tiny_backbone())


def test_candidates_of_both_are_ranked_once_and_told_apart(
    ar: ArEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ranking.WITH_FLOW, "flow", 100.0)
    seen: list[Draft] = []
    control = Control(on_draft=seen.append)
    hole = replace(HOLE, candidates=40)
    early = ["b", "a * b", "a * b + b"]
    drafts = HybridEngine(ar, FakeFlow(early)).propose(hole, control)
    assert [draft.text for draft in seen[:3]] == early, "the flow's drafts are reported before the base draws"
    assert {draft.text for draft in seen[3 : -len(drafts)]} <= {draft.text for draft in drafts}
    assert [draft.engine for draft in seen[3 : -len(drafts)]] == ["ar"] * (len(seen) - 3 - len(drafts)) != []
    assert drafts == seen[-len(drafts) :], "and then everything, ranked"
    assert drafts[0].text == "b"
    assert {(d.text, d.engine) for d in drafts} >= {("a", "ar"), ("b", "ar"), ("a * b", "flow")}
    assert len({d.text for d in drafts}) == len(drafts)
    assert control.evaluations > 9


def test_the_flow_is_asked_of_texts_that_are_in_the_running(
    ar: ArEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = FakeFlow(["b", "a * b", "a * b + b"])
    engine = HybridEngine(ar, flow)
    every, _ = engine.pool(replace(HOLE, candidates=40), Control())
    assert sorted(flow.scored) == sorted(one.text for one in every)
    monkeypatch.setattr(ranking, "FLOW_GAP", 0.5)
    few, _ = engine.pool(replace(HOLE, candidates=1), Control())
    known = {one.text: ranking.score(one, ranking.WITH_FLOW | {"flow": 0.0}) for one in few}
    assert 0 < len(flow.scored) < len(few)
    assert set(flow.scored) == {text for text, value in known.items() if value > max(known.values()) - 0.5}
    lowest = min(-0.1 if text == "b" else -5.0 for text in flow.scored)
    assert {one.flow for one in few if one.text not in flow.scored} == {lowest}


def test_the_base_writes_little_more_than_the_flow(ar: ArEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    pool = ar.pool

    def watched(request: Request, control: Control, **how: Any) -> list[Evidence]:
        asked.append(request.max_tokens)
        return pool(request, control, **how)

    monkeypatch.setattr(ar, "pool", watched)
    hole = replace(HOLE, max_tokens=96)
    HybridEngine(ar, FakeFlow(["b"])).propose(hole, Control())
    HybridEngine(ar, FakeFlow([])).propose(replace(hole, max_tokens=7), Control())
    assert asked == [room(1, "expression"), 7]
    assert room(1, "expression") < 96


def test_a_stop_leaves_what_there_is(ar: ArEngine) -> None:
    assert HybridEngine(ar, FakeFlow(["b"])).propose(HOLE, Control(cancelled=lambda: True)) == []


def test_what_is_only_drawn_is_not_read(ar: ArEngine) -> None:
    seen: list[Draft] = []
    flow = FakeFlow(["b", "a * b"])
    hole = replace(HOLE, draw_only=True)
    drafts = HybridEngine(ar, flow).propose(hole, Control(on_draft=seen.append))
    assert flow.scored == []
    assert [draft.text for draft in drafts[:2]] == ["b", "a * b"]
    assert {draft.engine for draft in drafts[2:]} == {"ar"}
    assert len({draft.text for draft in drafts}) == len(drafts)
    assert {draft.text for draft in seen} == {draft.text for draft in drafts}


def test_repair_never_returns_the_rejected(ar: ArEngine) -> None:
    flow = FakeFlow(["b", "a"])
    drafts = HybridEngine(ar, flow).repair(HOLE, "b", [(0, 1)], Control())
    assert flow.asked == ["b"]
    assert drafts
    assert "b" not in {draft.text for draft in drafts}


def test_where_nothing_is_pointed_at_only_the_flow_repairs(ar: ArEngine) -> None:
    flow = FakeFlow(["b", "a"])
    drafts = HybridEngine(ar, flow).repair(HOLE, "a + b", [], Control())
    assert [draft.text for draft in drafts] == ["b", "a"]
    assert ar.repair(HOLE, "a + b", [], Control()) == []


def test_without_an_adapter_only_ar_is_there() -> None:
    engines = Engines(tiny_backbone())
    assert engines.get("ar") is not None
    assert engines.get("flow") is engines.get("hybrid") is None
    assert engines.adapter == ""


def test_a_named_adapter_must_exist(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="There is no adapter in"):
        hybrid._adapter_folder(str(tmp_path))
    assert hybrid._adapter_folder("none") is None


def test_what_is_forgotten_is_computed_again() -> None:
    engines = Engines(tiny_backbone())
    engine = engines.get("ar")
    assert isinstance(engine, ArEngine)
    engine.propose(HOLE, Control())
    kept = engines.contexts.get(HOLE.prefix, HOLE.suffix, Control())
    assert kept is engines.contexts.get(HOLE.prefix, HOLE.suffix, Control())
    engines.forget()
    fresh = engines.contexts.get(HOLE.prefix, HOLE.suffix, Control())
    assert fresh is not kept
    assert fresh is not None
    assert kept is not None
    assert fresh.ids == kept.ids
