"""The module under test, imported from the buffer instead of from the saved file."""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any, cast

from . import codes

Compile = Callable[[str, bool], CodeType]
"""(path, whether pytest would rewrite its asserts) -> code."""


def import_from(paths: set[str], make: Compile) -> None:
    """From now on any import of a file in ``paths`` runs what ``make`` compiles.

    By path and not by name: src layouts, conftest path games and pytest's import modes give one file several
    names.
    """

    def get_code(self: Any, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        if path in paths or os.path.realpath(path) in paths:
            return make(path, isinstance(self, _Rewritten))
        return codes.code_of(self, fullname)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
    importlib.invalidate_caches()


class _Rewritten(importlib.machinery.SourceFileLoader):
    """Loads a file whose asserts pytest would rewrite."""


def take_from_pytest(paths: set[str]) -> None:
    """Keep pytest's assertion rewriter from reading the files in ``paths`` by itself."""
    from _pytest.assertion.rewrite import AssertionRewritingHook

    find = AssertionRewritingHook.find_spec

    def find_spec(self: Any, name: str, path: Any = None, target: Any = None) -> Any:
        spec = find(self, name, path, target)
        if spec is not None and spec.origin in paths:
            spec.loader = _Rewritten(name, spec.origin)
        return spec

    AssertionRewritingHook.find_spec = find_spec  # type: ignore[method-assign]


def rewrite_asserts(tree: ast.Module, source: str, path: str) -> None:
    """Give the asserts of ``tree`` pytest's explanations, in place."""
    from _pytest.assertion.rewrite import rewrite_asserts as rewrite

    rewrite(tree, source.encode("utf-8", "surrogatepass"), path)


def base_and_name(path: str) -> tuple[str, str]:
    """(folder that must be on sys.path, dotted name) of a module file, packages by their ``__init__.py``."""
    folder, file = os.path.split(path)
    parts = [] if file == "__init__.py" else [os.path.splitext(file)[0]]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, name = os.path.split(folder)
        parts.insert(0, name)
        if not name:
            break
    return folder, ".".join(parts)


def extend_path(root: str, path: str) -> None:
    """Put the workspace and the module's own folder first, as ``python -m pytest`` run there would."""
    for folder in dict.fromkeys((base_and_name(path)[0], root)):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)


def taken_by(path: str, paths: set[str]) -> str:
    """The file that the tests get in place of ``path``: its name was imported before, '' when it was not.

    pytest and its plugins import some modules before any test; the workspace of such a package cannot have
    its own copy tried.
    """
    _, name = base_and_name(path)
    file = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(file, str) or file in paths or os.path.realpath(file) in paths:
        return ""
    return file


def is_about(error: BaseException | None, paths: set[str]) -> bool:
    """Whether it says that the module under test lacks a name."""
    owner = getattr(error, "obj", None) if isinstance(error, AttributeError) else None
    file = getattr(owner, "__file__", None) if isinstance(owner, ModuleType) else getattr(error, "path", None)
    return isinstance(file, str) and file in paths


def load(path: str, paths: set[str]) -> ModuleType:
    """Import the module at ``path``; raises whatever its code raises."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file in paths and module.__name__ != "__main__":
            return module
    _, name = base_and_name(path)
    try:
        module = importlib.import_module(name)
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and (file in paths or os.path.realpath(file) in paths):
            return module
    except ImportError as error:
        if error.name != name:
            raise
    # the name is taken (a file called random.py), or the import system does not find it there
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    cast(Any, spec.loader).exec_module(module)
    return module
