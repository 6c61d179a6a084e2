"""textDocument/codeAction and codeAction/resolve.

A list never computes: it shows the fills that are known, or one action without an edit that resolve fills.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from lsprotocol import types

from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill
from astral_lsp.server import titles
from astral_lsp.server.diagnostics import CODE, SOURCE
from astral_lsp.server.documents import OpenDocument
from astral_lsp.server.edits import Replacement, workspace_edit
from astral_lsp.server.filling import best, fill
from astral_lsp.server.locate import Deed, Target, locate, open_document, read_target, target
from astral_lsp.server.refine import PLACEHOLDER, refine
from astral_lsp.server.rpc import RequestError

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

REWRITE = "refactor.rewrite"
FILL = "refactor.rewrite.fillHole"
FILL_ALL = "refactor.rewrite.fillHoles"
MAKE = "refactor.rewrite.makeHole"
REFILL = "refactor.rewrite.refill"
REFINE = "refactor.rewrite.refineHole"
EXPLAIN = "refactor.rewrite.explainRejected"
KINDS = [types.CodeActionKind.QuickFix, FILL, FILL_ALL, REFINE, MAKE, REFILL, EXPLAIN]


def register(server: AstralServer) -> None:
    """Serve both requests."""
    options = types.CodeActionOptions(code_action_kinds=list(KINDS), resolve_provider=True)
    server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)(code_actions)
    server.feature(types.CODE_ACTION_RESOLVE)(resolve)


# --- list -------------------------------------------------------------------------------------------------


def code_actions(
    ls: AstralServer, params: types.CodeActionParams
) -> list[types.CodeAction | types.Command] | None:
    """What can be done here, from what is known."""
    document = ls.documents.get(params.text_document.uri)
    if document is None:
        return None
    start, end = document.buffer.span(params.range)
    lister = _Lister(ls, document, params.context)
    holes = document.holes_for(start, end)
    actions = [action for hole in holes for action in lister.of_hole(hole)]
    actions += [action for hole in holes for action in lister.refining(hole)]
    actions += lister.of_many(holes)
    if start != end:
        actions += lister.of_selection(start, end)
    if params.context.trigger_kind == types.CodeActionTriggerKind.Automatic and len(holes) == 1:
        ls.background.looked_at(document, holes[0])
    if ls.client.code_action_literals:
        return list(actions)
    return [action.command for action in actions if action.command is not None]


class _Lister:
    """The actions of one list request."""

    def __init__(self, ls: AstralServer, document: OpenDocument, context: types.CodeActionContext) -> None:
        self.ls, self.document = ls, document
        self.only = None if context.only is None else [str(getattr(k, "value", k)) for k in context.only]
        self.diagnostics = [d for d in context.diagnostics if d.source == SOURCE and d.code == CODE]

    def wants(self, kind: str) -> bool:
        """Whether ``context.only`` lets ``kind`` through (kinds are prefixes, LSP 3.17: CodeActionKind)."""
        if self.only is None:
            return True
        return any(not k or kind == k or kind.startswith(k + ".") for k in self.only)

    def of_hole(self, hole: Hole) -> Iterator[types.CodeAction]:
        """Known fills, then the actions that compute."""
        kind, diagnostics = self._kind(hole)
        if kind is None:
            return
        known = self.ls.known(self.document).fills_of(self.document, hole.span)
        fills = known.fills if known is not None else []
        fresh = known is not None and known.is_fresh(self.document)
        preferred = False
        for candidate in fills:
            action = self._candidate(hole, candidate, kind, stale=not fresh)
            action.diagnostics = diagnostics
            settled = (
                fresh and known is not None and known.stage == "complete"
            )  # an editor may apply it without asking
            if settled and candidate.verified and not preferred and self.ls.client.preferred:
                action.is_preferred = preferred = True
            yield action
        if not fresh or not fills:
            yield self._computing(hole, "Fill hole", kind, "best", diagnostics)
        if fills:
            yield self._computing(hole, "Fill hole with another candidate", kind, "again", diagnostics)
        if known is not None and known.report.rejected and self.wants(EXPLAIN):
            arguments = msgspec.to_builtins(target(self.document, hole, "best"))
            title = "Why were the other candidates rejected?"
            yield types.CodeAction(
                title,
                kind=EXPLAIN,
                command=types.Command(title, "astral.explainRejected", arguments=[arguments]),
            )

    def refining(self, hole: Hole) -> Iterator[types.CodeAction]:
        """One level of the best known fill; asked for by its kind, also where no fill is known."""
        if not self.wants(REFINE):
            return
        known = self.ls.known(self.document).fills_of(self.document, hole.span)
        fresh = known is not None and known.is_fresh(self.document)
        if known is not None and fresh and known.report.fills:
            refined = refine(known.report.fills[0].text, hole)
            if refined is not None:
                title = f"Refine hole: `{titles.shorten(refined)}` · leaves {refined.count(PLACEHOLDER)}"
                yield self._computing(hole, title, REFINE, "refine", None)
        elif self.only is not None and REFINE in self.only:
            yield self._computing(hole, "Refine hole", REFINE, "refine", None)

    def _kind(self, hole: Hole) -> tuple[str | None, list[types.Diagnostic] | None]:
        """A quick fix where the editor showed our diagnostic, else a refactoring; never both in one list."""
        position = self.document.buffer.position(hole.start)
        mine = [d for d in self.diagnostics if d.range.start == position]
        quickfix = types.CodeActionKind.QuickFix.value
        if self.only is not None and self.wants(quickfix) and not self.wants(FILL):
            return quickfix, mine or None
        if mine and self.wants(quickfix):
            return quickfix, mine
        return (FILL if self.wants(FILL) else None), None

    def _candidate(self, hole: Hole, candidate: Fill, kind: str, *, stale: bool) -> types.CodeAction:
        wanted = target(self.document, hole, "candidate", candidate.text)
        action = types.CodeAction(titles.fill_title(candidate, stale=stale), kind=kind)
        self._tag(action)
        if self.ls.client.resolves_edits:
            action.data = msgspec.to_builtins(wanted)
        else:
            action.edit = edit_for(self.ls, self.document, hole, candidate.text, action.title)
        return self._or_command(action, wanted, "astral.applyFill")

    def _computing(
        self, hole: Hole, title: str, kind: str, deed: Deed, diagnostics: list[types.Diagnostic] | None
    ) -> types.CodeAction:
        wanted = target(self.document, hole, deed)
        action = types.CodeAction(title, kind=kind, diagnostics=diagnostics)
        self._tag(action)
        if self.ls.client.resolves_edits:
            action.data = msgspec.to_builtins(wanted)
            return self._or_command(action, wanted, "astral.fillHole")
        action.command = types.Command(title, "astral.fillHole", arguments=[msgspec.to_builtins(wanted)])
        return action

    def _or_command(self, action: types.CodeAction, wanted: Target, command: str) -> types.CodeAction:
        """Clients without code action literals get commands only."""
        if not self.ls.client.code_action_literals:
            action.command = types.Command(action.title, command, arguments=[msgspec.to_builtins(wanted)])
        return action

    def _tag(self, action: types.CodeAction) -> None:
        if self.ls.client.generated_tag:
            action.tags = [types.CodeActionTag.LlmGenerated]

    def of_many(self, holes: Sequence[Hole]) -> Iterator[types.CodeAction]:
        """Fill all in function, in cell, in file or notebook: where there is more than one."""
        if not holes or not self.wants(FILL_ALL):
            return
        function = holes[0].function
        mine = self.document.holes
        inside = [h for h in mine if function and function.start <= h.start and h.end <= function.end]
        scopes = [("function", "astral.fillFunction", len(inside))]
        if self.document.notebook is not None:
            scopes.append(("cell", "astral.fillCell", len(mine)))
            every = sum(len(cell.holes) for cell in self.ls.documents.program(self.document))
            scopes.append(("notebook", "astral.fillFile", every))
        else:
            scopes.append(("file", "astral.fillFile", len(mine)))
        arguments = [msgspec.to_builtins(target(self.document, holes[0], "best"))]
        shown = 1
        for scope, command, count in scopes:
            if count > shown:  # a wider scope with the same holes says nothing new
                shown = count
                yield self._many(f"Fill all {count} holes of this {scope}", command, arguments)

    def _many(self, title: str, command: str, arguments: list[object]) -> types.CodeAction:
        action = types.CodeAction(
            title, kind=FILL_ALL, command=types.Command(title, command, arguments=arguments)
        )
        self._tag(action)
        return action

    def of_selection(self, start: int, end: int) -> Iterator[types.CodeAction]:
        """Make a hole of a selection, or fill it anew."""
        if not (self.wants(MAKE) or self.wants(REFILL)):
            return
        hole = self.document.selection(start, end)
        if hole is None or self.document.hole_with_span(hole.span) is not None:
            return
        reason = unfillable(hole)
        if reason and not self.ls.client.disabled:
            return
        disabled = types.CodeActionDisabled(reason) if reason else None
        if self.wants(MAKE):
            action = types.CodeAction("Make a hole of the selection", kind=MAKE, disabled=disabled)
            if not reason:
                action.edit = edit_for(self.ls, self.document, hole, "...")
            yield action
        if self.wants(REFILL):
            action = self._computing(hole, "Fill the selection anew", REFILL, "best", None)
            if reason:
                action.disabled, action.data, action.command = disabled, None, None
            yield action


def unfillable(hole: Hole) -> str:
    """Why a selection cannot be a hole; '' when it can."""
    if hole.category == "any" or not hole.text:
        return "Select a whole expression or whole statements"
    return ""


def edit_for(
    ls: AstralServer, document: OpenDocument, hole: Hole, text: str, label: str = "", description: str = ""
) -> types.WorkspaceEdit:
    """Put ``text`` where ``hole`` is in the present version."""
    return workspace_edit(
        ls.client, document, [Replacement(hole.span, text)], label=label, description=description
    )


# --- resolve ----------------------------------------------------------------------------------------------


async def resolve(ls: AstralServer, action: types.CodeAction) -> types.CodeAction:
    """Give ``action`` its edit: computes when need be, within the budget, cancellable."""
    if action.edit is not None or action.data is None:
        return action
    wanted = read_target(action.data)
    try:
        action.edit = await edit_of(ls, wanted)
    except RequestError as error:
        if error.code != types.LSPErrorCodes.RequestCancelled:
            ls.say(error.message, types.MessageType.Warning)
        raise
    return action


async def edit_of(ls: AstralServer, wanted: Target) -> types.WorkspaceEdit:
    """The edit that ``wanted`` asks for, of the version that the buffer has when it is ready."""
    document = open_document(ls, wanted.uri)
    hole = locate(document, wanted)
    if wanted.deed == "candidate":
        return _insert_candidate(ls, document, hole, wanted.fill)
    before = document.version
    again = wanted.deed == "again"
    known = ls.known(document).fills_of(document, hole.span) if again else None
    seen = {f.text for f in known.fills} if known is not None else set()
    chosen = best(await fill(ls, document, hole, again=again), seen)
    document = open_document(ls, wanted.uri)
    hole = locate(document, wanted)
    if wanted.deed == "refine":
        label = "Refine hole: nothing is verified until its holes are filled"
        return edit_for(ls, document, hole, refine(chosen.text, hole) or chosen.text, label)
    tell(ls, chosen, before, document.version)
    return edit_for(ls, document, hole, chosen.text, titles.fill_title(chosen), _why(chosen))


def _insert_candidate(ls: AstralServer, document: OpenDocument, hole: Hole, text: str) -> types.WorkspaceEdit:
    """Insert what the person chose; the label claims the verdicts only while they hold."""
    known = ls.known(document).fills_of(document, hole.span)
    chosen = next((f for f in known.fills if f.text == text), None) if known is not None else None
    if known is None or chosen is None:
        return edit_for(ls, document, hole, text, f"Fill hole: `{titles.shorten(text)}`")
    label = titles.fill_title(chosen, stale=not known.is_fresh(document))
    return edit_for(ls, document, hole, text, label, _why(chosen))


def _why(chosen: Fill) -> str:
    return "\n".join(titles.reasons(chosen))


def tell(ls: AstralServer, chosen: Fill, before: int, now: int) -> None:
    """The title the person clicked carried no verdicts: say what they are unless all passed."""
    moved = f" It was checked in version {before} and moved to version {now}." if before != now else ""
    if chosen.verified and not moved:
        return
    reasons = "; ".join(line.strip() for line in titles.reasons(chosen))
    words = f" ({reasons})" if reasons else ""
    ls.say(f"filled with `{titles.shorten(chosen.text)}` · {titles.marks(chosen.verdicts)}{words}.{moved}")
