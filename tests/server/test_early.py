"""What is judged is there for the person before all of it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.server.harness import Editor, apply_edit, cursor, editor

TEXT, WHERE = cursor("def area(width: int, height: int) -> int:\n    return .$0..\n")
POSITION = {"line": 1, "character": 12}
SLOW = {"delay": 2.4}
"""One candidate every 0.6 s."""


async def _first(session: Editor, uri: str) -> list[Any]:
    """The actions of the list as soon as a fill is among them."""
    actions = await session.actions(uri, WHERE)
    while "first_1" not in actions[0].title:
        actions = await session.actions(uri, WHERE)
    return actions


async def test_a_fill_is_listed_while_others_are_drawn_but_preferred_only_at_the_end(tmp_path: Path) -> None:
    async with editor(tmp_path, script=SLOW) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        running = session.request(types.CODE_ACTION_RESOLVE, action, "slow")
        actions = await _first(session, uri)
        assert not running.done()
        assert actions[0].title == "Fill hole: `first_1` · types ✓ · tests ✓ 3"
        assert not actions[0].is_preferred, "the best so far may be replaced, or refused when it is confirmed"
        resolved = await session.client.code_action_resolve_async(actions[0])
        assert apply_edit(TEXT, resolved.edit) == TEXT.replace("...", "first_1")
        await running
        assert (await session.actions(uri, WHERE))[0].is_preferred


async def test_an_editor_may_have_them_as_they_come(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 1.0}) as session:
        news: list[Any] = []
        session.client.feature("astral/fills")(lambda params: news.append(params))
        uri = session.open("area.py", TEXT)
        answer = await session.command(
            "astral.fillHole", uri=uri, position=POSITION, apply=False, partial="picker 7"
        )
        assert [len(item.fills) for item in news] == [1, 2, 3, 4]
        assert {item.partial for item in news} == {"picker 7"}
        assert news[0].fills[0].text == "first_1"
        assert news[0].fills[0].argument.fill == "first_1"
        assert len(answer["fills"]) == 4
        await session.command("astral.fillHole", uri=uri, position=POSITION, apply=False, again=True)
        assert len(news) == 4, "nobody asked for them"


async def test_a_picked_one_is_inserted_while_others_are_drawn_and_after_typing_above(tmp_path: Path) -> None:
    async with editor(tmp_path, script=SLOW) as session:
        news: list[Any] = []
        session.client.feature("astral/fills")(lambda params: news.append(params))
        uri = session.open("area.py", TEXT)
        arguments = [{"uri": uri, "position": POSITION, "apply": False, "partial": "p"}]
        command = types.ExecuteCommandParams("astral.fillHole", arguments)
        running = session.request(types.WORKSPACE_EXECUTE_COMMAND, command, "slow")
        await session.until(lambda: news)
        above = types.Range(types.Position(0, 0), types.Position(0, 0))
        session.change(uri, (above, "# typed meanwhile\n"))
        argument = news[0].fills[0].argument._asdict()
        await session.command("astral.applyFill", **argument)
        changed = "# typed meanwhile\n" + TEXT
        assert apply_edit(changed, session.applied[0].edit) == changed.replace("...", "first_1")
        session.cancel("slow")
        with pytest.raises(Exception, match=r"(?i)cancel"):
            await running


async def test_the_status_counts_them(tmp_path: Path) -> None:
    async with editor(tmp_path, script=SLOW) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        running = session.request(types.CODE_ACTION_RESOLVE, action, "slow")
        await _first(session, uri)
        await session.until(lambda: any(_of(s, "verified") == 1 for s in session.statuses))
        status = await session.command("astral.status")
        assert (status["judged"] >= 1, status["verified"], status["running"]) == (True, 1, 1)
        await running
        await asyncio.sleep(0.2)
        status = await session.command("astral.status")
        assert (status["judged"], status["verified"], status["running"]) == (0, 0, 0)


def _of(status: Any, name: str) -> Any:
    return status.get(name) if isinstance(status, dict) else getattr(status, name)


async def test_who_asks_during_a_run_joins_it(tmp_path: Path) -> None:
    async with editor(tmp_path, script=SLOW) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        running = session.request(types.CODE_ACTION_RESOLVE, action, "slow")
        await _first(session, uri)
        answer = await session.command("astral.fillHole", uri=uri, position=POSITION, apply=False)
        assert len(answer["fills"]) == 4
        await running
        assert len(session.log("fill")) == 1


async def test_a_run_that_was_cut_short_goes_on_when_it_is_asked_for_again(tmp_path: Path) -> None:
    async with editor(tmp_path, script=SLOW) as session:
        news: list[Any] = []
        session.client.feature("astral/fills")(lambda params: news.append(params))
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        running = session.request(types.CODE_ACTION_RESOLVE, action, "slow")
        first = (await _first(session, uri))[0]
        session.cancel("slow")
        with pytest.raises(Exception, match=r"(?i)cancel"):
            await running
        await session.until(lambda: session.log("stopped"))
        assert (await session.actions(uri, WHERE))[0].title == first.title, "what there is, is kept"
        answer = await session.command(
            "astral.fillHole", uri=uri, position=POSITION, apply=False, partial="p"
        )
        assert [fill.text for fill in news[0].fills] == ["first_1"], "shown at once"
        assert [fill["text"] for fill in answer["fills"]] == ["first_1", "second_1", "'third_1'", "fourth_1"]


async def test_a_run_that_overruns_gives_what_was_judged(tmp_path: Path) -> None:
    script = {"delay": 12.0, "deaf": True}
    async with editor(tmp_path, script=script, settings={"fill": {"budgetS": 3.5}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        (action,) = await session.actions(uri, WHERE)
        resolved = await session.client.code_action_resolve_async(action)
        assert apply_edit(TEXT, resolved.edit) == TEXT.replace("...", "first_1")
        assert len(session.log("fill")) == 1
