"""The user's tests, collected by the user's pytest with the user's configuration."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import doctests, locate

SMALL_PROJECT_FILES = 30
"""With at most so many test files all are collected; with more, those first that mention the hole's
surroundings."""
_SKIPPED_FOLDERS = {"node_modules", "__pycache__", "site-packages", "build", "dist", "venv", "env"}
_LIKE_A_TEST = re.compile(r"^(test.*|.*tests?)\.py$", re.IGNORECASE)
_WALK_LIMIT = 20_000


def python_files(root: str) -> list[str]:
    """Python files of the workspace, without environments and hidden folders; at most `_WALK_LIMIT`."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED_FOLDERS
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        ]
        found += [os.path.join(folder, name) for name in files if name.endswith(".py")]
        if len(found) > _WALK_LIMIT:
            break
    return found


def seen(root: str) -> dict[str, tuple[int, int]]:
    """How the Python files of the workspace look from outside: what a copy of it is compared with."""
    found = {}
    for file in python_files(root):
        with contextlib.suppress(OSError):
            state = os.stat(file)
            found[file] = (state.st_mtime_ns, state.st_size)
    return found


def may_have_tests(files: list[str], path: str, text: str) -> bool:
    """False only when pytest would certainly collect nothing: a lone file without tests."""
    if any(os.path.realpath(file) != os.path.realpath(path) for file in files):
        return True
    return re.search(r"\bdef test|\bclass Test|\bunittest\b|\bpytest\b", text) is not None


def may_have_fixtures(path: str, text: str) -> bool:
    """False only for a file in which pytest finds no fixture whatever a fill adds: it is no file of tests and
    does not speak of pytest."""
    name = os.path.basename(path)
    if name == "conftest.py" or _LIKE_A_TEST.match(name):
        return True
    return re.search(r"\bpytest|\bfixture", text) is not None


class Collected:
    """A pytest session after collection, and what the plugin below saw."""

    def __init__(self) -> None:
        self.session: Any = None
        self.items: list[Any] = []
        self.broken: list[tuple[str, str, BaseException | None]] = []
        """Files that could not be collected: node id, why, the error."""
        self.reports: list[Any] = []
        self.errors: dict[str, BaseException] = {}
        """The error of each failed phase by node id."""
        self.left_out = 0
        """Files of tests that were not collected: there are many, and they do not speak of the hole."""
        self.doctest_flags = 0
        """As the user's configuration wants examples compared."""


class Plugin:
    """Our one pytest plugin: chooses files, keeps reports and errors."""

    def __init__(self, collected: Collected, wanted: set[str] | None) -> None:
        self._collected = collected
        self._wanted = wanted

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave out test files that are not wanted (folders and pytest's own rules are not touched)."""
        if self._wanted is None or collection_path.suffix != ".py":
            return None
        return None if str(collection_path) in self._wanted else True

    def pytest_make_collect_report(self, collector: Any) -> None:
        """Nothing: declared so that the hook order is plain."""

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        """Called with the live exception of a failed collection or phase."""
        error = call.excinfo.value if call.excinfo is not None else None
        if error is None:
            return
        if getattr(report, "when", "collect") in (None, "collect"):
            self._collected.broken.append((str(node.nodeid), locate.message(root_cause(error)), error))
        else:
            self._collected.errors[node.nodeid] = error

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep it for `execute`."""
        self._collected.reports.append(report)


def root_cause(error: BaseException) -> BaseException:
    """pytest wraps the errors of imports, of a conftest in another way than of a test file."""
    kind = type(error).__name__
    if kind == "ConftestImportFailure":
        cause = getattr(error, "cause", None)  # its __cause__ is left out of tracebacks
    else:
        cause = (error.__cause__ or error.__context__) if kind == "CollectError" else None
    return cause if isinstance(cause, BaseException) else error


def read(path: str) -> str:
    """Text of a file, '' when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def wanted_files(files: list[str], path: str, words: Iterable[str]) -> set[str] | None:
    """Which files to collect: None for all, or those that mention one of ``words``."""
    tests = [file for file in files if _LIKE_A_TEST.match(os.path.basename(file))]
    if len(tests) <= SMALL_PROJECT_FILES:
        return None
    pattern = re.compile(r"\b(?:" + "|".join(re.escape(word) for word in words if word) + r")\b")
    wanted = {path}
    wanted.update(file for file in files if pattern.search(read(file)))
    return wanted


def left_out(files: list[str], wanted: set[str] | None) -> int:
    """How many files of tests ``wanted`` leaves out."""
    if wanted is None:
        return 0
    return sum(_LIKE_A_TEST.match(os.path.basename(file)) is not None for file in set(files) - wanted)


def _arguments() -> list[str]:
    arguments = ["--capture=no", "--tb=native"]
    if importlib.util.find_spec("xdist") is not None:
        arguments.append("-n0")
    if importlib.util.find_spec("pytest_cov") is not None:
        arguments.append("--no-cov")
    return arguments


def import_plugins() -> None:
    """Import the plugins that pytest would load by itself, so that no later process has to."""
    if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        return
    for entry in importlib.metadata.entry_points(group="pytest11"):
        with contextlib.suppress(Exception):  # pytest itself will say what is wrong with it
            entry.load()


def _accept_imported_plugins() -> None:
    """pytest warns, under ``-W error`` fatally, that plugins imported early have plain asserts. They may."""
    from _pytest.assertion.rewrite import AssertionRewritingHook

    if hasattr(AssertionRewritingHook, "_warn_already_imported"):
        AssertionRewritingHook._warn_already_imported = lambda self, name: None  # type: ignore[method-assign]


def collect(wanted: set[str] | None, targets: list[str]) -> Collected:
    """Collect as ``pytest`` in the current folder would; raises when pytest cannot start.

    ``targets``: files or folders on the command line; [] leaves it to the user's configuration.
    """
    from _pytest.config import _prepareconfig
    from _pytest.main import Session

    _accept_imported_plugins()
    collected = Collected()
    config: Any = _prepareconfig([*_arguments(), *targets], plugins=[Plugin(collected, wanted)])
    config.option.maxfail = 0  # the user's -x would end the collection with its first broken file
    config.option.usepdb = False
    config._do_configure()
    session: Any = Session.from_config(config)
    collected.session = session
    with contextlib.suppress(ValueError, KeyError):  # doctests are switched off
        collected.doctest_flags = doctests.option_flags(config.getini("doctest_optionflags"))
    config.hook.pytest_sessionstart(session=session)
    config.hook.pytest_collection(session=session)
    collected.items = list(session.items)
    return collected
