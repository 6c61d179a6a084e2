"""An editor for tests: pytest-lsp's client with an editor's capabilities, and a real server process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Union

from lsprotocol import converters, types
from pytest_lsp import client_capabilities
from pytest_lsp.client import LanguageClient, make_test_lsp_client

from astral_lsp.server.app import listen
from tests.server.scripted import ScriptedEngine

SCRIPTED = Path(__file__).parent / "scripted.py"
REPOSITORY = Path(__file__).parents[2]
PROFILES = {
    "vscode": "visual-studio-code@v1.65.2",
    "neovim": "neovim@v0.11.0",
    "emacs": "emacs@v29.1",
}


class Editor:
    """One connection and what it received."""

    def __init__(self, client: LanguageClient, root: Path, log: Path) -> None:
        self.client, self.root, self.log_path = client, root, log
        self.applied: list[types.ApplyWorkspaceEditParams] = []
        self.statuses: list[Any] = []
        self.registered: list[types.Registration] = []
        self.refreshes: list[str] = []
        self.accept_edits = True
        self.edits_follow = False
        """As a real editor: the only buffer changes, and the server hears of it before it has the answer."""
        self.gone = False
        """The test ended the server itself."""
        self.versions: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self.init: types.InitializeResult
        self._listen()

    def _listen(self) -> None:
        client = self.client

        @client.feature(types.WORKSPACE_APPLY_EDIT)
        def apply(params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
            self.applied.append(params)
            if self.edits_follow:
                (uri,) = self.texts
                self.texts[uri] = apply_edit(self.texts[uri], params.edit)
                self.change(uri, (None, self.texts[uri]))
            return types.ApplyWorkspaceEditResult(
                self.accept_edits, None if self.accept_edits else "read only"
            )

        @client.feature("astral/status")
        def status(params: Any) -> None:
            self.statuses.append(params)

        @client.feature(types.CLIENT_REGISTER_CAPABILITY)
        def register(params: types.RegistrationParams) -> None:
            self.registered.extend(params.registrations)

        for method in (types.WORKSPACE_INLAY_HINT_REFRESH, types.WORKSPACE_CODE_LENS_REFRESH):
            client.feature(method)(lambda _params=None, method=method: self.refreshes.append(method))

        # lsprotocol cannot read what it can write
        client.protocol._converter.register_structure_hook(
            types.NotebookDocumentFilterWithCells,
            lambda raw, _: types.NotebookDocumentFilterWithCells(
                cells=[types.NotebookCellLanguage(cell["language"]) for cell in raw["cells"]]
            ),
        )
        # lsprotocol's own hook takes a code action that carries a command for a bare command
        converter = client.protocol._converter
        converter.register_structure_hook(
            Union[types.Command, types.CodeAction],  # noqa: UP007
            lambda raw, _: converter.structure(
                raw, types.Command if isinstance(raw.get("command"), str) else types.CodeAction
            ),
        )

    # --- what an editor does -----------------------------------------------------------------------------

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    def open(self, name: str, text: str, *, version: int = 1, language: str = "python") -> str:
        uri = name if ":" in name else self.uri(name)
        self.versions[uri], self.texts[uri] = version, text
        item = types.TextDocumentItem(uri, language, version, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def change(self, uri: str, *changes: tuple[types.Range | None, str]) -> int:
        """Send content changes (None: the whole text) and return the new version."""
        self.versions[uri] += 1
        events: list[types.TextDocumentContentChangeEvent] = [
            types.TextDocumentContentChangeWholeDocument(text=text)
            if range_ is None
            else types.TextDocumentContentChangePartial(text=text, range=range_)
            for range_, text in changes
        ]
        identifier = types.VersionedTextDocumentIdentifier(self.versions[uri], uri)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, events))
        return self.versions[uri]

    def actions_params(
        self,
        uri: str,
        where: types.Range,
        *,
        only: list[str] | None = None,
        diagnostics: list[types.Diagnostic] | None = None,
        trigger: types.CodeActionTriggerKind | None = None,
    ) -> types.CodeActionParams:
        context = types.CodeActionContext(diagnostics or [], only, trigger)  # type: ignore[arg-type]
        return types.CodeActionParams(types.TextDocumentIdentifier(uri), where, context)

    async def actions(self, uri: str, where: types.Range, **context: Any) -> list[Any]:
        result = await self.client.text_document_code_action_async(self.actions_params(uri, where, **context))
        return list(result or [])

    async def titles(self, uri: str, where: types.Range, **context: Any) -> list[str]:
        return [action.title for action in await self.actions(uri, where, **context)]

    async def command(self, name: str, **argument: Any) -> Any:
        params = types.ExecuteCommandParams(name, [argument])
        return await self.client.workspace_execute_command_async(params)

    def request(self, method: str, params: Any, number: str) -> asyncio.Future[Any]:
        """Send a request under an id of our choosing, to cancel it by."""
        return asyncio.ensure_future(self.client.protocol.send_request_async(method, params, msg_id=number))

    def cancel(self, number: str) -> None:
        self.client.cancel_request(types.CancelParams(number))

    # --- what came of it ---------------------------------------------------------------------------------

    def log(self, event: str = "") -> list[dict[str, Any]]:
        """What the scripted engine was asked."""
        lines = self.log_path.read_text("utf-8").splitlines() if self.log_path.exists() else []
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if not event or entry["event"] == event]

    async def until(self, condition: Any, seconds: float = 5.0) -> None:
        """Wait until ``condition()`` is true; fails the test when it never is."""
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, f"not within {seconds} s"
            await asyncio.sleep(0.01)

    @property
    def messages(self) -> list[str]:
        return [message.message for message in self.client.messages]


def at(line: int, character: int, end: int | None = None) -> types.Range:
    """A range on one line; empty unless ``end`` is given."""
    stop = character if end is None else end
    return types.Range(types.Position(line, character), types.Position(line, stop))


def cursor(text: str) -> tuple[str, types.Range]:
    """``text`` without its ``$0`` mark, and the mark's place (UTF-16)."""
    offset = text.index("$0")
    before = text[:offset]
    line = before.count("\n")
    column = len(before.rsplit("\n", 1)[-1].encode("utf-16-le")) // 2
    return before + text[offset + 2 :], at(line, column)


def apply_edit(text: str, edit: types.WorkspaceEdit) -> str:
    """``text`` after the edits of its only document; columns are UTF-16 code units."""
    if edit.document_changes:
        change = edit.document_changes[0]
        assert isinstance(change, types.TextDocumentEdit)
        edits: list[Any] = list(change.edits)
    else:
        assert edit.changes is not None
        (edits,) = (list(value) for value in edit.changes.values())
    for item in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
        start, end = (_offset(text, position) for position in (item.range.start, item.range.end))
        text = text[:start] + item.new_text + text[end:]
    return text


def _offset(text: str, position: types.Position) -> int:
    lines = text.split("\n")
    line = lines[position.line].encode("utf-16-le")[: 2 * position.character].decode("utf-16-le")
    return sum(len(previous) + 1 for previous in lines[: position.line]) + len(line)


def capabilities(profile: str, **extra: Any) -> types.ClientCapabilities:
    """An editor's capabilities; ``extra`` holds nested camelCase additions by top-level key."""
    converter = converters.get_converter()
    raw = converter.unstructure(client_capabilities(PROFILES.get(profile, profile)), types.ClientCapabilities)
    return converter.structure(_overlay(raw, extra), types.ClientCapabilities)


def _overlay(base: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        merged[key] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


@contextlib.asynccontextmanager
async def editor(
    root: Path,
    profile: str = "vscode",
    *,
    script: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    options: Any = None,
    extra: dict[str, Any] | None = None,
    folders: list[Path] | None = None,
    command: list[str] | None = None,
    process: bool = False,
    environment: dict[str, str] | None = None,
    address: tuple[str, int] | None = None,
) -> AsyncIterator[Editor]:
    """An initialised session, shut down at the end, which must succeed.

    The server runs in this event loop behind a socket, which starts at once, unless ``process`` asks for a
    real server process on stdio, or ``command`` for a particular one, or ``address`` names one that runs.
    """
    log = root.parent / f"{root.name}-engine.log"
    play = {"log": str(log), **(script or {})}
    client = make_test_lsp_client()
    if settings is not None:
        client.set_configuration(settings, section="astral-lsp")
    session = Editor(client, root, log)
    listener = None
    if address is not None:
        await client.start_tcp(*address)
    elif process or command:
        variables = {
            **os.environ,
            **(environment or {}),
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'model'}",
            "ASTRAL_TEST_SCRIPT": json.dumps(play),
        }
        await client.start_io(*(command or [sys.executable, str(SCRIPTED)]), env=variables)
    else:
        listener = await listen(0, lambda s, r, t: ScriptedEngine(s, r, t, play))
        await client.start_tcp(*listener.sockets[0].getsockname())
    session.init = await client.initialize_session(
        types.InitializeParams(
            capabilities=capabilities(profile, **(extra or {})),
            initialization_options={"trusted": True} if options is None else options,
            workspace_folders=[
                types.WorkspaceFolder(folder.as_uri(), folder.name) for folder in folders or [root]
            ],
            client_info=types.ClientInfo(profile),
        )
    )
    try:
        yield session
    finally:
        running = (
            listener is not None
            or address is not None
            or (client._server is not None and client._server.returncode is None)
        )
        if client.error is None and running and not session.gone:
            await asyncio.wait_for(client.shutdown_session(), 10)
        await client.stop()
        if listener is not None:
            listener.close()
