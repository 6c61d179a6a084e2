"""workspace/executeCommand: one function a command, each with one JSON object as its argument."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from lsprotocol import types

from astral_lsp.holes.model import Hole, Span
from astral_lsp.report import Fill
from astral_lsp.server import actions, explain, navigation, titles
from astral_lsp.server.applying import apply
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.edits import inserted
from astral_lsp.server.fill_all import fill_many
from astral_lsp.server.filling import best, fill
from astral_lsp.server.known import KnownFills
from astral_lsp.server.locate import Target, locate, open_document, plain, target
from astral_lsp.server.rpc import RequestError, invalid_params

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

DOCTOR_SECONDS = 60.0
FILLS = "astral/fills"


class Where(msgspec.Struct, rename="camel"):
    """The argument of every command: a hole by `Target`, or a place in the present buffer."""

    uri: str = ""
    version: int | None = None
    start: int | None = None
    end: int | None = None
    text: str = ""
    deed: str = "best"
    fill: str = ""
    selection: bool = False
    position: dict[str, int] | None = None
    range: dict[str, dict[str, int]] | None = None
    apply: bool = True
    """Insert the best fill; false only returns the fills."""
    again: bool = False
    patient: bool = False
    """The model may take its time to load: the person sees a progress bar and can cancel."""
    partial: str = ""
    """The person's editor wants ``astral/fills`` under this name while more are drawn."""
    show: bool = True
    root: str = ""


def register(server: AstralServer) -> None:
    """Offer every command."""
    server.command_handlers.update(
        {
            "astral.fillHole": fill_hole,
            "astral.applyFill": apply_fill,
            "astral.refineHole": refine_hole,
            "astral.fillFunction": fill_function,
            "astral.fillCell": fill_cell,
            "astral.fillFile": fill_file,
            "astral.makeHole": make_hole,
            "astral.explainRejected": explain_rejected,
            "astral.nextHole": next_hole,
            "astral.previousHole": previous_hole,
            "astral.listHoles": list_holes,
            "astral.cancel": cancel,
            "astral.status": status,
            "astral.loadModel": load_model,
            "astral.restartWorkers": restart_workers,
            "astral.trustWorkspace": trust_workspace,
            "astral.untrustWorkspace": untrust_workspace,
            "astral.doctor": doctor,
        }
    )


# --- arguments --------------------------------------------------------------------------------------------


def _where(params: types.ExecuteCommandParams) -> Where:
    argument = plain(params.arguments[0]) if params.arguments else {}
    try:
        return msgspec.convert(argument, Where)
    except msgspec.ValidationError as error:
        raise invalid_params(f"{params.command}: {error}") from None


def _range(where: Where) -> types.Range | None:
    try:
        if where.range is not None:
            start, end = where.range["start"], where.range["end"]
            return types.Range(types.Position(**start), types.Position(**end))
        if where.position is not None:
            position = types.Position(**where.position)
            return types.Range(position, position)
    except (KeyError, TypeError):
        raise invalid_params("a position has 'line' and 'character'") from None
    return None


def _hole(document: OpenDocument, where: Where) -> Hole:
    """The hole that the argument names; raises RequestError."""
    if where.start is not None and where.end is not None:
        wanted = Target(where.uri, where.version, where.start, where.end, where.text)
        wanted.selection = where.selection
        return locate(document, wanted)
    range_ = _range(where)
    if range_ is None:
        raise invalid_params("say which hole: 'position', 'range', or what an action carried")
    start, end = document.buffer.span(range_)
    hole = document.hole_at(start) if start == end else document.selection(start, end)
    if hole is None:
        raise RequestError("there is no hole here")
    return hole


def _function(document: OpenDocument, where: Where) -> Span:
    """The innermost function with holes around the place, or around its hole; raises RequestError."""
    range_ = _range(where)
    if range_ is None:
        around = _hole(document, where).function
    else:
        place = document.buffer.offset(range_.start)
        functions = {hole.function for hole in document.holes if hole.function is not None}
        inside = [span for span in functions if span.start <= place <= span.end]
        around = min(inside, key=lambda span: span.end - span.start, default=None)
    if around is None:
        raise RequestError("there is no function with a hole here")
    return around


# --- filling ----------------------------------------------------------------------------------------------


async def fill_hole(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Compute the fills of a hole, insert the best (unless ``apply`` is false), and return all."""
    where = _where(params)
    document = open_document(ls, where.uri)
    hole = _hole(document, where)
    if where.deed == "refine":
        return await refine_hole(ls, params)
    again = where.again or where.deed == "again"
    known = ls.known(document).fills_of(document, hole.span) if again else None
    seen = {f.text for f in known.fills} if known is not None else set()
    wanted = target(document, hole, "best")

    def on_judged(so_far: KnownFills) -> None:
        if where.partial and ls.documents.get(document.uri) is document:
            found = fills_json(ls, document, _present(ls, wanted, hole), so_far)
            ls.protocol.notify(FILLS, found | {"partial": where.partial})

    try:
        entry = await fill(
            ls,
            document,
            hole,
            again=again,
            patient=where.patient,
            token=params.work_done_token,
            on_judged=on_judged,
        )
        applied = await _insert(ls, wanted, best(entry, seen)) if where.apply else None
    except RequestError as error:
        _warn(ls, error, quiet=not where.apply)
        raise
    return fills_json(ls, document, _present(ls, wanted, hole), entry) | {"applied": applied}


def _present(ls: AstralServer, wanted: Target, hole: Hole) -> Hole:
    """Where the hole is by now (somebody may have typed above it); as it was when it is there no more."""
    try:
        return locate(open_document(ls, wanted.uri), wanted)
    except RequestError:
        return hole


async def _insert(ls: AstralServer, wanted: Target, chosen: Fill) -> str:
    document = open_document(ls, wanted.uri)
    hole, now = locate(document, wanted), document.version
    title = titles.fill_title(chosen)
    detail = "\n".join(titles.reasons(chosen))
    await apply(ls, actions.edit_for(ls, document, hole, chosen.text, title, detail), title)
    actions.tell(ls, chosen, now if wanted.version is None else wanted.version, now)
    return chosen.text


def _warn(ls: AstralServer, error: RequestError, *, quiet: bool = False) -> None:
    if not quiet and error.code != types.LSPErrorCodes.RequestCancelled:
        ls.say(error.message, types.MessageType.Warning)


def fills_json(ls: AstralServer, document: OpenDocument, hole: Hole, entry: KnownFills) -> dict[str, Any]:
    """Fills for an editor's own picker; each carries the argument of ``astral.applyFill``."""
    report = entry.report
    return {
        "schema": 1,
        "uri": document.uri,
        "version": entry.version,
        "range": ls.protocol._converter.unstructure(document.buffer.range(hole.start, hole.end)),
        "hole": {"text": hole.text, "kind": hole.kind, "hint": hole.hint},
        "expectedType": report.expected_type,
        "engine": report.engine,
        "model": report.model,
        "adapter": report.adapter,
        "message": report.message,
        "elapsedMs": report.elapsed_ms,
        "fills": [_fill_json(document, hole, entry, candidate) for candidate in entry.fills],
    }


def _fill_json(document: OpenDocument, hole: Hole, entry: KnownFills, candidate: Fill) -> dict[str, Any]:
    # the hole as it was in the text that was judged: what was typed since is followed when one is picked
    start, end = entry.origin.start, entry.origin.end
    version = document.version if entry.is_fresh(document) else entry.version
    argument = Target(document.uri, version, start, end, entry.text, "candidate", candidate.text)
    argument.selection = hole.marker == "selection"
    return {
        "text": candidate.text,
        "title": titles.fill_title(candidate),
        "marks": titles.marks(candidate.verdicts),
        "reasons": titles.reasons(candidate),
        "score": candidate.score,
        "verified": candidate.verified,
        "refused": titles.refused(candidate),
        "verdicts": msgspec.to_builtins(candidate.verdicts),
        "argument": msgspec.to_builtins(argument),
    }


async def apply_fill(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Insert a candidate that the person chose."""
    where = _where(params)
    document = open_document(ls, where.uri)
    try:
        hole = _hole(document, where)
        title = f"Fill hole: `{titles.shorten(where.fill)}`"
        place = inserted(document, hole.span, where.fill)
        await apply(ls, actions.edit_for(ls, document, hole, where.fill, title), title)
    except RequestError as error:
        _warn(ls, error)
        raise
    return {"applied": where.fill, "range": navigation.range_json(place)}


async def refine_hole(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Insert one level of the best fill, with holes below it."""
    where = _where(params)
    document = open_document(ls, where.uri)
    wanted = target(document, _hole(document, where), "refine")
    try:
        edit = await actions.edit_of(ls, wanted)
        await apply(ls, edit, "Refine hole")
    except RequestError as error:
        _warn(ls, error)
        raise
    return {"refined": True}


async def fill_function(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Fill every hole of the function around a place."""
    where = _where(params)
    document = open_document(ls, where.uri)
    return await fill_many(ls, [document], _function(document, where), params.work_done_token)


async def fill_cell(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Fill every hole of a notebook's cell, or of a buffer that is none."""
    return await _fill_all(ls, [open_document(ls, _where(params).uri)], "cell", params.work_done_token)


async def fill_file(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Fill every hole of a buffer; given a notebook's cell, of all its Python cells."""
    document = open_document(ls, _where(params).uri)
    return await _fill_all(ls, ls.documents.program(document), "notebook", params.work_done_token)


async def _fill_all(
    ls: AstralServer, documents: list[OpenDocument], of_cells: str, token: types.ProgressToken | None
) -> dict[str, Any]:
    if not any(document.holes for document in documents):
        in_notebook = any(document.notebook is not None for document in documents)
        raise RequestError(f"there is no hole in this {of_cells if in_notebook else 'file'}")
    return await fill_many(ls, documents, None, token)


async def make_hole(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Replace a selection by ``...``."""
    where = _where(params)
    document = open_document(ls, where.uri)
    hole = _hole(document, where)
    if reason := actions.unfillable(hole):
        raise RequestError(reason)
    await apply(ls, actions.edit_for(ls, document, hole, "...", "Make a hole"), "Make a hole")
    return {"removed": hole.text}


async def explain_rejected(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Why candidates were rejected, as Markdown; shown by the editor unless ``show`` is false."""
    where = _where(params)
    document = open_document(ls, where.uri)
    return await explain.explain(ls, document, _hole(document, where), show=where.show)


# --- finding ----------------------------------------------------------------------------------------------


async def next_hole(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any] | None:
    """Where the next hole is; the editor goes there when it can and ``show`` is true."""
    return await _step(ls, params, 1)


async def previous_hole(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any] | None:
    """Where the previous hole is."""
    return await _step(ls, params, -1)


async def _step(ls: AstralServer, params: types.ExecuteCommandParams, way: int) -> dict[str, Any] | None:
    where = _where(params)
    document = open_document(ls, where.uri)
    range_ = _range(where)
    if range_ is None:
        raise invalid_params("say where from: 'position'")
    return await navigation.step(ls, document, document.buffer.offset(range_.start), way, show=where.show)


def list_holes(ls: AstralServer, params: types.ExecuteCommandParams) -> list[dict[str, Any]]:
    """Every hole of a buffer, for a notebook's cell of the whole notebook; or of all open buffers."""
    uri = _where(params).uri
    documents = ls.documents.program(open_document(ls, uri)) if uri else list(ls.documents)
    return [item for document in documents for item in navigation.holes_json(ls, document)]


# --- the server itself ------------------------------------------------------------------------------------


def cancel(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, int]:
    """Stop every running fill."""
    return {"stopped": ls.jobs.stop_all()}


def status(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """The present status."""
    return ls.status.now()


async def load_model(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Load the weights now, with a progress bar."""
    where = _where(params)
    task = asyncio.ensure_future(ls.load_model(where.uri, params.work_done_token))
    await task
    return ls.status.now()


async def restart_workers(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Stop every worker; the next request starts them afresh."""
    ls.jobs.stop_all()
    await ls.close_engines()
    ls.background.refresh_all()
    return ls.status.now()


async def trust_workspace(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Let the workspace's own code run: tests, and plugins of mypy. Remembered."""
    return await _trust(ls, params, True)


async def untrust_workspace(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """Take trust back."""
    return await _trust(ls, params, False)


async def _trust(ls: AstralServer, params: types.ExecuteCommandParams, trusted: bool) -> dict[str, Any]:
    where = _where(params)
    if where.root:
        roots = [Path(where.root)]
    elif where.uri:
        roots = [ls.root_of(where.uri)]
    else:
        roots = ls.roots
    for root in roots:
        ls.settings.trust(root, trusted)
        if ls.settings.is_trusted(root) is not trusted:
            ls.say("the editor's own setting decides trust here, not this command", types.MessageType.Warning)
    await ls.reconfigure()
    return ls.status.now()


async def doctor(ls: AstralServer, params: types.ExecuteCommandParams) -> dict[str, Any]:
    """What ``astral-lsp doctor`` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "astral_lsp.cli", "doctor",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=str(ls.roots[0]) if ls.roots else None,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), DOCTOR_SECONDS)
    except asyncio.TimeoutError:
        raise RequestError(f"doctor did not end within {DOCTOR_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    return {"text": output.decode("utf-8", "replace"), "code": process.returncode}
