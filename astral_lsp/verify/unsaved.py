"""Handing unsaved buffers to a worker, once for as long as they are the same."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from astral_lsp.report import Verdict
from astral_lsp.workers.buffers import Laid, ShowUnsaved, Unsaved, note
from astral_lsp.workers.process import WorkerProcess


class Handed:
    """What one worker knows of unsaved buffers."""

    def __init__(self) -> None:
        self._known: tuple[Unsaved, ...] = ()
        self._unread: list[str] = []

    def forget(self) -> None:
        """The worker was started or opened afresh."""
        self._known, self._unread = (), []

    async def hand(
        self, worker: WorkerProcess, unsaved: Sequence[Unsaved], beside: str, seconds: float
    ) -> None:
        """Tell ``worker`` of ``unsaved`` if it is news; raises WorkerFailure."""
        wanted = tuple(unsaved)
        if wanted == self._known:
            return
        laid: Laid = await worker.call(ShowUnsaved(list(wanted), beside), timeout=seconds)
        self._known, self._unread = wanted, laid.unread

    def said(self, verdicts: list[Verdict]) -> list[Verdict]:
        """The verdicts, with a word on what they could not take into account."""
        words = note(self._unread)
        if not words:
            return verdicts
        return [
            structs.replace(v, detail="; ".join(part for part in (v.detail, words) if part))
            if v.status in ("passed", "failed")
            else v
            for v in verdicts
        ]
