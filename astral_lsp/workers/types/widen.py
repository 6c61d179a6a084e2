"""Bringing the files that import an edited one into the build, so that a fill cannot break them unseen."""

from __future__ import annotations

import logging
import os
import time
from typing import Literal

from mypy.modulefinder import matches_exclude

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree
from astral_lsp.workers.types.fork import CAN_FORK, Branch, BranchFailed
from astral_lsp.workers.types.graft import NotSound, outermost_function
from astral_lsp.workers.types.importers import Search, find_importers
from astral_lsp.workers.types.program import Program

log = logging.getLogger(__name__)

_SEARCH_SECONDS = 0.5
_SEARCH_AGAIN_SECONDS = 10.0
_MOST_IMPORTERS = 30
_NAMED = 2


class Importers:
    """The importers of the file that was asked about last."""

    def __init__(self, program: Program, root: str) -> None:
        self._program, self._root = program, root
        self._of = ""
        self._builds = -1
        self._searched = 0.0
        self._search = Search()
        self._refused: set[str] = set()
        """Files that mypy cannot take in, or not in the time there was."""
        self._not_in: list[str] = []
        self._counted = (-1, -1)
        """Builds and updates of the program when `_not_in` was looked up."""

    def widen(self, path: str, seconds: float) -> bool:
        """Take in as many importers of ``path`` as ``seconds`` allow; returns whether there were any."""
        self._look(path)
        missing = [file for file in self._missing() if file not in self._refused]
        if not missing or not CAN_FORK or seconds <= 0:
            return False
        added = self._affordable(missing[:_MOST_IMPORTERS], seconds / 2)
        if added:
            log.info("%d files that import %s are taken in", len(added), path)
            self._program.extend(added)
        return bool(added)

    def forget(self) -> None:
        """Other buffers are open now: search again."""
        self._of = ""

    def note(self) -> str:
        """Which importers are not part of the build; '' when all are."""
        missing = self._missing()
        notes = []
        if missing:
            names = ", ".join(os.path.basename(file) for file in missing[:_NAMED])
            more = ", ..." if len(missing) > _NAMED else ""
            files = "1 file that imports" if len(missing) == 1 else f"{len(missing)} files that import"
            was = "was" if len(missing) == 1 else "were"
            notes.append(f"{files} this one {was} not checked ({names}{more})")
        if not self._search.complete:
            notes.append("not every file was searched for imports of this one")
        return "; ".join(notes)

    def _look(self, path: str) -> None:
        same = self._of == path and self._builds == self._program.builds
        if same and time.monotonic() - self._searched < _SEARCH_AGAIN_SECONDS:
            return
        if not same:
            self._refused = set()
        program = self._program
        self._of, self._builds, self._searched = path, program.builds, time.monotonic()
        files, exclude = program.files, program.configuration.options.exclude
        self._search = find_importers(
            self._root, path, program.name, files.now, _SEARCH_SECONDS, files.buffers
        )
        self._search.paths = [p for p in self._search.paths if not matches_exclude(p, exclude, files, False)]
        self._counted = (-1, -1)

    def _missing(self) -> list[str]:
        """The importers that are not in the program; looked up again only when it has changed."""
        state = (self._program.builds, self._program.updates)
        if self._counted != state:
            known = self._program.paths()
            self._not_in = [path for path in self._search.paths if path not in known]
            self._counted = state
        return self._not_in

    def _affordable(self, missing: list[str], seconds: float) -> list[tuple[str, str]]:
        """Those of ``missing`` that a copy of the build can take in, one after the other, in ``seconds``."""
        end, left = time.monotonic() + seconds, seconds
        found: list[tuple[str, str]] = []
        branch = Branch(lambda source: self._program.extend([source]))
        try:
            for path in missing:
                module = self._program.name(path)
                if module in self._program.graph or module in (name for name, _ in found):
                    self._refused.add(path)  # its name is another file's
                    continue
                left = end - time.monotonic()
                if left <= 0:
                    break
                if not branch.ask((module, path), left):
                    self._refused.add(path)
                    break  # the copy stands at a blocking error now
                found.append((module, path))
        except BranchFailed as why:
            log.info("%s is not taken in: %s", path, why)
            if left > seconds / 2:
                self._refused.add(path)
        finally:
            branch.close()
        return found


def seen_by(tree: SyntaxTree, hole: Span) -> Literal["", "class", "importers"]:
    """Who else sees what stands in ``hole``: those who import the file, where it is outside of functions;
    where it is the value of an attribute, those who use the class; nobody else."""
    try:
        function, _ = outermost_function(tree, hole)
    except NotSound:
        return "importers"
    for step in reversed(tree.path(hole.start, hole.end)):
        if step.node == function:
            break
        if step.type == "assignment":
            left = step.node.child_by_field_name("left")
            return "class" if left is not None and left.type == "attribute" else ""
    return ""
