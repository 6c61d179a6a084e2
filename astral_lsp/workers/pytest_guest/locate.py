"""A failed test -> one line about it, and where inside the fill it happened."""

from __future__ import annotations

import traceback
from types import FrameType, TracebackType
from typing import Any

MESSAGE_CHARACTERS = 300


def message(error: BaseException) -> str:
    """The error in one line: ``AssertionError: assert 1 == 2`` is said as ``assert 1 == 2``."""
    try:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
    except Exception:
        text = type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if isinstance(error, SyntaxError):
        line = f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    else:
        line = lines[0] if lines else type(error).__name__
        if type(error).__name__ == "UsageError":  # pytest's begins with how to call it
            line = next((said for said in lines if "error: " in said), line).partition("error: ")[2] or line
    line = line.removeprefix("AssertionError: ")
    return line if len(line) <= MESSAGE_CHARACTERS else line[: MESSAGE_CHARACTERS - 1] + "…"


def deepest_line(
    error: BaseException, paths: set[str], first: int, last: int
) -> tuple[int | None, int | None]:
    """(deepest line in lines ``first``-``last`` of the module, deepest line of the module), None where none
    is."""
    inside: int | None = None
    module: int | None = None
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and inside is None:
        seen.add(id(current))
        for line in _lines(current.__traceback__, paths):
            module = line if current is error else module
            if first <= line <= last:
                inside = line
        if isinstance(current, SyntaxError) and current.filename in paths and current.lineno:
            module = current.lineno
            inside = current.lineno if first <= current.lineno <= last else inside
        current = current.__cause__ or current.__context__
    return inside, module


def _lines(trace: TracebackType | None, paths: set[str]) -> list[int]:
    found = []
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in paths:
            found.append(trace.tb_lineno)
        trace = trace.tb_next
    return found


def running_line(frame: FrameType | None, paths: set[str], first: int, last: int) -> int | None:
    """The innermost line of the fill on the stack of ``frame``."""
    current: Any = frame
    while current is not None:
        if current.f_code.co_filename in paths and first <= current.f_lineno <= last:
            return int(current.f_lineno)
        current = current.f_back
    return None
