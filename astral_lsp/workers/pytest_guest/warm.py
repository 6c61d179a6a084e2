"""Tests collected once, many fills: the keeper holds the module and its tests imported and forks for each
fill."""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from types import CodeType, ModuleType
from typing import Any

from . import collect, doctests, locate, module, scope, text
from .execute import CANNOT, Runner
from .graft import Elsewhere, Graft, Unfit
from .reach import Reach, mark_entry
from .sandbox import Place, confine
from .session import (
    TEST_SECONDS,
    TOO_SLOW,
    environment,
    left_out_note,
    mentions,
    order,
    plan,
    report_when_late,
    words_around,
)
from .supervise import Emit, Event, fork_run
from .verdicts import count, some

BASELINE_SECONDS = 10.0
REPEAT_BELOW_SECONDS = 0.3
"""The baseline of the tests that matter is repeated, to see which flip, when one pass takes less."""
REPEATS = 2
MAX_BROKEN_TESTS = 5
_ENDLESS = "endless"


class NotImported(Unfit):
    """The module with a stand-in for the hole cannot be imported."""


@dataclass
class Selection:
    """Which tests judge a fill of this hole, as a run without any fill showed."""

    reaching: list[str] = field(default_factory=list)
    """They reach the hole."""
    calling: list[str] = field(default_factory=list)
    """They call the function around it without reaching it, and pass: they must still pass."""
    unknown: list[str] = field(default_factory=list)
    """There was no time to try them yet."""
    endless: list[str] = field(default_factory=list)
    """They took longer than `TEST_SECONDS`, or ended their process, and had not reached the hole by then."""
    cannot: list[str] = field(default_factory=list)
    """pytest cannot begin them; why, for each."""
    missed: bool = False
    """Some of those that are endless or cannot begin are in files that speak of what is around the hole."""
    flaky: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    beyond: set[int] = field(default_factory=set)
    """Other holes that stop tests of this function before they come to this one."""

    def run(self, seconds: float) -> list[str]:
        """Ids in the order in which they run when a fill is given ``seconds``: what may not reach the hole at
        all comes last."""
        slow = self.endless if seconds > TEST_SECONDS else []
        return [*self.reaching, *self.calling, *self.unknown, *slow]

    def notes_on(self, seconds: float) -> list[Event]:
        """What to say beside the verdict of a fill that is given ``seconds``."""
        left_out = []
        if self.endless and seconds <= TEST_SECONDS:
            left_out.append(f"{some(self.endless)} not run: {TOO_SLOW}")
        if self.cannot:
            left_out.append(f"{count(len(self.cannot), 'test')} cannot run: {self.cannot[0]}")
        notes: list[Event] = [{"e": "note", "why": why} for why in self.notes]
        return notes + [{"e": "note", "why": why, "missed": self.missed} for why in left_out]

    @property
    def held(self) -> list[str]:
        """Tests whose failure counts even when the fill itself was not seen to run (it made a generator,
        say)."""
        return [*self.reaching, *self.calling]

    def as_json(self, seconds: float = 0.0) -> dict[str, Any]:
        """For a run, or another keeper."""
        return {
            "run": self.run(seconds),
            "held": self.held,
            "flaky": sorted(self.flaky),
            "beyond": sorted(self.beyond),
        }


class Warm:
    """The module imported with its hole in place, its tests collected, and the choice of those that
    matter."""

    def __init__(
        self, place: Place, reach: Reach, has_pytest: bool, files: list[str], everything: bool = False,
        hold_class: bool = True,
    ) -> None:  # fmt: skip
        """``everything``: collect all tests, however many there are. ``hold_class``: as `Graft` takes it."""
        self._hold_class = hold_class
        self._place, self._reach, self._has_pytest, self._files = place, reach, has_pytest, files
        self._everything = everything
        self.selection = Selection()
        self.collected: collect.Collected | None = None
        self.broken: list[Event] = []
        self._module: ModuleType | None = None
        self._cases: dict[str, doctests.Case] = {}
        self._items: dict[str, Any] = {}
        self._complaints: list[str] = []

    # --- once -----------------------------------------------------------------------------------------------

    def prepare(self, buffer: text.Buffer, seconds: float) -> None:
        """Import, collect, find the tests that matter; raises Unfit when fills must be imported from
        nothing."""
        end = time.monotonic() + seconds
        source = text.baseline(buffer)
        if source is None:
            raise Unfit("the buffer does not parse around the hole")
        tree = ast.parse(text.compiled(source))
        self._buffer = buffer
        self._has_fixtures = collect.may_have_fixtures(self._place.path, source)
        self.graft = Graft(buffer, source, tree, self._place.path, self._hold_class)
        line = buffer.first_line
        found = scope.around(tree, line, line)
        documented = found.documented()
        words = self._words = words_around(found, self._place.path)
        mark_entry(self.graft.anchor.function)
        code = self._import(tree, source, words)
        if self._reach.target or self._reach.entered:
            raise Unfit("the function around the hole runs when the module is imported")
        if threading.active_count() > 1:
            raise Unfit("importing the tests starts threads")
        self.graft.bind(code)
        cases, self._complaints = doctests.cases(documented)
        self._cases = {case.id: case for case in cases}
        items = order(self.collected.items, words) if self.collected is not None else []
        self._items = {item.nodeid: item for item in items}
        self._place.keep()
        gc.collect()
        gc.freeze()
        self._choose(min(end, time.monotonic() + BASELINE_SECONDS))
        gc.collect()
        gc.freeze()

    def _import(self, tree: ast.Module, source: str, words: list[str]) -> CodeType:
        place = self._place
        place.write_module(source)
        code = compile(tree, place.path, "exec", dont_inherit=True)
        environment(place)
        rewritten = False

        def make(path: str, wants_rewriting: bool) -> CodeType:
            nonlocal rewritten
            rewritten = rewritten or wants_rewriting
            return code

        module.import_from(place.paths, make)
        module.extend_path(place.root, place.path)
        self._reach.reset()
        if not collect.may_have_tests(self._files, place.path, source):
            pass
        elif not self._has_pytest:
            self.broken.append(
                {"e": "note", "why": f"pytest is not installed for {sys.executable}", "no_pytest": True}
            )
        else:
            module.take_from_pytest(place.paths)
            wanted = None if self._everything else collect.wanted_files(self._files, place.path, words)
            self.collected = collect.collect(wanted, [])
            self.collected.left_out = collect.left_out(self._files, wanted)
        if taken := module.taken_by(place.path, place.paths):
            self.broken.append({"e": "note", "why": f"the tests get another file, {taken}", "taken": True})
        try:
            self._module = module.load(place.path, place.paths)
        except BaseException as error:
            raise NotImported(f"the module cannot be imported: {locate.message(error)}") from error
        if rewritten:
            raise Unfit("the hole is in a file of tests")
        if self.collected is not None:
            self.broken += [
                {
                    "e": "broken",
                    "id": name,
                    "why": why,
                    "inside": None,
                    "line": None,
                    "others": [],
                    "reached": False,
                }
                for name, why, _ in self.collected.broken
            ]
        return code

    @property
    def left_out(self) -> int:
        """Files of tests that were not collected."""
        return self.collected.left_out if self.collected is not None else 0

    @property
    def tests(self) -> int:
        """How many tests were collected, doctests of the definitions around the hole included."""
        return len(self._items) + len(self._cases)

    def watched(self) -> list[str]:
        """Files of the workspace that this session depends on."""
        root = self._place.root + os.sep
        found = {str(item.path) for item in self._items.values()}
        for loaded in list(sys.modules.values()):
            file = getattr(loaded, "__file__", None)
            if isinstance(file, str) and file.startswith(root):
                found.add(file)
        if self.collected is not None and self.collected.session.config.inipath is not None:
            found.add(str(self.collected.session.config.inipath))
        return sorted(found - self._place.paths)

    # --- which tests matter ---------------------------------------------------------------------------------

    def _choose(self, end: float) -> None:
        seen = self._sort([*self._cases, *self._items], end)
        self._find_flaky(seen, end)

    def go_on(self, seconds: float) -> None:
        """Try tests that there was no time for so far."""
        unknown, self.selection.unknown = self.selection.unknown, []
        self._sort(unknown, time.monotonic() + seconds)

    def _sort(self, ids: list[str], end: float) -> dict[str, Event]:
        """Try ``ids`` without a fill and note what each is good for; returns what was seen."""
        chosen = self.selection
        seen = self._baseline(ids, end)
        for name in ids:
            event = seen.get(name)
            if event is None:
                if name in self._items:
                    chosen.unknown.append(name)
            elif event["outcome"] == "xfailed":
                continue
            elif event["outcome"] == CANNOT:
                chosen.cannot.append(event["why"])
                self._miss(name)
            elif event["reached"]:
                chosen.reaching.append(name)
            elif event["others"] and event["entered"]:
                chosen.beyond.update(event["others"])
            elif event["outcome"] == _ENDLESS:
                if name in self._items:
                    chosen.endless.append(name)
                    self._miss(name)
            elif event["entered"] and event["outcome"] == "passed":
                chosen.calling.append(name)
            elif event["outcome"] == "failed" and event["entered"]:
                chosen.notes.append(f"{name} fails without the fill")
        return seen

    def _miss(self, name: str) -> None:
        """Note that a test is left out which may well be about the hole."""
        if not self.selection.missed:
            self.selection.missed = mentions(str(self._items[name].path), self._words) > 0

    def _find_flaky(self, seen: dict[str, Event], end: float) -> None:
        ids = [*self.selection.reaching, *self.selection.calling]
        ids = [name for name in ids if seen[name]["outcome"] != _ENDLESS]
        if sum(seen[name]["ms"] for name in ids) / 1e3 > REPEAT_BELOW_SECONDS:
            return
        for _ in range(REPEATS):
            again = self._baseline(ids, end)
            for name, event in again.items():
                if (event["outcome"], event["reached"]) != (seen[name]["outcome"], seen[name]["reached"]):
                    self.selection.flaky.add(name)

    def _baseline(self, ids: list[str], end: float) -> dict[str, Event]:
        """Run ``ids`` with the hole in place; a test that hangs or kills its process costs only itself."""
        seen: dict[str, Event] = {}
        left = list(ids)
        for _ in range(MAX_BROKEN_TESTS):
            seconds = end - time.monotonic()
            if not left or seconds <= 0:
                break
            chosen = list(left)
            outcome = fork_run(
                lambda emit, chosen=chosen: self._run_baseline(chosen, emit),  # type: ignore[misc]
                seconds,
                self._place.init,
            )
            self._place.renew()
            for event in outcome.events:
                if event["e"] == "test":
                    seen[event["id"]] = event
                elif event["e"] == "modules":
                    _import_quietly(event["names"])
            started = [event["id"] for event in outcome.events if event["e"] == "start"]
            if outcome.ended == "done" or not started:
                break
            last = started[-1]
            left = left[left.index(last) + 1 :]
            if last not in seen and time.monotonic() < end:
                seen[last] = self._ended(last)
        return seen

    def _ended(self, name: str) -> Event:
        """What is known of a test that was running when its process ended."""
        reach = self._reach
        return {
            "id": name, "outcome": _ENDLESS, "reached": reach.target, "entered": reach.entered,
            "others": reach.others, "ms": 0.0,
        }  # fmt: skip

    def _run_baseline(self, ids: list[str], emit: Emit) -> None:
        confine(self._place, BASELINE_SECONDS)
        random.seed()
        runner = Runner(emit, self._reach, self._place.paths, (0, -1))
        runner.stop_at_failure = False
        runner.seconds = TEST_SECONDS
        runner.has_fixtures = self._has_fixtures
        before = set(sys.modules)
        self._run(ids, runner, frozenset())
        emit({"e": "modules", "names": _libraries(set(sys.modules) - before, self._place.root)})

    # --- each fill ------------------------------------------------------------------------------------------

    def judge(self, fill: str, ids: list[str], seconds: float, again: bool, emit: Emit) -> None:
        """Run ``ids`` with ``fill`` in place and emit events; called in the run's own process."""
        confine(self._place, seconds)
        lines = self._buffer.fill_lines(fill)
        try:
            self.graft.apply(fill)
        except Unfit as unfit:
            emit({"e": "cold", "why": str(unfit), "elsewhere": isinstance(unfit, Elsewhere)})
            return
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            emit({"e": "syntax", "why": locate.message(error), "line": getattr(error, "lineno", None)})
            return
        report_when_late(emit, self._place.paths, lines, lines)
        if again:
            random.seed()
        for event in self.broken:
            emit(event)
        for why in self._complaints:
            emit({"e": "note", "why": why})
        for event in self.selection.notes_on(seconds):
            emit(event)
        if self.left_out:
            emit(left_out_note(self.left_out))
        runner = Runner(emit, self._reach, self._place.paths, lines)
        runner.flaky = frozenset(self.selection.flaky)
        runner.has_fixtures = self._has_fixtures
        emit(plan(ids))
        self._run(ids, runner, frozenset(self.selection.held))

    def _run(self, ids: list[str], runner: Runner, held: frozenset[str]) -> None:
        runner.held = held
        flags = self.collected.doctest_flags if self.collected is not None else 0
        for name in ids:
            case = self._cases.get(name)
            if case is not None and self._module is not None and runner.run_case(case, self._module, flags):
                return
        items = [self._items[name] for name in ids if name in self._items]
        for index, item in enumerate(items):
            assert self.collected is not None
            following = items[index + 1] if index + 1 < len(items) else None
            if runner.run_item(self.collected, item, following):
                return


def _libraries(names: set[str], root: str) -> list[str]:
    """Those of the modules ``names`` that are not the workspace's own."""
    found = []
    for name in sorted(names):
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str) and ("site-packages" in file or not file.startswith(root + os.sep)):
            found.append(name)
    return found


def _import_quietly(names: list[str]) -> None:
    """Import what running the tests imported, so that no run has to; nothing here is generated code."""
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
