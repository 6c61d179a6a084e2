"""Verdicts about fills: each is inserted, the program is updated, and what it adds in errors is counted."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import parse
from astral_lsp.report import Finding, Verdict, not_run, unavailable
from astral_lsp.workers.protocol import CheckTypes, Judged
from astral_lsp.workers.types.fork import CAN_FORK, Branch, BranchFailed
from astral_lsp.workers.types.localise import Localiser
from astral_lsp.workers.types.messages import Message, Place, added
from astral_lsp.workers.types.places import ends_function
from astral_lsp.workers.types.program import CannotCheck, Program
from astral_lsp.workers.types.text import HOLE, Lines, Skeleton, Unreadable, call, mend, skeleton

log = logging.getLogger(__name__)

_SILENCER = re.compile(r"#\s*(?:type:\s*ignore|mypy:)")
_MISSING_RETURN = ("return", "empty-body")
_MOST_ASKED = 300
"""Candidates after which a copy is replaced by a fresh one."""


@dataclass(frozen=True)
class Baseline:
    """The buffer with its hole as Any, checked: what the fills are measured against."""

    path: str
    source: Skeleton
    text: str
    hole: Span
    messages: tuple[Message, ...]
    note: str
    key: object

    @property
    def place(self) -> Place:
        return place(self.path, self.text, self.hole)


def place(path: str, text: str, span: Span) -> Place:
    """Return the lines that ``span`` touches."""
    lines = Lines(text)
    return Place(path, lines.line(span.start), lines.line(span.end))


class Judge:
    """Judges fills against one program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._branch: Branch | None = None
        self._baseline: Baseline | None = None

    def check(self, params: CheckTypes, path: str, cancelled: Callable[[], bool]) -> Judged:
        """One verdict a fill, in order; fills not reached in the budget are ``not_run``."""
        began = time.perf_counter()
        deadline = time.monotonic() + params.budget_ms / 1000
        try:
            baseline = self.baseline(path, params)
        except (CannotCheck, Unreadable) as error:
            return Judged([unavailable(str(error)) for _ in params.fills], _since(began))
        verdicts = []
        for fill in params.fills:
            left = deadline - time.monotonic()
            if cancelled():
                verdicts.append(not_run("cancelled"))
            elif left <= 0:
                verdicts.append(not_run("out of time"))
            else:
                verdicts.append(self._timed(baseline, fill, left))
        return Judged(verdicts, _since(began))

    def close(self) -> None:
        """End the forked copy, if any."""
        if self._branch is not None:
            self._branch.close()
            self._branch = None

    # --- the baseline -----------------------------------------------------------------------------------

    def baseline(self, path: str, params: CheckTypes) -> Baseline:
        """Show the buffer with the hole as Any; raises CannotCheck or Unreadable."""
        key = (path, params.text, params.hole, tuple(params.other_holes))
        if self._baseline is not None and self._baseline.key == key and not self._program.stale():
            return self._baseline
        self.close()
        self._baseline = None
        source = skeleton(params.text, [params.hole], params.other_holes)
        last = "the code around the hole does not parse"
        for stand_in in (call(1, source.written(0)), HOLE, "pass", source.written(0)):
            mended, why = mend(source, [stand_in], lambda text: self._program.syntax_error(path, text))
            if why is not None:
                last = why
                continue
            text, (hole,) = mended.fill([stand_in])
            messages = tuple(self._program.show(path, text))
            left = ", ".join(map(str, mended.left_out))
            note = f"line {left} left out: syntax error" if left else ""
            self._baseline = Baseline(path, mended, text, hole, messages, note, key)
            return self._baseline
        raise CannotCheck(last)

    # --- one fill ---------------------------------------------------------------------------------------

    def _timed(self, baseline: Baseline, fill: str, seconds: float) -> Verdict:
        began = time.perf_counter()
        verdict = self._judge(baseline, fill, seconds)
        return Verdict(verdict.status, verdict.detail, verdict.findings, 0, _since(began))

    def _judge(self, baseline: Baseline, fill: str, seconds: float) -> Verdict:
        silencer = _SILENCER.search(fill)
        if silencer is not None:
            span = Span(silencer.start(), silencer.end())
            found = Finding("the fill silences the type checker", "ignore", span, None, 1.0)
            return Verdict("failed", "the fill silences the type checker", (found,))
        try:
            text, (span,) = baseline.source.fill([_plain(fill)])
            messages = self._messages(baseline, text, seconds)
            if isinstance(messages, str):
                return self._blocked(baseline, text, span, messages)
            new = self._added(baseline, text, span, messages, seconds)
        except BranchFailed as error:
            return unavailable(str(error))
        if not new:
            return Verdict("passed", baseline.note)
        findings = Localiser(baseline.path, text, span).findings(new)
        return Verdict("failed", _count(len(findings)), findings)

    def _blocked(self, baseline: Baseline, text: str, span: Span, said: str) -> Verdict:
        """A fill that stops mypy is at fault, all of it: with the hole in its place mypy went through."""
        line = self._program.syntax_error(baseline.path, text)
        code = "syntax" if line is not None else "misc"
        found = Finding(said, code, Span(0, span.end - span.start), line, 0.5)
        return Verdict("failed", said, (found,))

    def _added(
        self, baseline: Baseline, text: str, span: Span, messages: Sequence[Message], seconds: float
    ) -> list[Message]:
        where = place(baseline.path, text, span)
        new = added(baseline.messages, messages, baseline.place, where)
        ends_early = [m for m in baseline.messages if m.code in _MISSING_RETURN and m.path == baseline.path]
        if not ends_early or not any(m.code in _MISSING_RETURN for m in messages):
            return new
        if not ends_function(parse(baseline.text), baseline.hole):
            return new
        # the hole as an expression falls through to the end of its function; a fill may not
        own = self._own_missing_returns(baseline, seconds)
        blamed = [m for m in baseline.messages if m not in ends_early or m in own]
        return added(blamed, messages, baseline.place, where)

    def _own_missing_returns(self, baseline: Baseline, seconds: float) -> list[Message]:
        """The missing returns that stay when the hole returns something: they are the file's own."""
        written = f"return {baseline.text[baseline.hole.start : baseline.hole.end]}"
        text, _ = baseline.source.fill([written])
        messages = self._messages(baseline, text, seconds)
        if isinstance(messages, str):  # not a place for a return statement
            return [m for m in baseline.messages if m.code in _MISSING_RETURN]
        return [m for m in messages if m.code in _MISSING_RETURN]

    def _messages(self, baseline: Baseline, text: str, seconds: float) -> list[Message] | str:
        if not CAN_FORK:
            self._baseline = None  # the program itself moves on
            return self._program.try_text(baseline.path, text)
        if self._branch is not None and self._branch.asked >= _MOST_ASKED:
            self.close()
        if self._branch is None or not self._branch.alive:
            self._branch = Branch(lambda question: self._program.try_text(*question))
        answer: list[Message] | str = self._branch.ask((baseline.path, text), seconds)
        return answer


def _plain(fill: str) -> str:
    return fill.encode("utf-8", "replace").decode("utf-8")


def _count(number: int) -> str:
    return f"{number} type error{'s' if number > 1 else ''}"


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
