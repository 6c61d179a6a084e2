"""The context of a hole: kept, resumed, and shortened where the machine is slow."""

from __future__ import annotations

import time

from astral_model.backbone import Cache
from astral_model.contexts import CHUNK, LEAST_PREFIX, LEAST_SUFFIX, STEP, Contexts
from astral_model.engine import Control

from tests.model.tiny import tiny_backbone

BASE = tiny_backbone()
LINES = "".join(f"line {n:04}\n" for n in range(300))
"""3000 tokens: the tiny tokenizer has one for each byte here."""


def text_of(cache: Cache | None) -> str:
    assert cache is not None
    return "".join(BASE.tokenizer.decode([i]) or "|" for i in cache.ids)


def at_pace(tokens_per_second: float) -> Contexts:
    """Contexts on a machine that always reads so fast."""
    contexts = Contexts(BASE)
    contexts.pace = tokens_per_second
    contexts._measure = lambda tokens, seconds: None  # type: ignore[method-assign]
    return contexts


def test_without_a_deadline_everything_is_read() -> None:
    assert text_of(at_pace(1.0).get(LINES, "end", Control())) == f"|{LINES}|end"


def test_a_slow_machine_reads_what_is_near_by_whole_lines() -> None:
    found = text_of(at_pace(100.0).get(LINES, "x" * 500, Control.within(10_000)))
    head, tail = found.strip("|").split("|")
    assert LINES.endswith(head)
    assert head.startswith("line ")
    assert 3 * STEP - 10 <= len(head) <= 3 * STEP  # 100 tokens a second, six of ten seconds
    assert 120 < len(tail) <= 150


def test_the_nearest_text_is_read_at_any_pace() -> None:
    found = text_of(at_pace(0.1).get(LINES, "x" * 500, Control.within(5_000)))
    head, tail = found.strip("|").split("|")
    assert LEAST_PREFIX - 10 <= len(head) <= LEAST_PREFIX
    assert len(tail) == LEAST_SUFFIX


def test_a_shortened_context_is_kept_though_time_passes() -> None:
    contexts, control = at_pace(100.0), Control.within(10_000)
    first = contexts.get(LINES, "", control)
    control.deadline -= 8
    assert contexts.get(LINES, "", control) is first
    contexts.forget()
    assert contexts.get(LINES, "", control) is not first


def test_what_is_known_already_costs_no_time() -> None:
    contexts = at_pace(100.0)
    whole = contexts.get(LINES, "", Control())
    assert whole is not None
    again = contexts.get(LINES, "tail", Control.within(1_000))
    assert text_of(again) == f"|{LINES}|tail"


def test_a_stopped_context_goes_on_where_it_was() -> None:
    contexts, looks = at_pace(1e9), iter(range(1000))
    stopping = Control(cancelled=lambda: next(looks) >= 3)
    assert contexts.get(LINES, "", stopping) is None
    seen: list[int] = []
    inner = BASE.context

    def spy(ids: list[int], cache: Cache | None = None) -> Cache:
        seen.append(len(ids) - (cache.length if cache is not None else 0))
        return inner(ids, cache)

    contexts.backbone.context = spy  # type: ignore[method-assign,assignment]
    try:
        found = contexts.get(LINES, "", Control())
    finally:
        contexts.backbone.context = inner  # type: ignore[method-assign]
    assert text_of(found) == f"|{LINES}|"
    assert sum(seen) == len(LINES) + 2 - 3 * CHUNK


def test_the_pace_is_measured() -> None:
    contexts = Contexts(BASE)
    contexts.warm_up()
    began = time.monotonic()
    contexts.get(LINES[:CHUNK], "", Control())
    assert contexts.pace is not None
    assert contexts.pace > CHUNK / (time.monotonic() - began) / 50
