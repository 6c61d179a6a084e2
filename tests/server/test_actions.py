"""Code actions: the list never computes, resolve fills, titles say what was verified."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types

from tests.server.harness import apply_edit, cursor, editor

TEXT = """\
def area(width: int, height: int) -> int:
    return .$0..  # fill: width * height
"""


@pytest.mark.parametrize("profile", ["vscode", "neovim", "emacs"])
async def test_an_unknown_hole_offers_one_action_that_resolve_fills(tmp_path: Path, profile: str) -> None:
    text, where = cursor(TEXT)
    async with editor(tmp_path, profile, process=True) as session:
        uri = session.open("area.py", text)
        (action,) = await session.actions(uri, where)
        assert action.title == "Fill hole"
        assert action.edit is None
        assert not session.log("fill"), "the list computed"
        if profile == "emacs":  # no resolveSupport: a command that applies the edit
            assert action.data is None
            result = await session.client.workspace_execute_command_async(
                types.ExecuteCommandParams(action.command.command, action.command.arguments)
            )
            assert result["applied"] == "width * height"
            (edit,) = (applied.edit for applied in session.applied)
        else:
            edit = (await session.client.code_action_resolve_async(action)).edit
        assert apply_edit(text, edit) == text.replace("...", "width * height")
        if profile == "neovim":  # it does not claim documentChanges
            assert edit.document_changes is None
        else:
            assert edit.document_changes[0].text_document.version == 1


async def test_known_fills_are_listed_with_their_verdicts(tmp_path: Path) -> None:
    text, where = cursor(TEXT)
    async with editor(tmp_path) as session:
        uri = session.open("area.py", text)
        (action,) = await session.actions(uri, where)
        await session.client.code_action_resolve_async(action)
        actions = await session.actions(uri, where)
        assert [action.title for action in actions] == [
            "Fill hole: `width * height` · types ✓ · tests ✓ 3",
            "Fill hole: `second_1` · types ✓ · tests –",
            "Insert unverified: `'third_1'` · types ✗ · tests –",
            "Insert unverified: `fourth_1` · types ? · tests ✗",
            "Fill hole with another candidate",
            "Why were the other candidates rejected?",
            "Refine hole: `... * ...` · leaves 2",
        ]
        assert [bool(action.is_preferred) for action in actions] == [True] + [False] * 6
        assert len(session.log("fill")) == 1
        resolved = await session.client.code_action_resolve_async(actions[2])
        assert apply_edit(text, resolved.edit) == text.replace("...", "'third_1'")


async def test_kinds_and_only(tmp_path: Path) -> None:
    text, where = cursor(TEXT)
    async with editor(tmp_path) as session:
        uri = session.open("area.py", text)

        async def kinds(*only: str) -> list[str]:
            return [str(a.kind) for a in await session.actions(uri, where, only=list(only))]

        assert await kinds("refactor") == ["refactor.rewrite.fillHole"]
        assert await kinds("refactor.rewrite.fillHole") == ["refactor.rewrite.fillHole"]
        assert await kinds("refactor.rewrite.fillHole.x") == []
        assert await kinds("refactor.rewrite.fill") == []
        assert await kinds("quickfix") == ["quickfix"]
        assert await kinds("source") == []
        assert await kinds("") == ["refactor.rewrite.fillHole"]
        await session.until(lambda: session.client.diagnostics.get(uri))
        (diagnostic,) = session.client.diagnostics[uri]
        (action,) = await session.actions(uri, where, diagnostics=[diagnostic])
        assert action.kind == types.CodeActionKind.QuickFix
        assert list(action.diagnostics) == [diagnostic]
