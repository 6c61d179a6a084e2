"""Python's own parser, made safe to ask about any text, and its positions in code points."""

from __future__ import annotations

import ast
import re
import warnings

from astral_lsp.holes.lines import BOM

_LINE_ENDING = re.compile(r"\r\n|\r")


def plain(source: str) -> str:
    """The source as Python's tokenizer wants it: no byte order mark, line feeds only."""
    source = source.removeprefix(BOM)
    return _LINE_ENDING.sub("\n", source) if "\r" in source else source


def unplain(source: str, offset: int) -> int:
    """Offset in ``plain(source)`` -> offset in ``source`` (which has no byte order mark)."""
    for match in re.finditer("\r\n", source):
        if match.start() >= offset:
            break
        offset += 1
    return offset


def syntax_error(source: str, *, compiled: bool = False) -> SyntaxError | None:
    """Why ``source`` does not parse (or, ``compiled``, does not compile), None when it does."""
    flags = 0 if compiled else ast.PyCF_ONLY_AST
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(plain(source), "<fill>", "exec", flags, dont_inherit=True)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return SyntaxError(str(error) or "too deeply nested")
    return None


def parse_or_none(source: str) -> ast.Module | None:
    """The syntax tree, None when there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def position(source: str, line: int, byte_column: int | None = None, *, column: int | None = None) -> int:
    """Code-point offset of a 1-based ``line`` and a 0-based byte column or a 1-based character column."""
    start = 0
    for _ in range(line - 1):
        feed = source.find("\n", start)
        if feed < 0:
            return len(source)
        start = feed + 1
    if byte_column is None:
        return start + max((column or 1) - 1, 0)
    end = source.find("\n", start)
    text = source[start : end if end >= 0 else len(source)]
    return start + len(text.encode("utf-8", "surrogatepass")[:byte_column].decode("utf-8", "ignore"))
