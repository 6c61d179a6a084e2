"""The server towards editors that are not in the package registries: each by what it announces."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from lsprotocol import types

from tests.editors.profiles.profiles import PROFILES, capabilities
from tests.server import harness
from tests.server.harness import Editor

TEXT = 'name = "𝒳🎉é"; value: int = ...  # fill: len("🎉")\n'
HOLE = TEXT.index("...")

Open = Callable[[str], AbstractAsyncContextManager[Editor]]
every_editor = pytest.mark.parametrize("name", sorted(PROFILES))


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a session as the editor called so."""
    monkeypatch.setattr(harness, "client_capabilities", capabilities)
    return lambda name: harness.editor(tmp_path, name)


def units(session: Editor, text: str) -> int:
    """Length of ``text`` as this session counts characters."""
    encoding = session.init.capabilities.position_encoding or "utf-16"
    return {
        "utf-8": len(text.encode()),
        "utf-16": len(text.encode("utf-16-le")) // 2,
        "utf-32": len(text),
    }[str(getattr(encoding, "value", encoding))]


def hole_range(session: Editor) -> types.Range:
    """Where the hole of TEXT is."""
    start = units(session, TEXT[:HOLE])
    return types.Range(types.Position(0, start), types.Position(0, start + 3))


def only_edit(edit: types.WorkspaceEdit | None) -> types.TextEdit:
    """The only text edit, which must name a version other than 0."""
    assert edit is not None
    assert edit.changes is None
    (change,) = edit.document_changes or ()
    assert isinstance(change, types.TextDocumentEdit)
    assert change.text_document.version, "version 0 and none mean trouble in Helix and Sublime Text"
    (text_edit,) = change.edits
    assert isinstance(text_edit, types.TextEdit)
    return text_edit


@every_editor
async def test_a_fill_is_listed_resolved_and_placed_in_the_editors_own_units(start: Open, name: str) -> None:
    async with start(name) as session:
        uri = session.open("module.py", TEXT)
        where = hole_range(session)
        (action,) = await session.actions(uri, where)
        assert (action.title, action.edit, action.command) == ("Fill hole", None, None)
        resolved = await session.client.code_action_resolve_async(action)
        edit = only_edit(resolved.edit)
        assert (edit.range, edit.new_text) == (where, 'len("🎉")')


async def test_helix_gets_utf_8_and_the_others_utf_16(start: Open) -> None:
    chosen = {}
    for name in PROFILES:
        async with start(name) as session:
            encoding = session.init.capabilities.position_encoding
            chosen[name] = str(getattr(encoding, "value", encoding or "utf-16"))
    assert chosen == {"helix": "utf-8", "sublime": "utf-16", "zed": "utf-16"}


@every_editor
@pytest.mark.parametrize(
    ("only", "kind"),
    [("quickfix", "quickfix"), ("refactor", "refactor.rewrite.fillHole"), ("source", None)],
)
async def test_kinds_that_editors_filter_by(start: Open, name: str, only: str, kind: str | None) -> None:
    async with start(name) as session:
        uri = session.open("module.py", TEXT)
        actions = await session.actions(uri, hole_range(session), only=[only])
        assert [action.kind for action in actions] == ([kind] if kind else [])


@every_editor
async def test_holes_are_marked_with_their_type_without_being_asked(start: Open, name: str) -> None:
    async with start(name) as session:
        uri = session.open("module.py", TEXT)
        found = session.client.diagnostics

        def typed() -> bool:
            return [d.message for d in found.get(uri, ())] == ["Hole: expected `int`"]

        await session.until(typed)
        assert found[uri][0].range == hole_range(session)


@every_editor
async def test_known_fills_carry_only_properties_that_the_editor_knows(start: Open, name: str) -> None:
    announced = PROFILES[name]["textDocument"]["codeAction"]
    async with start(name) as session:
        uri = session.open("module.py", TEXT)
        (action,) = await session.actions(uri, hole_range(session))
        await session.client.code_action_resolve_async(action)
        actions = await session.actions(uri, hole_range(session))
        assert actions[0].title == 'Fill hole: `len("🎉")` · types ✓ · tests ✓ 3'
        assert any(a.is_preferred for a in actions) == bool(announced.get("isPreferredSupport"))
        assert all(a.disabled is None and a.tags is None for a in actions)


@every_editor
async def test_a_command_fills_and_the_edit_carries_no_annotation(start: Open, name: str) -> None:
    async with start(name) as session:
        uri = session.open("module.py", TEXT)
        position = {"line": 0, "character": units(session, TEXT[:HOLE])}
        await session.command("astral.fillHole", uri=uri, position=position)
        (applied,) = session.applied
        assert applied.edit.change_annotations is None
        assert only_edit(applied.edit).range == hole_range(session)


@every_editor
async def test_an_explanation_is_shown_or_logged(start: Open, name: str) -> None:
    async with start(name) as session:
        uri = session.open("module.py", TEXT)
        position = {"line": 0, "character": units(session, TEXT[:HOLE])}
        await session.command("astral.fillHole", uri=uri, position=position, apply=False)
        answer = await session.command("astral.explainRejected", uri=uri, position=position)
        text = answer["text"] if isinstance(answer, dict) else answer.text
        assert "Incompatible types" in text
        shown = [params.uri for params in session.client.shown_documents]
        if "showDocument" in PROFILES[name]["window"]:
            assert shown[0].startswith("file:")
        else:
            assert shown == []
            assert "the explanation is in the server's log" in session.messages[-1]
