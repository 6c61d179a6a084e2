"""Candidates checked in forked copies of the build: by graft where that is sound, else by a whole update."""

from __future__ import annotations

import logging
from typing import Any

from astral_lsp.holes.model import Span
from astral_lsp.workers.types.baseline import Baseline
from astral_lsp.workers.types.fork import CAN_FORK, Branch, BranchFailed
from astral_lsp.workers.types.graft import Graft, NotSound
from astral_lsp.workers.types.messages import Message
from astral_lsp.workers.types.passes import Updater
from astral_lsp.workers.types.program import Program

log = logging.getLogger(__name__)

_GRAFT_SECONDS = 1.5
"""A graft that takes longer is given up for a whole update."""


class Copies:
    """The two copies that belong to one baseline; made when first needed."""

    def __init__(self, program: Program, baseline: Baseline) -> None:
        self._program, self._baseline = program, baseline
        self._fast: Branch | None = None
        self._whole: Branch | None = None
        self.refused = "" if CAN_FORK else "this platform cannot fork"
        """Why no graft is sound here, '' while one may be."""
        self.grafts = self.updates = 0

    def get_ready(self) -> None:
        """Set the graft up on what stands in the hole now."""
        if not self.refused:
            base = self._baseline
            self._graft(base.text, base.hole, _GRAFT_SECONDS)

    def messages(self, text: str, fill: Span, seconds: float, confirm: bool) -> list[Message] | str:
        """The errors with ``text`` as the buffer, those outside the function left out where that is sound.

        A string is mypy's blocking error. Raises BranchFailed when mypy dies on the text or takes too long.
        """
        if not confirm and not self.refused:
            found = self._graft(text, fill, min(seconds, _GRAFT_SECONDS))
            if found is not None:
                self.grafts += 1
                return found
        self.updates += 1
        return self._update(text, fill, seconds)

    def close(self) -> None:
        """End both copies."""
        for branch in (self._fast, self._whole):
            if branch is not None:
                branch.close()
        self._fast = self._whole = None

    def _graft(self, text: str, fill: Span, seconds: float) -> list[Message] | None:
        if self._fast is None or self._fast.worn:
            if self._fast is not None:
                self._fast.close()
            self._fast = Branch(_Grafter(self._program, self._baseline))
        try:
            kind, answer = self._fast.ask((text, fill.start, fill.end), seconds)
        except BranchFailed as error:
            log.info("a graft failed (%s); checking the whole module", error)
            return None
        if kind == "never":
            self.refused = answer
            self._fast.close()
        return answer if kind == "messages" else None

    def _update(self, text: str, fill: Span, seconds: float) -> list[Message] | str:
        path = self._baseline.path
        if not CAN_FORK:
            return self._program.try_text(path, text)
        if self._whole is None or self._whole.worn:
            if self._whole is not None:
                self._whole.close()
            self._whole = Branch(Updater(self._program, self._baseline))
        answer: list[Message] | str = self._whole.ask((text, fill.start, fill.end), seconds)
        return answer


class _Grafter:
    """Lives in a copy: sets up the graft on the first question and answers that and the next ones."""

    def __init__(self, program: Program, baseline: Baseline) -> None:
        self._program, self._baseline = program, baseline
        self._graft: Graft | None = None

    def __call__(self, question: tuple[str, int, int]) -> tuple[str, Any]:
        text, start, end = question
        if self._graft is None:
            base = self._baseline
            try:
                self._graft = Graft(self._program, base.path, base.text, base.hole, list(base.messages))
            except NotSound as reason:
                return "never", str(reason)
        try:
            return "messages", self._graft.check(text, Span(start, end))
        except NotSound as reason:
            return "not this one", str(reason)
