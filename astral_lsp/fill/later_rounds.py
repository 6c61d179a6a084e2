"""The rounds after the first, while everything is refused and there is time.

What an oracle points into is remasked in place; of an expression that only tests refuse, one word at a time
is; and others are drawn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from astral_lsp.fill.budget import Budget
from astral_lsp.fill.drawing import PROPOSE_SHARE, Drawing
from astral_lsp.fill.judging import Judging
from astral_lsp.holes.model import Hole, Span
from astral_lsp.report import Fill
from astral_lsp.workers.protocol import Propose as ProposeParams
from astral_lsp.workers.protocol import Repair

BARREN_ROUNDS = 4
"""Rounds that bring nothing new, after which there is no use in going on."""
CANDIDATES = 8
"""Candidates of a round that draws afresh: eight rows cost little more than four, and oracles choose."""
MIN_SECONDS = 0.5
"""Less time than this is kept for ranking and for the way back to the editor."""
VARIED = 2
"""Fills that are changed word by word in each round: one takes a third of the time of drawing afresh."""
REPAIR_SHARE = 0.4
"""Part of the time left that one repair may use: what takes longer helps no more than a fresh draw."""


class LaterRounds:
    """``params``: those of the first round; they are changed."""

    def __init__(
        self, hole: Hole, params: ProposeParams, judging: Judging, drawing: Drawing, budget: Budget
    ) -> None:
        self._hole, self._params = hole, params
        self._judging, self._drawing, self._budget = judging, drawing, budget
        params.candidates = max(params.candidates, CANDIDATES)
        params.draw_only = True
        self._remasked: set[str] = set()
        self._varied: set[str] = set()

    async def run(self) -> None:
        """Go on until something stands, or nothing more can be done for it."""
        barren = 0
        while barren < BARREN_ROUNDS and not self._done():
            known = len(self._judging.fills)
            for turn in self._turns():
                if not self._done():
                    await turn()
            barren = barren + 1 if len(self._judging.fills) == known else 0

    def _turns(self) -> list[Callable[[], Awaitable[None]]]:
        """What a round tries. One word is often all that is wrong with an expression, seldom with more; what
        the model itself writes comes first, for weak tests let many a variant pass."""
        turns: list[Callable[[], Awaitable[None]]] = [self._remask, self._draw_afresh]
        if self._hole.category == "expression":
            turns.append(self._vary)
        return turns

    def _done(self) -> bool:
        late = self._budget.left() < MIN_SECONDS or self._budget.stop.is_set()
        return late or self._drawing.failed or self._judging.stands()

    async def _remask(self) -> None:
        """What the oracles point at in the best fill that they point into. A fill that is wrong as a whole is
        not repaired."""
        for fill in self._judging.ranked():
            if fill.text not in self._remasked and (spans := spans_of(fill)):
                self._remasked.add(fill.text)
                text, lead = self._as_drawn(fill)
                spans = [Span(max(0, span.start - lead), max(0, span.end - lead)) for span in spans]
                spans = [span for span in spans if span.start < span.end] or [Span(0, len(text))]
                return await self._repair(text, spans)

    async def _vary(self) -> None:
        """One word at a time of some fills that only tests refuse; those that were drawn first come first."""
        refused = (fill for fill in self._judging.fills.values() if _only_tests_refuse(fill))
        fresh = [fill for fill in refused if fill.text not in self._varied]
        for fill in fresh[:VARIED]:
            if not self._done():
                self._varied.add(fill.text)
                await self._repair(self._as_drawn(fill)[0], [])

    async def _draw_afresh(self) -> None:
        """Other candidates: the engines are told which ones are known."""
        self._params.seed += 1
        self._prepare(PROPOSE_SHARE)
        await self._drawing.round(self._params)

    async def _repair(self, text: str, spans: list[Span]) -> None:
        self._prepare(REPAIR_SHARE)
        await self._drawing.round(Repair(self._params, text, spans))

    def _prepare(self, share: float) -> None:
        self._params.budget_ms = self._drawing.share_ms(share)
        self._params.rejected = self._judging.known()
        self._judging.enough.clear()

    def _as_drawn(self, fill: Fill) -> tuple[str, int]:
        """The model sees the fill without the lead, which stands in ``params.before`` already; with the
        length of what it does not see."""
        lead = len(self._hole.lead) if fill.text.startswith(self._hole.lead) else 0
        return fill.text[lead:], lead


def spans_of(fill: Fill) -> list[Span]:
    """Spans of ``fill`` that its findings point at, surest first."""
    verdicts = fill.verdicts
    findings = [*verdicts.syntax.findings, *verdicts.types.findings, *verdicts.tests.findings]
    findings.sort(key=lambda finding: -finding.confidence)
    return [finding.span for finding in findings if finding.span is not None]


def _only_tests_refuse(fill: Fill) -> bool:
    verdicts = fill.verdicts
    others = (verdicts.syntax.status, verdicts.types.status)
    return verdicts.tests.status == "failed" and "failed" not in others
