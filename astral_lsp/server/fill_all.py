"""Fill several holes one after the other, each verified in a text that has the earlier fills in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lsprotocol import types
from msgspec import structs

from astral_lsp.holes.index import HoleIndex
from astral_lsp.holes.model import Hole, Span
from astral_lsp.report import Fill
from astral_lsp.server import titles
from astral_lsp.server.applying import apply
from astral_lsp.server.documents import OpenDocument, View, moved
from astral_lsp.server.edits import Replacement, workspace_edit
from astral_lsp.server.filling import Run, best
from astral_lsp.server.known import KnownFills
from astral_lsp.server.locate import locate, target
from astral_lsp.server.rpc import RequestError

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer


class _Filled(NamedTuple):
    hole: Hole
    """In the text that the run began with."""
    fill: Fill


class _Left(NamedTuple):
    line: int
    why: str


class _Program:
    """The text with the fills so far."""

    def __init__(self, view: View) -> None:
        self._document = view.document
        self._index = HoleIndex(view.document.text)
        self._shift: list[tuple[int, int]] = []
        """(offset in the first text, by how much what follows it moved)."""

    def view(self) -> View:
        document = structs.replace(self._document, text=self._index.text)
        return View(document, 0, list(self._index.holes))

    def now(self, hole: Hole) -> Hole | None:
        by = sum(delta for offset, delta in self._shift if offset <= hole.start)
        span = (hole.start + by, hole.end + by)
        return next((h for h in self._index.holes if (h.start, h.end) == span), None)

    def insert(self, original: Hole, present: Hole, fill: str) -> None:
        self._index.edit(present.start, present.end, fill)
        self._shift.append((original.end, len(fill) - (present.end - present.start)))


async def fill_many(
    ls: AstralServer, document: OpenDocument, holes: list[Hole], token: types.ProgressToken | None
) -> dict[str, Any]:
    """Fill ``holes`` of the present version and apply it as one edit; says what was left and why."""
    version = document.version
    view = ls.view(document)
    program = _Program(view)
    run = Run(ls, document, patient=True)
    run.show(f"Filling {_count(len(holes))}", token)
    filled: list[_Filled] = []
    left: list[_Left] = []
    try:
        for number, hole in enumerate(holes):
            line = document.buffer.line_of(hole.start) + 1
            if run.cancelled:
                left.append(_Left(line, "cancelled"))
                continue
            run.say(f"hole {number + 1} of {len(holes)}, line {line}", number / len(holes))
            try:
                filled.append(_Filled(hole, await _fill_one(run, program, moved(hole, view.base))))
            except RequestError as error:
                left.append(_Left(line, error.message))
    finally:
        run.end()
    return await _apply(ls, document, version, filled, left)


async def _fill_one(run: Run, program: _Program, hole: Hole) -> Fill:
    present = program.now(hole)
    if present is None:
        raise RequestError("it is no longer a hole after the earlier fills")
    report = await run.fill(program.view(), present)
    fill = best(KnownFills(present.span, present.text, "", 0, report))
    program.insert(hole, present, fill.text)
    return fill


async def _apply(
    ls: AstralServer, document: OpenDocument, version: int, filled: list[_Filled], left: list[_Left]
) -> dict[str, Any]:
    replacements: list[Replacement] = []
    kept: list[_Filled] = []
    for item in filled:
        hole = item.hole
        wanted = target(document, hole, "best")
        wanted.version = version
        try:
            replacements.append(Replacement(_span(locate(document, wanted)), item.fill.text))
            kept.append(item)
        except RequestError as error:
            left.append(_Left(0, error.message))
    moved = document.version != version  # before our own edit makes it so
    if replacements:
        label = f"Fill {_count(len(replacements))}"
        await apply(ls, workspace_edit(ls.client, document, replacements, label=label), label)
    summary = _summary(kept, left, moved=moved)
    ls.say(summary, types.MessageType.Info if kept else types.MessageType.Warning)
    return {
        "filled": len(kept),
        "verified": sum(item.fill.verified for item in kept),
        "left": [{"line": item.line, "why": item.why} for item in left],
        "message": summary,
    }


def _count(holes: int) -> str:
    return f"{holes} hole" if holes == 1 else f"{holes} holes"


def _span(hole: Hole) -> Span:
    return hole.span


def _summary(kept: list[_Filled], left: list[_Left], *, moved: bool) -> str:
    total = len(kept) + len(left)
    verified = sum(item.fill.verified for item in kept)
    text = f"filled {len(kept)} of {_count(total)}, {verified} verified"
    unverified = [item for item in kept if not item.fill.verified]
    if unverified:
        text += f"; unverified: {titles.marks(unverified[0].fill.verdicts)}"
        text += f" and {len(unverified) - 1} more" if len(unverified) > 1 else ""
    if moved:
        text += "; the buffer changed meanwhile, so the verdicts are of the version before"
    for item in left[:3]:
        text += "; left" + (f" line {item.line}" if item.line else "") + f": {item.why}"
    return text
