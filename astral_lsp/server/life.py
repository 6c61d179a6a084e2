"""The process: end when the editor is gone (LSP 3.17: InitializeParams.processId)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

INTERVAL_SECONDS = 2.0


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists."""
    if sys.platform == "win32":
        return _is_alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_alive_on_windows(pid: int) -> bool:  # pragma: no cover
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == 259  # STILL_ACTIVE


async def watch_parent(parent: Callable[[], int | None], gone: Callable[[], None]) -> None:
    """Call ``gone`` once the process that started us is no more."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        pid = parent()
        if pid is not None and pid > 0 and not is_alive(pid):
            gone()
            return
