"""workspace/applyEdit, with an honest answer when the editor says no."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lsprotocol import types

from astral_lsp.server.rpc import RequestError

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

APPLY_SECONDS = 30.0
"""An editor may ask the person first."""


async def apply(ls: AstralServer, edit: types.WorkspaceEdit, label: str) -> None:
    """Have the editor apply ``edit``; raises RequestError when it did not."""
    if not ls.client.apply_edit:
        raise RequestError("this editor takes no edits from the server; use its code actions")
    request = ls.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(edit=edit, label=label))
    try:
        answer = await asyncio.wait_for(request, APPLY_SECONDS)
    except asyncio.TimeoutError:
        raise RequestError("the editor did not say whether it applied the edit") from None
    if not answer.applied:
        why = f": {answer.failure_reason}" if answer.failure_reason else ""
        raise RequestError(f"the editor did not apply the edit{why}")
