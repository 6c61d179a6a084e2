"""Files of the workspace that import a module, found by the text of their imports.

A build starts from the files that are edited and follows what they import; it knows nothing of those that
import them. The text is enough to find those: who imports a module writes its name.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "build", "dist", "venv", "env"})
_MOST_FILES = 5000
_MOST_BYTES = 1 << 20
"""Size of a file beyond which nobody wrote it by hand."""
_MOST_HOPS = 3
"""How many packages that hand a name on are followed."""
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<base>\.*[\w.]*)[ \t]+import[ \t]*"
    r"(?P<names>\([^)]*\)|(?:[^\n#\\]|\\\n)*)|import[ \t]+(?P<modules>(?:[^\n#\\;]|\\\n)+))",
    re.MULTILINE,
)
_COMMENT = re.compile(r"#[^\n]*")

Name = Callable[[str], str]
"""The module name of a path."""


@dataclass
class Search:
    """What was found."""

    paths: list[str] = field(default_factory=list)
    complete: bool = True
    """Every file was looked at."""


def find_importers(
    root: str,
    path: str,
    name: Name,
    read: Callable[[str], bytes],
    seconds: float,
    unsaved: Iterable[str] = (),
) -> Search:
    """The files below ``root``, and of ``unsaved``, that import the module at ``path``, directly or by way of
    packages that hand its names on; those beside it first."""
    end = time.monotonic() + seconds
    search = Search()
    home = os.path.dirname(path)
    files = sorted(
        {*_python_files(root, search, end), *unsaved}, key=lambda file: (os.path.dirname(file) != home, file)
    )
    wanted: list[tuple[str, str, frozenset[str] | None]] = [(path, name(path), None)]
    known = {path}
    for hop in range(_MOST_HOPS):
        following: list[tuple[str, str, frozenset[str] | None]] = []
        for target, module, names in wanted:
            for file in files:
                if file in known:
                    continue
                if time.monotonic() > end:
                    search.complete = False
                    return search
                used = _used(file, target, module, name, read)
                if not used or (names is not None and not used & (names | {"", "*"})):
                    continue
                known.add(file)
                search.paths.append(file)
                if os.path.basename(file) == "__init__.py":
                    following.append((file, name(file), None if used & {"", "*"} else frozenset(used)))
        wanted = following
        if hop == _MOST_HOPS - 1 and wanted:
            search.complete = False
    return search


def _python_files(root: str, search: Search, end: float) -> Iterator[str]:
    count = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        )
        for file in sorted(files):
            stub = file.endswith(".py") and file + "i" in files  # what is read in its place
            if file.endswith((".py", ".pyi")) and not stub:
                count += 1
                yield os.path.join(folder, file)
        if count > _MOST_FILES or time.monotonic() > end:
            search.complete = False
            return


def _used(file: str, target: str, module: str, name: Name, read: Callable[[str], bytes]) -> set[str]:
    """The names that ``file`` takes from ``module``; '' is the module itself."""
    try:
        data = read(file)
    except OSError:
        return set()
    if len(data) > _MOST_BYTES:
        return set()
    stem = module.rpartition(".")[2].encode()
    folder = os.path.dirname(target)
    beside = os.path.basename(target) == "__init__.py" and file.startswith(folder + os.sep)
    if stem not in data and not (beside and b"from ." in data):
        return set()
    text = data.decode("utf-8", "replace")
    return {taken for source, taken in _imports(text, lambda: _package(file, name)) if source == module}


def _package(file: str, name: Name) -> str:
    module = name(file)
    is_package = os.path.splitext(os.path.basename(file))[0] == "__init__"
    return module if is_package else module.rpartition(".")[0]


def _imports(text: str, package: Callable[[], str]) -> Iterator[tuple[str, str]]:
    """(module, name taken from it) for each import in ``text``; the name '' is the module itself."""
    for match in _IMPORT.finditer(text):
        if match["modules"] is not None:
            for part in _names(match["modules"]):
                pieces = part.split(".")
                yield from ((".".join(pieces[:size]), "") for size in range(1, len(pieces) + 1))
            continue
        base = _absolute(match["base"], package)
        for part in _names(match["names"]):
            yield base, part
            yield f"{base}.{part}" if base else part, ""


def _names(listed: str) -> list[str]:
    plain = _COMMENT.sub("", listed).replace("\\\n", " ").strip("() \t\r\n")
    found = (part.split(" as ")[0].strip() for part in plain.split(","))
    return [name for name in found if name]


def _absolute(base: str, package: Callable[[], str]) -> str:
    dots = len(base) - len(base.lstrip("."))
    if not dots:
        return base
    parts = package().split(".")
    kept = parts[: len(parts) - dots + 1]
    return ".".join([*kept, base[dots:]] if base[dots:] else kept)
