"""Every edit names its version; a moved hole is followed, a changed one refused saying which."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.server.harness import Editor, apply_edit, at, cursor, editor

TEXT, WHERE = cursor("def area(width: int, height: int) -> int:\n    return .$0..\n")
ABOVE = "import os\nimport sys\n"


async def _listed(session: Editor, uri: str) -> Any:
    (action,) = await session.actions(uri, WHERE)
    return action


async def test_a_hole_that_moved_before_resolve_is_followed(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        action = await _listed(session, uri)
        session.change(uri, (at(0, 0), ABOVE))
        resolved = await session.client.code_action_resolve_async(action)
        assert apply_edit(ABOVE + TEXT, resolved.edit) == ABOVE + TEXT.replace("...", "first_1")
        assert resolved.edit.document_changes[0].text_document.version == 2


async def test_a_hole_that_moved_during_the_fill_is_followed_and_said_so(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 0.5}) as session:
        uri = session.open("area.py", TEXT)
        action = await _listed(session, uri)
        future = session.request(types.CODE_ACTION_RESOLVE, action, "r1")
        await session.until(lambda: session.log("fill"))
        session.change(uri, (at(0, 0), ABOVE))
        session.change(uri, (at(4, 0), "# after\n"))
        resolved = await asyncio.wait_for(future, 5)
        text = ABOVE + TEXT + "# after\n"
        assert apply_edit(text, resolved.edit) == text.replace("...", "first_1")
        assert resolved.edit.document_changes[0].text_document.version == 3
        assert any("checked in version 1 and moved to version 3" in message for message in session.messages)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((at(1, 11, 14), "x"), "was edited since version 1 (now 2)"),
        ((at(1, 12, 13), "!"), "was edited since version 1 (now 2)"),
        ((at(0, 0), "# "), "is not there"),
        ((at(1, 11), "# "), "is no hole any more in version 2"),
        ((None, "y = 1\n"), "was edited since version 1 (now 2)"),
    ],
)
async def test_a_hole_that_changed_is_refused(
    tmp_path: Path, change: tuple[types.Range | None, str], sentence: str
) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        action = await _listed(session, uri)
        session.change(uri, change)
        if sentence == "is not there":  # a comment before the function leaves the hole alone
            assert (await session.client.code_action_resolve_async(action)).edit is not None
            return
        with pytest.raises(JsonRpcException) as caught:
            await session.client.code_action_resolve_async(action)
        assert sentence in str(caught.value)
        assert caught.value.code == types.LSPErrorCodes.ContentModified
        await session.until(lambda: session.messages)
        assert sentence in session.messages[0], "the person is told too"


async def test_an_undo_brings_the_verdicts_back_and_an_edit_elsewhere_takes_them(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        await session.client.code_action_resolve_async(await _listed(session, uri))
        session.change(uri, (at(1, 11, 14), "first_1"))  # applied ...
        assert await session.actions(uri, WHERE) == []
        session.change(uri, (at(1, 11, 18), "..."))  # ... and undone
        titles = await session.titles(uri, WHERE)
        assert titles[0] == "Fill hole: `first_1` · types ✓ · tests ✓ 3"
        session.change(uri, (at(2, 0), "x = 1\n"))
        actions = await session.actions(uri, WHERE)
        assert actions[0].title == "Fill hole: `first_1` · types – · tests – (checked before later edits)"
        assert not any(action.is_preferred for action in actions)
        assert "Fill hole" in [action.title for action in actions]
        resolved = await session.client.code_action_resolve_async(actions[0])
        assert resolved.edit.document_changes[0].text_document.version == 4


async def test_a_closed_document_is_refused(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        action = await _listed(session, uri)
        session.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
        )
        with pytest.raises(JsonRpcException, match="is not open in the editor"):
            await session.client.code_action_resolve_async(action)


async def test_version_zero_is_named_as_it_is(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT, version=0)
        resolved = await session.client.code_action_resolve_async(await _listed(session, uri))
        assert resolved.edit.document_changes[0].text_document.version == 0


async def test_a_change_of_an_unknown_document_and_of_none_does_no_harm(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.uri("nowhere.py")
        session.versions[uri] = 1
        session.change(uri, (at(0, 0), "x"))
        assert await session.actions(uri, WHERE) == []
        uri = session.open("area.py", TEXT)
        session.change(uri)
        assert (await _listed(session, uri)).title == "Fill hole"


async def test_a_picked_candidate_is_inserted_although_somebody_typed_during_the_fill(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 0.5}) as session:
        uri = session.open("area.py", TEXT)
        where = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False}
        picking = asyncio.ensure_future(session.command("astral.fillHole", **where))
        await session.until(lambda: session.log("fill"))
        session.change(uri, (at(0, 0), ABOVE))
        found = await picking
        assert found["range"]["start"]["line"] == 3
        await session.command("astral.applyFill", **found["fills"][0]["argument"])
        assert apply_edit(ABOVE + TEXT, session.applied[0].edit) == ABOVE + TEXT.replace("...", "first_1")
