"""Reading ahead: the model reads the context of the hole that a person looks at, which may be filled next."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from astral_lsp.holes.model import Hole
from astral_lsp.server.documents import OpenDocument

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

log = logging.getLogger(__name__)
PAUSE_SECONDS = 0.2
"""The cursor or the pointer rests so long on a hole before its context is read."""


class _Place(NamedTuple):
    uri: str
    digest: str
    """Of the buffer's text."""
    start: int


class Reading:
    """At most one reading at a time, of the hole looked at last; none while a fill runs.

    A fill that begins under a reading stops it in the model and loses nothing of it (`fill.models`).
    """

    def __init__(self, server: AstralServer) -> None:
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self._at: _Place | None = None
        """What is being read, or was read last."""

    def want(self, document: OpenDocument, hole: Hole) -> None:
        """Somebody looks at ``hole``: read its context in a moment, unless settings or a fill forbid it."""
        place = _Place(document.uri, document.digest, hole.start)
        if place == self._at or not self._may(document):
            return
        self.stop()
        self._at = place
        self._task = asyncio.ensure_future(self._read(document, hole, place))
        self._task.add_done_callback(self._ended)

    def stop(self, uri: str | None = None) -> None:
        """Read no further; given ``uri``, only if it is that buffer's hole."""
        if self._task is not None and self._at is not None and uri in (None, self._at.uri):
            self._task.cancel()
            self._task = self._at = None

    def _may(self, document: OpenDocument) -> bool:
        return self._server.settings_for(document.uri).fill.read_ahead and not self._server.jobs.running

    async def _read(self, document: OpenDocument, hole: Hole, place: _Place) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        server = self._server
        read = False
        if self._may(document):
            view = server.view(document)
            engine, options = server.engine_for(document.uri), server.options_for(document.uri)
            read = await engine.read_ahead(view.document, view.lift(hole), options, view.holes)
        if not read and self._at == place:
            self._at = None  # the model was not loaded, or a fill came between: worth another look

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("reading ahead failed", exc_info=error)
