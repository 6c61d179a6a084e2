"""Work that nobody asked for by name: types of holes after a pause, fills in onHole and onIdle modes, and
reading ahead.

It waits until typing pauses and gives way as soon as a person asks for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from astral_lsp.holes.model import Hole
from astral_lsp.server import diagnostics
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.filling import fill
from astral_lsp.server.known import Known
from astral_lsp.server.reading import Reading
from astral_lsp.server.rpc import RequestError

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

log = logging.getLogger(__name__)
PAUSE_SECONDS = 0.4
"""After the last edit, before holes are analysed."""
IDLE_SECONDS = 2.0
"""After the last edit, before fills are computed in onIdle mode."""
ANALYSED_AT_ONCE = 64
"""Holes nearest the last edit go first; the rest follow in further rounds."""


class Background:
    """One task per buffer, restarted by each edit."""

    def __init__(self, server: AstralServer) -> None:
        self._server = server
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._attempted: set[tuple[str, str, int]] = set()
        self.reading = Reading(server)
        self._stopped = False

    def touched(self, document: OpenDocument) -> None:
        """``document`` was opened or edited."""
        self._cancel(document.uri)
        self.reading.stop(document.uri)
        if self._stopped:
            return
        task = asyncio.ensure_future(self._run(document))
        self._tasks[document.uri] = task
        task.add_done_callback(lambda done: self._done(document.uri, done))

    def closed(self, document: OpenDocument) -> None:
        """``document`` is gone: its diagnostics go too."""
        self._cancel(document.uri)
        self.reading.stop(document.uri)
        diagnostics.clear(self._server, document)

    def refresh_all(self) -> None:
        """Analyse every buffer anew."""
        for document in self._server.documents:
            self.touched(document)

    def stop(self) -> None:
        """No more background work."""
        self._stopped = True
        self.reading.stop()
        for uri in list(self._tasks):
            self._cancel(uri)

    def looked_at(self, document: OpenDocument, hole: Hole) -> None:
        """The cursor rests on ``hole`` (an automatic code action request): onHole mode fills it, others let
        the model read its context."""
        if self._server.settings_for(document.uri).fill.mode == "onHole":
            self._spawn_fill(document, hole)
        else:
            self.pointed_at(document, hole)

    def pointed_at(self, document: OpenDocument, hole: Hole) -> None:
        """Somebody reads about ``hole`` (a hover), perhaps with the mouse only: a reason to read its context,
        none to fill it."""
        if not self._stopped:
            self.reading.want(document, hole)

    def _cancel(self, uri: str) -> None:
        if (task := self._tasks.pop(uri, None)) is not None:
            task.cancel()

    def _done(self, uri: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(uri) is task:
            del self._tasks[uri]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work on %s failed", uri, exc_info=error)

    async def _run(self, document: OpenDocument) -> None:
        await asyncio.sleep(0.05)
        show(self._server, document)  # the holes themselves, types to follow
        await asyncio.sleep(PAUSE_SECONDS)
        if not document.holes:
            return
        await self._analyse(document)
        if self._server.settings_for(document.uri).fill.mode == "onIdle":
            await asyncio.sleep(IDLE_SECONDS)
            await self._fill_all(document)

    async def _analyse(self, document: OpenDocument) -> None:
        server, known = self._server, self._server.known(document)
        pending = [hole for hole in document.holes if not _is_known(known, hole, document)]
        while pending:
            batch, pending = pending[:ANALYSED_AT_ONCE], pending[ANALYSED_AT_ONCE:]
            view = server.view(document)
            version = document.version
            lifted = [view.lift(hole) for hole in batch]
            environments = await server.engine_for(document.uri).analyse(view.document, lifted, view.holes)
            for hole, environment in zip(batch, environments, strict=True):
                known.put_types(document, hole.span, version, environment)
            show(server, document)

    async def _fill_all(self, document: OpenDocument) -> None:
        for hole in list(document.holes):
            if self._server.jobs.busy_in_foreground():
                return
            await self._fill(document, hole)

    def _spawn_fill(self, document: OpenDocument, hole: Hole) -> None:
        key = f"{document.uri}#{hole.start}"
        if key in self._tasks or self._server.jobs.busy_in_foreground():
            return
        task = asyncio.ensure_future(self._fill(document, hole))
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._done(key, done))

    async def _fill(self, document: OpenDocument, hole: Hole) -> None:
        attempt = (document.uri, document.digest, hole.start)
        if attempt in self._attempted or self._server.known(document).fills_of(document, hole.span):
            return
        if len(self._attempted) > 4000:
            self._attempted.clear()
        self._attempted.add(attempt)
        with contextlib.suppress(RequestError):
            await fill(self._server, document, hole, background=True)
        show(self._server, document)


def _is_known(known: Known, hole: Hole, document: OpenDocument) -> bool:
    entry = known.types_of(hole.span)
    return entry is not None and entry.digest == document.digest


def show(server: AstralServer, document: OpenDocument) -> None:
    """Send or ask the editor to fetch everything that shows holes of ``document``."""
    diagnostics.publish(server, document)
    client = server.client
    if client.refresh_inlay_hints:
        server.refresh("workspace/inlayHint/refresh")
    if client.refresh_code_lens:
        server.refresh("workspace/codeLens/refresh")
