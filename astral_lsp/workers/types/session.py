"""An open workspace: one program, its judge, and what they are asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec
from mypy.version import __version__

from astral_lsp.workers.buffers import Laid, ShowUnsaved
from astral_lsp.workers.protocol import Analyse, Analysed, CheckTypes, Judged, OpenTypes
from astral_lsp.workers.types.analyse import analyse
from astral_lsp.workers.types.bare import Bare
from astral_lsp.workers.types.configuration import configure
from astral_lsp.workers.types.expected import Observer
from astral_lsp.workers.types.frame import Frames, shown_text
from astral_lsp.workers.types.judge import Judge
from astral_lsp.workers.types.program import Program
from astral_lsp.workers.types.quick import Quick
from astral_lsp.workers.types.widen import Importers


class Session:
    """Holds the one build of this process. Raises ConfigurationError or OSError when it cannot be set up."""

    def __init__(self, params: OpenTypes) -> None:
        root = os.path.abspath(params.root or os.curdir)
        os.chdir(root)  # mypy looks for its configuration, and for modules, from here
        self.root = root
        self.configuration = configure(root, params.python, params.trusted)
        observer = Observer()
        program = Program(self.configuration, observer.plugin)
        self.frames = Frames(program, observer)
        self.quick = Quick(program, observer)
        self.importers = Importers(program, root)
        self.judge = Judge(program, self.frames, self.importers)
        self.bare = Bare(program, self.frames)
        self.program = program

    def about(self) -> dict[str, Any]:
        """What was set up, for people."""
        options = self.configuration.options
        return {
            "mypy": __version__,
            "python_version": ".".join(map(str, options.python_version)),
            "config_file": options.config_file or "",
            "plugins": list(options.plugins),
            "notes": self.configuration.notes,
        }

    def analyse(self, params: Analyse) -> Analysed:
        """σ and Γ of the asked holes."""
        return analyse(params, self._path(params.path), self.frames, self.quick)

    def lay(self, params: ShowUnsaved) -> Laid:
        """Take the unsaved text of other files."""
        texts: dict[str, str] = {}
        unread = []
        for buffer in params.buffers:
            path = self._path(buffer.path)
            shown = shown_text(self.program, path, buffer.text, buffer.holes)
            if shown is not None:
                texts[path] = shown
            else:
                unread.append(buffer.path)
        if self.program.lay(texts, {self._path(path) for path in (*unread, params.beside)}):
            self.quick.close()
            self.judge.close()
            self.frames.forget()
            self.bare.close()
            self.importers.forget()
        return Laid(unread)

    def check(self, params: CheckTypes, cancelled: Callable[[], bool]) -> Judged:
        """Verdicts of the fills."""
        path = self._path(params.path)
        alone = self.bare.verdicts(params, path, cancelled)
        rest = [fill for fill in params.fills if fill not in alone]
        if alone and not rest:
            return Judged([alone[fill] for fill in params.fills], 0.0)
        judged = self.judge.check(msgspec.structs.replace(params, fills=rest), path, cancelled)
        others = dict(zip(rest, judged.verdicts, strict=True))
        return Judged([alone.get(fill) or others[fill] for fill in params.fills], judged.elapsed_ms)

    def close(self) -> None:
        """End what was started."""
        self.quick.close()
        self.judge.close()
        self.bare.close()

    def _path(self, path: str) -> str:
        full = os.path.abspath(os.path.join(self.root, path or "untitled.py"))
        return full if full.endswith((".py", ".pyi")) else full + ".py"
