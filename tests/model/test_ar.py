"""The left-to-right engine and its readings, on a tiny random base: rules, not quality."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
from astral_model.ar import ArEngine
from astral_model.backbone import Backbone
from astral_model.engine import Control, Draft, Request
from astral_model.healing import heal
from astral_model.likelihood import HEAD_CHARS, Likelihood
from astral_model.ranking import Evidence, Reading, score
from astral_model.vocabulary import Vocabulary

from tests.model.tiny import tiny_backbone


@pytest.fixture(scope="module")
def base() -> Backbone:
    return tiny_backbone()


@pytest.fixture
def engine(base: Backbone) -> ArEngine:
    return ArEngine(base)


BEFORE, AFTER = "def f(a, b):\n    return ", "\n\n\nx = 1\n"
HOLE = Request(
    BEFORE,
    AFTER,
    BEFORE,
    AFTER,
    "expression",
    "    ",
    candidates=6,
    max_tokens=8,
    preferred=("a", "b", "a.b", "a +"),
)
COMMENT = Request("x = 1  # ", "\n", "x = 1  # ", "\n", "any", candidates=4, max_tokens=12)


def uncached(base: Backbone, ids: list[int]) -> torch.Tensor:
    hidden, _ = base.forward(torch.tensor([ids]))
    return base.logits(hidden[0]).log_softmax(-1)


def test_readings_equal_a_plain_uncached_pass(base: Backbone) -> None:
    reader, tokenizer = Likelihood(base), base.tokenizer
    prefix, forced, suffix = (
        "def f(a):\n",
        "    ",
        "\nx = 1  # and then a longer line, far longer than is read\n",
    )
    context_ids = tokenizer.fim_context(tokenizer.encode(prefix), tokenizer.encode(suffix))
    plain_ids = [tokenizer.fim_prefix, *tokenizer.encode(prefix)]
    texts = ["return a", "", "return a + 1 + 2"]
    readings = reader.texts(base.context(context_ids), forced, texts)
    suffixes = reader.suffixes(base.context(plain_ids), forced, texts, suffix)
    for text, reading, joined in zip(texts, readings, suffixes, strict=True):
        body = tokenizer.encode(forced + text)
        start = [*context_ids, tokenizer.fim_middle]
        steps = uncached(base, start + body)[len(start) - 1 :]
        expected = sum(float(steps[n, token]) for n, token in enumerate(body))
        assert reading is not None
        assert reading.text == pytest.approx(expected, abs=1e-3)
        assert reading.tokens == len(body)
        assert reading.end == pytest.approx(float(steps[len(body), reader.end_ids].logsumexp(-1)), abs=1e-4)
        head = tokenizer.encode(suffix[:HEAD_CHARS])
        steps = uncached(base, plain_ids + body + head)[len(plain_ids) + len(body) - 1 :]
        assert joined == pytest.approx(sum(float(steps[n, t]) for n, t in enumerate(head)), abs=1e-3)


def test_reading_that_is_stopped_favours_nothing(base: Backbone) -> None:
    reader = Likelihood(base)
    context = base.context(base.tokenizer.fim_context([5, 6], [7]))
    texts = [f"a{n}" for n in range(12)]  # two passes
    looks = iter([False, True])
    readings = reader.texts(context, "", texts, lambda: next(looks))
    assert len(readings) == 12
    assert 0 < sum(reading is not None for reading in readings) <= 8
    looks = iter([False, True])
    plain = base.context([5, 6])
    assert reader.suffixes(plain, "", texts, "\nx = 1\n", lambda: next(looks)) == [0.0] * 12


def test_how_a_text_joins_the_suffix_is_read_once_a_hole(
    base: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Likelihood(base)
    plain = base.context([5, 6])
    texts = ["a", "a + b", "b"]
    first = reader.suffixes(plain, "", texts, "\nx = 1\n")
    assert reader.suffixes(plain, "", ["c"], "\ny = 1\n") != first[:1]
    again = reader.suffixes(plain, "", texts[:2], "\nx = 1\n")
    assert again == pytest.approx(first[:2])
    monkeypatch.setattr(base, "forward", None)
    assert reader.suffixes(plain, "", texts[:2], "\nx = 1\n") == again


def test_of_few_tokens_only_those_the_context_and_healed_texts_are_written(base: Backbone) -> None:
    tokenizer = base.tokenizer
    few = Likelihood(base, Vocabulary(base, torch.tensor([tokenizer.end, *tokenizer.encode("xy")])))
    engine = ArEngine(base, likelihood=few)
    before = "import *\nq = ret"
    hole = Request("q = ret", "\n", before, "\n", "any", candidates=8, max_tokens=8)
    for keep in ("", "zz"):
        texts = [one.text for one in engine.pool(hole, Control(), keep=keep)]
        assert texts
        assert all(text.startswith(keep) for text in texts)
        # `q`, `=`, the blank and the line break stand in the context, `ret` is what healing gives back
        assert set("".join(texts)) <= set("xyq= \nret" + keep)


def test_an_empty_prefix_and_suffix_are_no_special_case(engine: ArEngine) -> None:
    hole = Request("", "", "", "", "any", candidates=3, max_tokens=5)
    assert all(draft.score < 0 for draft in engine.propose(hole, Control()))


def test_well_typed_atoms_join_the_candidates(engine: ArEngine) -> None:
    drafts = engine.propose(replace(HOLE, candidates=30), Control())
    assert {"a", "b", "a.b"} <= {draft.text for draft in drafts}
    assert "a +" not in {draft.text for draft in drafts}
    assert [draft.score for draft in drafts] == sorted((d.score for d in drafts), reverse=True)
    assert len({draft.text for draft in drafts}) == len(drafts) <= 30


def test_the_same_seed_draws_the_same(engine: ArEngine) -> None:
    first = engine.propose(COMMENT, Control())
    assert first
    assert engine.propose(COMMENT, Control()) == first
    pools = {tuple(e.text for e in engine.pool(replace(COMMENT, seed=seed), Control())) for seed in range(4)}
    assert len(pools) > 1


def test_drafts_fit_into_the_file(engine: ArEngine) -> None:
    for draft in engine.propose(COMMENT, Control()):
        compile(COMMENT.before + draft.text + COMMENT.after, "hole", "exec")


def test_a_new_call_reuses_the_context(engine: ArEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.propose(COMMENT, Control())
    seen: list[int] = []
    inner = engine.backbone.context

    def spy(ids: list[int], cache: object = None) -> object:
        seen.append(len(ids))
        return inner(ids, cache)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.backbone, "context", spy)
    engine.propose(COMMENT, Control())
    assert seen == []


def test_a_stop_before_the_context_draws_nothing(engine: ArEngine) -> None:
    control = Control(cancelled=lambda: True)
    assert engine.propose(COMMENT, control) == []
    assert control.ended == "cancelled"
    control = Control(deadline=time.monotonic() - 1)
    assert engine.propose(COMMENT, control) == []
    assert control.ended == "budget"


def test_a_stop_between_steps_keeps_what_was_drawn(engine: ArEngine) -> None:
    asked = iter(range(1000))
    control = Control(cancelled=lambda: next(asked) > 6)
    drafts = engine.propose(COMMENT, control)
    assert control.ended == "cancelled"
    assert drafts
    assert all(len(draft.text) <= 8 * 6 for draft in drafts)


def test_repair_keeps_the_start_and_excludes_what_was_rejected(engine: ArEngine) -> None:
    seen: list[Draft] = []
    first = engine.propose(COMMENT, Control())[0].text
    kept = "keep this "
    drafts = engine.repair(
        replace(COMMENT, rejected=frozenset({kept, first})), kept + "wrong", [(len(kept), len(kept) + 5)],
        Control(on_draft=seen.append),
    )  # fmt: skip
    assert drafts == seen
    assert drafts
    for draft in drafts:
        assert draft.text.startswith(kept)
        assert draft.text not in (kept, first, kept + "wrong")


def test_others_are_drawn_instead_of_what_was_rejected(engine: ArEngine) -> None:
    first = {draft.text for draft in engine.propose(COMMENT, Control())}
    again = {draft.text for draft in engine.propose(replace(COMMENT, rejected=frozenset(first)), Control())}
    assert again
    assert not again & first


def test_healed_text_is_not_part_of_the_fill(engine: ArEngine) -> None:
    hole = replace(COMMENT, prefix="x = 1  # retu", before="x = 1  # retu")
    assert heal(hole.prefix).forced == " retu"
    for draft in engine.propose(hole, Control()):
        compile(hole.before + draft.text + hole.after, "hole", "exec")


def test_names_nobody_knows_cost() -> None:
    reading = Reading(-4.0, 4, -1.0, -10.0)
    assert score(Evidence("a", reading)) > score(Evidence("a", reading, unknown_names=1))
    assert score(Evidence("a", reading)) > score(Evidence("", reading))
