"""Open buffers: text, version, holes and the edits since, so that yesterday's span can be found today."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlparse

from lsprotocol import types
from msgspec import structs
from pygls.uris import to_fs_path

from astral_lsp.fill.document import Document
from astral_lsp.holes.index import HoleIndex
from astral_lsp.holes.model import Hole, Span
from astral_lsp.server.text import Buffer, Change, Encoding, smallest_change

log = logging.getLogger(__name__)
_PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")
"""Cell magics whose body is Python."""
HISTORY = 2000
"""Edits remembered per buffer; a span from before them cannot be rebased."""


class _Past(NamedTuple):
    version: int
    change: Change


class OpenDocument:
    """One buffer that the editor has open. Offsets are code points of `text`."""

    def __init__(self, item: types.TextDocumentItem, encoding: Encoding) -> None:
        self.uri = item.uri
        self.version = item.version
        self.language_id = item.language_id
        self.buffer = Buffer(item.text, encoding)
        self.notebook: Notebook | None = None
        self._index: HoleIndex | None = None
        self._digest = ""
        self._history: deque[_Past] = deque(maxlen=HISTORY)

    @property
    def text(self) -> str:
        """The whole text of this version."""
        return self.buffer.text

    @property
    def digest(self) -> str:
        """Names the exact text: what a verdict was given for."""
        if not self._digest:
            raw = self.text.encode("utf-8", "surrogatepass")
            self._digest = hashlib.blake2b(raw, digest_size=12).hexdigest()
        return self._digest

    @property
    def holes(self) -> Sequence[Hole]:
        """The holes of this version in source order; none for text that is not Python."""
        return self.index.holes if self.index is not None else ()

    def change(self, events: Sequence[types.TextDocumentContentChangeEvent], version: int) -> list[Change]:
        """Apply the client's changes in order and return them as offsets."""
        changes = []
        for event in events:
            change = self.buffer.change_from_client(event)
            changes.append(change)
            self._apply(change, version)
        self.version = version
        return changes

    def _apply(self, change: Change, version: int) -> None:
        self.buffer.edit(change)
        self._digest = ""
        self._history.append(_Past(version, change))
        if self._index is not None:
            try:
                self._index.edit(change.start, change.end, change.new)
            except Exception:  # a broken index must not cost the person their server
                log.exception("incremental parse of %s failed; parsing afresh", self.uri)
                self._index = None

    def replace(self, text: str, version: int) -> Change:
        """Make ``text`` the whole text, as the smallest change."""
        change = smallest_change(self.text, text)
        self._apply(change, version)
        self.version = version
        return change

    def rebase(self, span: Span, version: int) -> Span | None:
        """Where ``span`` of ``version`` is now; None when an edit touched it or it is too long ago."""
        if version == self.version:
            return span
        if version > self.version or not self._reaches(version):
            return None
        for past in self._history:
            if past.version > version:
                moved = shift(span, past.change)
                if moved is None:
                    return None
                span = moved
        return span

    def _reaches(self, version: int) -> bool:
        return len(self._history) < HISTORY or self._history[0].version <= version

    @property
    def index(self) -> HoleIndex | None:
        """Tree and holes of this version; None for text that is not Python."""
        if self.language_id not in ("python", ""):
            return None
        if self._index is None:
            self._index = HoleIndex(self.text, stub=self.uri.endswith(".pyi"))
        return self._index

    def hole_at(self, offset: int) -> Hole | None:
        """The hole that ``offset`` touches, else the only one on its line."""
        return self.index.at(offset) if self.index is not None else None

    def hole_with_span(self, span: Span) -> Hole | None:
        """The hole of exactly this span."""
        return next((hole for hole in self.holes if hole.start == span.start and hole.end == span.end), None)

    def selection(self, start: int, end: int) -> Hole | None:
        """The hole that a selection makes; None for text that is not Python."""
        return self.index.selection(start, end) if self.index is not None else None

    def holes_for(self, start: int, end: int) -> list[Hole]:
        """Holes that the range touches; for an empty range that touches none, those on its line."""
        touched = [hole for hole in self.holes if hole.start <= end and start <= hole.end]
        if touched or start != end:
            return touched
        line = self.buffer.line_of(start)
        return [hole for hole in self.holes if self.buffer.line_of(hole.start) == line]


def shift(span: Span, change: Change) -> Span | None:
    """``span`` after ``change``; None when the change touches its inside or replaces a border."""
    if change.end <= span.start:
        return Span(span.start + change.delta, span.end + change.delta)
    if change.start >= span.end:
        return span
    return None


class Notebook:
    """A notebook's Python cells in order, as one program."""

    def __init__(self, uri: str, cells: list[str]) -> None:
        self.uri = uri
        self.cells = cells
        """URIs of every cell, markdown included."""


class View(NamedTuple):
    """What the fill room sees of a buffer: a whole program, and where the buffer's text starts in it."""

    document: Document
    base: int
    holes: list[Hole]
    """Holes of the whole program."""

    def lift(self, hole: Hole) -> Hole:
        """A hole of the buffer as a hole of the program."""
        return moved(hole, self.base)


def moved(hole: Hole, by: int) -> Hole:
    """``hole`` with every offset moved."""
    if by == 0:
        return hole
    function = hole.function and Span(hole.function.start + by, hole.function.end + by)
    return structs.replace(hole, start=hole.start + by, end=hole.end + by, function=function)


class Documents:
    """Every open buffer, by URI as the client writes it."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding: Encoding = encoding
        self._open: dict[str, OpenDocument] = {}
        self._notebooks: dict[str, Notebook] = {}

    def __iter__(self) -> Iterator[OpenDocument]:
        return iter(list(self._open.values()))

    def get(self, uri: str) -> OpenDocument | None:
        """The open buffer of ``uri``, forgiving differences of percent-encoding."""
        return self._open.get(_canonical(uri))

    def open(self, item: types.TextDocumentItem) -> OpenDocument:
        """Take a buffer in (again)."""
        document = OpenDocument(item, self.encoding)
        self._open[_canonical(item.uri)] = document
        return document

    def close(self, uri: str) -> OpenDocument | None:
        """Forget a buffer."""
        return self._open.pop(_canonical(uri), None)

    # --- notebooks ---------------------------------------------------------------------------------------

    def open_notebook(
        self, notebook: types.NotebookDocument, cells: Sequence[types.TextDocumentItem]
    ) -> Notebook:
        """Take a notebook in with the texts of its cells."""
        entry = Notebook(notebook.uri, [cell.document for cell in notebook.cells])
        self._notebooks[notebook.uri] = entry
        for item in cells:
            self.open(item).notebook = entry
        return entry

    def notebook(self, uri: str) -> Notebook | None:
        """An open notebook."""
        return self._notebooks.get(uri)

    def close_notebook(self, uri: str) -> list[OpenDocument]:
        """Forget a notebook and its cells; returns the cells."""
        entry = self._notebooks.pop(uri, None)
        cells = [self.close(cell) for cell in entry.cells] if entry else []
        return [cell for cell in cells if cell is not None]

    def program(self, document: OpenDocument) -> list[OpenDocument]:
        """What makes one program with ``document``: its notebook's Python cells in order, or itself alone."""
        if document.notebook is None:
            return [document]
        cells = (self.get(uri) for uri in document.notebook.cells)
        return [cell for cell in cells if cell is not None and cell.language_id == "python"]

    # --- views -------------------------------------------------------------------------------------------

    def view(self, document: OpenDocument, root: Path) -> View:
        """The program that ``document`` is part of."""
        path = document_path(document.uri, root)
        if document.notebook is None:
            return View(Document(path, document.text, document.version), 0, list(document.holes))
        return self._notebook_view(document, path)

    def _notebook_view(self, document: OpenDocument, path: str) -> View:
        parts: list[str] = []
        holes: list[Hole] = []
        base, size = 0, 0
        for cell in self.program(document):
            if cell is document:
                base = size
            holes.extend(moved(hole, size) for hole in cell.holes)
            text = without_magics(cell.text)
            text += "\n" if not text.endswith("\n") else ""
            parts.append(text)
            size += len(text)
        numbered = [structs.replace(hole, id=number) for number, hole in enumerate(holes, 1)]
        return View(Document(path, "".join(parts), document.version), base, numbered)


def without_magics(text: str) -> str:
    """A cell's text with IPython magics and shell lines made comments, every offset kept."""
    lines = text.splitlines(keepends=True)
    if lines and lines[0].startswith("%%") and not lines[0].startswith(_PYTHON_MAGICS):
        return "".join("#" + line[1:] if line.strip() else line for line in lines)
    return "".join("#" + line[1:] if line.startswith(("%", "!")) else line for line in lines)


def document_path(uri: str, root: Path) -> str:
    """The file path of ``uri``; an untitled buffer or notebook gets the path it would have in ``root``."""
    parsed = urlparse(uri)
    if parsed.scheme in ("file", ""):
        path = to_fs_path(uri) or unquote(parsed.path)
    else:
        path = unquote(parsed.path)
        if parsed.scheme == "untitled" or not Path(path).is_absolute():
            path = str(root / (Path(path).name or "untitled"))
    if path.endswith((".py", ".pyi")):
        return path
    return str(Path(path).with_name(Path(path).name.replace(".", "_") + ".py"))


def _canonical(uri: str) -> str:
    return unquote(uri)
