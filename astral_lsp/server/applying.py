"""workspace/applyEdit, with an honest answer when the editor says no."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lsprotocol import types

from astral_lsp.server.rpc import RequestError

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

ANSWER_SECONDS = 1.0
"""An editor may ask the person first, and Emacs gives up on our own answer after 10 s: wait briefly."""
_pending: set[asyncio.Task[None]] = set()


async def apply(ls: AstralServer, edit: types.WorkspaceEdit, label: str) -> None:
    """Have the editor apply ``edit``; raises RequestError when it says soon that it did not."""
    if not ls.client.apply_edit:
        raise RequestError("this editor takes no edits from the server; use its code actions")
    task = asyncio.ensure_future(_ask(ls, edit, label))
    done, _ = await asyncio.wait({task}, timeout=ANSWER_SECONDS)
    if done:
        return await task
    _pending.add(task)
    task.add_done_callback(lambda late: _answered_late(ls, late))
    return None


async def _ask(ls: AstralServer, edit: types.WorkspaceEdit, label: str) -> None:
    params = types.ApplyWorkspaceEditParams(edit=edit, label=label)
    answer = await ls.workspace_apply_edit_async(params)
    if not answer.applied:
        why = f": {answer.failure_reason}" if answer.failure_reason else ""
        raise RequestError(f"the editor did not apply the edit{why}")


def _answered_late(ls: AstralServer, task: asyncio.Task[None]) -> None:
    _pending.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        ls.say(str(error), types.MessageType.Warning)
