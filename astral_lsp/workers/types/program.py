"""One warm fine-grained build in this process: buffers in, messages out."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable, Sequence

from mypy.build import BuildManager, Graph, State, build
from mypy.errors import CompileError, Errors
from mypy.find_sources import InvalidSourceList, SourceFinder
from mypy.fswatcher import FileSystemWatcher
from mypy.modulefinder import BuildSource
from mypy.nodes import ARG_POS, ARG_STAR, GDEF, Argument, Block, FuncDef, SymbolTableNode, TypeInfo, Var
from mypy.options import Options
from mypy.parse import parse
from mypy.plugin import Plugin
from mypy.server.update import FineGrainedBuildManager
from mypy.types import AnyType, CallableType, Instance, TypeOfAny

from astral_lsp.workers.buffers import stamp
from astral_lsp.workers.types.configuration import Configuration
from astral_lsp.workers.types.messages import Message, read_messages
from astral_lsp.workers.types.overlay import OverlayFS
from astral_lsp.workers.types.text import HOLE

log = logging.getLogger(__name__)

_MOST_SOURCES = 12
_MOST_UPDATES = 3000
"""Updates after which the build is made afresh: bounds what they leave behind in memory."""
_DISK_SECONDS = 1.0
"""How often the files of the program are looked at for changes."""


class CannotCheck(Exception):
    """mypy cannot judge this file; the message is one sentence for people."""


class Program:
    """The build that contains the files being edited.

    A process must hold one at a time: mypy keeps type state in globals.
    """

    def __init__(self, configuration: Configuration, plugin: Callable[[Options], Plugin]) -> None:
        self.configuration = configuration
        self.files = OverlayFS()
        self.modules: dict[str, str] = {}
        """Module name of each edited path."""
        self.bases: set[str] = set()
        self._plugin = plugin
        self._build: FineGrainedBuildManager | None = None
        self._texts: dict[str, str] = {}
        self._saved: dict[str, tuple[int, int] | None] = {}
        """Time and size of each edited file on disk when its buffer was shown."""
        self._unsaved: set[str] = set()
        """Files whose text here is that of a buffer that nothing is asked about."""
        self._messages: list[Message] = []
        self._clean = True
        self._watcher = FileSystemWatcher(self.files)
        self._looked = 0.0
        self.builds = 0
        self.updates = 0

    # --- what the rest of the package works on ----------------------------------------------------------

    @property
    def fine(self) -> FineGrainedBuildManager:
        """The fine-grained build; only once a file has been shown."""
        assert self._build is not None, "no file has been shown yet"
        return self._build

    @property
    def manager(self) -> BuildManager:
        return self.fine.manager

    @property
    def graph(self) -> Graph:
        return self.fine.graph

    def state(self, path: str) -> State:
        """The build state of an edited file."""
        return self.graph[self.modules[path]]

    def show(self, path: str, text: str, force: bool = False) -> list[Message]:
        """Make ``text`` the content of ``path`` and return the errors of the whole program.

        With ``force`` the file is checked again even if it holds this text already.
        Raises CannotCheck when mypy stops at a blocking error, with that error as the message.
        """
        fresh = self._build is None or self.updates >= _MOST_UPDATES or not self._knows(path)
        if fresh:
            self._rebuild(path, text)
        changed = self._changes_on_disk()
        if changed or self._texts.get(path) != text or (force and not fresh):
            self._hold(path, text)
            try:
                self._update([(self.modules[path], path), *changed])
            except (Exception, SystemExit) as error:
                if fresh:
                    raise
                # updates crash on some changes that a build from nothing takes well
                log.warning("mypy crashed in an update (%s: %s); building anew", type(error).__name__, error)
                self._rebuild(path, text)
        if not self._clean:
            raise CannotCheck(self._blocker())
        self.refuse_silenced(path)
        return self._messages

    def _hold(self, path: str, text: str) -> None:
        self._texts[path] = text
        self._saved[path] = stamp(path)
        self.files.put(path, text.encode("utf-8"))

    def checks_untyped(self, path: str) -> bool:
        """Whether the user's own configuration has functions without annotations in ``path`` checked."""
        return self.configuration.checks_untyped(self.modules[path])

    def shows(self, path: str, text: str) -> bool:
        """Whether ``text`` is what the program holds for ``path``."""
        return self._build is not None and self._clean and self._texts.get(path) == text

    def name(self, path: str) -> str:
        """The module name of ``path``."""
        return self._name(path)[0]

    def paths(self) -> set[str]:
        """The files of the program."""
        return {os.path.abspath(state.path) for state in self.graph.values() if state.path}

    def extend(self, sources: Sequence[tuple[str, str]]) -> bool:
        """Take further files in, each a module name and a path; False when mypy stops at one of them."""
        try:
            self._update(list(sources))
        except (Exception, SystemExit) as error:
            log.warning("mypy crashed on %d more files (%s: %s)", len(sources), type(error).__name__, error)
            self._clean = False
        if not self._clean:
            self._build = None  # the next file that is shown is built anew, without them
            return False
        gc.freeze()
        return True

    def holds(self, path: str) -> bool:
        """Whether ``path`` is in the program and nothing keeps mypy from answering."""
        return self._build is not None and self._clean and path in self.modules

    def others(self, path: str) -> dict[str, str]:
        """The buffers shown for other files than ``path``."""
        return {other: text for other, text in self._texts.items() if other != path}

    def lay(self, texts: dict[str, str], untouched: set[str]) -> bool:
        """Let ``texts`` be the unsaved text of other files, and no other; returns whether that is news.

        ``untouched``: files that keep the text they have.
        """
        gone = [p for p in self._unsaved if p not in texts and p not in untouched and self._saved_parses(p)]
        news = [p for p, text in texts.items() if self._texts.get(p) != text]
        self._unsaved = set(texts) | (self._unsaved & untouched)
        for path in gone:
            self.files.drop(path)
            self._texts.pop(path, None)
            self._saved.pop(path, None)
        for path in news:
            self._hold(path, texts[path])
        if self._build is not None and (gone or news):
            self._update(self._named([*gone, *news]) + self._appeared())
        return bool(gone or news)

    def _saved_parses(self, path: str) -> bool:
        try:
            with open(path, encoding="utf-8") as file:
                return self.syntax_error(path, file.read()) is None
        except (OSError, ValueError):
            return True  # gone, or none of our business

    def _named(self, paths: Sequence[str]) -> list[tuple[str, str]]:
        """The modules of those of ``paths`` that the program has, by path."""
        known = {os.path.abspath(s.path): s.id for s in self.graph.values() if s.path}
        found = [(self.modules.get(path) or known.get(path), path) for path in paths]
        return [(module, path) for module, path in found if module]

    def stale(self) -> bool:
        """Whether files of the program have changed on disk since the last update."""
        if self._build is None:
            return True
        changed = self._changes_on_disk()
        if changed:
            self._update(changed)
        return bool(changed)

    def try_text(self, path: str, text: str) -> list[Message] | str:
        """Like `show`, for a candidate: returns the blocking error's text instead of raising."""
        self._texts[path] = text
        self.files.put(path, text.encode("utf-8"))
        self._update([(self.modules[path], path)])
        return self._messages if self._clean else self._blocker()

    def syntax_error(self, path: str, text: str) -> int | None:
        """Return the first line of ``text`` that mypy's parser refuses, None when it reads all of it."""
        options = self.configuration.options.clone_for_module(self.modules.get(path, "__main__"))
        errors = Errors(options)
        errors.set_file(path, None, options)
        try:
            parse(text.encode("utf-8"), path, None, errors, options, eager=True)
        except CompileError as error:
            return _first_line(error.messages)
        except Exception as error:  # deep nesting and the like
            log.info("mypy's parser failed: %s", error)
            return 1
        if errors.is_blockers():
            return _first_line(errors.new_messages())
        return None

    # --- building ---------------------------------------------------------------------------------------

    def _knows(self, path: str) -> bool:
        if path in self.modules:
            return True
        module, base = self._name(path)
        if base not in self.bases or len(self.modules) >= _MOST_SOURCES:
            return False
        held = self.graph.get(module)
        if held is not None and held.path is not None and os.path.abspath(held.path) != path:
            return False
        self.modules[path] = module
        return True

    def _name(self, path: str) -> tuple[str, str]:
        finder = SourceFinder(self.files, self.configuration.naming)
        try:
            module, base = finder.crawl_up(path)
        except InvalidSourceList:
            module, base = os.path.splitext(os.path.basename(path))[0], os.path.dirname(path)
        return module or "__main__", base or os.path.dirname(path)

    def _rebuild(self, path: str, text: str) -> None:
        """Build anew, keeping as many of the files edited before as agree with ``path``."""
        kept = [p for p in self.modules if p != path][-(_MOST_SOURCES // 2) :]
        self._build, self.modules, self.bases = None, {}, set()
        gc.unfreeze()  # else the old build, a web of cycles, would never be collected
        gc.collect()
        self._hold(path, text)
        held = {path, *kept, *self._unsaved}
        for stale in [p for p in self.files.buffers if p not in held]:
            self.files.drop(stale)
            self._texts.pop(stale, None)
        sources = []
        for candidate in [path, *kept]:
            module, base = self._name(candidate)
            if module not in self.modules.values():
                self.modules[candidate] = module
                self.bases.add(base)
                sources.append(BuildSource(candidate, module, None, base))
        self.updates = 0
        self._options(list(self.modules.values()))
        try:
            self._first_build(sources)
        except CannotCheck:
            self.modules = {}
            raise

    def _options(self, modules: Sequence[str]) -> None:
        """The user's options, with the edited modules never silenced as a whole."""
        options = self.configuration.options
        for module in modules:
            own = options.per_module_options.setdefault(module, {})
            if options.clone_for_module(module).ignore_errors:
                own["ignore_errors"] = False
        options._per_module_cache = None
        options._glob_options = []

    def _first_build(self, sources: list[BuildSource]) -> None:
        self.files.flush()
        options = self.configuration.options
        self.builds += 1
        try:
            result = build(sources, options, fscache=self.files, extra_plugins=[self._plugin(options)])
        except CompileError as error:
            raise CannotCheck(_one_sentence(error.messages)) from None
        except SystemExit as error:
            raise CannotCheck(f"mypy stopped: {error}") from None
        self._build = FineGrainedBuildManager(result)
        _put_hole_into_builtins(result.manager)
        self._messages = read_messages(result.errors)
        self._clean = True
        self._watch()
        self._looked = time.monotonic()
        self._flush()
        # the holes were unknown names in this first build: have each edited file judged once more
        self._update([(module, path) for path, module in self.modules.items()])
        gc.collect()
        gc.freeze()

    def _update(self, changed: list[tuple[str, str]]) -> None:
        self.updates += 1
        raw = self.fine.update(changed, [])
        self._clean = self.fine.blocking_error is None
        self._raw = raw
        self._messages = read_messages(raw)
        self._flush()

    def _blocker(self) -> str:
        return _one_sentence(self._raw)

    def _flush(self) -> None:
        self.files.flush()
        self.fine.flush_cache()

    def refuse_silenced(self, path: str) -> None:
        """Raise CannotCheck where mypy says nothing of ``path`` whatever is in it."""
        state = self.graph.get(self.modules[path])
        if state is None:
            raise CannotCheck("mypy leaves this file out of the program")
        if state.options.ignore_errors or path in self.manager.errors.ignored_files:
            raise CannotCheck("the file turns mypy off (ignore-errors)")
        defs = state.tree.defs if state.tree is not None else []
        # mypy's old parser puts all in one unreachable block, its native one leaves all out
        off = not defs or (isinstance(defs[0], Block) and defs[0].is_unreachable)
        if off and self._texts[path].strip():
            raise CannotCheck("the file turns mypy off (type: ignore on its own)")

    # --- files on disk ----------------------------------------------------------------------------------

    def _watch(self) -> None:
        paths = [s.path for s in self.graph.values() if s.path and not _is_library(s.path, self.manager)]
        fresh = [p for p in paths if p not in self._watcher._paths and self.files.isfile(p)]
        if fresh:
            self._watcher.add_watched_paths(fresh)
            self._watcher._find_changed(fresh)

    def _changes_on_disk(self) -> list[tuple[str, str]]:
        """Modules whose files changed, appeared or went since the last look."""
        if time.monotonic() - self._looked < _DISK_SECONDS:
            return []
        self._looked = time.monotonic()
        self.files.flush()  # it remembers what it saw of each file
        saved = self._saved_since()
        self._watch()
        changed = self._watcher.find_changed()
        named = [(s.id, s.path) for s in self.graph.values() if s.path in changed and s.path]
        named = [(module, path) for module, path in named if path not in self._texts]
        return saved + named + self._appeared()

    def _saved_since(self) -> list[tuple[str, str]]:
        """Edited files that were saved by something after their buffer was last shown: the disk is newer."""
        newer = [p for p in self._texts if p in self._saved and stamp(p) not in (None, self._saved[p])]
        for path in newer:
            self.files.drop(path)
            del self._texts[path], self._saved[path]
        self._unsaved.difference_update(newer)
        return self._named(newer) if newer else []

    def _appeared(self) -> list[tuple[str, str]]:
        """Modules that an edited file imports in vain so far and that can be found now."""
        cache = self.manager.find_module_cache
        states = [self.graph[module] for module in self.modules.values() if module in self.graph]
        wanted = {name for state in states for name in state.suppressed_set if name not in self.graph}
        if not wanted:
            return []
        cache.clear()
        found = [(name, cache.find_module(name, fast_path=True)) for name in sorted(wanted)]
        return [(name, place) for name, place in found if isinstance(place, str)]


def _is_library(path: str, manager: BuildManager) -> bool:
    roots = (*manager.search_paths.typeshed_path, *manager.search_paths.package_path)
    return any(path.startswith(root + os.sep) for root in roots)


def _first_line(messages: Sequence[str]) -> int:
    found = read_messages(messages)
    return max(found[0].line, 1) if found else 1


def _one_sentence(messages: Sequence[str]) -> str:
    found = read_messages(messages)
    if found:
        return f"mypy stops at {os.path.basename(found[0].path)}:{found[0].line}: {found[0].text}"
    return f"mypy stops: {messages[0].strip()}" if messages else "mypy stops without a reason"


def _put_hole_into_builtins(manager: BuildManager) -> None:
    """Define ``__hole__(number, *siblings) -> Any`` where every module finds it.

    An import in the buffer would move lines, and be "used before definition" at module level.
    """
    names = manager.modules["builtins"].names
    function, anything_at_all = names["function"].node, names["object"].node
    assert isinstance(function, TypeInfo)
    assert isinstance(anything_at_all, TypeInfo)
    object_type = Instance(anything_at_all, [])
    anything = AnyType(TypeOfAny.special_form)
    kinds, formals = [ARG_POS, ARG_STAR], ["number", "siblings"]
    signature = CallableType(
        [object_type, object_type], kinds, list(formals), anything, Instance(function, []), name=HOLE
    )
    arguments = [
        Argument(Var(name, object_type), object_type, None, kind)
        for name, kind in zip(formals, kinds, strict=True)
    ]
    definition = FuncDef(HOLE, arguments, Block([]), signature)
    definition._fullname = f"builtins.{HOLE}"
    signature.definition = definition
    names[HOLE] = SymbolTableNode(GDEF, definition)
