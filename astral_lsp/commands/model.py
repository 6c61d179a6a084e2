"""``astral-lsp model pull | add FILE | list | path | verify | remove``: the store on the command line.

Exit codes: 0 done, 1 the store could not do it, 2 bad usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from astral_model import store


def run(argv: list[str]) -> int:
    """Run one sub-command; ``argv`` is what follows ``astral-lsp model``."""
    arguments = _parser().parse_args(argv)
    bar = _Bar()
    try:
        return _run(arguments, bar)
    except store.StoreError as error:
        bar.end()
        print(f"astral-lsp: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        bar.end()
        print("astral-lsp: interrupted; the next `astral-lsp model pull` goes on from there", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "astral-lsp model", description="Fetch, check and remove the model's weights."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("pull", help="download the weights (goes on from a broken download)")
    add = commands.add_parser("add", help="copy the weights from a local file")
    add.add_argument("file", type=Path, metavar="FILE")
    commands.add_parser("list", help="show what is stored and where it comes from")
    commands.add_parser("path", help="print where the weights are; exit code 1 when they are not there")
    commands.add_parser("verify", help="check the stored file's SHA-256; a wrong file is deleted")
    commands.add_parser("remove", help="delete the weights, partial downloads and what was made from them")
    return parser


def _run(arguments: argparse.Namespace, bar: _Bar) -> int:
    weights = store.Store()
    command: str = arguments.command
    if command == "list":
        _list(weights.status())
        return 0
    if command == "path":
        print(weights.path)
        return 0 if weights.find() else 1
    if command == "remove":
        removed = weights.remove()
        print("\n".join(f"removed {path}" for path in removed) or "nothing is stored")
        return 0
    if command == "pull":
        path = weights.pull(bar.show)
    elif command == "add":
        path = weights.add(arguments.file, bar.show)
    else:
        path = weights.verify(bar.show)
    bar.end()
    print(path if command != "verify" else f"{path}: SHA-256 {weights.weights.sha256} is right")
    return 0


def _list(status: store.Status) -> None:
    weights = status.weights
    state = "stored" if status.stored else "not stored"
    if not status.stored and status.partial_bytes:
        state += f", {status.partial_bytes >> 20} MB of a broken download kept"
    print(f"{weights.name} ({weights.licence}): {state}")
    print(f"  file     {status.path}")
    print(f"  size     {weights.bytes} bytes")
    print(f"  sha256   {weights.sha256}")
    for number, source in enumerate(weights.sources, 1):
        print(f"  source {number} {source.label}: {source.url or ' '.join(source.requirements)}")


class _Bar:
    """A progress line on a terminal's stderr; on anything else, a line every ten seconds."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = 0.0
        self._text = ""
        self._open = False

    def show(self, text: str, done: int, total: int) -> None:
        """Draw ``done`` of ``total`` bytes, at most ten times a second."""
        now = time.monotonic()
        if now < self._next and text == self._text and done < total:
            return
        self._next = now + (0.1 if self._terminal else 10.0)
        share = done / total if total else 1.0
        line = f"{text}: {done >> 20} of {total >> 20} MB ({share:.0%})"
        if self._terminal:
            filled = int(share * 30)
            print(
                f"\r\x1b[2K[{'#' * filled}{'.' * (30 - filled)}] {line}", end="", file=sys.stderr, flush=True
            )
            self._open = True
        elif text != self._text or done < total:
            print(line, file=sys.stderr, flush=True)
        self._text = text

    def end(self) -> None:
        """Leave the line as it is and go on below it."""
        if self._open:
            print(file=sys.stderr)
            self._open = False
