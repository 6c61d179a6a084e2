"""Verdicts about fills: each is inserted and checked, and what it adds in errors is counted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from astral_lsp.holes.model import Span
from astral_lsp.report import Finding, Verdict, not_run, unavailable
from astral_lsp.workers.protocol import CheckTypes, Judged
from astral_lsp.workers.types.baseline import Baseline
from astral_lsp.workers.types.copies import Copies
from astral_lsp.workers.types.fork import BranchFailed
from astral_lsp.workers.types.frame import Frames
from astral_lsp.workers.types.localise import Localiser
from astral_lsp.workers.types.messages import Message, added
from astral_lsp.workers.types.places import ends_function, is_base
from astral_lsp.workers.types.program import CannotCheck, Program
from astral_lsp.workers.types.text import Unreadable, breaks
from astral_lsp.workers.types.untyped import LEFT_ALONE, AsWritten, would_say
from astral_lsp.workers.types.widen import Importers, seen_by

_SILENCER = re.compile(r"#\s*(?:type:\s*ignore|mypy:)")
_PROBE = "''.no_such_attribute_of_a_string"
"""An expression, and a statement, that mypy rejects wherever it looks."""
_NAME_PROBE = "no_such_name_anywhere"
"""What is rejected where only names are looked up: of the bases of a class nothing else is."""
_PROBE_SECONDS = 5.0
_WIDENING = 0.5
"""Share of a budget that may go into taking in the files that import this one."""
_UNREACHABLE = "mypy does not check this place: it takes the code for unreachable, or gave its definition up"
_ABOUT_ANY = re.compile(r"\bAny\b|[Uu]ntyped")
"""Of a message that strict options give where a value has no type."""
_MISSING_RETURN = ("return", "empty-body")


class Judge:
    """Judges fills against one program; keeps the last baseline warm."""

    def __init__(self, program: Program, frames: Frames, importers: Importers) -> None:
        self._program, self._frames, self._importers = program, frames, importers
        self._baseline: Baseline | None = None
        self._hole: Span | None = None
        self._checked: bool | None = None
        """Whether the hole is in code that mypy checks; None when that was not asked yet."""
        self.copies: Copies | None = None
        self._written: AsWritten | None = None

    def check(self, params: CheckTypes, path: str, cancelled: Callable[[], bool]) -> Judged:
        """One verdict a fill, in order; fills not reached in the budget are ``not_run``."""
        began = time.perf_counter()
        try:
            baseline, copies = self._ready(path, params)
        except (CannotCheck, Unreadable) as error:
            return Judged([unavailable(str(error)) for _ in params.fills], _since(began))
        if not params.fills:
            copies.get_ready()
            return Judged([], _since(began))
        deadline = time.monotonic() + params.budget_ms / 1000
        verdicts = []
        assert self._written is not None
        checked = self._is_checked(baseline, copies, params.budget_ms / 1000)
        for fill in params.fills:
            left = deadline - time.monotonic()
            if cancelled():
                verdicts.append(not_run("cancelled"))
            elif left <= 0:
                verdicts.append(not_run("out of time"))
            else:
                trial = _Trial(baseline, copies, params.confirm, left, self._written)
                verdicts.append(_where_looked_at(trial.verdict(fill), checked))
        return Judged(verdicts, _since(began))

    def _is_checked(self, baseline: Baseline, copies: Copies, seconds: float) -> bool:
        """Whether mypy says anything of a fill here: in unreachable code nearly all would pass."""
        if not baseline.unseen:
            return True
        if self._checked is None:
            trial = _Trial(baseline, copies, True, max(seconds, _PROBE_SECONDS))
            probes = [_PROBE, _NAME_PROBE] if is_base(baseline.tree, baseline.hole) else [_PROBE]
            self._checked = any(trial.verdict(probe).status != "passed" for probe in probes)
        return self._checked

    def close(self) -> None:
        """End the forked copies, if any."""
        for copies in (self.copies, self._written):
            if copies is not None:
                copies.close()
        self._baseline = self.copies = self._written = None

    def _ready(self, path: str, params: CheckTypes) -> tuple[Baseline, Copies]:
        frame = self._frames.get(path, params.text, [params.hole], params.other_holes)
        old = self._baseline
        same = old is not None and old.frame is frame and self._hole == params.hole
        baseline = old if old is not None and same else Baseline(frame, params.hole)
        if self._looks_elsewhere(baseline, params):
            wider = self._importers.widen(path, params.budget_ms / 1000 * _WIDENING)
            if wider:
                self.close()  # copies of the build as it was
                self._frames.forget()
                frame = self._frames.get(path, params.text, [params.hole], params.other_holes)
            if wider or not same:
                baseline, same = Baseline(frame, params.hole, self._importers.note()), False
        if same and self.copies is not None:
            return baseline, self.copies
        self.close()
        self._baseline, self._hole, self._checked = baseline, params.hole, None
        self.copies = Copies(self._program, baseline)
        self._written = AsWritten(self._program, baseline)
        return baseline, self.copies

    @staticmethod
    def _looks_elsewhere(baseline: Baseline, params: CheckTypes) -> bool:
        """Whether the files that import this one are to be part of the check. Holes in functions do not wait
        for that: it is done ahead of the fills, or for the one that is confirmed."""
        who = seen_by(baseline.tree, baseline.hole)
        return who == "importers" or (who == "class" and (params.confirm or not params.fills))


class _Trial:
    """One fill on one baseline."""

    def __init__(
        self,
        baseline: Baseline,
        copies: Copies | AsWritten,
        confirm: bool,
        seconds: float,
        written: AsWritten | None = None,
    ) -> None:
        """``written``: what the user's mypy would say, to be asked before a fill is refused."""
        self._baseline, self._copies, self._written = baseline, copies, written
        self._confirm, self._seconds = confirm, seconds

    def verdict(self, fill: str) -> Verdict:
        began = time.perf_counter()
        try:
            found = self._judge(fill)
        except BranchFailed as error:
            found = unavailable(str(error))
        return Verdict(found.status, found.detail, found.findings, 0, _since(began), found.applies)

    def _judge(self, fill: str) -> Verdict:
        base = self._baseline
        silencer = _SILENCER.search(fill)
        if silencer is not None:
            why = "the fill silences the type checker"
            return Verdict("failed", why, (Finding(why, "ignore", Span(*silencer.span()), None, 1.0),))
        text, span = base.with_fill(fill)
        messages = self._copies.messages(text, span, self._seconds, self._confirm)
        if isinstance(messages, str):
            # with the hole in its place mypy went through: all of the fill is at fault
            return Verdict("failed", messages, (Finding(messages, "syntax", Span(0, len(fill)), None, 0.5),))
        new = self.added(fill, messages)
        held = self._held(fill, text, span, new)
        if isinstance(held, str):
            return Verdict("failed", held, (Finding(held, "syntax", Span(0, len(fill)), None, 0.5),))
        if not new and not held:
            return Verdict("passed", _joined(base.note, _ignored(text, span)))
        findings = Localiser(base.path, text, span, lambda: base.tree_with(fill)).findings(held or new)
        if held:
            return Verdict(
                "failed",
                _joined(f"{len(held)} type error{'s' if len(held) > 1 else ''}", base.note),
                findings,
            )
        assert self._written is not None
        if self._written.leaves_hole_alone():
            why = f"{LEFT_ALONE}; with it: {new[0].text}"
            return Verdict("not_run", _joined(why, base.note), findings, applies=False)
        return Verdict("passed", _joined(would_say(new[0]), base.note))

    def _held(self, fill: str, text: str, span: Span, new: list[Message]) -> list[Message] | str:
        """The errors that the fill adds to what the user's own mypy says; a string is a blocking one.

        ``new``: those with untyped functions checked.
        """
        written = self._written
        if written is None or not (new or self._confirm) or not written.may_differ(fill, new):
            return new
        baseline = written.baseline(self._seconds)
        if baseline is None:
            return new
        messages = written.messages(text, span, self._seconds, True)
        if isinstance(messages, str):
            return messages
        return _Trial(baseline, written, True, self._seconds).added(fill, messages)

    def added(self, fill: str, messages: Sequence[Message]) -> list[Message]:
        """Those of ``messages`` that count against ``fill``."""
        base = self._baseline
        where = base.place_of(fill)
        excused = self._without_any(messages)
        new = added(excused, messages, base.place, where, fill)
        falls_through = [m for m in excused if m.code in _MISSING_RETURN and m.path == base.path]
        if not falls_through or not any(m.code in _MISSING_RETURN for m in messages):
            return new
        if not ends_function(base.tree, base.hole):
            return new
        # the stand-in falls through to the end of its function, and that is not the file's own error
        own = self._own_missing_returns()
        excused = [m for m in excused if m not in falls_through or m in own]
        return added(excused, messages, base.place, where, fill)

    def _own_missing_returns(self) -> list[Message]:
        """The missing returns that stay when the hole returns something: they are the file's own."""
        base = self._baseline
        messages = self._probe(f"return {base.text[base.hole.start : base.hole.end]}")
        if messages is None:  # not a place for a return statement
            return [m for m in base.messages if m.code in _MISSING_RETURN]
        return [m for m in messages if m.code in _MISSING_RETURN]

    def _without_any(self, messages: Sequence[Message]) -> list[Message]:
        """What excuses a fill: the file's own errors, but not those about an Any that the stand-in brings."""
        base = self._baseline
        if not any(map(self._is_about_any, base.own)) or not any(map(self._is_about_any, messages)):
            return base.own
        stand_in = base.text[base.hole.start : base.hole.end]
        typed = self._probe(f"object({breaks(stand_in)})")
        if typed is None:
            return base.own
        kept = [m for m in base.own if not self._is_about_any(m)]
        return kept + [m for m in typed if self._is_about_any(m)]

    def _is_about_any(self, message: Message) -> bool:
        return message.path == self._baseline.path and _ABOUT_ANY.search(message.text) is not None

    def _probe(self, fill: str) -> list[Message] | None:
        """The errors with ``fill`` in the hole, asked once for all fills; None when it cannot stand there."""
        base = self._baseline
        if fill not in base.probes:
            found = self._copies.messages(base.with_fill(fill)[0], base.hole, self._seconds, confirm=True)
            base.probes[fill] = None if isinstance(found, str) else found
        return base.probes[fill]


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _where_looked_at(found: Verdict, checked: bool) -> Verdict:
    """In code that mypy takes for unreachable an error counts (of a name, say), but nothing passes. That a
    type is not determined is no error there: nobody looks at what would determine it."""
    if checked or (found.status != "passed" and any(f.code != "has-type" for f in found.findings)):
        return found
    return not_run(_UNREACHABLE) if found.status in ("passed", "failed") else found


def _ignored(text: str, fill: Span) -> str:
    """Say so when the author's own comment around ``fill`` keeps mypy from reporting errors in it."""
    start = text.rfind("\n", 0, fill.start) + 1
    end = text.find("\n", fill.end)
    around = (text[start : fill.start], text[fill.end : end if end >= 0 else len(text)])
    return "its line has a type: ignore" if any(_SILENCER.search(part) for part in around) else ""


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
