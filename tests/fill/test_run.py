"""Algorithm 1: what is drawn is verified, ranked, repaired and confirmed, and the report is honest."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from astral_lsp.fill.document import Document
from astral_lsp.fill.judging import MANY_FAILED
from astral_lsp.fill.later_rounds import BARREN_ROUNDS
from astral_lsp.fill.report import FillOptions, FillReport
from astral_lsp.fill.run import fill_hole
from astral_lsp.holes.find import find_holes
from astral_lsp.holes.model import Hole, Span
from astral_lsp.report import Verdict, not_run, unavailable
from astral_lsp.workers.process import WorkerFailure
from tests.fill.scripted import Scripted, failed

TEXT = "def total(xs: list[int]) -> int:\n    return __hole__\n"


async def fill(services: Scripted, **options: object) -> FillReport:
    hole = find_holes(TEXT)[0]
    return await fill_hole(services, Document("m.py", TEXT, 1), hole, FillOptions(**options))  # type: ignore[arg-type]


def texts(report: FillReport) -> list[str]:
    return [entry.text for entry in report.ranked]


async def test_the_best_score_wins_among_equals() -> None:
    report = await fill(Scripted([("len(xs)", -0.9), ("sum(xs)", -0.1)]))
    assert texts(report) == ["sum(xs)", "len(xs)"]
    assert all(entry.verified for entry in report.fills)
    assert report.evaluations == 2


async def test_oracles_outrank_the_score() -> None:
    services = Scripted(
        [("a", -0.1), ("b", -0.2), ("c", -0.3), ("d", -0.4)],
        types={"a": failed("incompatible type")},
        tests={"a": Verdict("passed"), "b": failed("assert 1 == 2"), "c": Verdict("passed", count=3)},
    )
    report = await fill(services)
    assert texts(report)[0] == "c"
    assert [entry.text for entry in report.rejected] == ["a", "b"]
    assert "d" in [entry.text for entry in report.fills]


async def test_what_is_judged_is_handed_over_while_the_rest_is_drawn() -> None:
    services = Scripted([("a", -0.3), ("b", -0.1)], types={"b": failed("incompatible type")}, delay=0.02)
    seen: list[list[str]] = []
    hole = find_holes(TEXT)[0]
    document = Document("m.py", TEXT, 1)
    report = await fill_hole(services, document, hole, on_judged=lambda so_far: seen.append(texts(so_far)))
    assert seen == [["a"], ["a", "b"]]
    assert texts(report) == ["a", "b"]


async def test_what_does_not_parse_is_neither_typed_nor_run() -> None:
    report = await fill(Scripted([("sum(", -0.1)], syntax={"sum(": failed("invalid syntax")}))
    (entry,) = report.rejected
    assert report.fills == []
    assert (entry.verdicts.types.status, entry.verdicts.tests.status) == ("not_run", "not_run")
    assert not entry.verified


@pytest.mark.parametrize("verdict", [unavailable("mypy is not installed"), not_run("untrusted workspace")])
async def test_nothing_is_verified_that_an_oracle_did_not_see(verdict: Verdict) -> None:
    by_types = await fill(Scripted([("x", 0.0)], types={"x": verdict}))
    by_tests = await fill(Scripted([("x", 0.0)], tests={"x": verdict}))
    assert not by_types.fills[0].verified
    assert not by_tests.fills[0].verified


async def test_where_mypy_is_not_asked_to_look_tests_must_have_passed() -> None:
    alone = not_run("your mypy does not check this function", applies=False)
    tested = await fill(Scripted([("x", 0.0)], types={"x": alone}, tests={"x": Verdict("passed", count=1)}))
    untested = await fill(Scripted([("x", 0.0)], types={"x": alone}))
    assert tested.fills[0].verified
    assert not untested.fills[0].verified


async def test_tests_that_do_not_apply_or_are_switched_off_are_not_required() -> None:
    assert (await fill(Scripted([("x", 0.0)]))).fills[0].verified
    services = Scripted([("x", 0.0)], tests={"x": failed("no")})
    report = await fill(services, run_tests=False)
    assert report.fills[0].verified
    assert services.tested == []
    assert report.fills[0].verdicts.tests.status == "not_run"


async def test_a_refused_candidate_is_repaired_where_the_oracle_points() -> None:
    bad = Verdict("failed", "", (failed("wrong name", span=Span(4, 6), confidence=0.9).findings))
    services = Scripted(
        [("sum(ys)", -0.1)], types={"sum(ys)": bad}, repaired=[[("sum(ys)", -0.1), ("sum(xs)", -0.5)]]
    )
    report = await fill(services)
    assert texts(report) == ["sum(xs)", "sum(ys)"]
    assert services.repairs[0].spans == [Span(4, 6)]
    assert services.repairs[0].propose.rejected == ["sum(ys)"]
    assert len(services.repairs) == 1


async def test_an_expression_that_only_tests_refuse_is_changed_word_by_word() -> None:
    services = Scripted(
        [("sum(ys)", -0.1)],
        tests={"sum(ys)": failed("assert 3 == 6")},
        repaired=[[("sum(xs)", -0.5)]],
        afresh=[[]],
    )
    report = await fill(services)
    assert texts(report) == ["sum(xs)", "sum(ys)"]
    assert [(repair.text, repair.spans) for repair in services.repairs] == [("sum(ys)", [])]
    assert services.repairs[0].propose.draw_only
    assert services.proposals == [[], ["sum(ys)"]]


async def test_statements_are_not_changed_word_by_word() -> None:
    text = "def total(xs: list[int]) -> int:\n    ...\n"
    wrong = "return len(xs)"
    services = Scripted([(wrong, -0.1)], tests={wrong: failed("no")}, afresh=[[("return sum(xs)", -0.5)]])
    report = await fill_hole(services, Document("m.py", text, 1), find_holes(text)[0], FillOptions())
    assert texts(report) == ["return sum(xs)", wrong]
    assert services.repairs == []


async def test_every_refused_fill_is_changed_once() -> None:
    services = Scripted(
        [("a", -0.1), ("b", -0.2)],
        tests={text: failed("no") for text in "abc"},
        repaired=[[("c", -0.3)]],
    )
    await fill(services)
    assert [repair.text for repair in services.repairs] == ["a", "b", "c"]


async def test_what_no_oracle_points_into_is_drawn_afresh() -> None:
    services = Scripted([("len(xs)", -0.1)], types={"len(xs)": failed("no")}, afresh=[[("sum(xs)", -0.5)]])
    report = await fill(services)
    assert texts(report) == ["sum(xs)", "len(xs)"]
    assert services.repairs == []
    assert services.proposals == [[], ["len(xs)"]]


def refusing(*wrong: str) -> dict[str, Verdict]:
    return {text: failed("no", span=Span(0, 1)) for text in wrong}


async def test_where_repair_does_not_help_others_are_drawn() -> None:
    services = Scripted(
        [("a", -0.1), ("b", -0.2)],
        types=refusing("a", "b", "r", "c"),
        repaired=[[("r", -0.3)]],
        afresh=[[("c", -0.4)], [("d", -0.5)]],
    )
    report = await fill(services)
    assert [entry.text for entry in report.fills] == ["d"]
    assert services.proposals == [[], ["a", "b", "r"], ["a", "b", "c", "r"]]
    assert [repair.text for repair in services.repairs] == ["a", "b"]
    assert services.repairs[0].propose.draw_only


@pytest.mark.parametrize("failing", [MANY_FAILED - 1, MANY_FAILED])
async def test_what_passes_after_many_failures_says_so(failing: int) -> None:
    wrong = [f"w{n}" for n in range(failing)]
    services = Scripted(
        [(text, -1.0) for text in wrong],
        tests={text: failed("no") for text in wrong} | {"right": Verdict("passed", "1 test", count=1)},
        afresh=[[("right", -0.5)]],
    )
    report = await fill(services, candidates=failing)
    told = f"1 test; {failing} texts failed before"
    assert report.fills[0].verdicts.tests.detail == (told if failing == MANY_FAILED else "1 test")


async def test_drawing_ends_where_it_brings_nothing_new() -> None:
    services = Scripted([("a", -0.1)], types=refusing("a"))
    report = await fill(services)
    assert texts(report) == ["a"]
    assert len(services.proposals) == 1 + BARREN_ROUNDS


async def test_drawing_ends_with_the_budget() -> None:
    afresh = [[(f"a{n}", -1.0)] for n in range(1000)]
    services = Scripted([("a", -0.1)], types=refusing("a", *(f"a{n}" for n in range(1000))), afresh=afresh)
    services.delay = 0.01
    began = time.monotonic()
    await fill(services, budget_s=1.5)
    assert 0.5 < time.monotonic() - began < 3.0


async def test_nothing_is_drawn_by_a_model_that_failed() -> None:
    services = Scripted([("a", -0.1)], types=refusing("a"))
    services.deaths = 2
    report = await fill(services)
    assert "stopped twice" in report.message
    assert len(services.proposals) == 2  # the one it died in, and the second


async def test_nothing_is_repaired_when_something_stands() -> None:
    services = Scripted([("a", -0.1), ("b", -0.2)], types={"a": failed("no")})
    await fill(services)
    assert services.repairs == []


async def test_what_tests_could_not_decide_is_not_enough_where_they_decide_about_others() -> None:
    services = Scripted(
        [("loops", -0.1), ("wrong", -0.2)],
        tests={"loops": not_run("no end after 2000 ms, spent outside of the fill"), "wrong": failed("no")},
        afresh=[[("right", -0.3)]],
    )
    report = await fill(services)
    assert texts(report) == ["right", "loops", "wrong"]


async def test_where_tests_decide_nothing_what_is_there_stands() -> None:
    services = Scripted([("a", -0.1)], tests={"a": not_run("the workspace is not trusted")})
    await fill(services)
    assert services.proposals == [[]]


async def test_a_winner_that_the_whole_program_refuses_is_demoted() -> None:
    services = Scripted([("a", -0.1), ("b", -0.2)], confirmed={"a": failed("breaks another module")})
    report = await fill(services)
    assert texts(report) == ["b", "a"]
    assert report.fills[0].verified
    assert report.rejected[0].verdicts.types.status == "failed"


async def test_passing_the_tests_ends_the_drawing() -> None:
    script = [(f"f{n}", -float(n)) for n in range(50)]
    services = Scripted(script, tests={"f0": Verdict("passed", count=2)}, delay=0.02)
    report = await fill(services)
    assert report.fills[0].text == "f0"
    assert len(report.ranked) < 10


async def test_stop_gives_the_best_so_far() -> None:
    services = Scripted([(f"f{n}", -float(n)) for n in range(50)], delay=0.05)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stop.set)
    hole = find_holes(TEXT)[0]
    report = await fill_hole(services, Document("m.py", TEXT), hole, stop=stop)
    assert 1 <= len(report.ranked) < 10
    assert report.ranked[0].text == "f0"


async def test_rejected_texts_of_a_refill_never_come_back() -> None:
    services = Scripted([("a", -0.1), ("b", -0.2)])
    report = await fill(services, rejected=("a",))
    assert texts(report) == ["b"]
    assert services.proposals == [["a"]]


async def test_no_weights_is_an_explained_nothing() -> None:
    sentence = "no weights; run: astral-lsp model add FILE"
    report = await fill(Scripted([], start_failure=WorkerFailure("unavailable", sentence)))
    assert report.ranked == []
    assert report.message == sentence


async def test_a_model_that_dies_once_is_started_afresh_and_asked_again() -> None:
    services = Scripted([("len(xs)", -0.1), ("sum(xs)", -0.2)], tests={"len(xs)": failed("1 test")})
    services.deaths = 1
    report = await fill(services)
    assert texts(report) == ["sum(xs)", "len(xs)"]
    assert services.starts == 2
    assert not report.message


async def test_a_model_that_dies_twice_is_told_and_what_it_drew_is_kept() -> None:
    services = Scripted([("len(xs)", -0.1), ("sum(xs)", -0.2)], tests={"len(xs)": failed("1 test")})
    services.deaths = 2
    report = await fill(services)
    assert texts(report) == ["len(xs)"]
    assert services.starts == 2
    assert "the model stopped twice during this fill" in report.message
    assert "exit code 1" in report.message


async def test_a_model_that_hangs_is_not_asked_again() -> None:
    services = Scripted([("sum(xs)", -0.1)])

    async def hung(*_: object) -> Any:
        raise WorkerFailure("unavailable", "the model worker did not answer in 6 s and was stopped")

    services.propose = hung  # type: ignore[method-assign]
    report = await fill(services)
    assert services.starts == 1
    assert "did not answer" in report.message


async def test_without_an_adapter_the_base_draws_and_the_report_says_so() -> None:
    report = await fill(Scripted([("sum(xs)", -0.1)], adapter=""), engine="hybrid")
    assert report.engine == "ar"
    assert "no adapter is loaded" in report.message
    assert report.fills[0].text == "sum(xs)"


async def test_no_candidate_is_explained() -> None:
    report = await fill(Scripted([]), budget_s=1.0)
    assert report.ranked == []
    assert report.message.startswith("no candidate in ")
    assert "does not parse" not in report.message


async def test_no_candidate_in_code_that_does_not_parse_says_so() -> None:
    text = "def f(xs):\n    return (?x ]\n"
    (hole,) = find_holes(text)
    report = await fill_hole(Scripted([]), Document("/w/m.py", text), hole, FillOptions(budget_s=1.0))
    assert report.message.endswith("the code around the hole does not parse")


async def test_the_report_survives_the_wire() -> None:
    report = await fill(Scripted([("sum(xs)", -0.1)]))
    assert msgspec.json.decode(msgspec.json.encode(report), type=FillReport) == report


async def test_a_later_score_of_the_same_fill_counts_and_survives_the_confirmation() -> None:
    early, late = [("sum(xs)", -0.1), ("len(xs)", -0.2)], [("len(xs)", -0.3), ("sum(xs)", -0.9)]
    report = await fill(Scripted([*early, *late]))
    assert [(entry.text, entry.score) for entry in report.ranked] == [("len(xs)", -0.3), ("sum(xs)", -0.9)]
    slow = await fill(Scripted([*early, *late], delay=0.01))
    assert slow.ranked == report.ranked


async def test_drafts_that_come_to_the_same_fill_are_one_with_the_better_score() -> None:
    services = Scripted([("xs ", -0.1), ("xs", -0.5), (" xs", -0.9)])
    services.finish = lambda document, hole, candidate, holes: candidate.strip()  # type: ignore[method-assign]
    report = await fill(services)
    assert [(entry.text, entry.score) for entry in report.ranked] == [("xs", -0.1)]


# --- the budget ---------------------------------------------------------------------------------------------


async def timed(services: Scripted, budget_s: float, stop: asyncio.Event | None = None) -> FillReport:
    """Fill within ``budget_s`` and the tolerance that the report allows itself."""
    hole = find_holes(TEXT)[0]
    began = asyncio.get_running_loop().time()
    report = await fill_hole(
        services, Document("m.py", TEXT), hole, FillOptions(budget_s=budget_s), stop=stop
    )
    assert asyncio.get_running_loop().time() - began < budget_s + 1.0
    return report


async def test_sigma_is_from_syntax_when_mypy_is_still_building() -> None:
    report = await timed(Scripted([("sum(xs)", -0.1)], slow={"environment": 30.0}), 0.5)
    assert report.expected_type == "int"
    assert report.environment.source == "syntax"
    assert "still reading the program" in report.environment.note
    assert report.fills[0].text == "sum(xs)"


@pytest.mark.parametrize("oracle", ["types", "tests"])
async def test_an_oracle_that_takes_too_long_costs_its_verdict_and_no_more(oracle: str) -> None:
    report = await timed(Scripted([("sum(xs)", -0.1)], slow={oracle: 30.0}), 0.5)
    (entry,) = report.fills
    verdict = getattr(entry.verdicts, oracle)
    assert (verdict.status, verdict.detail) == ("not_run", "no time was left")
    assert not entry.verified


async def test_a_model_that_does_not_end_gives_what_it_has_drawn() -> None:
    services = Scripted([(f"f{n}", -float(n)) for n in range(100)], delay=0.1)
    services.deaf = True
    report = await timed(services, 0.5)
    assert report.ranked[0].text == "f0"


async def test_stop_does_not_wait_for_an_oracle() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    report = await timed(Scripted([("sum(xs)", -0.1)], slow={"tests": 30.0}), 0.5, stop)
    assert report.fills[0].verdicts.tests == not_run("cancelled")


async def test_types_that_passed_stand_when_there_is_no_time_to_confirm_them() -> None:
    script = [("a", -0.1)]
    services = Scripted(script, confirmed={"a": not_run("out of time")})
    (entry,) = (await fill(services)).fills
    assert entry.verified
    assert entry.verdicts.types == Verdict("passed", "checked in its function only: out of time")


async def test_a_confirmation_that_the_budget_cut_off_takes_nothing_away() -> None:
    services = Scripted([("a", -0.1)], confirmed={"a": unavailable("mypy took more than 0.1 s")})
    assert not (await fill(services, budget_s=30.0)).fills[0].verified
    (entry,) = (await fill(services, budget_s=0.4)).fills
    assert entry.verified


def recorded(services: Scripted, name: str) -> list[tuple[list[str], int]]:
    """From now on: the fills each call of ``name`` is asked about, and how many were drawn by then."""
    calls: list[tuple[list[str], int]] = []
    ask = getattr(services, name)

    async def spy(document: Document, hole: Hole, fills: list[str], *rest: Any, **more: Any) -> Any:
        calls.append((fills, len(services.sent)))
        return await ask(document, hole, fills, *rest, **more)

    setattr(services, name, spy)
    return calls


async def test_tests_are_collected_while_the_model_draws() -> None:
    services = Scripted([(f"f{n}", -float(n)) for n in range(3)], delay=0.1)
    calls = recorded(services, "run_tests")
    await fill(services)
    assert calls[0] == ([], 0)
    assert [fills for fills, _ in calls[1:]] == [["f0"], ["f1"], ["f2"]]


async def test_mypy_gets_ready_while_the_model_draws() -> None:
    services = Scripted([("f0", 0.0)], delay=0.1)
    calls = recorded(services, "check_types")
    await fill(services)
    assert calls[0] == ([], 0)
    assert calls[1][0] == ["f0"]
