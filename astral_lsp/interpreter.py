"""Which Python is the user's: it decides which site-packages mypy sees and under which pytest runs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

_NAMES = (".venv", "venv", "env", ".env")


class NoInterpreter(ValueError):
    """The configured interpreter is not there; the message says which."""


def find_interpreter(root: Path, setting: str = "") -> str:
    """Return the path of the user's interpreter.

    In order: the setting, a virtual environment in ``root`` or a folder above it in the same repository,
    ``VIRTUAL_ENV``, ``CONDA_PREFIX``, ``python3`` on PATH, our own. Raises NoInterpreter for a setting that
    does not exist.
    """
    if setting:
        path = Path(setting).expanduser()
        path = path if path.is_absolute() else root / path
        found = _inside(path) if path.is_dir() else (str(path) if path.is_file() else None)
        if not found and path.name == setting:
            found = shutil.which(setting)
        if not found:
            raise NoInterpreter(f"the interpreter {setting!r} of the settings does not exist")
        return found
    for prefix in _prefixes(root):
        if found := _inside(prefix):
            return found
    return shutil.which("python3") or shutil.which("python") or sys.executable


def from_command_line(value: str) -> str:
    """An interpreter as a setting, with its path, if it is one, relative to the working folder."""
    path = Path(value).expanduser()
    return str(path.absolute()) if value and path.exists() else value


def _prefixes(root: Path) -> Iterator[Path]:
    for folder in _workspace(root):
        for name in _NAMES:
            if (folder / name / "pyvenv.cfg").is_file():
                yield folder / name
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if value := os.environ.get(variable):
            yield Path(value)


def _workspace(root: Path) -> list[Path]:
    """``root`` and the folders above it up to the repository's; outside of a repository ``root`` alone.

    What lies further up is not the project's: a program there may even be somebody else's (in /tmp, say).
    """
    folders = [root, *root.parents]
    top = next((index for index, folder in enumerate(folders) if (folder / ".git").exists()), 0)
    return folders[: top + 1]


def _inside(prefix: Path) -> str | None:
    for relative in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        if (prefix / relative).is_file():
            return str(prefix / relative)
    return None


def find_root(path: Path) -> Path:
    """Return the project folder of ``path``: the nearest one with a project marker, else its own folder."""
    start = path if path.is_dir() else path.parent
    for folder in (start, *start.parents):
        if any((folder / marker).exists() for marker in _MARKERS):
            return folder
    return start


_MARKERS = ("pyproject.toml", "setup.cfg", "setup.py", "mypy.ini", "pytest.ini", "tox.ini", ".git")
