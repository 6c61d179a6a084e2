"""Fill several holes one after the other, each verified in a text that has the earlier fills in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lsprotocol import types
from msgspec import structs

from astral_lsp.holes.index import HoleIndex
from astral_lsp.holes.model import Hole, Span
from astral_lsp.report import Fill
from astral_lsp.server import titles
from astral_lsp.server.applying import apply
from astral_lsp.server.documents import OpenDocument, View, moved
from astral_lsp.server.edits import Replacement, workspace_edits
from astral_lsp.server.filling import Run, best
from astral_lsp.server.known import KnownFills
from astral_lsp.server.locate import locate, target
from astral_lsp.server.rpc import RequestError

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer


class _Wanted(NamedTuple):
    """One hole to fill, in the version that its buffer has when the run begins."""

    document: OpenDocument
    hole: Hole
    version: int
    line: int
    """From 1."""


class _Filled(NamedTuple):
    wanted: _Wanted
    fill: Fill


class _Left(NamedTuple):
    wanted: _Wanted
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
    ls: AstralServer, documents: list[OpenDocument], within: Span | None, token: types.ProgressToken | None
) -> dict[str, Any]:
    """Fill the holes of ``documents``, which make one program (cells of a notebook, or one buffer), and apply
    it as one edit; says what was left and why. ``within``: only what lies in that span of the only one."""
    wanted = [
        _Wanted(document, hole, document.version, document.buffer.line_of(hole.start) + 1)
        for document in documents
        for hole in document.holes
        if within is None or (within.start <= hole.start and hole.end <= within.end)
    ]
    views = [ls.view(document) for document in documents]
    bases = {document.uri: view.base for document, view in zip(documents, views, strict=True)}
    text = views[0].document.text
    program = _Program(views[0])
    run = Run(ls, documents[0], patient=True)
    run.show(f"Filling {_count(len(wanted))}", token)
    filled: list[_Filled] = []
    left: list[_Left] = []
    stops = ls.jobs.stops

    def stopped() -> bool:
        return run.cancelled or ls.jobs.stops != stops

    try:
        for number, one in enumerate(wanted):
            if stopped():
                left.append(_Left(one, "cancelled"))
                continue
            run.step(number, len(wanted), _place(one))
            try:
                hole = moved(one.hole, bases[one.document.uri])
                filled.append(_Filled(one, await _fill_one(run, program, hole, stopped)))
            except RequestError as error:
                left.append(_Left(one, error.message))
    finally:
        run.end()
    changed = ls.view(documents[0]).document.text != text  # before our own edit makes it so
    return await _apply(ls, filled, left, changed=changed)


async def _fill_one(run: Run, program: _Program, hole: Hole, stopped: Callable[[], bool]) -> Fill:
    present = program.now(hole)
    if present is None:
        raise RequestError("it is no longer a hole after the earlier fills")
    report = await run.fill(program.view(), present)
    if stopped():  # nobody waits for the best so far
        raise RequestError("cancelled")
    fill = best(KnownFills(present.span, present.text, "", 0, report))
    program.insert(hole, present, fill.text)
    return fill


async def _apply(
    ls: AstralServer, filled: list[_Filled], left: list[_Left], *, changed: bool
) -> dict[str, Any]:
    changes: dict[str, tuple[OpenDocument, list[Replacement]]] = {}
    kept: list[_Filled] = []
    for item in filled:
        document = item.wanted.document
        try:
            replacement = Replacement(_present(ls, item.wanted).span, item.fill.text)
        except RequestError as error:
            left.append(_Left(item.wanted, error.message))
            continue
        changes.setdefault(document.uri, (document, []))[1].append(replacement)
        kept.append(item)
    cells = _cells([*kept, *left])
    if kept:
        label = f"Fill {_count(len(kept))}"
        await apply(ls, workspace_edits(ls.client, list(changes.values()), label=label), label)
    summary = _summary(kept, left, cells, changed=changed)
    ls.say(summary, types.MessageType.Info if kept else types.MessageType.Warning)
    return {
        "filled": len(kept),
        "verified": sum(item.fill.verified for item in kept),
        "left": [
            {"uri": item.wanted.document.uri, "line": item.wanted.line, "why": item.why} for item in left
        ],
        "message": summary,
    }


def _present(ls: AstralServer, wanted: _Wanted) -> Hole:
    """The hole as it is now; raises RequestError when it is no more, or its buffer."""
    if ls.documents.get(wanted.document.uri) is not wanted.document:
        raise RequestError("it was closed meanwhile")
    named = target(wanted.document, wanted.hole, "best")
    named.version = wanted.version
    return locate(wanted.document, named)


def _cells(items: Sequence[_Filled | _Left]) -> int:
    """In how many cells of a notebook they are; 0 when it is none."""
    return len({item.wanted.document.uri for item in items if item.wanted.document.notebook is not None})


def _place(wanted: _Wanted) -> str:
    """For people, who count a notebook's cells from the top, text cells too."""
    notebook, uri = wanted.document.notebook, wanted.document.uri
    cell = f"cell {notebook.cells.index(uri) + 1} " if notebook is not None and uri in notebook.cells else ""
    return f"{cell}line {wanted.line}"


def _count(holes: int) -> str:
    return f"{holes} hole" if holes == 1 else f"{holes} holes"


def _summary(kept: list[_Filled], left: list[_Left], cells: int, *, changed: bool) -> str:
    total = len(kept) + len(left)
    verified = sum(item.fill.verified for item in kept)
    where = f" in {cells} cells" if cells > 1 else ""
    text = f"filled {len(kept)} of {_count(total)}{where}, {verified} verified"
    unverified = [item for item in kept if not item.fill.verified]
    if unverified:
        text += f"; unverified: {titles.marks(unverified[0].fill.verdicts)}"
        text += f" and {len(unverified) - 1} more" if len(unverified) > 1 else ""
    if changed:
        text += "; the buffer changed meanwhile, so the verdicts are of the version before"
    for item in left[:3]:
        text += f"; left {_place(item.wanted)}: {item.why}"
    return text
