"""Start, settings, trust, folders, notebooks, modes, big files, and every way of ending."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from astral_lsp.server import state
from astral_lsp.server.app import listen
from astral_lsp.server.life import is_alive
from tests.server.harness import REPOSITORY, SCRIPTED, Editor, apply_edit, at, cursor, editor
from tests.server.scripted import ScriptedEngine

TEXT, WHERE = cursor("def area(width: int) -> int:\n    return .$0..\n")


# --- settings and trust ---------------------------------------------------------------------------------


async def test_settings_come_from_the_project_then_the_editor_and_change_without_restart(
    tmp_path: Path,
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.astral-lsp.fill]\ncandidates = 7\n", "utf-8")
    async with editor(
        tmp_path, settings={"fill": {"budgetS": 2}, "serverPath": "x", "interpreter": None}
    ) as session:
        session.open("area.py", TEXT)
        await session.until(lambda: session.log("analyse"))
        session.client.set_configuration({"fill": {"candidates": 2}}, section="astral-lsp")
        session.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
        await session.until(lambda: [e["candidates"] for e in session.log("configure")] == [2])
        session.client.set_configuration({}, section="astral-lsp")
        session.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
        await session.until(lambda: [e["candidates"] for e in session.log("configure")] == [2, 7])
        assert not session.messages


async def test_a_wrong_setting_is_one_sentence_and_the_rest_holds(tmp_path: Path) -> None:
    async with editor(tmp_path, settings={"fill": {"candidates": "many"}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.messages)
        (message,) = session.messages
        assert "a setting is wrong" in message
        assert "fill.candidates" in message
        assert await session.titles(uri, WHERE) == ["Fill hole"]


async def test_editors_without_configuration_requests_send_settings_in_the_notification(
    tmp_path: Path,
) -> None:
    async with editor(tmp_path, extra={"workspace": {"configuration": False}}) as session:
        session.open("area.py", TEXT)
        await session.until(lambda: session.log("analyse"))
        settings = {"astral-lsp": {"fill": {"candidates": 3}}}
        session.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
        await session.until(lambda: [e["candidates"] for e in session.log("configure")] == [3])


async def test_trust_is_the_editors_word_then_the_persons_list_and_no_by_default(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.astral-lsp]\ntrusted = true\ninterpreter = 'evil'\n", "utf-8"
    )
    async with editor(tmp_path, options={}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.log("analyse"))
        status = await session.command("astral.status")
        assert status["trusted"] is False, "a workspace cannot trust itself"
        assert "untrusted workspace" in status["message"]
        assert (await session.command("astral.trustWorkspace", uri=uri))["trusted"] is True
        assert [e["trusted"] for e in session.log("configure")] == [True]
    async with editor(tmp_path, options={}) as session:
        assert (await session.command("astral.status"))["trusted"] is True, "it was remembered"
    async with editor(tmp_path, options={"trusted": False}) as session:
        assert (await session.command("astral.status"))["trusted"] is False, "the editor's word goes first"
        session.client.protocol.notify("astral/trust", {"trusted": True})
        await asyncio.sleep(0.1)
        assert (await session.command("astral.status"))["trusted"] is True


async def test_each_folder_has_its_own_engine_and_a_removed_one_is_closed(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    async with editor(tmp_path, folders=folders) as session:
        for name in ("one/a.py", "two/b.py"):
            session.open(name, TEXT)
        await session.until(lambda: len(session.log("analyse")) == 2)
        status = await session.command("astral.status")
        assert status["roots"] == [str(folder) for folder in folders]
        event = types.WorkspaceFoldersChangeEvent(
            added=[], removed=[types.WorkspaceFolder(folders[1].as_uri(), "two")]
        )
        session.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
        await session.until(lambda: len(session.log("close")) == 1)


async def test_other_files_changing_takes_the_verdicts_away(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        assert {r.method for r in session.registered} or await _registered(session)
        uri = session.open("area.py", TEXT)
        await session.command("astral.fillHole", uri=uri, position={"line": 1, "character": 12}, apply=False)
        assert (await session.titles(uri, WHERE))[0].endswith("types ✓ · tests ✓ 3")
        changes = [types.FileEvent(session.uri("other.py"), types.FileChangeType.Changed)]
        session.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(changes))
        assert (await session.titles(uri, WHERE))[0].endswith("(checked before later edits)")
        await session.until(lambda: session.log("files"))  # the engine lives in another thread
        assert session.log("files")[0]["paths"] == [str(tmp_path / "other.py")]


async def test_a_file_that_changes_during_a_fill_takes_its_verdicts_away(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 1.2}) as session:
        uri = session.open("area.py", TEXT)
        where = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False}
        running = asyncio.ensure_future(session.command("astral.fillHole", **where))
        while "first_1" not in (await session.titles(uri, WHERE))[0]:
            await asyncio.sleep(0.01)
        changes = [types.FileEvent(session.uri("other.py"), types.FileChangeType.Changed)]
        session.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(changes))
        answer = await running
        assert len(answer["fills"]) == 4
        assert (await session.titles(uri, WHERE))[0].endswith("(checked before later edits)")
        await session.command("astral.applyFill", **answer["fills"][1]["argument"])
        assert apply_edit(TEXT, session.applied[0].edit) == TEXT.replace("...", "second_1")


async def _while_filling(session: Editor, meanwhile: Callable[[str], Any]) -> tuple[str, Any]:
    """Do something while a fill runs; the buffer's URI and the fill's answer, or what it failed with."""
    uri = session.open("area.py", TEXT)
    await session.until(lambda: session.statuses)
    where = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False}
    running = asyncio.ensure_future(session.command("astral.fillHole", **where))
    await session.until(lambda: session.log("fill"))
    result = meanwhile(uri)
    if result is not None:
        await result
    (answer,) = await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), 10)
    return uri, answer


async def test_a_buffer_that_is_saved_during_its_fill_keeps_its_verdicts(tmp_path: Path) -> None:
    def save(uri: str) -> None:
        identifier = types.TextDocumentIdentifier(uri)
        session.client.text_document_did_save(types.DidSaveTextDocumentParams(identifier))
        changes = [types.FileEvent(uri, types.FileChangeType.Changed)]
        session.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(changes))

    async with editor(tmp_path, script={"delay": 0.6}) as session:
        uri, answer = await _while_filling(session, save)
        assert len(answer["fills"]) == 4
        actions = await session.actions(uri, WHERE)
        assert actions[0].title == "Fill hole: `first_1` · types ✓ · tests ✓ 3"
        assert actions[0].is_preferred


async def test_settings_that_change_during_a_fill_take_the_claim_of_its_verdicts(tmp_path: Path) -> None:
    def change(_uri: str) -> None:
        session.client.set_configuration({"verify": {"tests": {"timeoutMs": 5}}}, section="astral-lsp")
        session.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))

    async with editor(tmp_path, script={"delay": 1.0}) as session:
        uri, answer = await _while_filling(session, change)
        assert session.log("configure")
        assert len(answer["fills"]) == 4
        assert (await session.titles(uri, WHERE))[0].endswith("(checked before later edits)")


async def test_workers_that_are_restarted_during_a_fill_leave_it_answered(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 20.0}) as session:
        uri, answer = await _while_filling(session, lambda _uri: session.command("astral.restartWorkers"))
        assert isinstance(answer, JsonRpcException) or "fills" in answer
        assert session.log("close")
        assert (await session.titles(uri, WHERE))[0] == "Fill hole"


@pytest.mark.parametrize("watches", [True, False])
async def test_saving_a_buffer_takes_the_verdicts_of_the_others_away(tmp_path: Path, watches: bool) -> None:
    watching = {"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": watches}}}
    async with editor(tmp_path, extra=watching) as session:
        one, two = session.open("one.py", TEXT), session.open("two.py", TEXT)
        for uri in (one, two):
            place = {"uri": uri, "position": {"line": 1, "character": 12}}
            await session.command("astral.fillHole", **place, apply=False)
        identifier = types.TextDocumentIdentifier(two)
        session.client.text_document_did_save(types.DidSaveTextDocumentParams(identifier))
        if watches:
            changes = [types.FileEvent(two, types.FileChangeType.Changed)]
            session.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(changes))
        assert (await session.titles(one, WHERE))[0].endswith("(checked before later edits)")
        assert (await session.titles(two, WHERE))[0].endswith("types ✓ · tests ✓ 3"), "its text is the same"


async def _registered(session: Editor) -> bool:
    wanted = {types.WORKSPACE_DID_CHANGE_CONFIGURATION, types.WORKSPACE_DID_CHANGE_WATCHED_FILES}
    await session.until(lambda: {r.method for r in session.registered} == wanted)
    return True


# --- buffers of other kinds -------------------------------------------------------------------------------


async def test_an_untitled_buffer_is_filled(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("untitled:Untitled-1", TEXT)
        (action,) = await session.actions(uri, WHERE)
        resolved = await session.client.code_action_resolve_async(action)
        assert apply_edit(TEXT, resolved.edit) == TEXT.replace("...", "first_1")


async def test_a_notebooks_cells_are_one_program_and_edits_go_to_the_cell(tmp_path: Path) -> None:
    cells = ["%matplotlib inline\nimport os\n", "# Title", "size = 3", "area = size * ...\n"]
    async with editor(tmp_path, extra=NOTEBOOKS) as session:
        assert session.init.capabilities.notebook_document_sync is not None
        book, uris = _open_book(session, cells, ["python", "markdown", "python", "python"])
        (action,) = await session.actions(uris[3], at(0, 14))
        resolved = await session.client.code_action_resolve_async(action)
        assert apply_edit(cells[3], resolved.edit) == "area = size * first_1\n"
        (change,) = resolved.edit.document_changes
        assert change.text_document.uri == uris[3]
        (entry,) = session.log("fill")
        assert entry["text"] == "#matplotlib inline\nimport os\nsize = 3\narea = size * ...\n"
        assert (await session.titles(uris[3], at(0, 14)))[0].endswith("types ✓ · tests ✓ 3")
        _change_cell(session, book, uris[2], "size = 30")
        title = (await session.titles(uris[3], at(0, 14)))[0]
        assert title.endswith("(checked before later edits)"), "another cell is part of the program"
        where = {"uri": uris[3], "position": {"line": 0, "character": 15}}
        await session.command("astral.fillHole", **where, again=True, apply=False)
        assert "size = 30\n" in session.log("fill")[-1]["text"]
        session.client.notebook_document_did_close(
            types.DidCloseNotebookDocumentParams(
                types.NotebookDocumentIdentifier(book.uri), [types.TextDocumentIdentifier(u) for u in uris]
            )
        )
        assert await session.actions(uris[3], at(0, 14)) == []


async def test_the_way_from_hole_to_hole_goes_through_all_cells(tmp_path: Path) -> None:
    cells = ["a: int = ...\nb = ...\n", "# ...", "size = 3\n", "area = size * ...\n"]
    async with editor(tmp_path, extra=NOTEBOOKS) as session:
        _, uris = _open_book(session, cells, ["python", "markdown", "python", "python"])
        listed = await session.command("astral.listHoles", uri=uris[2])
        assert [uris.index(hole["uri"]) for hole in listed] == [0, 0, 3]
        assert await session.titles(uris[0], at(1, 5), only=["refactor.rewrite.fillHoles"]) == [
            "Fill all 2 holes of this cell",
            "Fill all 3 holes of this notebook",
        ]
        assert await session.titles(uris[3], at(0, 14), only=["refactor.rewrite.fillHoles"]) == [
            "Fill all 3 holes of this notebook"
        ]

        async def step(command: str, cell: int, line: int, character: int) -> tuple[int, int]:
            where = {"line": line, "character": character}
            found: Any = await session.command(command, uri=uris[cell], position=where)
            return uris.index(found["uri"]), found["range"]["start"]["line"]

        forward, back = "astral.nextHole", "astral.previousHole"
        assert await step(forward, 0, 0, 9) == (0, 1)
        assert await step(forward, 0, 1, 4) == (3, 0)
        assert await step(forward, 2, 0, 0) == (3, 0)
        assert await step(forward, 3, 0, 14) == (0, 0)
        assert await step(back, 3, 0, 14) == (0, 1)
        assert await step(back, 2, 0, 0) == (0, 1)
        assert await step(back, 0, 0, 0) == (3, 0)
        assert uris.index(session.client.shown_documents[1].uri) == 3


async def test_filling_a_notebook_fills_all_its_cells_each_fill_seeing_the_earlier_ones(
    tmp_path: Path,
) -> None:
    cells = ["a: int = ...  # 😀\nb = ...\n", "# ...", "size = 3\n", "%time x\narea = size * ...\n"]
    async with editor(tmp_path, extra=NOTEBOOKS) as session:
        _, uris = _open_book(session, cells, ["python", "markdown", "python", "python"])
        answer = await session.command("astral.fillFile", uri=uris[2])
        assert answer["message"] == "filled 3 of 3 holes in 2 cells, 3 verified"
        assert session.messages[-1] == f"astral-lsp: {answer['message']}"
        assert [entry["text"] for entry in session.log("fill")] == [
            "a: int = ...  # 😀\nb = ...\nsize = 3\n#time x\narea = size * ...\n",
            "a: int = first_1  # 😀\nb = ...\nsize = 3\n#time x\narea = size * ...\n",
            "a: int = first_1  # 😀\nb = first_1\nsize = 3\n#time x\narea = size * ...\n",
        ]
        (edit,) = (params.edit for params in session.applied)
        assert [change.text_document.uri for change in edit.document_changes] == [uris[0], uris[3]]
        one, other = (types.WorkspaceEdit(document_changes=[change]) for change in edit.document_changes)
        assert apply_edit(cells[0], one) == "a: int = first_1  # 😀\nb = first_1\n"
        assert apply_edit(cells[3], other) == "%time x\narea = size * first_1\n"


async def test_filling_a_cell_leaves_the_others(tmp_path: Path) -> None:
    cells = ["a: int = ...\n", "b = ...\n"]
    async with editor(tmp_path, extra=NOTEBOOKS) as session:
        _, uris = _open_book(session, cells, ["python", "python"])
        answer = await session.command("astral.fillCell", uri=uris[1])
        assert answer["message"] == "filled 1 of 1 hole, 1 verified"
        (change,) = session.applied[0].edit.document_changes
        assert change.text_document.uri == uris[1]


async def test_a_cell_that_changes_while_the_notebook_is_filled_is_left_and_named(tmp_path: Path) -> None:
    cells = ["a: int = ...\n", "b = ...\n"]
    async with editor(tmp_path, extra=NOTEBOOKS, script={"delay": 0.4}) as session:
        book, uris = _open_book(session, cells, ["python", "python"])
        running = asyncio.ensure_future(session.command("astral.fillFile", uri=uris[0]))
        await session.until(lambda: len(session.log("fill")) == 2)
        _change_cell(session, book, uris[1], "b = 7\n")
        answer = await running
        assert answer["filled"] == 1
        assert answer["left"][0]["uri"] == uris[1]
        assert "left cell 2 line 1: the hole `...` was edited" in answer["message"]
        assert "the buffer changed meanwhile" in answer["message"]
        (change,) = session.applied[0].edit.document_changes
        assert change.text_document.uri == uris[0]


async def test_a_notebook_without_holes_says_so(tmp_path: Path) -> None:
    async with editor(tmp_path, extra=NOTEBOOKS) as session:
        _, uris = _open_book(session, ["a = 1\n"], ["python"])
        with pytest.raises(JsonRpcException, match="no hole in this notebook"):
            await session.command("astral.fillFile", uri=uris[0])
        with pytest.raises(JsonRpcException, match="no hole in this cell"):
            await session.command("astral.fillCell", uri=uris[0])


NOTEBOOKS = {"notebookDocument": {"synchronization": {}}}


def _open_book(
    session: Editor, cells: list[str], languages: list[str]
) -> tuple[types.NotebookDocument, list[str]]:
    path = session.root / "book.ipynb"
    uris = [f"vscode-notebook-cell:{path}#W{number}" for number in range(len(cells))]
    kinds = [
        types.NotebookCellKind.Code if name == "python" else types.NotebookCellKind.Markup
        for name in languages
    ]
    book = types.NotebookDocument(
        uri=f"file://{path}",
        notebook_type="jupyter-notebook",
        version=1,
        cells=[types.NotebookCell(kind, uri) for kind, uri in zip(kinds, uris, strict=True)],
    )
    items = [
        types.TextDocumentItem(uri, language, 1, text)
        for uri, language, text in zip(uris, languages, cells, strict=True)
    ]
    session.client.notebook_document_did_open(types.DidOpenNotebookDocumentParams(book, items))
    return book, uris


def _change_cell(session: Editor, book: types.NotebookDocument, uri: str, text: str) -> None:
    content = types.NotebookDocumentCellContentChanges(
        document=types.VersionedTextDocumentIdentifier(2, uri),
        changes=[types.TextDocumentContentChangeWholeDocument(text)],
    )
    event = types.NotebookDocumentChangeEvent(cells=types.NotebookDocumentCellChanges(text_content=[content]))
    identifier = types.VersionedNotebookDocumentIdentifier(2, book.uri)
    session.client.notebook_document_did_change(types.DidChangeNotebookDocumentParams(identifier, event))


async def test_two_hundred_holes(tmp_path: Path) -> None:
    text = "".join(f"def f{n}(x: int) -> int:\n    return ...\n" for n in range(200))
    async with editor(tmp_path) as session:
        uri = session.open("many.py", text)
        listed = await session.command("astral.listHoles", uri=uri)
        assert len(listed) == 200
        await session.until(lambda: sum(e["holes"] for e in session.log("analyse")) == 200)
        await session.until(lambda: len(session.client.diagnostics.get(uri, ())) == 200)
        answer = await session.command("astral.fillFile", uri=uri)
        assert answer["filled"] == 200
        filled = apply_edit(text, session.applied[0].edit)
        assert "..." not in filled


async def test_twenty_thousand_lines(tmp_path: Path) -> None:
    text = "".join(f"def f{n}(x: int) -> int:\n    y = x + {n}\n    return y\n\n" for n in range(5000)) + TEXT
    async with editor(tmp_path) as session:
        uri = session.open("long.py", text)
        where = at(20001, 12)
        assert await session.titles(uri, where) == ["Fill hole"]
        slowest = 0.0
        for number in range(40):
            session.change(uri, (at(number * 400 + 1, 4), "z"))
            began = time.monotonic()
            await session.actions(uri, where)
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 2.0
        (action,) = await session.actions(uri, where)
        resolved = await session.client.code_action_resolve_async(action)
        assert resolved.edit.document_changes[0].edits[0].range == at(20001, 11, 14)


# --- modes --------------------------------------------------------------------------------------------------


async def test_manual_mode_fills_nothing_by_itself(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.log("analyse"))
        await session.actions(uri, WHERE, trigger=types.CodeActionTriggerKind.Automatic)
        await asyncio.sleep(0.5)
        assert not session.log("fill")


async def test_the_context_of_the_hole_at_the_cursor_is_read_ahead_once(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        for _ in range(2):
            await session.actions(uri, WHERE, trigger=types.CodeActionTriggerKind.Automatic)
            await session.until(lambda: session.log("read_ahead"))
        await asyncio.sleep(0.4)
        assert len(session.log("read_ahead")) == 1
        session.change(uri, (types.Range(types.Position(0, 0), types.Position(0, 0)), "# new\n"))
        lower = types.Range(
            types.Position(WHERE.start.line + 1, WHERE.start.character),
            types.Position(WHERE.end.line + 1, WHERE.end.character),
        )
        await session.actions(uri, lower, trigger=types.CodeActionTriggerKind.Automatic)
        await session.until(lambda: len(session.log("read_ahead")) == 2)


async def _hover(session: Editor, uri: str) -> None:
    params = types.HoverParams(types.TextDocumentIdentifier(uri), WHERE.start)
    assert await session.client.text_document_hover_async(params)


async def test_a_hover_reads_ahead_too_once_and_fills_nothing(tmp_path: Path) -> None:
    """Some editors ask for code actions only when the person does, but for a hover where the cursor rests."""
    async with editor(tmp_path, settings={"fill": {"mode": "onHole"}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        for _ in range(3):
            await _hover(session, uri)
            await session.until(lambda: session.log("read_ahead"))
        await asyncio.sleep(0.4)
        assert len(session.log("read_ahead")) == 1
        assert not session.log("fill"), "the pointer only passed by"


async def test_nothing_is_read_ahead_under_a_fill_and_a_fill_waits_for_no_reading(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 1.2, "read_seconds": 30.0}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        where = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False}
        running = asyncio.ensure_future(session.command("astral.fillHole", **where))
        await session.until(lambda: session.log("fill"))
        await _hover(session, uri)
        await session.actions(uri, WHERE, trigger=types.CodeActionTriggerKind.Automatic)
        assert len((await running)["fills"]) == 4
        assert not session.log("read_ahead")
        await _hover(session, uri)
        await session.until(lambda: session.log("read_ahead"))
        began = time.monotonic()
        assert len((await session.command("astral.fillHole", **where, again=True))["fills"]) == 4
        assert time.monotonic() - began < 5.0


async def test_a_reading_ends_with_the_next_one_with_an_edit_and_with_the_buffer(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"read_seconds": 30.0}) as session:
        uri = session.open("area.py", TEXT + "x: int = ...\n")

        async def read(line: int, character: int) -> None:
            position = types.Position(line, character)
            params = types.HoverParams(types.TextDocumentIdentifier(uri), position)
            count = len(session.log("read_ahead"))
            await session.client.text_document_hover_async(params)
            await session.until(lambda: len(session.log("read_ahead")) > count)

        def cancelled(times: int) -> bool:
            return len(session.log("reading_cancelled")) == times

        await read(1, 12)
        await read(2, 10)
        await session.until(lambda: cancelled(1))
        session.change(uri, (at(2, 0), "# typed\n"))
        await session.until(lambda: cancelled(2))
        await read(3, 10)
        session.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
        )
        await session.until(lambda: cancelled(3))


async def test_a_hole_looked_at_before_the_model_was_loaded_is_read_at_the_next_look(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"loading": 0.1}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        await _hover(session, uri)
        await asyncio.sleep(0.5)
        assert not session.log("read_ahead")
        await session.command("astral.loadModel", uri=uri)
        await _hover(session, uri)
        await session.until(lambda: session.log("read_ahead"))


async def test_nothing_is_read_ahead_when_the_cursor_moves_on_or_the_setting_is_off(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        await session.actions(uri, WHERE, trigger=types.CodeActionTriggerKind.Automatic)
        session.change(uri, (types.Range(types.Position(0, 0), types.Position(0, 0)), "# new\n"))
        await asyncio.sleep(0.5)
        assert not session.log("read_ahead")
    async with editor(tmp_path, settings={"fill": {"readAhead": False}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        await session.actions(uri, WHERE, trigger=types.CodeActionTriggerKind.Automatic)
        await asyncio.sleep(0.5)
        assert not session.log("read_ahead")


async def test_on_hole_mode_fills_where_the_cursor_rests(tmp_path: Path) -> None:
    async with editor(tmp_path, settings={"fill": {"mode": "onHole"}}) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        await session.actions(uri, WHERE, trigger=types.CodeActionTriggerKind.Automatic)
        await session.until(lambda: session.log("fill"))
        await asyncio.sleep(0.1)
        assert (await session.titles(uri, WHERE))[0] == "Fill hole: `first_1` · types ✓ · tests ✓ 3"
        assert not session.client.progress_reports, "background work shows no bar"


@pytest.mark.slow
async def test_on_idle_mode_fills_every_hole_after_a_pause_and_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from astral_lsp.server import background

    monkeypatch.setattr(background, "IDLE_SECONDS", 0.2)
    text = TEXT + "x: int = ...\n"
    async with editor(tmp_path, settings={"fill": {"mode": "onIdle"}}, script={"delay": 1.0}) as session:
        uri = session.open("area.py", text)
        await session.until(lambda: session.log("fill"))
        began = time.monotonic()
        where = {"uri": uri, "position": {"line": 2, "character": 10}, "apply": False}
        answer = await session.command("astral.fillHole", **where)
        assert len(answer["fills"]) == 4
        assert time.monotonic() - began < 1.6, "the person waited for background work"
        assert session.log("stopped"), "background work did not give way"


# --- protocol -----------------------------------------------------------------------------------------------


def _no_json(name: str) -> None:
    """Python reads it, other editors drop the message that it stands in."""
    raise AssertionError(f"{name} is no JSON")


class Raw:
    """A pipe to a server process, for messages that no client library would send."""

    def __init__(self, tmp_path: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(tmp_path)}
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPTED)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def send(self, body: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def request(self, number: Any, method: str, params: Any) -> Any:
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.send(json.dumps(message).encode())
        return self.answer(number)

    def answer(self, number: Any) -> Any:
        while True:
            message = self.read()
            if message.get("id") == number and "method" not in message:
                return message

    def read(self) -> Any:
        stream = self.process.stdout
        assert stream is not None
        length = 0
        while (header := stream.readline()).strip():
            if header.lower().startswith(b"content-length:"):
                length = int(header.split(b":")[1])
        return json.loads(stream.read(length), parse_constant=_no_json)

    def notify(self, method: str, params: Any) -> None:
        self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def initialize(self, pid: int | None = None) -> Any:
        answer = self.request(0, "initialize", {"processId": pid, "rootUri": None, "capabilities": {}})
        self.notify("initialized", {})
        return answer

    def end(self) -> int:
        self.request(999, "shutdown", None)
        self.send(b'{"jsonrpc": "2.0", "method": "exit"}')
        return self.process.wait(10)


@pytest.fixture
def raw(tmp_path: Path) -> Any:
    pipe = Raw(tmp_path)
    yield pipe
    pipe.process.kill()
    pipe.process.wait()


def test_every_bad_message_is_answered_and_the_server_lives(raw: Raw) -> None:
    assert raw.request(1, "textDocument/hover", {})["error"]["code"] == -32002
    assert "result" in raw.initialize()
    assert raw.request(2, "initialize", {"capabilities": {}})["error"]["code"] == -32600
    raw.send(b"{not json")
    assert raw.answer(None)["error"]["code"] == -32700
    raw.send(b'{"id": 3, "method": "textDocument/hover"}')
    assert raw.answer(3)["error"]["code"] == -32600
    raw.send(b"[]")
    raw.send(b"17")
    assert raw.answer(None)["error"]["code"] == -32600
    assert raw.request(4, "textDocument/hover", {"position": "left"})["error"]["code"] == -32602
    assert raw.request(5, "textDocument/codeAction", None)["error"]["code"] == -32602
    assert raw.request("six", "no/such", {})["error"]["code"] == -32601
    bad = {"title": "x", "kind": "refactor", "data": {"uri": 5}}
    assert raw.request(7, "codeAction/resolve", bad)["error"]["code"] == -32602
    raw.send(b'{"jsonrpc": "2.0", "id": "never asked", "result": 1}')
    raw.send(b'{"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 12345}}')
    raw.send(b'{"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {"nonsense": true}}')
    assert (
        raw.request(8, "workspace/executeCommand", {"command": "astral.status"})["result"]["state"] == "idle"
    )
    assert raw.request(998, "shutdown", None)["result"] is None
    assert raw.request(9, "textDocument/hover", {})["error"]["code"] == -32600
    raw.send(b'{"jsonrpc": "2.0", "method": "exit"}')
    assert raw.process.wait(10) == 0


def test_exit_without_shutdown_is_code_one(raw: Raw) -> None:
    raw.initialize()
    raw.send(b'{"jsonrpc": "2.0", "method": "exit"}')
    assert raw.process.wait(10) == 1


def test_a_client_that_closes_the_pipe_ends_the_server(raw: Raw) -> None:
    raw.initialize()
    assert raw.process.stdin is not None
    raw.process.stdin.close()
    assert raw.process.wait(10) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_ends_the_server(raw: Raw) -> None:
    raw.initialize()
    raw.process.send_signal(signal.SIGTERM)
    assert raw.process.wait(10) == 128 + signal.SIGTERM


def test_a_parent_that_dies_ends_the_server(raw: Raw) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    raw.initialize(parent.pid)
    parent.kill()
    parent.wait()
    assert not is_alive(parent.pid)
    assert raw.process.wait(10) == 1


def test_start_loads_neither_torch_nor_mypy() -> None:
    program = (
        "import sys, astral_lsp.server.app as app; app.make_server(app.SessionEngines());"
        "print([m for m in ('torch', 'mypy', 'numpy', 'pytest', 'tokenizers') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[]"


async def test_two_editors_at_once_on_one_port(tmp_path: Path) -> None:
    listener = await listen(0, lambda s, r, t: ScriptedEngine(s, r, t, {}))
    port = listener.sockets[0].getsockname()[1]

    async def one(number: int) -> list[str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def ask(request_id: int, method: str, params: Any) -> Any:
            body = json.dumps(
                {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
            ).encode()
            writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            while True:
                header = await reader.readuntil(b"\r\n\r\n")
                length = int(header.split(b":")[1].split(b"\r\n")[0])
                message = json.loads(await reader.readexactly(length))
                if message.get("id") == request_id and "method" not in message:
                    return message["result"]

        root = tmp_path / str(number)
        root.mkdir()
        await ask(1, "initialize", {"processId": None, "rootUri": root.as_uri(), "capabilities": {}})
        status = await ask(2, "workspace/executeCommand", {"command": "astral.status"})
        writer.close()
        return list(status["roots"])

    roots = await asyncio.gather(one(1), one(2))
    assert roots == [[str(tmp_path / "1")], [str(tmp_path / "2")]]
    listener.close()


async def test_trace_follows_the_clients_wish(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        traced: list[types.LogTraceParams] = []
        session.client.feature(types.LOG_TRACE)(lambda params: traced.append(params))
        uri = session.open("area.py", TEXT)
        where = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False}
        await session.command("astral.fillHole", **where)
        assert not traced
        session.client.set_trace(types.SetTraceParams(types.TraceValue.Verbose))
        await session.command("astral.fillHole", **where, again=True)
        await session.until(lambda: len(traced) == 2)
        assert traced[0].message.startswith("fill started: ")
        assert "candidates=4" in str(traced[0].verbose)


async def test_log_levels_follow_the_setting(tmp_path: Path) -> None:
    log = logging.getLogger("astral_lsp")
    async with editor(tmp_path, settings={"logLevel": "debug"}) as session:
        await session.until(lambda: log.level == logging.DEBUG)
        session.client.set_configuration({"logLevel": "error"}, section="astral-lsp")
        session.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
        await session.until(lambda: log.level == logging.ERROR)
    log.setLevel(logging.NOTSET)


async def test_engines_are_asked_now_and_then_whether_their_model_is_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "TEND_SECONDS", 0.05)
    async with editor(tmp_path) as session:
        session.open("area.py", TEXT)
        await session.until(lambda: len(session.log("unload")) > 1)


async def test_doctor_runs_from_a_command(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        answer = await session.command("astral.doctor")
        assert "python" in answer["text"].lower()
        assert answer["code"] in (0, 1)


async def test_a_model_that_cannot_be_had_is_told_by_the_status(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"no_model": "the weights are not there"}) as session:
        uri = session.open("area.py", TEXT)
        where = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False}
        assert (await session.command("astral.fillHole", **where))["message"] == "the weights are not there"
        status = await session.command("astral.status")
        assert (status["state"], status["message"]) == ("unavailable", "the weights are not there")
        await session.command("astral.loadModel", uri=uri)
        assert (await session.command("astral.status"))["state"] == "idle"


async def test_restarting_workers_and_cancelling_everything(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 20.0}) as session:
        uri = session.open("area.py", TEXT)
        argument = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False}
        running = asyncio.ensure_future(session.command("astral.fillHole", **argument))
        await session.until(lambda: session.log("fill"))
        assert (await session.command("astral.cancel"))["stopped"] == 1
        assert (await asyncio.wait_for(running, 5))["fills"] == []
        await session.command("astral.restartWorkers")
        assert session.log("close")


async def test_cancel_before_anything_was_drawn_is_an_explained_nothing(tmp_path: Path) -> None:
    async with editor(tmp_path, script={"delay": 20.0}) as session:
        uri = session.open("area.py", TEXT)
        running = asyncio.ensure_future(
            session.command("astral.fillHole", uri=uri, position={"line": 1, "character": 12})
        )
        await session.until(lambda: session.log("fill"))
        await session.command("astral.cancel")
        with pytest.raises(JsonRpcException, match="no candidate"):
            await asyncio.wait_for(running, 5)
