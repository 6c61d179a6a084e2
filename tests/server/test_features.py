"""What is shown at a hole: diagnostics, hover, inlay hints, lenses, completion, ghost text, lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from astral_lsp.fill.document import Document
from astral_lsp.server.documents import View
from astral_lsp.server.gap import gap_at
from astral_lsp.server.hover import ranked
from astral_lsp.server.locate import plain
from astral_lsp.workers.protocol import Name
from tests.server.harness import Editor, at, capabilities, cursor, editor

TEXT, WHERE = cursor(
    'def area(width: int) -> int:\n    """Area 😀."""\n    return .$0..  # the square\n\n\nx = ...\n'
)
INLINE = {"textDocument": {"inlineCompletion": {"dynamicRegistration": False}}}
PULL = {
    "textDocument": {"diagnostic": {"dynamicRegistration": True}},
    "workspace": {"diagnostics": {"refreshSupport": True}},
}


def _document(uri: str) -> types.TextDocumentIdentifier:
    return types.TextDocumentIdentifier(uri)


async def _analysed(session: Editor) -> None:
    await session.until(lambda: session.log("analyse"))


async def _fill(session: Editor, uri: str) -> None:
    await session.command("astral.fillHole", uri=uri, position={"line": 2, "character": 12}, apply=False)


async def test_diagnostics_are_pushed_with_types_when_they_are_known(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        pushed = session.client.diagnostics
        await session.until(lambda: uri in pushed and "expected" in pushed[uri][0].message)
        first, second = pushed[uri]
        assert first.message == "Hole: expected `int`"
        assert first.severity == types.DiagnosticSeverity.Hint
        assert (first.source, first.code) == ("astral-lsp", "hole")
        assert plain(first.data) == {"hole": 1, "kind": "return", "marker": "ellipsis", "expected": "int"}
        assert first.range == at(2, 11, 14)
        assert second.range == at(5, 4, 7)
        session.change(uri, (at(5, 4, 7), "1"))
        await session.until(lambda: len(pushed[uri]) == 1)
        session.client.text_document_did_close(types.DidCloseTextDocumentParams(_document(uri)))
        await session.until(lambda: not pushed[uri])


async def test_diagnostics_are_pulled_by_editors_that_can(tmp_path: Path) -> None:
    async with editor(tmp_path, extra=PULL) as session:
        assert session.init.capabilities.diagnostic_provider is not None
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.client.diagnostic_refresh_count >= 2)
        pull = session.client.text_document_diagnostic_async
        report = await pull(types.DocumentDiagnosticParams(_document(uri)))
        assert [item.message for item in report.items] == ["Hole: expected `int`"] * 2
        again = await pull(
            types.DocumentDiagnosticParams(_document(uri), previous_result_id=report.result_id)
        )
        assert again.kind == "unchanged"
        assert uri not in session.client.diagnostics, "pushed as well"


async def test_neovim_pulls_but_cannot_be_told_to_pull_again_so_it_gets_pushes(tmp_path: Path) -> None:
    assert capabilities("neovim").text_document.diagnostic is not None  # type: ignore[union-attr]
    async with editor(tmp_path, "neovim") as session:
        assert session.init.capabilities.diagnostic_provider is None
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.client.diagnostics.get(uri))


async def test_hover_tells_type_hint_names_and_verdicts(tmp_path: Path) -> None:
    async with editor(tmp_path, options={"trusted": False}) as session:
        uri = session.open("area.py", TEXT)
        await _analysed(session)
        await _fill(session, uri)
        hover = session.client.text_document_hover_async
        answer = await hover(types.HoverParams(_document(uri), WHERE.start))
        text = answer.contents.value
        assert answer.range == at(2, 11, 14)
        for part in (
            "```python\nint\n```", "> the square", "> Area 😀.", "| ● | `items` | `list[int]` | argument |",
            "| · | `self.total` |", "- `first_1` · types ✓ · tests ✓ 3", "untrusted workspace",
        ):  # fmt: skip
            assert part in text, part
        assert text.index("items") < text.index("self.total")
        assert await hover(types.HoverParams(_document(uri), types.Position(0, 5))) is None


async def test_hover_shows_the_first_paragraph_of_a_long_docstring_and_no_markup_of_it(
    tmp_path: Path,
) -> None:
    text = (
        'def size(value: int) -> int:\n    """Format `value` as 10**3.\n\n'
        '    Args:\n        value: a <number>.\n    """\n    return ...  # in *bytes*\n'
    )
    async with editor(tmp_path) as session:
        uri = session.open("size.py", text)
        await _analysed(session)
        params = types.HoverParams(_document(uri), types.Position(6, 12))
        value = (await session.client.text_document_hover_async(params)).contents.value
        assert "> in *bytes*\n> Format `value` as 10\\*\\*3. …" in value
        assert "number" not in value


async def test_hover_as_plain_text_loses_no_character_of_code_and_hint(tmp_path: Path) -> None:
    text, where = cursor(
        "class Shape:\n    def scale(self, *by: int, **more: int) -> None: pass\n\n\n"
        "def area(width: int) -> Shape:\n    return .$0..  # fill: width ** 2 * `x` <b> __all__\n"
    )
    plain = {"textDocument": {"hover": {"contentFormat": ["plaintext"]}}}
    async with editor(tmp_path, extra=plain, script={"expected": "Shape"}) as session:
        uri = session.open("area.py", text)
        await session.until(lambda: session.log("analyse"))
        await session.until(lambda: session.client.diagnostics.get(uri))
        params = types.HoverParams(types.TextDocumentIdentifier(uri), where.start)
        hover = await session.client.text_document_hover_async(params)
        assert hover.contents.kind == types.MarkupKind.PlainText
        shown = hover.contents.value.splitlines()
        assert shown[:2] == ["Hole (return): expected", "Shape"]
        assert "fill: width ** 2 * `x` <b> __all__" in shown
        assert "    def scale(self, *by: int, **more: int) -> None: ..." in shown
        assert "| ● | items | list[int] | argument |" in shown


def test_names_are_ranked_by_fitness_then_nearness_and_what_is_seldom_written_out_comes_last() -> None:
    names = [
        Name("self.__iter__", "() -> Iterator[str]", "self", False),
        Name("_D", "type", "global", False),
        Name("self._cache", "dict[str, str]", "self", False),
        Name("self.name", "str", "self", False),
        Name("total", "int", "global", True),
        Name("print", "", "builtin", False),
        Name("key", "str", "argument", False),
    ]
    assert [name.name for name in ranked(names)] == [
        "total",
        "key",
        "self.name",
        "self._cache",
        "_D",
        "print",
        "self.__iter__",
    ]


async def test_hover_shows_the_definitions_of_the_types_in_the_expected_type(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "class Tea:\n    name: str\n\n    def brew(self) -> int: ...\n", "utf-8"
    )
    text = (
        "from shop import Tea\n\nclass Cup:\n    size: int\n\ndef pour() -> dict[Cup, Tea]:\n    return ...\n"
    )
    async with editor(tmp_path, script={"expected": "dict[Cup, Tea]"}) as session:
        uri = session.open("bar.py", text)
        await _analysed(session)
        params = types.HoverParams(_document(uri), types.Position(6, 12))
        value = (await session.client.text_document_hover_async(params)).contents.value
        assert "```python\nclass Cup:\n    size: int\n```" in value
        assert "# shop.Tea\nclass Tea:\n    name: str\n    def brew(self) -> int: ...\n```" in value


async def test_inlay_hints_lenses_and_their_switches(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        await _analysed(session)
        everything = types.Range(types.Position(0, 0), types.Position(99, 0))
        hints = await session.client.text_document_inlay_hint_async(
            types.InlayHintParams(_document(uri), everything)
        )
        assert [(hint.label, hint.position) for hint in hints] == [
            (": int", types.Position(2, 14)),
            (": int", types.Position(5, 7)),
        ]
        above = types.InlayHintParams(_document(uri), at(0, 0))
        assert not await session.client.text_document_inlay_hint_async(above)
        lenses = await session.client.text_document_code_lens_async(types.CodeLensParams(_document(uri)))
        assert [(lens.command.title, lens.range.start.line) for lens in lenses] == [("Fill", 0)]
        await _fill(session, uri)
        (lens,) = await session.client.text_document_code_lens_async(types.CodeLensParams(_document(uri)))
        assert lens.command.title == "Fill · types ✓ · tests ✓ 3"
        session.client.set_configuration({"codeLens": False, "inlayHints": False}, section="astral-lsp")
        session.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
        await session.until(lambda: session.log("configure"))
        assert (
            await session.client.text_document_code_lens_async(types.CodeLensParams(_document(uri))) is None
        )
        below = types.InlayHintParams(_document(uri), everything)
        assert await session.client.text_document_inlay_hint_async(below) is None


async def test_completion_offers_fills_then_fitting_names_at_a_hole_only(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        await _analysed(session)
        await _fill(session, uri)
        complete = session.client.text_document_completion_async
        answer = await complete(types.CompletionParams(_document(uri), types.Position(2, 14)))
        assert [item.label for item in answer.items] == ["first_1", "second_1", "items"]
        assert sorted(item.sort_text for item in answer.items) == [item.sort_text for item in answer.items]
        assert answer.items[0].text_edit.range == at(2, 11, 14)
        assert answer.items[0].detail == "types ✓ · tests ✓ 3"
        assert await complete(types.CompletionParams(_document(uri), types.Position(0, 3))) is None


@pytest.mark.parametrize("on", [True, False])
async def test_inline_completion_is_opt_in(tmp_path: Path, on: bool) -> None:
    settings = {"inlineCompletion": on}
    async with editor(tmp_path, settings=settings, extra=INLINE) as session:
        uri = session.open("area.py", TEXT)
        await session.until(lambda: session.statuses)
        for kind, count in (("Automatic", 0), ("Invoked", 2)):
            trigger = types.InlineCompletionTriggerKind[kind]
            params = types.InlineCompletionParams(
                context=types.InlineCompletionContext(trigger_kind=trigger),
                text_document=_document(uri),
                position=types.Position(2, 12),
            )
            answer = await session.client.text_document_inline_completion_async(params)
            items = answer.items if answer is not None else []
            assert len(items) == (count if on else 0)
        assert len(session.log("fill")) == (1 if on else 0)


async def _ghost(session: Editor, uri: str, where: types.Range, kind: str = "Invoked") -> list[Any]:
    params = types.InlineCompletionParams(
        context=types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind[kind]),
        text_document=_document(uri),
        position=where.start,
    )
    answer = await session.client.text_document_inline_completion_async(params)
    return list(answer.items) if answer is not None else []


async def test_ghost_text_is_a_pure_insertion_where_an_expression_is_missing(tmp_path: Path) -> None:
    text, where = cursor("def area(width: int) -> int:\n    # 😀\n    size = $0\n    return ...\n")
    async with editor(tmp_path, settings={"inlineCompletion": True}, extra=INLINE) as session:
        uri = session.open("area.py", text)
        await session.until(lambda: session.statuses)
        assert await _ghost(session, uri, where, "Automatic") == []
        assert not session.log("fill"), "nobody asked"
        first, second = await _ghost(session, uri, where)
        assert (first.insert_text, second.insert_text) == ("first_1", "second_1")
        assert first.range == where
        (entry,) = session.log("fill")
        assert entry["text"] == text.replace("size = ", "size = ...")
        assert len(await _ghost(session, uri, where, "Automatic")) == 2, "it is known now"
        assert len(session.log("fill")) == 1


async def test_ghost_text_comes_unasked_in_mode_on_hole(tmp_path: Path) -> None:
    text, where = cursor("def area(width: int) -> int:\n    return $0\n")
    settings = {"inlineCompletion": True, "fill": {"mode": "onHole"}}
    async with editor(tmp_path, settings=settings, extra=INLINE) as session:
        uri = session.open("area.py", text)
        await session.until(lambda: session.statuses)
        first, *_ = await _ghost(session, uri, where, "Automatic")
        assert first.insert_text == "first_1"
        assert not session.client.progress_reports, "background work shows no bar"


@pytest.mark.parametrize(
    ("text", "fills"),
    [
        ("x = $0", True),
        ("x: int = $0  # a note", True),
        ("x =$0", False),
        ("x = 1$0", False),
        ("x = y $0", False),
        ("def f(a):\n    return $0\n", True),
        ("f($0)", True),
        ("f(1, $0)", True),
        ("f(1, key=$0)", False),
        ("[n for n in $0]", True),
        ("x = {'a': $0}", True),
        ("# x = $0", False),
        ('"""\nx = $0\n"""', False),
        ("def f(x: $0): pass", False),
        ("import $0", False),
        ("$0", False),
        ("x = 1\r\ny = $0\r\n", True),
    ],
)
def test_gaps(text: str, fills: bool) -> None:
    offset = text.index("$0")
    document = Document("m.py", text.replace("$0", ""), 1)
    found = gap_at(View(document, 0, []), offset)
    assert (found is not None) is fills
    if found is not None:
        assert found.view.document.text == text.replace("$0", "...")
        assert (found.hole.start, found.hole.end) == (offset, offset + 3)


async def test_holes_are_listed_and_stepped_through(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("area.py", TEXT)
        await _analysed(session)
        listed = await session.command("astral.listHoles", uri=uri)
        assert [(hole["text"], hole["range"]["start"]["line"]) for hole in listed] == [("...", 2), ("...", 5)]
        assert listed[0]["expectedType"] == "int"

        async def step(command: str, line: int, character: int) -> int:
            where = {"line": line, "character": character}
            answer: Any = await session.command(command, uri=uri, position=where)
            return int(answer["range"]["start"]["line"])

        assert await step("astral.nextHole", 0, 0) == 2
        assert await step("astral.nextHole", 2, 11) == 5
        assert await step("astral.nextHole", 5, 4) == 2
        assert await step("astral.previousHole", 5, 4) == 2
        assert await step("astral.previousHole", 0, 0) == 5
        shown = session.client.shown_documents
        assert [document.selection.start.line for document in shown] == [2, 5, 2, 2, 5]
        session.open("none.py", "x = 1\n")
        where = {"uri": session.uri("none.py"), "position": {"line": 0, "character": 0}}
        assert await session.command("astral.nextHole", **where) is None


async def test_rejections_are_explained_in_a_document(tmp_path: Path) -> None:
    extra = {"workspace": {"textDocumentContent": {"dynamicRegistration": False}}}
    async with editor(tmp_path, extra=extra) as session:
        uri = session.open("area.py", TEXT)
        await _fill(session, uri)
        where = {"uri": uri, "position": {"line": 2, "character": 12}}
        answer = await session.command("astral.explainRejected", **where)
        (shown,) = session.client.shown_documents
        assert shown.uri == answer["uri"]
        content = await session.client.workspace_text_document_content_async(
            types.TextDocumentContentParams(shown.uri)
        )
        assert content.text == answer["text"]
        assert "## rejected · types ✗" in content.text
        assert "- types failed: 1 error\n  - line 1: Incompatible types" in content.text


async def test_tags_and_annotations_only_for_editors_that_know_them(tmp_path: Path) -> None:
    tags = {"textDocument": {"codeAction": {"tagSupport": {"valueSet": [1]}}}}
    for extra in ({}, tags):
        async with editor(tmp_path, extra=extra) as session:
            uri = session.open("area.py", TEXT)
            (fill, *_) = await session.actions(uri, WHERE)
            assert list(fill.tags or ()) == ([types.CodeActionTag.LlmGenerated] if extra else [])
            resolved = await session.client.code_action_resolve_async(fill)
            (annotation,) = resolved.edit.change_annotations.values()
            assert annotation.label == "Fill hole: `first_1` · types ✓ · tests ✓ 3"
            (change,) = resolved.edit.document_changes
            assert change.edits[0].annotation_id in resolved.edit.change_annotations


async def test_editors_without_code_action_literals_get_commands(tmp_path: Path) -> None:
    extra = {"textDocument": {"codeAction": {"codeActionLiteralSupport": None}}}
    async with editor(tmp_path, extra=extra) as session:
        uri = session.open("area.py", TEXT)
        (command, *_) = await session.actions(uri, WHERE)
        assert isinstance(command, types.Command)
        await session.client.workspace_execute_command_async(
            types.ExecuteCommandParams(command.command, command.arguments)
        )
        assert len(session.applied) == 1


async def test_requests_about_what_is_not_open_or_not_python_are_answered(tmp_path: Path) -> None:
    async with editor(tmp_path) as session:
        uri = session.open("notes.md", "...\n", language="markdown")
        for name in (uri, session.uri("closed.py")):
            assert await session.actions(name, at(0, 1)) == []
            position = types.Position(0, 1)
            assert (
                await session.client.text_document_hover_async(types.HoverParams(_document(name), position))
                is None
            )
            params = types.CompletionParams(_document(name), position)
            assert await session.client.text_document_completion_async(params) is None
        with pytest.raises(JsonRpcException):
            await session.client.protocol.send_request_async("astral/holes", {"uri": 1})
        with pytest.raises(JsonRpcException, match="Method Not Found"):
            await session.client.protocol.send_request_async("astral/unheardOf", {})
