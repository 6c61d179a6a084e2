"""Messages late, twice, reversed or about what is gone: an edit fits the present text, or there is none."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.server.harness import apply_edit, at, editor

STEPS = 150
PIECES = ["x", "\n", "# 😀\n", "    ", "é", "pass\n", "'𝒳'", "", "", "("]


def _program(holes: int) -> str:
    return "".join(f"def f{n}(x: int) -> int:\n    return ?h{n}_\n\n\n" for n in range(holes))


def _position(text: str, offset: int) -> types.Position:
    before = text[:offset]
    return types.Position(before.count("\n"), len(before.rsplit("\n", 1)[-1].encode("utf-16-le")) // 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_an_old_action_resolves_to_the_right_edit_or_is_refused(tmp_path: Path, seed: int) -> None:
    """Every hole has a name of its own and its fill carries it, so a wrong place or a wrong fill shows."""
    random_ = random.Random(seed)
    async with editor(tmp_path) as session:
        text = _program(8)
        uri = session.open("many.py", text)
        kept: list[Any] = []
        codes: list[int] = []
        """Of those that were refused."""
        done = 0
        for _ in range(STEPS):
            for _ in range(random_.randrange(4)):
                start = random_.randrange(len(text) + 1)
                end = min(len(text), start + random_.choice((0, 0, 1, 2)))
                new = random_.choice(PIECES)
                session.change(uri, (types.Range(_position(text, start), _position(text, end)), new))
                text = text[:start] + new + text[end:]
            line = random_.randrange(text.count("\n") + 1)
            actions = await session.actions(uri, at(line, 0))
            kept += [action for action in actions if action.data is not None]
            if not kept:
                continue
            action = kept.pop(random_.randrange(len(kept)))
            try:
                resolved = await session.client.code_action_resolve_async(action)
            except JsonRpcException as error:
                codes.append(error.code)
                continue
            _assert_only_that_hole_is_filled(text, apply_edit(text, resolved.edit), action.data["text"])
            done += 1
            if random_.random() < 0.1:
                text = _program(8)
                session.change(uri, (None, text))
        assert done > 20
        assert len(codes) > 5
        assert types.ErrorCodes.InternalError not in codes


def _assert_only_that_hole_is_filled(before: str, after: str, hole: str) -> None:
    places = [match.span() for match in re.finditer(re.escape(hole), before)]
    assert any(
        after.startswith(before[:start])
        and after.endswith(before[end:])
        and re.fullmatch(
            r"'?(first|second|third|fourth)_\d+'?", after[start : len(after) - len(before) + end]
        )
        for start, end in places
    ), (before, after, hole)


async def test_answers_come_in_the_order_of_their_work(tmp_path: Path) -> None:
    text = _program(1)
    async with editor(tmp_path, script={"delay": 0.6}) as session:
        uri = session.open("a.py", text)
        (action, *_) = await session.actions(uri, at(1, 12))
        slow = session.request(types.CODE_ACTION_RESOLVE, action, "slow")
        quick = [session.actions(uri, at(1, 12)) for _ in range(20)]
        await asyncio.wait_for(asyncio.gather(*quick), 5)
        assert not slow.done(), "a list waited for a fill"
        assert (await asyncio.wait_for(slow, 5)).edit is not None


async def test_a_request_under_a_used_id_and_a_cancel_of_an_answered_one(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("a.py", _program(1))
        params = session.actions_params(uri, at(1, 12))
        for _ in range(3):
            assert await session.request(types.TEXT_DOCUMENT_CODE_ACTION, params, "same")
            session.cancel("same")
        assert await session.request(types.TEXT_DOCUMENT_CODE_ACTION, params, "same")


async def test_versions_that_stand_still_or_go_back(tmp_path: Path) -> None:
    """Some editors count from zero again, or send 0 for ever: the text is still the one that was sent."""
    async with editor(tmp_path) as session:
        uri = session.open("a.py", _program(1), version=7)
        (action, *_) = await session.actions(uri, at(1, 12))
        for _ in range(3):
            session.versions[uri] = -1
            session.change(uri, (at(0, 0), "\n"))
        text = "\n\n\n" + _program(1)
        with pytest.raises(JsonRpcException, match="now 0"):
            await session.client.code_action_resolve_async(action)
        (action, *_) = await session.actions(uri, at(4, 12))
        resolved = await session.client.code_action_resolve_async(action)
        _assert_only_that_hole_is_filled(text, apply_edit(text, resolved.edit), "?h0_")


async def test_a_change_before_the_open_and_one_after_the_close(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.uri("a.py")
        session.versions[uri] = 0
        session.change(uri, (at(0, 0), "x"))
        session.open("a.py", _program(1))
        session.open("a.py", _program(2))  # opened twice: the later one counts
        assert len(await session.command("astral.listHoles", uri=uri)) == 2
        session.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
        )
        session.change(uri, (at(0, 0), "x"))
        session.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
        )
        assert await session.actions(uri, at(1, 12)) == []
        assert (await session.command("astral.status"))["state"] == "idle"


async def test_an_action_of_a_buffer_that_was_closed_and_opened_again(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("a.py", _program(2))
        actions = await session.actions(uri, at(5, 12))
        session.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
        )
        other = "import os\n" + _program(2)
        session.open("a.py", other)
        with pytest.raises(JsonRpcException, match="was edited since"):
            await session.client.code_action_resolve_async(actions[0])


async def test_a_buffer_that_closes_during_its_fill(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 0.5}) as session:
        uri = session.open("a.py", _program(1))
        (action, *_) = await session.actions(uri, at(1, 12))
        running = session.request(types.CODE_ACTION_RESOLVE, action, "r")
        await session.until(lambda: session.log("fill"))
        session.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
        )
        with pytest.raises(JsonRpcException, match="is not open in the editor"):
            await asyncio.wait_for(running, 5)
