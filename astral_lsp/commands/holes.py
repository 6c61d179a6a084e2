"""``astral-lsp holes FILE``: list the holes of a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from astral_lsp.commands.positions import line_column, lsp_range
from astral_lsp.commands.source import SourceError, is_stub, read_source
from astral_lsp.holes.find import find_holes

SCHEMA = "astral-lsp/holes/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``astral-lsp holes``."""
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; exit code 0, or 2 when the file cannot be read."""
    try:
        source = read_source(arguments.file)
    except SourceError as error:
        print(f"astral-lsp: {error}", file=sys.stderr)
        return 2
    holes = find_holes(source.text, stub=is_stub(source.path))
    if arguments.json:
        rows = [
            {
                "id": hole.id,
                "kind": hole.kind,
                "marker": hole.marker,
                "category": hole.category,
                "range": lsp_range(source.text, hole.span),
                "scope": hole.scope,
                "hint": hole.hint,
                "name": hole.name,
            }
            for hole in holes
        ]
        payload = msgspec.json.encode({"schema": SCHEMA, "file": str(source.path), "holes": rows})
        print(msgspec.json.format(payload, indent=2).decode())
        return 0
    for hole in holes:
        line, column = line_column(source.text, hole.start)
        scope = f" in {hole.scope}" if hole.scope else ""
        first = hole.text.splitlines()[0] if hole.text else ""
        print(f"{source.path}:{line}:{column}: {hole.id} {hole.kind} `{first}`{scope}")
    return 0
