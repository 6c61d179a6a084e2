"""Candidates before the oracles: each fill is judged once, and the winner is confirmed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec

from astral_lsp.fill.budget import LATE_SECONDS, Budget
from astral_lsp.fill.document import Document
from astral_lsp.fill.rank import best_first, is_verified, refused
from astral_lsp.fill.report import FillOptions
from astral_lsp.fill.services import OnProgress, Services
from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill, Verdict, Verdicts, not_run
from astral_lsp.workers.protocol import Candidate

NO_TIME = "no time was left"
MANY_FAILED = 10
"""Texts that failed the tests before one passed, from which on the verdict counts them: where many are tried,
weak tests let one through in the end."""


class Judging:
    """What is known of the fills of one hole. ``holes``: the other ones of the document."""

    def __init__(
        self,
        services: Services,
        document: Document,
        hole: Hole,
        holes: list[Hole],
        options: FillOptions,
        budget: Budget,
        on_progress: OnProgress,
    ) -> None:
        self._services, self._document, self._hole, self._holes = services, document, hole, holes
        self._options, self._budget, self._on_progress = options, budget, on_progress
        self.enough = asyncio.Event()
        """Set when a fill has passed everything that there is: waiting for others would only cost time."""
        self.fills: dict[str, Fill] = {}
        self.elapsed_ms = 0.0
        self._finished: dict[str, str] = {}

    def ranked(self) -> list[Fill]:
        """All fills, best first."""
        return best_first(self.fills.values())

    def stands(self) -> bool:
        """Whether there is a fill that no oracle refused. Where tests do decide about others, they must have
        decided about it too: a text that sends them into an endless loop stands for nothing."""
        decide = any(fill.verdicts.tests.status in ("passed", "failed") for fill in self.fills.values())
        return any(
            not refused(fill.verdicts) and not (decide and _undecided(fill.verdicts.tests))
            for fill in self.fills.values()
        )

    def known(self) -> list[str]:
        """All that must not be drawn again, as the model writes it: without the lead, and as it was drawn."""
        known = {text.removeprefix(self._hole.lead) for text in (*self.fills, *self._options.rejected)}
        return sorted(known | self._finished.keys())

    async def judge(self, batch: list[Candidate]) -> bool:
        """Ask the oracles about what is new in ``batch``; False when nothing is."""
        fresh = self._take(batch)
        if not fresh:
            return False
        began = time.monotonic()
        syntax = {text: self._syntax(text) for text in fresh}
        sound = [text for text in fresh if syntax[text].status != "failed"]
        types = await self._types(sound)
        # tests first for what types let pass: a budget that runs out should cost the unlikely ones
        tests = await self._tests(sorted(sound, key=lambda text: types[text].status == "failed"))
        blocked = not_run("the fill does not parse")
        failed = sum(fill.verdicts.tests.status == "failed" for fill in self.fills.values())
        for text, score in fresh.items():
            tested = _told_after(tests.get(text, blocked), failed)
            verdicts = Verdicts(syntax[text], types.get(text, blocked), tested)
            self._keep(text, score, verdicts)
        self.elapsed_ms += (time.monotonic() - began) * 1e3
        return True

    async def confirm(self) -> None:
        """The winner's types are checked once more by an update of the whole program (tier 3, exact)."""
        while self._options.check_types:
            best = next(iter(self.ranked()), None)
            if best is None or best.verdicts.types.status != "passed":
                return
            verdict = (await self._types([best.text], confirm=True))[best.text]
            late = verdict.status == "unavailable" and self._budget.left() < LATE_SECONDS
            if verdict.status == "not_run" or late:  # mypy did pass it, in its function
                detail = f"checked in its function only: {verdict.detail}"
                verdict = msgspec.structs.replace(best.verdicts.types, detail=detail)
            verdicts = Verdicts(best.verdicts.syntax, verdict, best.verdicts.tests)
            self._keep(best.text, best.score, verdicts)
            if verdict.status != "failed":
                return

    async def warm_types(self) -> None:
        """Let mypy see the hole while the model draws: the first candidate is judged like the later ones."""
        if self._options.check_types and not self._budget.stop.is_set():
            await self._ask_types([], max(0.0, self._budget.left()))

    async def warm_tests(self) -> None:
        """Collect the tests while the model draws: they are ready, or nearly so, for the first candidate."""
        if self._options.run_tests and not self._budget.stop.is_set():
            await self._ask_tests([], max(0.0, self._budget.left()))

    # --- candidates ---------------------------------------------------------------------------------------

    def _take(self, batch: list[Candidate]) -> dict[str, float]:
        """Fills of ``batch`` that nobody has judged yet, with their scores; what was judged before gets the
        score that it has now: an engine learns more about its drafts as it goes on."""
        latest = {candidate.text: candidate.score for candidate in batch}
        scores: dict[str, float] = {}
        for drawn, score in latest.items():
            text = self._finish(drawn)
            scores[text] = max(score, scores.get(text, score))  # two drafts may come to the same fill
        for text in scores.keys() & self.fills.keys():
            self.fills[text] = msgspec.structs.replace(self.fills[text], score=scores[text])
        seen = {*self.fills, *self._options.rejected}
        return {text: score for text, score in scores.items() if text not in seen}

    def _finish(self, drawn: str) -> str:
        if drawn not in self._finished:
            self._finished[drawn] = self._services.finish(self._document, self._hole, drawn, self._holes)
        return self._finished[drawn]

    def _keep(self, text: str, score: float, verdicts: Verdicts) -> None:
        verified = is_verified(
            verdicts, types_required=self._options.check_types, tests_required=self._options.run_tests
        )
        self.fills[text] = Fill(text, score, verified, verdicts)
        passed = sum(fill.verified for fill in self.fills.values())
        self._on_progress(f"{len(self.fills)} judged, {passed} verified", None)
        if verified and verdicts.tests.status == "passed":
            self.enough.set()

    # --- oracles ------------------------------------------------------------------------------------------

    def _syntax(self, text: str) -> Verdict:
        return self._services.check_syntax(self._document, self._hole, text, self._holes)

    async def _types(self, texts: list[str], *, confirm: bool = False) -> dict[str, Verdict]:
        if not self._options.check_types:
            return dict.fromkeys(texts, not_run("type checking is switched off"))
        return await self._ask(texts, lambda seconds: self._ask_types(texts, seconds, confirm=confirm))

    async def _tests(self, texts: list[str]) -> dict[str, Verdict]:
        if not self._options.run_tests:
            return dict.fromkeys(texts, not_run("tests are switched off"))
        return await self._ask(texts, lambda seconds: self._ask_tests(texts, seconds))

    def _ask_types(
        self, texts: list[str], seconds: float, *, confirm: bool = False
    ) -> Awaitable[list[Verdict]]:
        return self._services.check_types(
            self._document, self._hole, texts, self._holes, confirm=confirm, budget_s=seconds
        )

    def _ask_tests(self, texts: list[str], seconds: float) -> Awaitable[list[Verdict]]:
        return self._services.run_tests(self._document, self._hole, texts, self._holes, budget_s=seconds)

    async def _ask(
        self, texts: list[str], oracle: Callable[[float], Awaitable[list[Verdict]]]
    ) -> dict[str, Verdict]:
        """The oracle's verdicts; it is told how many seconds are left, and left behind when it takes more."""
        if not texts:
            return {}
        left = self._budget.left()
        verdicts = None
        if left > 0 and not self._budget.stop.is_set():
            verdicts = await self._budget.within(oracle(left), left + LATE_SECONDS)
        if verdicts is None:
            return dict.fromkeys(texts, not_run("cancelled" if self._budget.stop.is_set() else NO_TIME))
        return dict(zip(texts, verdicts, strict=True))


def _undecided(verdict: Verdict) -> bool:
    return verdict.status == "not_run" and verdict.applies


def _told_after(verdict: Verdict, failed: int) -> Verdict:
    """``verdict`` of the tests, with how many texts ``failed`` them before where these are many."""
    if verdict.status != "passed" or failed < MANY_FAILED:
        return verdict
    return msgspec.structs.replace(verdict, detail=f"{verdict.detail}; {failed} texts failed before")
