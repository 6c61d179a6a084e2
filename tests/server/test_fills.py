"""What a person gets: best fill, another one, nothing with a reason, many holes at once, selections."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from pygls.exceptions import JsonRpcException

from astral_lsp.config import Settings
from astral_lsp.server import jobs
from astral_lsp.server.jobs import GRACE_SECONDS
from tests.server.harness import apply_edit, at, cursor, editor

TEXT, WHERE = cursor("def area(width: int, height: int) -> int:\n    return .$0..\n")
TWO = """\
def one(x: int) -> int:
    y = ...
    return ...


def two(x: int) -> int:
    return ...
"""


async def test_when_every_candidate_fails_nothing_is_inserted_and_the_reason_is_told(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"all_wrong": True}) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        with pytest.raises(JsonRpcException, match=r"no candidate passed.*types failed: 1 error"):
            await session.client.code_action_resolve_async(action)
        titles = await session.titles(uri, WHERE)
        assert titles[0].startswith("Insert unverified: ")
        explained = await session.command(
            "astral.explainRejected", uri=uri, position=_position(1, 12), show=False
        )
        assert "Incompatible types" in explained["text"]
        assert "tests/test_it.py::test_three" in explained["text"]


async def test_no_candidate_at_all_is_an_explained_nothing(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"none": True}) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        with pytest.raises(JsonRpcException, match="no candidate within the budget"):
            await session.client.code_action_resolve_async(action)


async def test_an_engine_that_fails_is_an_error_with_a_sentence_and_the_server_lives(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"fail": True}) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        with pytest.raises(JsonRpcException, match="the fill failed: the script says so"):
            await session.client.code_action_resolve_async(action)
        assert await session.actions(uri, WHERE)


async def test_the_deadline_gives_the_best_so_far(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 8.0}, settings={"fill": {"budgetS": 3.0}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        (action,) = await session.actions(uri, WHERE)
        began = time.monotonic()
        resolved = await session.client.code_action_resolve_async(action)
        assert time.monotonic() - began < 3.0 + 1.5
        assert apply_edit(TEXT, resolved.edit) == TEXT.replace("...", "first_1")


async def test_an_engine_that_overruns_is_not_waited_for_but_its_fills_are_listed(tmp_path: Path) -> None:
    script = {"delay": 3.2, "deaf": True, "silent": True}
    async with editor(tmp_path, script=script, settings={"fill": {"budgetS": 1.0}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        (action,) = await session.actions(uri, WHERE)
        began = time.monotonic()
        with pytest.raises(JsonRpcException, match="longer than the budget; the fills will be listed"):
            await session.client.code_action_resolve_async(action)
        assert time.monotonic() - began < 1.0 + 1.2 + 0.7
        titles = await session.titles(uri, WHERE)
        while titles == ["Fill hole"]:
            titles = await session.titles(uri, WHERE)
        assert titles[0] == "Fill hole: `first_1` · types ✓ · tests ✓ 3"


def test_emacs_gets_an_answer_before_it_gives_up() -> None:
    """Eglot waits ten seconds; the default budget and what may come on top of it are less."""
    assert Settings().fill.budget_s == 8
    assert Settings().fill.budget_s + GRACE_SECONDS < 10


async def test_a_loading_model_does_not_keep_the_editor_waiting_and_its_fills_come_later(
    tmp_path: Path,
) -> None:
    script = {"loading": 2.0, "delay": 0.1}
    async with editor(tmp_path, script=script, settings={"fill": {"budgetS": 1.0}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        (action,) = await session.actions(uri, WHERE)
        with pytest.raises(JsonRpcException, match="the model is still loading"):
            await session.client.code_action_resolve_async(action)
        assert any(_field(status, "state") == "loading" for status in session.statuses)
        titles = await session.titles(uri, WHERE)
        while titles == ["Fill hole"]:
            titles = await session.titles(uri, WHERE)
        assert titles[0] == "Fill hole: `first_1` · types ✓ · tests ✓ 3"


async def test_who_can_cancel_waits_for_the_model_and_then_for_the_whole_budget(tmp_path: Path) -> None:
    script = {"loading": 2.0, "delay": 1.0}
    async with editor(tmp_path, script=script, settings={"fill": {"budgetS": 1.5}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        place = {"uri": uri, "position": _position(1, 12)}
        answer = await session.command("astral.fillHole", **place, apply=False, patient=True)
        assert len(answer["fills"]) == 4


async def test_who_can_cancel_is_told_when_the_model_gets_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load that stands still, as in a worker that gets no time, must not look like one that goes on."""
    monkeypatch.setattr(jobs, "STALL_SECONDS", 0.6)
    async with editor(tmp_path, script={"loading": 20.0}, settings={"fill": {"budgetS": 0.5}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        where = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False, "patient": True}
        began = time.monotonic()
        with pytest.raises(JsonRpcException, match="still loading; the fills will be listed"):
            await asyncio.wait_for(session.command("astral.fillHole", **where), 10)
        assert 0.6 < time.monotonic() - began < 3.0
    monkeypatch.setattr(jobs, "STALL_SECONDS", 0.5)
    async with editor(tmp_path, script={"loading": 1.5}, settings={"fill": {"budgetS": 0.5}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        answer = await session.command("astral.fillHole", **{**where, "uri": uri})
        assert len(answer["fills"]) == 4, "it said how far it was all the time"


async def test_many_holes_wait_for_the_model(tmp_path: Path) -> None:
    script = {"loading": 2.0, "delay": 0.1}
    async with editor(tmp_path, script=script, settings={"fill": {"budgetS": 1.0}}) as session:
        uri = session.open("two.py", TWO)
        await session.until(lambda: session.statuses)
        answer = await session.command("astral.fillFile", uri=uri)
        assert (answer["filled"], answer["left"]) == (3, [])


def _field(status: object, name: str) -> object:
    return status.get(name) if isinstance(status, dict) else getattr(status, name)


async def test_another_candidate_is_another(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        argument = {"uri": uri, "position": _position(1, 12)}
        first = await session.command("astral.fillHole", **argument, apply=False)
        assert [fill["text"] for fill in first["fills"]] == ["first_1", "second_1", "'third_1'", "fourth_1"]
        assert [fill["verified"] for fill in first["fills"]] == [True, False, False, False]
        with pytest.raises(JsonRpcException, match="no candidate within the budget"):
            await session.command("astral.fillHole", **argument, again=True)
        assert len(session.log("fill")) == 2
        applied = await session.command("astral.applyFill", **first["fills"][1]["argument"])
        assert applied == {"applied": "second_1", "range": _range(1, 11, 19)}
        assert apply_edit(TEXT, session.applied[0].edit) == TEXT.replace("...", "second_1")


async def test_filling_a_file_verifies_each_fill_with_the_earlier_ones_in_place(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("two.py", TWO)
        titles = await session.titles(uri, at(1, 8))
        assert titles == ["Fill hole", "Fill all 2 holes of this function", "Fill all 3 holes of this file"]
        answer = await session.command("astral.fillFile", uri=uri)
        assert (answer["filled"], answer["verified"], answer["left"]) == (3, 3, [])
        filled = TWO.replace("...", "first_1")
        texts = [entry["text"] for entry in session.log("fill")]
        assert texts[0] == TWO
        assert texts[1] == TWO.replace("...", "first_1", 1)
        assert texts[2] == TWO.replace("...", "first_1", 2)
        (applied,) = session.applied
        assert apply_edit(TWO, applied.edit) == filled


async def test_cancelling_everything_ends_a_run_over_many_holes(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 0.8}) as session:
        uri = session.open("two.py", TWO)
        running = asyncio.ensure_future(session.command("astral.fillFile", uri=uri))
        await session.until(lambda: len(session.log("fill")) == 2)
        await session.command("astral.cancel")
        answer = await asyncio.wait_for(running, 5)
        assert len(session.log("fill")) == 2, "it went on with the third"
        assert [left["why"] for left in answer["left"]] == ["cancelled", "cancelled"]
        (change,) = session.applied[0].edit.document_changes
        assert answer["filled"] == len(change.edits) == 1


async def test_our_own_edit_is_no_change_of_the_buffer(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        session.edits_follow = True
        uri = session.open("two.py", TWO)
        answer = await session.command("astral.fillFunction", uri=uri, position=_position(2, 12))
        assert answer["message"] == "filled 2 of 2 holes, 2 verified"
        await session.command("astral.fillHole", uri=uri, position=_position(6, 12))
        assert not [message for message in session.messages if "moved" in message or "changed" in message]


async def test_filling_a_function_leaves_the_others(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("two.py", TWO)
        answer = await session.command("astral.fillFunction", uri=uri, position=_position(0, 6))
        assert answer["filled"] == 2, "its name is as good a place as one of its holes"
        with pytest.raises(JsonRpcException, match="no function with a hole here"):
            await session.command("astral.fillFunction", uri=uri, position=_position(3, 0))
        assert apply_edit(TWO, session.applied[0].edit).count("...") == 1


async def test_an_edit_that_the_editor_refuses_is_reported(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        session.accept_edits = False
        uri = session.open("area.py", TEXT)
        with pytest.raises(JsonRpcException, match="the editor did not apply the edit: read only"):
            await session.command("astral.fillHole", uri=uri, position=_position(1, 12))


async def test_selections_become_holes_or_are_filled_anew(tmp_path: Path) -> None:
    text = "def area(width: int, height: int) -> int:\n    return width + height\n"
    async with editor(tmp_path) as session:
        uri = session.open("area.py", text)
        actions = await session.actions(uri, at(1, 11, 25))
        assert [a.title for a in actions] == ["Make a hole of the selection", "Fill the selection anew"]
        assert apply_edit(text, actions[0].edit) == text.replace("width + height", "...")
        resolved = await session.client.code_action_resolve_async(actions[1])
        assert apply_edit(text, resolved.edit) == text.replace("width + height", "first_1")
        found = await session.command("astral.fillHole", uri=uri, range=_range(1, 11, 25), apply=False)
        await session.command("astral.applyFill", **found["fills"][1]["argument"])
        assert apply_edit(text, session.applied[-1].edit) == text.replace("width + height", "second_1")
        disabled = await session.actions(uri, at(1, 15, 23))
        assert {a.disabled.reason for a in disabled} == {"Select a whole expression or whole statements"}
        assert all(a.edit is None and a.data is None and a.command is None for a in disabled)


async def test_refining_keeps_one_level(tmp_path: Path) -> None:
    text = "def area(width: int, height: int) -> int:\n    return ...  # fill: max(width, height) + 1\n"
    async with editor(tmp_path) as session:
        uri = session.open("area.py", text)
        only = ["refactor.rewrite.refineHole"]
        (action,) = await session.actions(uri, at(1, 12), only=only)
        assert action.title == "Refine hole"
        resolved = await session.client.code_action_resolve_async(action)
        assert apply_edit(text, resolved.edit) == text.replace("...", "... + ...")
        assert not session.messages, "a refinement claims no verdicts"
        assert "Refine hole: `... + ...` · leaves 2" in await session.titles(uri, at(1, 12))
        await session.command("astral.refineHole", uri=uri, position=_position(1, 12))
        assert apply_edit(text, session.applied[0].edit) == text.replace("...", "... + ...")


async def test_line_endings_of_the_buffer_are_kept(tmp_path: Path) -> None:
    text = "def f(x: int) -> int:\r\n    # fill: x\r\n    raise NotImplementedError\r\n"
    async with editor(tmp_path) as session:
        uri = session.open("f.py", text)
        argument = {"uri": uri, "position": _position(2, 8)}
        found = await session.command("astral.fillHole", **argument, apply=False)
        target = {**found["fills"][0]["argument"], "fill": "y = x\n    return y"}
        applied = await session.command("astral.applyFill", **target)
        (change,) = session.applied[0].edit.document_changes
        assert change.edits[0].new_text == "y = x\r\n    return y"
        assert applied["range"] == {"start": _position(2, 4), "end": _position(3, 12)}


@pytest.mark.parametrize(
    ("command", "argument", "sentence"),
    [
        ("astral.fillHole", {}, "is not open"),
        ("astral.fillHole", {"uri": "URI"}, "say which hole"),
        ("astral.fillHole", {"uri": "URI", "position": {"line": 0, "character": 0}}, "no hole here"),
        ("astral.fillHole", {"uri": "URI", "position": {"row": 0}}, "'line' and 'character'"),
        ("astral.fillHole", {"uri": 3}, "Expected `str`"),
        ("astral.applyFill", {"uri": "URI", "start": 1, "end": 2, "version": 99}, "was edited since"),
        ("astral.nonsense", {}, "no command 'astral.nonsense'"),
        ("astral.nextHole", {"uri": "URI"}, "where from"),
    ],
)
async def test_bad_arguments_get_one_sentence(
    shared_editor: tuple[object, str], command: str, argument: dict[str, object], sentence: str
) -> None:
    session, uri = shared_editor
    argument = {key: uri if value == "URI" else value for key, value in argument.items()}
    with pytest.raises(JsonRpcException, match=sentence):
        await session.command(command, **argument)  # type: ignore[attr-defined]


@pytest.fixture
async def shared_editor(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with editor(tmp_path) as session:
        yield session, session.open("area.py", TEXT)


def _position(line: int, character: int) -> dict[str, int]:
    return {"line": line, "character": character}


def _range(line: int, start: int, end: int) -> dict[str, dict[str, int]]:
    return {"start": _position(line, start), "end": _position(line, end)}
