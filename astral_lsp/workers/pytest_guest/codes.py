"""Code objects of the workspace's own files, compiled once and beside the work.

Runs write no caches, so that every import of a test file would have pytest rewrite its asserts again: that is
nine tenths of a collection. Compiling runs nothing of a file, and what is held is of the file as it is on
disk; a run that sees another one (a buffer that is not saved) compiles for itself.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import marshal
import os
import sys
import tempfile
import warnings
from pathlib import Path
from types import CodeType
from typing import IO, Any

from . import kernel

_MOST_FILES = 1000
_MOST_BYTES = 1 << 20

Stamp = tuple[int, int]
Key = tuple[str, bool]
"""Path, and whether its asserts are rewritten."""


class Codes:
    """What is compiled so far, and the process that compiles more."""

    def __init__(self) -> None:
        self.generation = 0
        """Grows when there is more."""
        self._held: dict[Key, tuple[Stamp, CodeType]] = {}
        self._pid: int | None = None
        self._file: IO[bytes] | None = None
        self._hopeless: dict[Key, Stamp] = {}
        self._asked: list[Key] = []

    def want(self, loaded: dict[str, bool]) -> None:
        """Begin to compile those of ``loaded`` (path -> rewritten) that are not held as they are now."""
        self.take()
        if self._pid is not None or not hasattr(os, "fork"):
            return
        missing = [key for key in loaded.items() if self._is_news(key)]
        if missing and len(self._held) + len(missing) <= _MOST_FILES:
            self._start(missing)

    def take(self) -> None:
        """Take over what has been compiled, if that is done."""
        if self._pid is None or not os.waitpid(self._pid, os.WNOHANG)[0]:
            return
        assert self._file is not None
        self._file.seek(0)
        with contextlib.suppress(EOFError, ValueError, TypeError, OSError):
            while True:
                key, found, code = marshal.load(self._file)
                self._held[key] = (found, code)
                self.generation += 1
        for key in self._asked:
            found = stamp(key[0])
            if found is not None and (key not in self._held or self._held[key][0] != found):
                self._hopeless[key] = found
        self._file.close()
        self._pid = self._file = None

    @property
    def busy(self) -> bool:
        """Whether something is being compiled."""
        return self._pid is not None

    def get(self, path: str, rewritten: bool) -> CodeType | None:
        """The code of a file as it is now, None when it is not held."""
        held = self._held.get((path, rewritten))
        return held[1] if held is not None and held[0] == stamp(path) else None

    def _is_news(self, key: Key) -> bool:
        now = stamp(key[0])
        if now is None or now[1] > _MOST_BYTES or self._hopeless.get(key) == now:
            return False
        return key not in self._held or self._held[key][0] != now

    def _start(self, missing: list[Key]) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `take`)
        child = os.fork()
        if child == 0:
            _compile_all(missing, file)
        self._pid, self._file, self._asked = child, file, missing


def stamp(path: str) -> Stamp | None:
    """How a file looks from outside."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _compile_all(keys: list[Key], file: IO[bytes]) -> None:
    """The life of the compiling process; what cannot be compiled is left out."""
    try:
        kernel.die_with_parent()
        os.nice(5)
        os.closerange(3, file.fileno())
        os.closerange(file.fileno() + 1, 1024)
        warnings.simplefilter("ignore")
        for path, rewritten in keys:
            with contextlib.suppress(Exception):
                found = stamp(path)
                code = _compile(path, rewritten)
                if found == stamp(path):
                    marshal.dump(((path, rewritten), found, code), file)
        file.flush()
    finally:
        os._exit(0)


def _compile(path: str, rewritten: bool) -> CodeType:
    if rewritten:
        from _pytest.assertion import rewrite

        return rewrite._rewrite_test(Path(path), None)[1]  # type: ignore[arg-type]
    with open(path, "rb") as file:
        return compile(file.read(), path, "exec", dont_inherit=True)


HELD = Codes()
_get_code = importlib.machinery.SourceFileLoader.get_code


def code_of(loader: Any, name: str) -> CodeType | None:
    """What a source loader would return for the module ``name``."""
    return HELD.get(loader.get_filename(name), False) or _get_code(loader, name)


def use_for_rewriting() -> None:
    """Let pytest's import of a test file take the code that is held."""
    from _pytest.assertion import rewrite

    known = getattr(rewrite, "_rewrite_test", None)
    if known is None or getattr(known, "__module__", "") == __name__:  # another pytest, or done already
        return

    def rewrite_test(file: Path, config: Any) -> tuple[Any, CodeType]:
        code = HELD.get(str(file), True)
        if code is None or config.getini("enable_assertion_pass_hook"):
            found: tuple[Any, CodeType] = known(file, config)
            return found
        return None, code  # the first part is for the cache that is not written

    rewrite._rewrite_test = rewrite_test  # type: ignore[assignment]


def loaded(root: str, apart: set[str]) -> dict[str, bool]:
    """The files of the workspace that are imported, and whether their asserts were rewritten."""
    found: dict[str, bool] = {}
    for module in list(sys.modules.values()):
        file, spec = getattr(module, "__file__", None), getattr(module, "__spec__", None)
        if isinstance(file, str) and file.startswith(root + os.sep) and file.endswith(".py"):
            rewritten = type(getattr(spec, "loader", None)).__name__ == "AssertionRewritingHook"
            found[file] = rewritten
    return {file: rewritten for file, rewritten in found.items() if file not in apart}
