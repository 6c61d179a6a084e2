"""Cancelling cancels: by $/cancelRequest, by the progress bar, by nobody waiting any more; and in storms."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.server.harness import Editor, apply_edit, at, cursor, editor

TEXT, WHERE = cursor("def area(width: int, height: int) -> int:\n    return .$0..\n")
MANY = "".join(f"def f{n}(x: int) -> int:\n    return ...\n\n\n" for n in range(12))


async def _cancelled(future: asyncio.Future[Any]) -> bool:
    try:
        await asyncio.wait_for(future, 5)
    except JsonRpcException as error:
        return error.code == types.LSPErrorCodes.RequestCancelled
    return False


async def test_cancelling_a_resolve_stops_the_fill(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 20.0}) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        future = session.request(types.CODE_ACTION_RESOLVE, action, "r1")
        await session.until(lambda: session.log("fill"))
        began = time.monotonic()
        session.cancel("r1")
        assert await _cancelled(future)
        assert time.monotonic() - began < 1.0
        await session.until(lambda: session.log("stopped"))


async def test_cancelling_a_command_stops_the_fill(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 20.0}) as session:
        uri = session.open("area.py", TEXT)
        argument = {"uri": uri, "position": {"line": 1, "character": 12}}
        params = types.ExecuteCommandParams("astral.fillHole", [argument])
        future = session.request(types.WORKSPACE_EXECUTE_COMMAND, params, "c1")
        await session.until(lambda: session.log("fill"))
        session.cancel("c1")
        assert await _cancelled(future)
        await session.until(lambda: session.log("stopped"))
        assert not session.applied


async def test_an_engine_that_does_not_listen_is_abandoned(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 60.0, "deaf": True}) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        future = session.request(types.CODE_ACTION_RESOLVE, action, "r1")
        await session.until(lambda: session.log("fill"))
        session.cancel("r1")
        assert await _cancelled(future)
        await session.until(lambda: session.log("cancelled"))


async def test_the_progress_bar_shows_and_its_cancel_button_works(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 8.0}) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        future = session.request(types.CODE_ACTION_RESOLVE, action, "r1")
        reports = session.client.progress_reports
        # not before the first candidate is there
        await session.until(
            lambda: any("1 judged" in str(getattr(v, "message", "")) for vs in reports.values() for v in vs),
            8,
        )
        ((token, values),) = reports.items()
        assert isinstance(values[0], types.WorkDoneProgressBegin)
        assert values[0].title == "Filling the hole on line 2"
        assert values[0].cancellable
        session.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))
        assert await _cancelled(future)
        await session.until(lambda: isinstance(values[-1], types.WorkDoneProgressEnd))
        titles = await session.titles(uri, WHERE)
        assert titles[0] == "Fill hole: `first_1` · types ✓ · tests ✓ 3", "the best so far is in the list"


async def test_a_bar_over_many_holes_says_which_one_and_how_far_it_is(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 0.6}) as session:
        uri = session.open("two.py", TEXT + "x: int = ...\n")
        await session.until(lambda: session.statuses)
        await session.command("astral.fillFile", uri=uri)
        (values,) = session.client.progress_reports.values()
        await session.until(lambda: isinstance(values[-1], types.WorkDoneProgressEnd))
        said = [(v.message, v.percentage) for v in values if isinstance(v, types.WorkDoneProgressReport)]
        assert values[0].title == "Filling 2 holes"
        assert ("2 of 2, line 3", 50) in said or ("2 of 2, line 3: 0 judged", 50) in said
        assert all(str(message).startswith(("1 of 2, line 2", "2 of 2, line 3")) for message, _ in said)
        assert [percentage for _, percentage in said] == sorted(percentage for _, percentage in said)


async def test_a_client_token_is_used(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 0.4}) as session:
        uri = session.open("area.py", TEXT)
        session.client.progress_reports["mine"] = []
        argument = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False}
        params = types.ExecuteCommandParams("astral.fillHole", [argument], work_done_token="mine")
        await session.client.workspace_execute_command_async(params)
        values = session.client.progress_reports["mine"]
        await session.until(lambda: values and isinstance(values[-1], types.WorkDoneProgressEnd))
        assert isinstance(values[0], types.WorkDoneProgressBegin)


async def test_two_who_wait_share_one_fill_and_one_may_leave(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 0.8}) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        one = session.request(types.CODE_ACTION_RESOLVE, action, "r1")
        other = session.request(types.CODE_ACTION_RESOLVE, action, "r2")
        await session.until(lambda: session.log("fill"))
        session.cancel("r1")
        assert await _cancelled(one)
        resolved = await asyncio.wait_for(other, 5)
        assert apply_edit(TEXT, resolved.edit) == TEXT.replace("...", "first_1")
        assert len(session.log("fill")) == 1


async def test_lists_stay_quick_during_a_fill(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 3.0}) as session:
        uri = session.open("area.py", TEXT)
        (action,) = await session.actions(uri, WHERE)
        future = session.request(types.CODE_ACTION_RESOLVE, action, "r1")
        await session.until(lambda: session.log("fill"))
        began = time.monotonic()
        for _ in range(20):
            await session.actions(uri, WHERE)
        assert time.monotonic() - began < 1.0
        assert not future.done()
        session.cancel("r1")
        await _cancelled(future)


@pytest.mark.slow
async def test_a_storm_of_requests_and_cancels_leaves_none_unanswered(tmp_path: Path) -> None:
    random_ = random.Random(5)
    async with editor(tmp_path, script={"delay": 0.05}, process=True) as session:
        uri = session.open("many.py", MANY)
        futures = []
        for number in range(300):
            futures.append(_random_request(random_, session, uri, f"s{number}"))
            if random_.random() < 0.5:
                session.cancel(f"s{random_.randint(max(0, number - 5), number)}")
            if random_.random() < 0.2:
                session.change(uri, (at(0, 0), random_.choice(["\n", "# note\n", "x = ...\n"])))
            if random_.random() < 0.2:
                await asyncio.sleep(0.01)
            session.cancel(f"nonsense-{number}")
        done = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 60)
        assert len(done) == 300
        for answer in done:
            assert not isinstance(answer, Exception) or isinstance(answer, JsonRpcException), answer
        codes = {answer.code for answer in done if isinstance(answer, JsonRpcException)}
        assert types.ErrorCodes.InternalError not in codes
        assert await session.actions(uri, at(0, 0)) is not None


def _random_request(random_: random.Random, session: Editor, uri: str, number: str) -> asyncio.Future[Any]:
    line = random_.randrange(48)
    position = types.Position(line, random_.randrange(16))
    document = types.TextDocumentIdentifier(uri)
    argument = {"uri": uri, "position": {"line": line, "character": 12}, "apply": False}
    requests: list[tuple[str, Any]] = [
        (types.TEXT_DOCUMENT_CODE_ACTION, session.actions_params(uri, types.Range(position, position))),
        (types.TEXT_DOCUMENT_HOVER, types.HoverParams(document, position)),
        (types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensParams(document)),
        (types.TEXT_DOCUMENT_COMPLETION, types.CompletionParams(document, position)),
        (types.WORKSPACE_EXECUTE_COMMAND, types.ExecuteCommandParams("astral.fillHole", [argument])),
        (types.WORKSPACE_EXECUTE_COMMAND, types.ExecuteCommandParams("astral.fillFunction", [argument])),
    ]
    method, params = random_.choice(requests)
    return session.request(method, params, number)
