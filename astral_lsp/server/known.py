"""What is known of the holes of open buffers: environments and fills, kept in place while the text moves."""

from __future__ import annotations

from typing import Literal

from astral_lsp.context.environment import Environment
from astral_lsp.fill.report import FillReport
from astral_lsp.holes.model import Span
from astral_lsp.report import Fill
from astral_lsp.server.documents import OpenDocument, shift
from astral_lsp.server.text import Change

UNDO_KEPT = 50
"""Reports kept although an edit touched their hole: undoing the edit revives them."""


Stage = Literal["running", "cut", "complete"]
"""Of the run behind a report: it still draws, it was cancelled, or it came to its end. Only then is the best
fill confirmed."""


class KnownFills:
    """A report and the exact text that it is about."""

    def __init__(
        self,
        origin: Span,
        text: str,
        digest: str,
        version: int,
        report: FillReport,
        *,
        excluded: tuple[str, ...] = (),
        stage: Stage = "complete",
    ) -> None:
        self.origin = origin
        """Where the hole was in the text that was judged."""
        self.span = origin
        """Where it is now."""
        self.text = text
        """The hole as written."""
        self.digest = digest
        """Of the whole text that was judged."""
        self.version = version
        self.report = report
        self.excluded = excluded
        """Texts that the run behind the report was told not to draw."""
        self.stage = stage

    @property
    def fills(self) -> list[Fill]:
        """Best first, refused ones last."""
        return self.report.ranked

    def is_fresh(self, document: OpenDocument) -> bool:
        """Whether the verdicts hold for the text as it is now, to the letter."""
        return self.digest == document.digest


class KnownTypes:
    """σ and Γ of one hole, as of some version."""

    def __init__(self, span: Span, digest: str, environment: Environment) -> None:
        self.span = span
        self.digest = digest
        self.environment = environment


class Known:
    """Everything known of one buffer."""

    def __init__(self) -> None:
        self.epoch = 0
        """Counts the times that everything was outdated: a run that saw one of them has mixed verdicts."""
        self._fills: list[KnownFills] = []
        self._touched: list[KnownFills] = []
        self._types: list[KnownTypes] = []

    def moved(self, change: Change) -> None:
        """Follow one edit."""
        kept: list[KnownFills] = []
        for entry in self._fills:
            span = shift(entry.span, change)
            if span is None:
                self._touched = [*self._touched[1 - UNDO_KEPT :], entry]
            else:
                entry.span = span
                kept.append(entry)
        self._fills = kept
        self._types = [entry for entry in self._types if _follow(entry, change)]

    def put_fills(self, document: OpenDocument, entry: KnownFills) -> None:
        """Keep fills that were made for ``entry.version``; the buffer may have moved on since."""
        now = document.rebase(entry.origin, entry.version)
        if now is None:
            self._touched = [*self._touched[1 - UNDO_KEPT :], entry]
            return
        entry.span = now
        self._fills = [e for e in self._fills if e.span != now] + [entry]

    def put_types(self, document: OpenDocument, span: Span, version: int, environment: Environment) -> None:
        """Keep σ and Γ of the hole that was at ``span`` of ``version``."""
        now = document.rebase(span, version)
        if now is not None:
            digest = document.digest if version == document.version else ""
            self._types = [e for e in self._types if e.span != now] + [KnownTypes(now, digest, environment)]

    def fills_of(self, document: OpenDocument, span: Span) -> KnownFills | None:
        """The fills of the hole at ``span``: those judged in this very text, else those that moved along."""
        for entry in [*self._fills, *reversed(self._touched)]:
            if entry.origin == span and entry.is_fresh(document):
                if entry in self._touched:  # an undo brought its very text back
                    self._touched.remove(entry)
                    self._fills = [e for e in self._fills if e.span != span] + [entry]
                    entry.span = span
                return entry
        text = document.text[span.start : span.end]
        return next((e for e in self._fills if e.span == span and e.text == text), None)

    def types_of(self, span: Span) -> KnownTypes | None:
        """σ and Γ of the hole at ``span``."""
        return next((entry for entry in self._types if entry.span == span), None)

    def outdate(self) -> None:
        """Settings, trust or other files changed under the verdicts: none holds for what is there now."""
        self.epoch += 1
        self._touched = []
        for fills in self._fills:
            fills.digest = ""
        for types_ in self._types:
            types_.digest = ""


def _follow(entry: KnownTypes, change: Change) -> bool:
    span = shift(entry.span, change)
    if span is not None:
        entry.span = span
    return span is not None
