"""From a hole of an open buffer to its ranked fills, with a progress bar, a cancel button and a deadline."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from lsprotocol import types
from msgspec import structs

from astral_lsp.fill.rank import best_first
from astral_lsp.fill.report import FillReport
from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill
from astral_lsp.server import titles
from astral_lsp.server.documents import OpenDocument, View
from astral_lsp.server.engine import OnJudged
from astral_lsp.server.jobs import Job, Keep, NothingYet, StillLoading
from astral_lsp.server.known import KnownFills, Stage
from astral_lsp.server.progress import Bar
from astral_lsp.server.rpc import RequestError

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

CANCELLED = types.LSPErrorCodes.RequestCancelled
FAILED = types.LSPErrorCodes.RequestFailed


async def fill(
    server: AstralServer,
    document: OpenDocument,
    hole: Hole,
    *,
    background: bool = False,
    again: bool = False,
    patient: bool = False,
    token: types.ProgressToken | None = None,
    on_judged: Callable[[KnownFills], None] = lambda _entry: None,
) -> KnownFills:
    """The fills of ``hole``, one of this version of ``document`` or a selection; remembered for lists.

    ``again`` asks for candidates that were not seen yet; ``on_judged`` gets those that there are before all
    are there. When the time is over this is the best so far. Raises RequestError with a sentence for people.
    """
    fresh = _fresh(server, document, hole)
    if fresh is not None and fresh.stage == "complete" and fresh.fills and not again:
        return fresh
    if fresh is not None and fresh.fills and not again:
        on_judged(fresh)
    known = server.known(document)
    epoch, digest, version = known.epoch, document.digest, document.version
    excluded = _excluded(fresh, again=again)

    def entry_of(report: FillReport, stage: Stage) -> KnownFills:
        merged = _merge(report, fresh.report) if fresh is not None else report
        same = digest if known.epoch == epoch else ""  # other files changed meanwhile: nothing is claimed
        return KnownFills(hole.span, hole.text, same, version, merged, excluded=excluded, stage=stage)

    def keep(report: FillReport, stage: Stage) -> KnownFills:
        entry = entry_of(report, stage)
        server.status.note = "" if report.model else report.message
        if server.documents.get(document.uri) is document:
            known.put_fills(document, entry)
            server.fills_changed()
        return entry

    run = Run(server, document, background=background, patient=patient)
    if not background:
        line = document.buffer.line_of(hole.start) + 1
        run.show(f"Filling the hole on line {line}", token)
    try:
        view = server.view(document)
        report = await run.fill(
            view, view.lift(hole), rejected=excluded, keep=keep,
            on_judged=lambda report: on_judged(entry_of(report, "running")),
        )  # fmt: skip
    except RequestError:
        so_far = known.fills_of(document, hole.span)
        new = so_far is not None and any(f.text not in excluded for f in so_far.report.fills)
        if run.cancelled or so_far is None or so_far.digest != digest or not new:
            raise
        return so_far
    finally:
        run.end()
    return entry_of(report, "complete")


def _excluded(known: KnownFills | None, *, again: bool) -> tuple[str, ...]:
    """What the next run must not draw: what was judged; a run that goes on is joined by asking the same."""
    if known is None:
        return ()
    if known.stage == "running":
        return known.excluded
    if known.stage == "cut" and not again:  # a cancel may have come between drawing and judging
        return tuple(fill.text for fill in known.fills if fill.verified or titles.refused(fill))
    return tuple(fill.text for fill in known.fills)


def _fresh(server: AstralServer, document: OpenDocument, hole: Hole) -> KnownFills | None:
    """What is known of ``hole`` in the very text that the buffer has."""
    known = server.known(document).fills_of(document, hole.span)
    return known if known is not None and known.is_fresh(document) else None


class Run:
    """One or several fills under one progress bar; the bar's cancel button stops the present one."""

    def __init__(
        self, server: AstralServer, document: OpenDocument, *, background: bool = False, patient: bool = False
    ) -> None:
        """``patient``: the person sees a bar and can cancel, so the model may take its time to load."""
        self._server, self._patient = server, patient
        self._uri = document.uri
        self._background = background
        self._bar: Bar | None = None
        self._job: Job | None = None
        self._step = ("", 0.0, 1.0)
        """Of several fills: which one, how much is done before it, and its share of all."""
        self.cancelled = False

    def show(self, title: str, token: types.ProgressToken | None = None) -> None:
        """Put a bar up."""
        self._bar = self._server.bars.open(title, self._cancel, token)

    def step(self, number: int, total: int, where: str) -> None:
        """Go on to fill ``number`` (from 0) of ``total``."""
        self._step = (f"{number + 1} of {total}, {where}", number / total, 1 / total)
        self.say("", 0.0)

    def say(self, text: str, fraction: float | None = None) -> None:
        """Tell the bar how far it is."""
        name, done, share = self._step
        if name:
            text, fraction = f"{name}: {text}" if text else name, done + share * (fraction or 0.0)
        if self._bar is not None:
            self._bar.report(text, fraction)

    def end(self) -> None:
        """Take the bar down."""
        if self._bar is not None:
            self._bar.end()

    def _cancel(self) -> None:
        self.cancelled = True
        if self._job is not None:
            self._job.cut_short()

    async def fill(
        self,
        view: View,
        hole: Hole,
        *,
        rejected: tuple[str, ...] = (),
        keep: Keep = lambda _report, _stage: None,
        on_judged: OnJudged = lambda _report: None,
    ) -> FillReport:
        """Fill ``hole`` of ``view`` within the budget; ``keep`` gets the report even when nobody waits.

        Raises RequestError.
        """
        server = self._server
        try:
            report = await server.jobs.fill(
                str(server.root_of(self._uri)), server.engine_for(self._uri), view, hole,
                structs.replace(server.options_for(self._uri), rejected=rejected),
                on_progress=self.say, on_judged=on_judged, on_job=self._started,
                background=self._background, patient=self._patient, keep=keep,
            )  # fmt: skip
        except StillLoading:
            if self.cancelled:
                raise RequestError("cancelled while the model was loading", CANCELLED) from None
            sentence = "the model is still loading; the fills will be listed when it is ready"
            raise RequestError(sentence) from None
        except NothingYet as error:
            raise RequestError(str(error), CANCELLED if self.cancelled else FAILED) from None
        if self.cancelled:
            raise RequestError(
                f"cancelled; {len(report.ranked)} candidates so far are in the list", CANCELLED
            )
        return report

    def _started(self, job: Job) -> None:
        self._job = job
        if self.cancelled:
            job.cut_short()


def _merge(new: FillReport, old: FillReport) -> FillReport:
    """Both reports' fills: they are about the same text, so their verdicts compare."""
    known = {f.text for f in new.ranked}
    fills = [*new.fills, *(f for f in old.fills if f.text not in known)]
    rejected = [*new.rejected, *(f for f in old.rejected if f.text not in known)]
    return structs.replace(new, fills=best_first(fills), rejected=best_first(rejected))


def best(entry: KnownFills, seen: Collection[str] = ()) -> Fill:
    """The fill to insert when the person did not choose; raises RequestError explaining why there is none.

    ``seen``: texts that the person has seen and wants another than.
    """
    report = entry.report
    fills = [fill for fill in report.fills if fill.text not in seen]
    if fills:
        return fills[0]
    rejected = [fill for fill in report.rejected if fill.text not in seen]
    if rejected:
        why = "; ".join(line.strip() for line in titles.reasons(rejected[0])[:2])
        text = titles.shorten(rejected[0].text)
        raise RequestError(f"no candidate passed, so nothing was inserted. The closest is `{text}`: {why}")
    raise RequestError(
        report.message or ("no other candidate was found" if seen else "no candidate was found")
    )
