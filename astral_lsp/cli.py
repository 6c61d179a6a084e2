"""``astral-lsp``: the command. Each sub-command lives in a file of `astral_lsp.commands`."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys

import astral_lsp

_COMMANDS = {
    "fill": "fill the holes of a file and verify each fill",
    "holes": "list the holes of a file",
    "model": "pull, add, list, verify or remove model weights",
    "bench": "run an infilling benchmark",
    "doctor": "check the environment and say what to do about each problem",
}


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_PORT = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code; a command's modules load only when it is asked for."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:  # `astral-lsp holes FILE | head`: the reader has seen enough
        _drop_output()
        return 1
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        print(f"astral-lsp: the output could not be written: {error.strerror}", file=sys.stderr)
        _drop_output()
        return 1
    return code


def _drop_output() -> None:
    """Keep the interpreter from flushing once more at its end what cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: list[str]) -> int:
    if argv and argv[0] == "model":
        from astral_lsp.commands import model as model_cli

        return model_cli.run(argv[1:])
    parser = _parser(argv)
    arguments = parser.parse_args(argv)
    if arguments.stdio or arguments.tcp is not None:
        return _serve(arguments)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    return int(arguments.run(arguments))


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("astral-lsp", description="Fill typed holes in Python, verified.")
    parser.add_argument("--version", action="version", version=f"astral-lsp {astral_lsp.__version__}")
    face = parser.add_mutually_exclusive_group()
    face.add_argument("--stdio", action="store_true", help="serve the Language Server Protocol on stdio")
    face.add_argument(
        "--tcp",
        metavar="PORT",
        type=_port,
        help="serve on this port of the loopback interface; 0 takes a free one and says which",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name in argv and name != "model":
            module = importlib.import_module(f"astral_lsp.commands.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    from astral_lsp.server.app import serve

    try:
        return serve(port=arguments.tcp)
    except OSError as error:
        if arguments.tcp is None or error.errno not in _NO_PORT:
            raise
        reason = os.strerror(error.errno)
        print(f"astral-lsp: port {arguments.tcp} cannot be listened on: {reason}", file=sys.stderr)
        return 2


def _port(value: str) -> int:
    number = int(value)
    if not 0 <= number < 1 << 16:
        raise argparse.ArgumentTypeError(f"{value} is no port: 0 to 65535")
    return number


if __name__ == "__main__":
    sys.exit(main())
