"""All errors of a file, whatever is in it: asked in a forked copy of the build, text by text."""

from __future__ import annotations

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import parse
from astral_lsp.workers.types.baseline import place
from astral_lsp.workers.types.fork import CAN_FORK, Branch
from astral_lsp.workers.types.messages import NOT_COUNTED, Message, is_of_order, words
from astral_lsp.workers.types.passes import undetermined
from astral_lsp.workers.types.program import CannotCheck, Program


class Whole:
    """What mypy says of whole texts of one file of the program."""

    def __init__(self, program: Program, path: str, as_written: bool) -> None:
        """``as_written``: untyped functions are left alone where the user's configuration says so."""
        self._program, self._path, self._as_written = program, path, as_written
        self._branch: Branch | None = None
        self.skips = False
        """Whether the file's untyped functions were left alone by the last check."""

    def errors(self, text: str, fill: Span, seconds: float) -> list[Message] | str:
        """The errors in the file with ``text`` in it; a string is why there is no answer but that.

        Raises BranchFailed when mypy dies on the text or takes too long.
        """
        if not CAN_FORK:
            return _counted(self._program.try_text(self._path, text), self._path, text, fill)
        if self._branch is None or self._branch.worn:
            self.close()
            self._branch = Branch(_Checker(self._program, self._path, self._as_written))
        answer: list[Message] | str
        self.skips, answer = self._branch.ask((text, fill.start, fill.end), seconds)
        return answer

    def close(self) -> None:
        """End the copy."""
        if self._branch is not None:
            self._branch.close()
        self._branch = None


class _Checker:
    """Lives in the copy."""

    def __init__(self, program: Program, path: str, as_written: bool) -> None:
        self._program, self._path, self._as_written = program, path, as_written
        self._ready = False

    def __call__(self, question: tuple[str, int, int]) -> tuple[bool, list[Message] | str]:
        if self._as_written and not self._ready:
            self._program.configuration.leave_untyped()
        self._ready = True
        text, start, end = question
        return self._check(text, Span(start, end))

    def _check(self, text: str, fill: Span) -> tuple[bool, list[Message] | str]:
        program, path = self._program, self._path
        found = program.try_text(path, text)
        if isinstance(found, str):
            return False, found
        try:
            program.refuse_silenced(path)
        except CannotCheck as why:
            return False, str(why)
        skips = not program.state(path).options.check_untyped_defs
        said = {(message.line, message.text) for message in found}
        late = undetermined(program, path, parse(text), trimmed(text, fill))
        found = [*found, *(m for m in late if (m.line, m.text) not in said)]
        return skips, _counted(found, path, text, fill)


def trimmed(text: str, fill: Span) -> Span:
    """``fill`` without the white space at its ends: it may begin or end outside of the block it is in."""
    written = text[fill.start : fill.end]
    if not written.strip():
        return fill
    start = fill.start + len(written) - len(written.lstrip())
    return Span(start, fill.end - (len(written) - len(written.rstrip())))


def _counted(found: list[Message] | str, path: str, text: str, fill: Span) -> list[Message] | str:
    if isinstance(found, str):
        return found
    where, names = place(path, text, fill), words(text[fill.start : fill.end])
    mine = [m for m in found if m.path == path and m.code not in NOT_COUNTED]
    return [m for m in mine if not is_of_order(m, where, names)]
