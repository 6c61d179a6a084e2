"""``astral/status``: what the server is doing, for a status bar; sent when it changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from astral_lsp import __version__

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

METHOD = "astral/status"


class Status:
    """Sends what `now` returns, at most every 50 ms."""

    def __init__(self, server: AstralServer) -> None:
        self._server = server
        self._last: dict[str, Any] = {}
        self._scheduled = False
        self.note = ""
        """One sentence that outlives the work it came from (why the model is not there, ...)."""

    def changed(self) -> None:
        """Something may have changed; tell the editor soon."""
        if not self._scheduled:
            self._scheduled = True
            try:
                asyncio.get_running_loop().call_later(0.05, self._send)
            except RuntimeError:
                self._scheduled = False

    def _send(self) -> None:
        self._scheduled = False
        now = self.now()
        if now != self._last and not self._server.stopping:
            self._last = now
            self._server.protocol.notify(METHOD, now)

    def now(self) -> dict[str, Any]:
        """The present status."""
        server = self._server
        roots = server.roots
        trusted = all(server.settings.is_trusted(root) for root in roots)
        states = [engine.status for engine in server.engines.values()]
        busy = next((state for state in states if state != "idle"), "idle")
        state = busy if busy != "idle" else "filling" if server.jobs.running else "idle"
        if state == "idle" and self.note:
            state = "unavailable"
        judged, verified = server.jobs.found()
        return {
            "state": state,
            "message": self.note or ("" if trusted else UNTRUSTED),
            "trusted": trusted,
            "roots": [str(root) for root in roots],
            "running": server.jobs.running,
            "judged": judged,
            "verified": verified,
            "version": __version__,
        }


UNTRUSTED = "untrusted workspace: types are checked without its plugins, tests are not run"
