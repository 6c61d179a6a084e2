"""Entry of the guest: ``<user python> -P <this folder>/__main__.py``."""

from __future__ import annotations

import importlib.util
import os
import re
import sys

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|AUTH|COOKIE|_KEY$|_PAT$|_DSN$|DATABASE_URL",
    re.IGNORECASE,
)
_MARK = "ASTRAL_GUEST_CLEAN"
PLAIN = "ASTRAL_GUEST_PLAIN"
"""Set to 1, it has the guest do without forks where it could fork."""


def without_secrets() -> dict[str, str]:
    """The environment for a process of the guest: no variables that look like secrets."""
    clean = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    clean[_MARK] = "1"
    clean["PYTHONDONTWRITEBYTECODE"] = "1"
    return clean


def _start_without_secrets() -> None:
    """Start again without them: a fork's /proc/self/environ shows the first ones."""
    if os.environ.pop(_MARK, "") == "1":
        return
    clean = without_secrets()
    os.execve(sys.executable, [sys.executable, os.path.abspath(__file__)], clean)


def _load() -> None:
    """Make this folder the package ``_astral_guest``, a name that no project has."""
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != folder]
    spec = importlib.util.spec_from_file_location(
        "_astral_guest", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["_astral_guest"] = package
    spec.loader.exec_module(package)


def main() -> None:
    """Take the protocol's descriptors away from print() and input(), then serve."""
    once = sys.argv[1:] == ["--once"]
    if os.name == "posix":
        _start_without_secrets()
    else:
        _speak_bytes()
    _load()
    input_fd, output_fd = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    if once:
        importlib.import_module("_astral_guest.once").main(input_fd, output_fd)
    elif hasattr(os, "fork") and os.environ.get(PLAIN) != "1":
        importlib.import_module("_astral_guest.server").Server(input_fd, output_fd).serve()
    else:
        importlib.import_module("_astral_guest.plain").PlainServer(input_fd, output_fd).serve()


def _speak_bytes() -> None:
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (0, 1):
            msvcrt.setmode(descriptor, os.O_BINARY)


if __name__ == "__main__":
    main()
