"""One fill's tests from nothing: import the filled buffer, collect, run. Used in a fork that then dies."""

from __future__ import annotations

import ast
import os
import re
import signal
import sys
from types import CodeType, FrameType, ModuleType
from typing import Any

from . import codes, doctests, locate, module, scope
from .collect import (
    Collected,
    collect,
    left_out,
    may_have_fixtures,
    may_have_tests,
    python_files,
    read,
    root_cause,
    wanted_files,
)
from .execute import Runner
from .reach import Reach, mark_entry, mark_statement
from .sandbox import Place, confine
from .supervise import Emit, Event
from .text import Buffer, compiled
from .verdicts import some

PREPARE_SECONDS = 10.0
"""Most that importing and collecting may take, apart from the fill's own time."""
TEST_SECONDS = 2.0
"""Most that one test may take where all are tried without a fill."""
TOO_SLOW = f"no end within {TEST_SECONDS:.0f} s, or one of the whole process, without the fill"


def environment(place: Place) -> None:
    """Set what every run sees: temporary files in the sandbox, no caches beside the user's files."""
    os.environ["TMPDIR"] = os.environ["TMP"] = os.environ["TEMP"] = place.temporary
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    import tempfile

    tempfile.tempdir = None
    sys.argv = ["pytest"]


def words_around(found: scope.Scope, path: str) -> list[str]:
    """Names by which a test would speak of what is around the hole."""
    stem = os.path.splitext(os.path.basename(path))[0]
    if stem == "__init__":
        stem = os.path.basename(os.path.dirname(path))
    return [*found.names, stem]


def plan(ids: list[str]) -> Event:
    """Says what is about to run."""
    return {"e": "plan", "ids": ids}


def left_out_note(number: int) -> Event:
    """Says that not every test was looked at."""
    files = "a test file that does" if number == 1 else f"{number} test files that do"
    return {"e": "note", "why": f"{files} not name it left out", "left_out": number}


class ColdRun:
    """Judges one fill without anything imported before: right for every kind of hole, slower than a graft."""

    def __init__(
        self,
        place: Place,
        reach: Reach,
        has_pytest: bool,
        selection: dict[str, Any] | None,
        flaky: frozenset[str],
        excused: dict[str, str] | None = None,
        first: frozenset[str] = frozenset(),
        never: frozenset[str] = frozenset(),
    ) -> None:
        """``selection``: what `warm.Selection.as_json` found out, None when nothing is known.

        ``excused``: how tests fail without a fill. ``first``: tests that are known to use the hole's value,
        ``never``: tests that have no end and do not use it.
        """
        self._first, self._never = first, never
        self._excused = excused or {}
        self._place, self._reach, self._has_pytest = place, reach, has_pytest
        self._selection, self._flaky = selection, flaky

    def judge(self, buffer: Buffer, fill: str, seconds: float, prepare_seconds: float, emit: Emit) -> None:
        """Run the tests of ``fill`` and emit events; called in the run's own process."""
        confine(self._place, seconds + prepare_seconds)
        text = compiled(buffer.filled(fill))
        lines = buffer.fill_lines(fill)
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            emit({"e": "syntax", "why": locate.message(error), "line": getattr(error, "lineno", None)})
            return
        environment(self._place)
        found = scope.around(tree, *lines)
        function = found.function
        around = scope.extent(function) if function is not None and self._selection is None else lines
        report_when_late(emit, self._place.paths, lines, around)
        documented = found.documented()
        runner = Runner(emit, self._reach, self._place.paths, lines)
        runner.has_fixtures = may_have_fixtures(self._place.path, text)
        runner.flaky = self._flaky
        runner.held = frozenset(self._selection["held"]) if self._selection is not None else frozenset()
        self._reach.reset()
        if function is not None:
            mark_entry(function)
        cases, complaints = doctests.cases(documented)
        if self._selection is None:
            runner.held_when_entered = frozenset(case.id for case in cases)
        for complaint in complaints:
            emit({"e": "note", "why": complaint})
        runner.excused = self._excused
        if self._never:
            emit({"e": "note", "why": f"{some(sorted(self._never))} not run: {TOO_SLOW}"})
        mark_statement(tree, buffer.fill_region(fill))
        collected, loaded = self._prepare(tree, found, text, emit, lines)
        if self._selection is None:
            emit({"e": "loaded", "files": codes.loaded(self._place.root, self._place.paths)})
        runner.always = self._reach.target
        emit({"e": "ready", "seconds": seconds, "always": runner.always})
        flags = collected.doctest_flags if collected is not None else 0
        items = order(collected.items, words_around(found, self._place.path)) if collected is not None else []
        items = self._selected(items)
        chosen = self._chosen(cases)
        emit(plan([*(case.id for case in chosen), *(item.nodeid for item in items)]))
        if loaded is not None and any(runner.run_case(case, loaded, flags) for case in chosen):
            return
        if collected is not None:
            run_items(runner, collected, items)

    def without(self, buffer: Buffer, stand_in: str, seconds: float, done: set[str], emit: Emit) -> None:
        """Run all tests but those ``done`` with ``stand_in`` in the hole; nothing when the import itself
        needs it."""
        confine(self._place, seconds + PREPARE_SECONDS)
        text = compiled(buffer.filled(stand_in))
        tree = ast.parse(text)
        environment(self._place)
        lines = buffer.fill_lines("")
        runner = Runner(emit, self._reach, self._place.paths, (0, -1))
        runner.stop_at_failure = False
        runner.seconds = TEST_SECONDS
        self._reach.reset()
        found = scope.around(tree, *lines)
        collected, _ = self._prepare(tree, found, text, emit, lines)
        if collected is not None and not self._reach.target:
            emit({"e": "ready", "seconds": seconds})
            items = order(collected.items, words_around(found, self._place.path))
            run_items(runner, collected, [item for item in items if item.nodeid not in done])

    def _chosen(self, cases: list[doctests.Case]) -> list[doctests.Case]:
        if self._selection is None:
            return cases
        return [case for case in cases if case.id in self._selection["run"]]

    def _selected(self, items: list[Any]) -> list[Any]:
        """Those of ``items`` that the selection names, in its order; without one all that have an end.

        A fill that is imported may change the parameters of a test, and so its name in brackets.
        """
        if self._selection is None:
            items = [item for item in items if item.nodeid not in self._never]
            return sorted(items, key=lambda item: item.nodeid not in self._first)
        ranks: dict[str, int] = {}
        for name in self._selection["run"]:
            ranks.setdefault(name.split("[")[0], len(ranks))
        found = [item for item in items if item.nodeid.split("[")[0] in ranks]
        return sorted(found, key=lambda item: ranks[item.nodeid.split("[")[0]])

    def _prepare(
        self,
        tree: ast.Module,
        found: scope.Scope,
        text: str,
        emit: Emit,
        lines: tuple[int, int],
    ) -> tuple[Collected | None, ModuleType | None]:
        place = self._place
        code: dict[str, CodeType] = {}

        def make(path: str, rewritten: bool) -> CodeType:
            if path not in code:
                if rewritten:
                    module.rewrite_asserts(tree, text, path)
                try:
                    code[path] = compile(tree, path, "exec", dont_inherit=True)
                except SyntaxError as error:  # parses, but does not compile: a return outside of functions
                    if lines[0] <= (error.lineno or 0) <= lines[1]:
                        emit({"e": "syntax", "why": locate.message(error), "line": error.lineno})
                    raise
            return code[path]

        module.import_from(place.paths, make)
        module.extend_path(place.root, place.path)
        collected = None
        files = python_files(place.root)
        if not may_have_tests(files, place.path, text):
            pass
        elif not self._has_pytest:
            emit({"e": "note", "why": f"pytest is not installed for {sys.executable}", "no_pytest": True})
        else:
            if self._selection is not None:
                names = {name.split("::")[0] for name in self._selection["run"]}
                wanted: set[str] | None = {
                    file for file in files if any(file.endswith(name) for name in names)
                }
            else:
                wanted = wanted_files(files, place.path, words_around(found, place.path))
            module.take_from_pytest(place.paths)
            try:
                collected = collect(wanted, [])
            except BaseException as failure:  # a conftest that cannot be imported ends pytest
                cause = root_cause(failure)
                event = self._broken("import", locate.message(cause), cause, lines, sure=False)
                if not event["reached"]:
                    raise
                emit(event)
                return None, None
            if self._selection is None and (number := left_out(files, wanted)):
                emit(left_out_note(number))
            for name, why, error in collected.broken:
                emit(self._broken(name, why, error, lines))
        if taken := module.taken_by(place.path, place.paths):
            emit({"e": "note", "why": f"the tests get another file, {taken}", "taken": True})
        loaded = None
        if found.documented():
            try:
                loaded = module.load(place.path, place.paths)
            except BaseException as error:
                emit(self._broken("import", locate.message(error), error, lines))
        return collected, loaded

    def _broken(
        self, name: str, why: str, error: BaseException | None, lines: tuple[int, int], sure: bool = True
    ) -> Event:
        """What could not be imported; it counts when the module did it and the fill had begun to run.

        ``sure``: an "import" was one of the module itself.
        """
        paths = self._place.paths
        inside, line = locate.deepest_line(error, paths, *lines) if error is not None else (None, None)
        ours = (
            line is not None
            or (sure and name == "import")
            or module.is_about(error and root_cause(error), paths)
        )
        event: Event = {"e": "broken", "id": name, "why": why, "inside": inside, "line": line}
        return {**event, "others": self._reach.others, "reached": ours and self._reach.target}


Job = dict[str, Any]
"""What a run without anything imported is asked to do, in JSON."""


def do(job: Job, place: Place, reach: Reach, has_pytest: bool, emit: Emit) -> None:
    """Do ``job``: judge a fill, or run all tests without one. In the run's own process."""
    cold = ColdRun(
        place, reach, has_pytest, job.get("selection"), frozenset(job.get("flaky", ())), job.get("excused"),
        frozenset(job.get("first", ())), frozenset(job.get("never", ())),
    )  # fmt: skip
    lines = {int(number): line for number, line in job["other_lines"].items()}
    buffer = Buffer(job["before"], job["after"], lines)
    if job["do"] == "judge":
        cold.judge(buffer, job["fill"], job["seconds"], PREPARE_SECONDS, emit)
    else:
        cold.without(buffer, job["stand_in"], job["seconds"], set(job["done"]), emit)


def order(items: list[Any], words: list[str]) -> list[Any]:
    """Items of files that mention the innermost of ``words`` first; otherwise pytest's order."""
    counts: dict[str, int] = {}
    for item in items:
        path = str(item.path)
        if path not in counts:
            counts[path] = mentions(path, words)
    return sorted(items, key=lambda item: -counts[str(item.path)])


def mentions(path: str, words: list[str]) -> int:
    """How many of ``words`` the file holds."""
    text = read(path)
    return sum(re.search(rf"\b{re.escape(word)}\b", text) is not None for word in words)


def run_items(runner: Runner, collected: Collected, items: list[Any]) -> None:
    """Run ``items`` in order until one counts against the fill."""
    for index, item in enumerate(items):
        following = items[index + 1] if index + 1 < len(items) else None
        if runner.run_item(collected, item, following):
            return


def report_when_late(emit: Emit, paths: set[str], lines: tuple[int, int], around: tuple[int, int]) -> None:
    """When the supervisor says that time is up, tell which line of the fill is running.

    ``around``: lines of the function that holds the fill; being stuck there is the fill's doing too.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        inside = locate.running_line(frame, paths, *lines)
        emit({"e": "late", "inside": inside, "ours": locate.running_line(frame, paths, *around) is not None})

    if hasattr(signal, "SIGUSR2"):  # nobody asks on Windows
        signal.signal(signal.SIGUSR2, handler)
