"""The JSON-RPC side of the server: every request is answered once, cancelling cancels, nothing blocks.

Differences from pygls's `LanguageServerProtocol` (2.1), each for a measured reason (notes/lsp.md):
- ``workspace/executeCommand`` runs in the request's own task, so that ``$/cancelRequest`` stops it;
- requests that cannot be deserialised, or come before ``initialize`` or after ``shutdown``, get an error;
- buffers are ours (`documents.Documents`), because pygls breaks lines where LSP does not;
- ``window/workDoneProgress/cancel`` reaches our own map of running work;
- a number that JSON has not (a score of minus infinity) is sent as null.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcParseError,
)
from pygls.protocol import LanguageServerProtocol
from pygls.protocol.language_server import lsp_method

from astral_lsp.server.transport import parse_body

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

log = logging.getLogger(__name__)
_CANCEL = types.CANCEL_REQUEST


class RequestError(JsonRpcException):
    """Answers a request with ``code`` and one sentence for people."""

    CODE = types.LSPErrorCodes.RequestFailed
    MESSAGE = "the request failed"

    def __init__(self, message: str, code: int = types.LSPErrorCodes.RequestFailed) -> None:
        super().__init__(message, code)


def content_modified(message: str) -> RequestError:
    """The buffer changed so that the answer would be wrong (LSP 3.17: ContentModified)."""
    return RequestError(message, types.LSPErrorCodes.ContentModified)


def invalid_params(message: str) -> RequestError:
    """The client sent parameters that mean nothing here."""
    return RequestError(message, types.ErrorCodes.InvalidParams)


class AstralProtocol(LanguageServerProtocol):
    """`LanguageServerProtocol` with the differences named in the module's docstring."""

    _server: AstralServer

    # --- in ---------------------------------------------------------------------------------------------

    def handle_body(self, body: bytes) -> None:
        """Handle one framed body; never raises."""
        try:
            raw = parse_body(body)
        except ValueError as error:
            self._refuse(None, JsonRpcParseError(f"not JSON: {error}"))
            return
        for message in raw if isinstance(raw, list) else [raw]:
            self._handle_raw(message)

    def _handle_raw(self, raw: object) -> None:
        if not isinstance(raw, dict) or raw.get("jsonrpc") != self.VERSION:
            request_id = raw.get("id") if isinstance(raw, dict) else None
            self._refuse(request_id, JsonRpcInvalidRequest("not a JSON-RPC 2.0 message"))
            return
        method, request_id = raw.get("method"), raw.get("id")
        is_request = method is not None and request_id is not None
        if is_request and (refusal := self._untimely(str(method))):
            self._refuse(request_id, refusal)
            return
        try:
            message = self.structure_message(raw)
        except JsonRpcException as error:
            log.warning("message %r cannot be read: %s", method, error.__cause__ or error)
            if is_request:
                self._refuse(request_id, JsonRpcInvalidParams(f"the parameters of {method} cannot be read"))
            return
        try:
            self.handle_message(message)
        except Exception as error:
            log.exception("message %r failed", method)
            if is_request:
                self._refuse(request_id, JsonRpcInternalError(str(error)))

    def _untimely(self, method: str) -> JsonRpcException | None:
        if self._shutdown:
            return JsonRpcInvalidRequest("the server is shutting down")
        if self._workspace is None and method != types.INITIALIZE:
            return RequestError("initialize comes first", types.ErrorCodes.ServerNotInitialized)
        if self._workspace is not None and method == types.INITIALIZE:
            return JsonRpcInvalidRequest("already initialized")
        return None

    def _refuse(self, request_id: Any, error: JsonRpcException) -> None:
        self._send_data({
            "jsonrpc": self.VERSION, "id": request_id, "error": {"code": error.code, "message": error.message}
        })  # fmt: skip

    def _send_data(self, data: Any) -> None:
        """Write one message, in numbers that JSON has: Python's own ``-Infinity`` makes an editor drop the
        whole message, and whoever asked waits for ever."""
        if not data or self.writer is None:
            return
        try:
            body = json.dumps(data, default=self._serialize_message)
            if "NaN" in body or "Infinity" in body:
                body = json.dumps(json.loads(body, parse_constant=lambda _name: None))
            self.writer.write(f"Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii"))
        except Exception:
            log.exception("a message could not be sent")

    def _send_handler_result(self, future: Future[Any], *, msg_id: str | int) -> None:
        error = None if future.cancelled() else future.exception()
        if not isinstance(error, RequestError):
            super()._send_handler_result(future, msg_id=msg_id)
            return
        log.info("request %s: %s", msg_id, error.message)  # an answer like any other, no failure of ours
        self._request_futures.pop(msg_id, None)
        self._send_response(msg_id, error=error.to_response_error())

    def _handle_cancel_notification(self, msg_id: str | int) -> None:
        # The future stays in the map until its callback has answered: popping it here would let a
        # second cancel, or shutdown, lose sight of work that is still winding down.
        future = self._request_futures.get(msg_id)
        if future is not None:
            future.cancel()

    def _handle_response(
        self, msg_id: str | int, result: Any | None = None, error: types.ResponseError | None = None
    ) -> None:
        future = self._request_futures.get(msg_id)
        if future is not None and future.done():  # we stopped waiting for it
            self._request_futures.pop(msg_id, None)
            return
        super()._handle_response(msg_id, result, error)

    # --- built-in methods -----------------------------------------------------------------------------------

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """Add to pygls's capabilities what it does not derive by itself."""
        result = yield from super().lsp_initialize(params)
        self.trace = params.trace or types.TraceValue.Off
        capabilities = result.capabilities
        capabilities.execute_command_provider = types.ExecuteCommandOptions(
            commands=list(self._server.command_handlers), work_done_progress=True
        )
        if not self._server.client.pull_diagnostics:
            capabilities.diagnostic_provider = None
        if capabilities.workspace is not None:
            capabilities.workspace.text_document_content = types.TextDocumentContentOptions(
                ["astral-rejected"]
            )
        return result

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        """Take a document in."""
        self._server.on_open(params.text_document)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Apply content changes in order (LSP 3.17: DidChangeTextDocumentParams)."""
        self._server.on_change(params.text_document, params.content_changes)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        """Forget a document."""
        self._server.on_close(params.text_document.uri)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: types.DidOpenNotebookDocumentParams) -> None:
        """Take a notebook and its Python cells in."""
        self._server.on_notebook_open(params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(self, params: types.DidChangeNotebookDocumentParams) -> None:
        """Update a notebook's cells."""
        self._server.on_notebook_change(params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(self, params: types.DidCloseNotebookDocumentParams) -> None:
        """Forget a notebook."""
        self._server.on_notebook_close(params)

    @lsp_method(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def lsp_work_done_progress_cancel(self, params: types.WorkDoneProgressCancelParams) -> None:
        """The person pressed cancel on a progress bar."""
        self._server.progress_cancelled(params.token)

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # type: ignore[override]
        self, params: types.ExecuteCommandParams
    ) -> Any:
        """Run a command in this request's own task."""
        handler = self._server.command_handlers.get(params.command)
        if handler is None:
            raise invalid_params(f"there is no command {params.command!r}")
        result = handler(self._server, params)
        return await result if inspect.isawaitable(result) else result

    @lsp_method(types.SHUTDOWN)
    async def lsp_shutdown(self, *args: Any) -> None:  # type: ignore[override]
        """Answer or cancel what runs, stop the workers, then answer."""
        current = self.msg_id
        for msg_id, future in list(self._request_futures.items()):
            if msg_id != current and not future.done():
                future.cancel()
        self._shutdown = True
        await self._server.close_sessions()

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> None:  # type: ignore[override]
        """End the process: code 0 after shutdown, 1 without (LSP 3.17: exit)."""
        self._server.stop(0 if self._shutdown else 1)


def current_task() -> asyncio.Task[Any]:
    """The running task; handlers of requests always have one."""
    task = asyncio.current_task()
    assert task is not None
    return task
