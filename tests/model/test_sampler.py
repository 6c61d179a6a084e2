"""The flow engine on a tiny random base with a random adapter: rules, not quality."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from astral_model.adapter import Adapter
from astral_model.contexts import Contexts
from astral_model.decoding import Canvas, Decoding, unmask
from astral_model.denoiser import Denoiser
from astral_model.engine import Control, Draft, Request
from astral_model.healing import heal
from astral_model.order import OrderName
from astral_model.sampler import Drawn, EndRule, FlowEngine, _shapes
from astral_model.stop import Frame
from astral_model.vocabulary import Vocabulary
from astral_model.writing import MOST_REFUSALS, Row, Writing, read, write

from tests.model.tiny import tiny_backbone

BASE = tiny_backbone()
REQUEST = Request("x = ", "\n", "x = ", "\n", "any", candidates=4, max_tokens=12)
ORDERS: list[OrderName] = ["left_to_right", "confidence", "anchored"]


def adapter() -> Adapter:
    torch.manual_seed(5)
    made = Adapter(BASE.shape, rank=4)
    with torch.no_grad():
        for name, p in made.factors.items():
            if name.endswith("_b"):
                p.normal_(0, 0.3)
        made.mask_embedding.normal_()
    made.requires_grad_(False)
    plain = [i for i, piece in enumerate(BASE.tokenizer.pieces) if piece and max(piece) < 128]
    made.vocabulary = torch.tensor([*plain, BASE.tokenizer.end])  # random bytes are seldom text
    made.prepare(BASE.dtype)
    return made


ADAPTER = adapter()
DENOISER = Denoiser(BASE, ADAPTER)
VOCABULARY = Vocabulary(BASE, None)


class Eager(FlowEngine):
    """An engine whose rows all count as ended and whose syntax allows anything: a random base seldom ends."""

    def _admit(self, found, drawn, request, frame, control):  # type: ignore[no-untyped-def]
        for one in drawn:
            if one.text not in request.rejected:
                found.setdefault(one.text, Draft(one.text, one.log_prob, one.tokens, 0, self.name))


def engine(order: OrderName = "left_to_right") -> Eager:
    return Eager(BASE, ADAPTER, order=order)


def texts(drafts: list[Draft]) -> list[str]:
    return [draft.text for draft in drafts]


@pytest.mark.parametrize("order", ORDERS)
def test_same_seed_same_candidates(order: OrderName) -> None:
    first, second = (engine(order).propose(REQUEST, Control()) for _ in range(2))
    assert first
    assert [(d.text, d.score) for d in first] == [(d.text, d.score) for d in second]
    assert len(set(texts(first))) == len(first)


def test_another_seed_changes_drawn_rows_but_not_the_best_one() -> None:
    context = BASE.context([1, 2, 3])

    def rows(seed: int) -> list[list[int]]:
        made = [Row() for _ in range(4)]
        how = Writing(8, fair=2.0)  # no fixed starts: all but row 0 are drawn
        write(DENOISER, VOCABULARY, context, made, how, generator=torch.Generator().manual_seed(seed))
        return [row.tokens for row in made]

    assert rows(0)[0] == rows(1)[0]
    assert rows(0)[1:] != rows(1)[1:]


@pytest.mark.parametrize("order", ORDERS)
def test_candidates_hold_no_special_token_and_keep_what_stands_before_the_hole(order: OrderName) -> None:
    request = replace(REQUEST, prefix="x = retu", before="x = retu")
    for draft in engine(order).propose(request, Control()):
        assert "<|" not in draft.text
        assert "\ufffd" not in draft.text


@pytest.mark.parametrize("order", ORDERS)
def test_owed_bytes_come_first(order: OrderName) -> None:
    context = BASE.context([1, 2, 3])
    owed = b" retu"
    if order == "left_to_right":
        rows = [Row(owed), Row(owed)]
        write(DENOISER, VOCABULARY, context, rows, Writing(10), generator=torch.Generator().manual_seed(0))
        tokens = [row.tokens for row in rows]
    else:
        canvas = Canvas.blank([10, 10], VOCABULARY.end, [owed, owed])
        unmask(DENOISER, VOCABULARY, context, canvas, Decoding(order))
        tokens = canvas.ids.tolist()
    for ids in tokens:
        assert b"".join(VOCABULARY.pieces[i] for i in ids).startswith(owed)


@pytest.mark.parametrize("order", ORDERS)
def test_unmasking_ends_and_everything_behind_the_end_is_end(order: OrderName) -> None:
    canvas = Canvas.blank([8, 12], VOCABULARY.end, [b"", b""])
    unmask(DENOISER, VOCABULARY, BASE.context([1, 2]), canvas, Decoding(order))
    assert not bool(canvas.masked.any())
    for n in range(2):
        length = canvas.length(n, VOCABULARY.end)
        if length is not None:
            assert length >= 1
            assert set(canvas.ids[n, length:].tolist()) == {VOCABULARY.end}


def test_rows_much_longer_than_the_best_one_are_given_up() -> None:
    def rows(room: Callable[[int], int] | None = None) -> list[Row]:
        made = [Row() for _ in range(6)]
        draw = torch.Generator().manual_seed(2)
        drawing = Writing(40, fair=2.0, temperature=3.0, room=room)
        write(DENOISER, few, BASE.context([7]), made, drawing, generator=draw)
        return made

    few = Vocabulary(BASE, torch.tensor([*range(30, 36), VOCABULARY.end]))
    free = rows()
    best = len(free[0].tokens)
    assert free[0].ended
    assert max(len(row.tokens) for row in free) > best + 2
    bound = rows(lambda tokens: tokens + 2)
    assert bound[0].tokens == free[0].tokens
    for row, old in zip(bound, free, strict=True):
        assert len(row.tokens) <= best + 3
        assert row.tokens == old.tokens[: len(row.tokens)], (
            "the others are drawn as before, as far as they go"
        )


def test_writing_and_reading_agree() -> None:
    context = BASE.context([1, 2, 3])
    row = Row()
    write(DENOISER, VOCABULARY, context, [row], Writing(6), vary=False)
    none = torch.zeros(0, dtype=torch.long)
    total, count = read(DENOISER, VOCABULARY, context, [row.tokens], 0, none)[0]
    assert count == len(row.tokens) + 1
    if row.ended:
        assert total == pytest.approx(row.log_prob, abs=1e-3)
    else:
        assert total < row.log_prob


def test_score_prefers_what_the_engine_itself_would_write() -> None:
    flow = engine()
    best = flow.propose(replace(REQUEST, candidates=1), Control())[0].text
    control = Control()
    values = flow.score(REQUEST, [best, "}}~~}}"], control)
    assert values[0] > values[1]
    assert control.evaluations == 2
    again = flow.score(REQUEST, ["}}~~}}", best], Control())
    assert again == pytest.approx(values[::-1], abs=1e-4)


def test_others_are_drawn_instead_of_what_was_rejected() -> None:
    first = {draft.text for draft in engine().propose(REQUEST, Control())}
    again = {draft.text for draft in engine().propose(replace(REQUEST, rejected=frozenset(first)), Control())}
    assert again
    assert not again & first


def test_what_does_nothing_comes_last_and_not_at_all_where_nothing_ranks() -> None:
    request = replace(REQUEST, before="def f():\n    ", after="\n", category="statements", indent="    ")
    drawn = [Drawn("pass", -0.1, 2, True), Drawn("return 1", -2.0, 2, True)]
    for draw_only, wanted in ((False, ["return 1", "pass"]), (True, ["return 1"])):
        found: dict[str, Draft] = {}
        asked = replace(request, draw_only=draw_only)
        frame = Frame(asked.before, asked.after, asked.category, asked.indent)
        FlowEngine(BASE, ADAPTER)._admit(found, drawn, asked, frame, Control())
        assert sorted(found, key=lambda text: -found[text].score) == wanted


def test_nothing_after_a_cancel() -> None:
    control = Control(cancelled=lambda: True)
    assert engine().propose(REQUEST, control) == []
    assert control.ended == "cancelled"
    assert engine().score(REQUEST, ["a"], Control(cancelled=lambda: True)) == [float("-inf")]


def test_cancel_between_passes_keeps_what_there_is() -> None:
    calls = iter(range(1000))
    control = Control(cancelled=lambda: next(calls) > 4)
    engine().propose(REQUEST, control)
    assert control.ended == "cancelled"
    assert 0 < control.evaluations < 4 * 13


def test_repair_keeps_the_rest_and_never_returns_the_rejected() -> None:
    flow, text = engine(), "alpha + beta + gamma"
    spans = [(8, 12)]
    drafts = flow.repair(replace(REQUEST, rejected=frozenset(["zzz"])), text, spans, Control())
    assert drafts
    for draft in drafts:
        assert draft.text not in (text, "zzz")
        assert draft.text.startswith("alpha +")
        assert draft.text.endswith(" + gamma")


def elastic_engine(order: OrderName = "left_to_right") -> Eager:
    made = adapter()
    made.card = {"settings": {"elastic": 0.5}}
    return Eager(BASE, made, order=order)


def test_elastic_repair_keeps_the_rest_and_changes_the_length() -> None:
    flow, text = elastic_engine(), "alpha + beta + gamma"
    assert flow.elastic
    assert not engine().elastic
    drafts = [
        draft
        for seed in range(4)
        for draft in flow.repair(replace(REQUEST, seed=seed), text, [(8, 12)], Control())
    ]
    remasked = [d.text for d in drafts if d.text.startswith("alpha +") and d.text.endswith(" + gamma")]
    assert remasked == [d.text for d in drafts]
    assert text not in remasked
    lengths = {len(BASE.tokenizer.encode(each)) for each in remasked}
    assert len(lengths) > 1


@pytest.mark.parametrize("order", ORDERS[1:])
def test_elastic_orders_write_what_healing_owes_first(order: OrderName) -> None:
    request = replace(REQUEST, prefix="x = retu", before="x = retu")
    flow = elastic_engine(order)
    canvas_drafts = flow.propose(request, Control())
    for draft in canvas_drafts:
        assert draft.text
    assert canvas_drafts


def test_remasking_takes_exactly_the_tokens_of_the_span() -> None:
    flow, text = engine(), "a return b"
    forced = heal(REQUEST.prefix).forced
    tokens = BASE.tokenizer.encode(forced + text)
    masked = flow._overlapping(tokens, forced, text, [(3, 5)])
    taken = b"".join(BASE.tokenizer.pieces[t] for t, m in zip(tokens, masked.tolist(), strict=True) if m)
    assert taken == b" return"


def test_a_shared_context_is_used() -> None:
    contexts, asked = Contexts(BASE), []
    inner = contexts.get

    def get(prefix: str, suffix: str, control: Control):  # type: ignore[no-untyped-def]
        asked.append(prefix)
        return inner(prefix, suffix, control)

    contexts.get = get  # type: ignore[method-assign]
    shared = Eager(BASE, ADAPTER, contexts)
    assert texts(shared.propose(REQUEST, Control())) == texts(engine().propose(REQUEST, Control()))
    assert asked == [heal(REQUEST.prefix).prefix]


def test_a_vocabulary_is_kept_to_but_for_what_stands_in_the_context() -> None:
    few = Vocabulary(BASE, torch.tensor([1, 2, 3, VOCABULARY.end, BASE.tokenizer.fim_prefix]))
    assert sorted(few.ids.tolist()) == sorted([1, 2, 3, VOCABULARY.end])
    assert few.extra([2, 7, BASE.tokenizer.fim_suffix], [9]).tolist() == [7, 9]
    rows = [Row() for _ in range(3)]
    write(DENOISER, few, BASE.context([7]), rows, Writing(6), extra=few.extra([7]))
    assert {t for row in rows for t in row.tokens} <= {1, 2, 3, 7}


@pytest.mark.parametrize(
    ("suffix", "text", "ended", "shapes"),
    [
        (")\n", "len(items)", True, ["len(items)", "len(items"]),  # the frame takes the first that parses
        (" else 0\n", "x if x else 0\n", True, ["x if x else 0\n", "x if x"]),
        (" in values if x > 0]\n", "x for x in values if x", False, ["x for x"]),
        ("\n", "total", False, []),
        ("rn x\n", "retu", True, ["retu"]),
    ],
)
def test_what_a_text_repeats_of_the_suffix_may_go(
    suffix: str, text: str, ended: bool, shapes: list[str]
) -> None:
    drawn = Drawn(text, -1.0, 3, ended)
    assert _shapes(drawn, replace(REQUEST, suffix=suffix)) == shapes
    spaced = replace(drawn, text=f" {text}")
    assert all(s == s.strip() for s in _shapes(spaced, replace(REQUEST, category="expression"))[:1])


def test_a_row_may_not_end_where_the_file_would_not_parse() -> None:
    request = replace(REQUEST, prefix="y = [x for ", before="y = [x for ", suffix="]\n", after="]\n")
    frame = Frame(request.before, request.after, "any", "")
    rule = EndRule(request, frame, " ")
    assert rule.penalty(" x in x") == 0.0
    assert rule.penalty(" x") == math.inf
    assert rule.penalty("no blank") == math.inf


def test_a_row_that_wants_to_end_in_vain_is_given_up() -> None:
    rows = [Row() for _ in range(2)]
    never = Writing(200, end_penalty=lambda text: math.inf)
    write(DENOISER, VOCABULARY, BASE.context([1, 2, 3]), rows, never)
    assert not any(row.ended for row in rows)
    assert all(row.refused <= MOST_REFUSALS for row in rows)
