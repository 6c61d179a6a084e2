"""Work-done progress bars whose cancel button works (LSP 3.17: Work Done Progress)."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

log = logging.getLogger(__name__)
INTERVAL_SECONDS = 0.1
"""Reports closer together than this are dropped."""


class Bar:
    """One progress bar; silent when the editor has none."""

    def __init__(
        self, bars: ProgressBars, token: types.ProgressToken | None, on_cancel: Callable[[], None]
    ) -> None:
        self._bars = bars
        self.token = token
        self.on_cancel = on_cancel
        self.begun = False
        self.ended = False
        self.cancelled = False
        self.creating: asyncio.Task[None] | None = None
        self._last = 0.0

    def begin(self, title: str) -> None:
        """Show the bar."""
        if self.token is not None and not self.ended:
            self.begun = True
            self._bars.send(
                self.token, types.WorkDoneProgressBegin(title=title, cancellable=True, percentage=0)
            )

    def report(self, text: str, fraction: float | None = None) -> None:
        """Say what is going on; ``fraction`` in [0, 1]."""
        now = time.monotonic()
        if not self.begun or self.ended or self.token is None or now - self._last < INTERVAL_SECONDS:
            return
        self._last = now
        percentage = None if fraction is None else max(0, min(100, round(fraction * 100)))
        self._bars.send(
            self.token, types.WorkDoneProgressReport(message=text, percentage=percentage, cancellable=True)
        )

    def end(self, text: str = "") -> None:
        """Take the bar away, once."""
        if self.ended:
            return
        self.ended = True
        if self.creating is not None:
            self.creating.cancel()
        if self.token is not None:
            self._bars.drop(self.token)
            if self.begun:
                self._bars.send(self.token, types.WorkDoneProgressEnd(message=text or None))


class ProgressBars:
    """Every bar that is on show, by token."""

    def __init__(self, server: AstralServer) -> None:
        self._server = server
        self._open: dict[types.ProgressToken, Bar] = {}

    def open(
        self, title: str, on_cancel: Callable[[], None], token: types.ProgressToken | None = None
    ) -> Bar:
        """A bar under the client's ``token``, else under one that we ask the client to create."""
        if token is not None:
            bar = self._open[token] = Bar(self, token, on_cancel)
            bar.begin(title)
            return bar
        if not self._server.client.progress:
            return Bar(self, None, on_cancel)
        ours = f"astral-{uuid.uuid4()}"
        bar = self._open[ours] = Bar(self, ours, on_cancel)
        bar.creating = asyncio.ensure_future(self._create(bar, ours, title))
        return bar

    async def _create(self, bar: Bar, token: str, title: str) -> None:
        """Only a created token may be used: the bar begins when the client has answered. Nothing else waits
        for that, so a client may take its time, or never answer."""
        params = types.WorkDoneProgressCreateParams(token)
        try:
            await self._server.window_work_done_progress_create_async(params)
            bar.begin(title)
        except Exception as error:  # the editor refused: work goes on without a bar
            log.info("no progress bar: %s", error)
            self.drop(token)

    def cancelled(self, token: types.ProgressToken) -> None:
        """The person pressed the cancel button of ``token``."""
        bar = self._open.get(token)
        if bar is not None and not bar.ended:
            bar.cancelled = True
            bar.on_cancel()

    def send(
        self,
        token: types.ProgressToken,
        value: types.WorkDoneProgressBegin | types.WorkDoneProgressReport | types.WorkDoneProgressEnd,
    ) -> None:
        """Notify the client."""
        converter = self._server.protocol._converter
        self._server.progress(types.ProgressParams(token=token, value=converter.unstructure(value)))

    def drop(self, token: types.ProgressToken) -> None:
        """Forget a token."""
        self._open.pop(token, None)
