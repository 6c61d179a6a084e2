"""σ and Γ after an edit inside a function: it alone is checked, in a forked copy of an earlier check.

What mypy knows at a hole in a function follows from the text of that function and from everything outside of
function bodies. So as long as an edit stays inside bodies that cannot reach out (`graft.Graft` refuses the
others), an earlier build answers for the new text. Every doubt is None, and the whole file is checked.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import tree_sitter

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.workers.protocol import HoleTypes
from astral_lsp.workers.types.expected import Observer
from astral_lsp.workers.types.fork import CAN_FORK, MOST_ASKED, Branch, BranchFailed
from astral_lsp.workers.types.frame import Frame, watch
from astral_lsp.workers.types.graft import Graft, NotSound
from astral_lsp.workers.types.program import Program
from astral_lsp.workers.types.text import Lines, Unreadable, call, skeleton

log = logging.getLogger(__name__)

_SECONDS = 1.5
_MOST_HOPELESS = 50
_PLAIN = re.compile("[\0\ud800-\udfff]|\r(?!\n)|^\ufeff")
"""What the whole check treats in ways of its own."""
_COMMENT = re.compile(r"\s*(?:#(?!\s*(?:type|mypy)\s*:).*)?\Z")
_LAYERS = frozenset({
    "module", "block", "class_definition", "decorated_definition", "if_statement", "elif_clause",
    "else_clause", "try_statement", "except_clause", "finally_clause", "with_statement", "for_statement",
    "while_statement",
})  # fmt: skip


@dataclass(frozen=True)
class Function:
    """An outermost function: rows of its text now, and where it was in the checked text. Rows are 0-based."""

    first: int
    """Row of its ``def``."""
    body: int
    """First row after its head."""
    end: int
    """Row of what comes after it."""
    start: int
    """Offset of its first statement in the checked text."""

    def holds(self, row: int) -> bool:
        """Whether ``row`` is in its body."""
        return self.body <= row < self.end

    def moved(self, rows: int) -> Function:
        """The same function ``rows`` further down."""
        return replace(self, first=self.first + rows, body=self.body + rows, end=self.end + rows)


@dataclass(frozen=True)
class Plain:
    """A buffer whose holes are all the same call."""

    text: str
    rows: list[str]
    holes: tuple[Span, ...]
    """Where the calls stand."""


class Quick:
    """Looks at holes on the strength of the last whole check."""

    def __init__(self, program: Program, observer: Observer) -> None:
        self._program, self._observer = program, observer
        self._base: _Base | None = None
        self._hopeless: set[tuple[str, str]] = set()
        """Path and head of functions that no graft is sound for."""
        self.looks = 0

    def hold(self, frame: Frame) -> None:
        """Start from the whole check ``frame`` from now on."""
        if self._base is not None and self._base.frame is frame:
            return
        self.close()
        if CAN_FORK and not frame.note:
            self._base = _Base(self._program, self._observer, frame, self._hopeless)

    def look(self, path: str, text: str, holes: Sequence[Span]) -> dict[Span, HoleTypes] | None:
        """σ and Γ of every hole of a buffer, None when only a whole check can tell."""
        base = self._base
        if base is None or base.frame.path != path or _PLAIN.search(text):
            return None
        if self._program.stale() or not base.is_current():
            self.close()
            return None
        try:
            found = base.look(text, holes)
        except (NotSound, Unreadable, BranchFailed) as why:
            log.info("a whole check is needed: %s", why)
            self.close()
            return None
        self.looks += 1
        return dict(zip(holes, found, strict=True))

    def close(self) -> None:
        """End the copy, if any."""
        if self._base is not None:
            self._base.close()
        self._base = None


class _Base:
    """One whole check, the copy forked from it, and how the buffer has changed since."""

    def __init__(
        self, program: Program, observer: Observer, frame: Frame, hopeless: set[tuple[str, str]]
    ) -> None:
        self._program, self._observer, self.frame, self._hopeless = program, observer, frame, hopeless
        self._others = program.others(frame.path)
        self._builds = program.builds
        self._branch: Branch | None = None
        self._now: Plain | None = None
        self._functions: list[Function] = []
        self._known: dict[int, list[HoleTypes]] = {}
        """By function (-1: outside of all), in the order of the holes."""

    def is_current(self) -> bool:
        """Whether what is outside of the file is still as it was."""
        same = self._builds == self._program.builds and self._others == self._program.others(self.frame.path)
        return same and (self._branch is None or self._branch.asked < MOST_ASKED)

    def close(self) -> None:
        if self._branch is not None:
            self._branch.close()
        self._branch = None

    def look(self, text: str, holes: Sequence[Span]) -> list[HoleTypes]:
        """σ and Γ of ``holes``, all of the buffer in order; raises NotSound, Unreadable or BranchFailed."""
        if self._now is None:
            self._begin()
        new = _plain(text, holes)
        changed = self._follow(new)
        groups = _grouped(new, self._functions)
        for index in [changed] if changed is not None else []:
            self._known[index] = self._ask(index, new, groups.get(index, []))
        found: dict[Span, HoleTypes] = {}
        for index, spans in groups.items():
            known = self._known.get(index, [])
            if len(known) != len(spans):
                raise NotSound("holes appeared outside of the edit")
            found.update(zip(spans, known, strict=True))
        return [found[span] for span in new.holes]

    # --- inside -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        frame = self.frame
        now = _plain(frame.written, frame.holes)
        if len(now.rows) != frame.text.count("\n") + 1:
            raise NotSound("lines were added for the check")
        self._functions = _functions(now, frame.text)
        for index, spans in _grouped(now, self._functions).items():
            order = [now.holes.index(span) for span in spans]
            self._known[index] = [frame.types[number] for number in order]
        self._now = now

    def _follow(self, new: Plain) -> int | None:
        """Take ``new`` as the text now; returns the function that changed. Raises NotSound."""
        assert self._now is not None
        old, rows = self._now.rows, new.rows
        most = min(len(old), len(rows))
        head = next((i for i in range(most) if old[i] != rows[i]), most)
        tail = next((i for i in range(most - head) if old[-1 - i] != rows[-1 - i]), most - head)
        gone, come = old[head : len(old) - tail], rows[head : len(rows) - tail]
        index: int | None = None
        if gone or come:
            index = next(
                (
                    number
                    for number, function in enumerate(self._functions)
                    if function.body <= head and head + len(gone) <= function.end
                ),
                None,
            )
            if index is None and not self._only_comments(head, [*gone, *come]):
                raise NotSound("the edit is outside of all functions")
        by = len(come) - len(gone)
        self._functions = [
            replace(function, end=function.end + by)
            if number == index
            else function.moved(by)
            if function.first >= head + len(gone)
            else function
            for number, function in enumerate(self._functions)
        ]
        self._now = new
        return index

    def _only_comments(self, head: int, rows: list[str]) -> bool:
        assert self._now is not None
        goes_on = head > 0 and self._now.rows[head - 1].rstrip().endswith("\\")
        return not goes_on and all(_COMMENT.match(row) for row in rows)

    def _ask(self, index: int, new: Plain, spans: list[Span]) -> list[HoleTypes]:
        function = self._functions[index]
        lines = Lines(new.text)
        start = lines.starts[function.first]
        end = lines.starts[function.end] if function.end < len(lines.starts) else len(new.text)
        inside = [Span(span.start - start, span.end - start) for span in spans]
        key = (self.frame.path, new.rows[function.first].strip())
        if key in self._hopeless:
            raise NotSound("no graft is sound for this function")
        answer = self._copy().ask((function.start, new.text[start:end], inside), _SECONDS)
        if isinstance(answer, tuple):
            why, never = answer
            if len(self._hopeless) >= _MOST_HOPELESS:
                self._hopeless.clear()
            if never:
                self._hopeless.add(key)
            raise NotSound(why)
        found: list[HoleTypes] = answer
        return found

    def _copy(self) -> Branch:
        if self._branch is None:
            frame = self.frame
            if not self._program.shows(frame.path, frame.text):
                raise NotSound("the build has moved on")
            self._branch = Branch(_Looker(self._program, self._observer, frame))
        return self._branch


class _Looker:
    """Lives in the copy: grafts functions and tells what mypy saw at their holes."""

    def __init__(self, program: Program, observer: Observer, frame: Frame) -> None:
        self._program, self._observer, self._frame = program, observer, frame
        self._tree: SyntaxTree | None = None
        self._grafts: dict[int, Graft] = {}

    def __call__(self, question: tuple[int, str, list[Span]]) -> list[HoleTypes] | tuple[str, bool]:
        """The answer, or why there is none and whether there never will be for this function."""
        start, source, holes = question
        try:
            return self._look(start, source, holes)
        except NotSound as why:
            return str(why), start not in self._grafts

    def _look(self, start: int, source: str, holes: list[Span]) -> list[HoleTypes]:
        graft = self._graft(start)
        head = graft.head
        tree = parse(head + source)
        spans = [Span(hole.start + len(head), hole.end + len(head)) for hole in holes]
        watched, wanted, unseen = watch(tree, spans, [source[hole.start : hole.end] for hole in holes])
        parts, at = [], 0
        for hole, text in zip(holes, watched, strict=True):
            parts += [source[at : hole.start], text]
            at = hole.end
        self._observer.expect(self._frame.path, wanted)
        try:
            graft.look("".join([*parts, source[at:]]))
        finally:
            seen = self._observer.answer()
        return [seen.get(number) or types for number, types in enumerate(unseen)]

    def _graft(self, start: int) -> Graft:
        if start not in self._grafts:
            frame = self._frame
            if self._tree is None:
                self._tree = parse(frame.text)
            place = Span(start, start + 1)
            graft = Graft(self._program, frame.path, frame.text, place, list(frame.messages), self._tree)
            self._grafts[start] = graft
        return self._grafts[start]


def _plain(text: str, holes: Sequence[Span]) -> Plain:
    source = skeleton(text, holes, [])
    made, spans = source.fill([call(0, source.written(index)) for index in range(len(source.targets))])
    return Plain(made, made.split("\n"), spans)


def _grouped(plain: Plain, functions: list[Function]) -> dict[int, list[Span]]:
    """The holes by the function whose body they are in, -1 for none."""
    lines = Lines(plain.text)
    groups: dict[int, list[Span]] = {}
    for span in plain.holes:
        row = lines.line(span.start) - 1
        index = next((number for number, function in enumerate(functions) if function.holds(row)), -1)
        groups.setdefault(index, []).append(span)
    return groups


def _functions(plain: Plain, checked: str) -> list[Function]:
    """The outermost functions of ``plain``; ``checked`` is the same text with other calls in the holes."""
    found: list[Function] = []
    starts = Lines(checked).starts
    tree = parse(plain.text)

    def visit(node: tree_sitter.Node) -> None:
        for child in node.children:
            if child.type == "function_definition":
                function = _function(tree, child, plain.rows, starts)
                if function is not None:
                    found.append(function)
            elif child.type in _LAYERS:
                visit(child)

    visit(tree.root)
    return found


def _function(
    tree: SyntaxTree, node: tree_sitter.Node, rows: list[str], starts: list[int]
) -> Function | None:
    body = node.child_by_field_name("body")
    colon = next((child for child in reversed(node.children) if child.type == ":"), None)
    if body is None or colon is None or body.start_point.row <= colon.end_point.row:
        return None
    first, margin = (
        node.start_point.row,
        len(rows[node.start_point.row]) - len(rows[node.start_point.row].lstrip()),
    )
    end = node.end_point.row + 1
    while end < len(rows) and (not rows[end].strip() or _indented(rows[end], margin)):
        end += 1
    row = body.start_point.row
    indent = len(rows[row]) - len(rows[row].lstrip())
    return Function(first, colon.end_point.row + 1, end, starts[row] + indent)


def _indented(row: str, margin: int) -> bool:
    return len(row) - len(row.lstrip()) > margin
