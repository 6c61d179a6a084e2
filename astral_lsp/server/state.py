"""The server object: what is open, what is known, what runs. Features are functions of it, one file each."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, cast

from lsprotocol import types
from msgspec import structs
from pygls.exceptions import FeatureRequestError
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from astral_lsp import __version__
from astral_lsp.config import Settings
from astral_lsp.fill.report import FillOptions
from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill
from astral_lsp.server.background import Background
from astral_lsp.server.client import Client
from astral_lsp.server.definitions import Definitions
from astral_lsp.server.documents import Documents, OpenDocument, View
from astral_lsp.server.engine import Engine, EngineFactory
from astral_lsp.server.jobs import Jobs
from astral_lsp.server.known import Known
from astral_lsp.server.progress import ProgressBars
from astral_lsp.server.rpc import AstralProtocol, RequestError, current_task
from astral_lsp.server.settings import SettingsStore
from astral_lsp.server.status import Status
from astral_lsp.server.text import Encoding
from astral_lsp.server.threaded import EngineThread, ThreadedEngine
from astral_lsp.server.unsaved import UnsavedBuffers

log = logging.getLogger(__name__)
CommandHandler = Callable[["AstralServer", types.ExecuteCommandParams], "Awaitable[Any] | Any"]
REFRESH_SECONDS = 0.1
"""Fills that are found closer together than this make the editor fetch its lenses once."""
TEND_SECONDS = 60.0
ROOT_MARKS = ("pyproject.toml", "setup.cfg", "setup.py", "mypy.ini", ".git")


class AstralServer(LanguageServer):
    """One editor's connection."""

    protocol: AstralProtocol

    def __init__(self, engine_factory: EngineFactory, thread: EngineThread | None = None) -> None:
        """``thread``: one that outlives this connection."""
        super().__init__(
            "astral-lsp",
            __version__,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            notebook_document_sync=types.NotebookDocumentSyncOptions(
                notebook_selector=[
                    types.NotebookDocumentFilterWithCells(cells=[types.NotebookCellLanguage("python")])
                ]
            ),
            protocol_cls=AstralProtocol,
        )
        self._engine_factory = engine_factory
        self.client = Client(types.ClientCapabilities())
        self.documents = Documents("utf-16")
        self.unsaved = UnsavedBuffers()
        self.settings = SettingsStore()
        self.folders: list[Path] = []
        self.engines: dict[Path, Engine] = {}
        self.jobs = Jobs(self)
        self.bars = ProgressBars(self)
        self.status = Status(self)
        self.background = Background(self)
        self.command_handlers: dict[str, CommandHandler] = {}
        self.definitions = Definitions()
        self.stopping = False
        self.on_stop: Callable[[int], None] = lambda _code: None
        self.explanations: dict[str, str] = {}
        """Virtual documents by URI."""
        self.gaps: dict[tuple[str, str, int], list[Fill]] = {}
        """Fills of gaps, by URI, text and offset; dropped with all other verdicts."""
        self.temporary: list[Path] = []
        """Directories of ours to remove at the end."""
        self._known: dict[str, Known] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lens_refresh = False
        self._engine_thread = thread or EngineThread()
        self._owns_thread = thread is None

    # --- life --------------------------------------------------------------------------------------------

    def initialize(self, params: types.InitializeParams) -> None:
        """Read what the client says of itself; pygls has chosen the position encoding already."""
        info = params.client_info
        self.client = Client(params.capabilities, info.name if info else "")
        encoding = self.workspace.position_encoding or "utf-16"
        self.documents = Documents(cast(Encoding, str(getattr(encoding, "value", encoding))))
        self.settings.initialize(params.initialization_options)
        folders = [folder.uri for folder in params.workspace_folders or ()]
        if not folders and params.root_uri:
            folders = [params.root_uri]
        self.folders = [Path(path) for uri in folders if (path := to_fs_path(uri))]

    def stop(self, code: int) -> None:
        """End the process, or this connection, with ``code``."""
        self.stopping = True
        self.on_stop(code)

    async def close_sessions(self) -> None:
        """Stop every worker and leave nothing behind."""
        self.background.stop()
        await self.close_engines()
        if self._owns_thread:
            self._engine_thread.stop()
        for directory in self.temporary:
            shutil.rmtree(directory, ignore_errors=True)

    async def close_engines(self, roots: list[Path] | None = None) -> None:
        """Stop the workers of ``roots`` (of all when None)."""
        chosen = list(self.engines) if roots is None else roots
        engines = [self.engines.pop(root) for root in chosen]
        await asyncio.gather(*(_close(engine) for engine in engines))
        self.status.changed()

    async def tend(self) -> None:
        """Once a minute, let engines give back the memory of an unused model."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            engines = list(self.engines.values())
            for result in await asyncio.gather(*(e.unload_idle() for e in engines), return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("unloading an idle model failed", exc_info=result)

    # --- roots, settings, engines ------------------------------------------------------------------------

    @property
    def roots(self) -> list[Path]:
        """Workspace folders and the roots of files outside of them that were worked on."""
        return list(dict.fromkeys([*self.folders, *self.engines]))

    def root_of(self, uri: str) -> Path:
        """The root that ``uri`` belongs to: its workspace folder, else the project around the file."""
        path = to_fs_path(uri.split("#")[0]) if uri.startswith("file:") else None
        if path is None:
            return self.folders[0] if self.folders else Path.cwd()
        file = Path(path)
        inside = [folder for folder in self.folders if folder in file.parents]
        if inside:
            return max(inside, key=lambda folder: len(folder.parts))
        marked = (p for p in file.parents if any((p / mark).exists() for mark in ROOT_MARKS))
        return next(marked, file.parent)

    def settings_for(self, uri: str) -> Settings:
        """The settings that hold for ``uri``."""
        return self.settings.of(self.root_of(uri))

    def engine_for(self, uri: str) -> Engine:
        """The engine of the root of ``uri``, made on first use."""
        root = self.root_of(uri)
        if root not in self.engines:
            made = self._engine_factory(self.settings.of(root), root, self.settings.is_trusted(root))
            engine = ThreadedEngine(made, self._engine_thread)
            engine.on_status = lambda _status: self.status.changed()
            self.engines[root] = engine
            self.status.changed()
        return self.engines[root]

    async def reconfigure(self) -> None:
        """Settings or trust changed: tell the engines, drop verdicts, show anew."""
        for root, engine in list(self.engines.items()):
            await engine.configure(self.settings.of(root), trusted=self.settings.is_trusted(root))
        self.report_problems()
        self.status.changed()
        self.outdate([])

    def outdate(self, paths: list[Path]) -> None:
        """Because ``paths``, or without any the settings, changed, verdicts hold no longer: find out anew.

        A buffer's own file says nothing new about it: verdicts are about the buffer's text.
        """
        self.gaps.clear()
        for engine in self.engines.values():
            engine.files_changed(paths)
        for document in self.documents:
            if not paths or any(str(path) != to_fs_path(document.uri) for path in paths):
                self.known(document).outdate()
                self.background.touched(document)

    async def load_model(self, uri: str, token: types.ProgressToken | None) -> None:
        """Load the weights of the root of ``uri`` under a progress bar; raises RequestError."""
        task = current_task()
        bar = self.bars.open("Loading the model", lambda: None if task.done() else _cancel(task), token)
        try:
            await self.engine_for(uri).start_model(bar.report)
            self.status.note = ""
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise RequestError(str(error)) from error
        finally:
            bar.end()

    def report_problems(self) -> None:
        """Show each problem of the settings once."""
        while self.settings.problems:
            self.say(self.settings.problems.pop(0), types.MessageType.Warning)

    def options_for(self, uri: str) -> FillOptions:
        """Fill options from the settings of ``uri``."""
        settings = self.settings_for(uri)
        return FillOptions(
            engine=settings.fill.engine,
            candidates=settings.fill.candidates,
            budget_s=settings.fill.budget_s,
            run_tests=settings.verify.tests.enabled,
            check_types=settings.verify.types.enabled,
            max_tokens=settings.fill.max_tokens,
        )

    # --- buffers -----------------------------------------------------------------------------------------

    def known(self, document: OpenDocument) -> Known:
        """What is known of the holes of ``document``."""
        return self._known.setdefault(document.uri, Known())

    def view(self, document: OpenDocument) -> View:
        """The program that ``document`` is part of."""
        root = self.root_of(document.uri)
        view = self.documents.view(document, root)
        unsaved = self.unsaved.beside(self.documents, view.document.path, root)
        return view._replace(document=structs.replace(view.document, unsaved=unsaved)) if unsaved else view

    def hole_at(self, document: OpenDocument, position: types.Position) -> Hole | None:
        """The hole at a client position."""
        return document.hole_at(document.buffer.offset(position))

    def on_open(self, item: types.TextDocumentItem) -> None:
        """textDocument/didOpen."""
        document = self.documents.open(item)
        self._known[document.uri] = Known()
        self.background.touched(document)

    def on_change(
        self,
        identifier: types.VersionedTextDocumentIdentifier,
        events: Sequence[types.TextDocumentContentChangeEvent],
    ) -> None:
        """textDocument/didChange."""
        document = self.documents.get(identifier.uri)
        if document is None:
            log.warning("a change of %s, which is not open, is ignored", identifier.uri)
            return
        known = self.known(document)
        for change in document.change(events, identifier.version):
            known.moved(change)
        self.background.touched(document)

    def on_close(self, uri: str) -> None:
        """textDocument/didClose."""
        document = self.documents.close(uri)
        if document is not None:
            self._known.pop(document.uri, None)
            self.background.closed(document)

    def on_notebook_open(self, params: types.DidOpenNotebookDocumentParams) -> None:
        """notebookDocument/didOpen."""
        self.documents.open_notebook(params.notebook_document, params.cell_text_documents)
        for item in params.cell_text_documents:
            document = self.documents.get(item.uri)
            if document is not None:
                self.background.touched(document)

    def on_notebook_change(self, params: types.DidChangeNotebookDocumentParams) -> None:
        """notebookDocument/didChange: structure first, then texts (LSP 3.17: NotebookDocumentChangeEvent)."""
        notebook = self.documents.notebook(params.notebook_document.uri)
        cells = params.change.cells
        if notebook is None or cells is None:
            return
        if (structure := cells.structure) is not None:
            array = structure.array
            new = [cell.document for cell in array.cells or ()]
            notebook.cells[array.start : array.start + array.delete_count] = new
            for item in structure.did_open or ():
                self.on_open(item)
                if (document := self.documents.get(item.uri)) is not None:
                    document.notebook = notebook
            for closed in structure.did_close or ():
                self.on_close(closed.uri)
        changed = {text.document.uri for text in cells.text_content or ()}
        for text in cells.text_content or ():
            self.on_change(text.document, text.changes)
        for uri in notebook.cells:  # they are one program: what was judged in it holds no longer
            if uri not in changed and (cell := self.documents.get(uri)) is not None:
                self.known(cell).outdate()
                self.background.touched(cell)

    def on_notebook_close(self, params: types.DidCloseNotebookDocumentParams) -> None:
        """notebookDocument/didClose."""
        for document in self.documents.close_notebook(params.notebook_document.uri):
            self._known.pop(document.uri, None)
            self.background.closed(document)

    # --- talking -----------------------------------------------------------------------------------------

    def progress_cancelled(self, token: types.ProgressToken) -> None:
        """window/workDoneProgress/cancel."""
        self.bars.cancelled(token)

    def say(self, sentence: str, kind: types.MessageType = types.MessageType.Info) -> None:
        """Show one sentence to the person."""
        self.window_show_message(types.ShowMessageParams(kind, f"astral-lsp: {sentence}"))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` after the present message; a failure goes to the log."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s", error, exc_info=error)

    def fills_changed(self) -> None:
        """Fills of a hole were found: lenses name the best one's verdicts."""
        if self.client.refresh_code_lens and not self._lens_refresh:
            self._lens_refresh = True
            asyncio.get_running_loop().call_later(REFRESH_SECONDS, self._refresh_lenses)

    def _refresh_lenses(self) -> None:
        self._lens_refresh = False
        if not self.stopping:
            self.refresh(types.WORKSPACE_CODE_LENS_REFRESH)

    def refresh(self, method: str) -> None:
        """Ask the editor to fetch something again; whether it does is its own business."""
        future = self.protocol.send_request(method)
        future.add_done_callback(lambda done: None if done.cancelled() else done.exception())

    def trace(self, message: str, verbose: str = "") -> None:
        """``$/logTrace``, as far as the client's ``$/setTrace`` wants it."""
        level = self.protocol.trace
        if level != types.TraceValue.Off:
            detail = verbose if level == types.TraceValue.Verbose else None
            self.log_trace(types.LogTraceParams(message=message, verbose=detail or None))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """A notification's handler failed: log it; a pop-up would help nobody."""
        if source is not FeatureRequestError:  # those are logged where they are answered
            log.error("%s: %s", getattr(source, "__name__", source), error)


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


async def _close(engine: Engine) -> None:
    try:
        await asyncio.wait_for(engine.close(), 3.0)
    except Exception as error:
        log.warning("a session did not close cleanly: %s", error)
