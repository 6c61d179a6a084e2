"""The fast path: put a candidate's body into one function of the warm tree and check that function alone.

Sound only where a function's body cannot change anything outside it; `Graft` refuses the rest (`NotSound`)
and the caller takes the fine-grained update. Works on a forked copy: grafts leave traces in the build.
"""

from __future__ import annotations

import re
from collections import Counter

import tree_sitter
from mypy import errorcodes
from mypy.build import State
from mypy.checker import FineGrainedDeferredNode
from mypy.errors import CompileError
from mypy.messages import MessageBuilder
from mypy.nodes import ClassDef, FuncDef, IfStmt, Statement
from mypy.parse import parse as parse_module
from mypy.partially_defined import PossiblyUndefinedVariableVisitor
from mypy.renaming import LimitedVariableRenameVisitor, VariableRenameVisitor
from mypy.semanal import apply_semantic_analyzer_patches
from mypy.semanal_main import check_type_arguments_in_targets, process_top_level_function
from mypy.semanal_pass1 import SemanticAnalyzerPreAnalysis
from mypy.server.aststrip import strip_target
from mypy.server.update import lookup_target

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.workers.types.messages import Message, read_messages
from astral_lsp.workers.types.program import Program
from astral_lsp.workers.types.text import Lines

_REACHES_OUT = re.compile(
    r"\b(?:global|nonlocal|class|NamedTuple|namedtuple|TypedDict|NewType|Enum|IntEnum|StrEnum|Flag|TypeVar"
    r"|ParamSpec|TypeVarTuple|TypeAlias|TypeAliasType)\b|#\s*(?:type|mypy):|^[ \t]*type\s+\w+\s*[=\[]",
    re.MULTILINE,
)
"""Words in a function that can define something beyond it, or that tie messages to line numbers."""
_NEW_IN_FILL = re.compile(r"\b(?:import|yield|await|async|locals|reveal_locals)\b")
"""Words that are fine where the function has them already but not when a fill brings them."""

_OF_IMPORTS = frozenset({"import", "import-not-found", "import-untyped"})
"""Codes of messages that come from finding modules, not from checking a function."""
_IMPORTS = re.compile(r"^.*\bimport\b.*$", re.MULTILINE)


class NotSound(Exception):
    """A graft could give another answer than a whole check; the message says why."""


class Graft:
    """One function of one module, ready to take candidate bodies."""

    def __init__(
        self,
        program: Program,
        path: str,
        text: str,
        hole: Span,
        baseline: list[Message],
        tree: SyntaxTree | None = None,
    ) -> None:
        """``tree``: of ``text``, where it is known."""
        self._program, self._path = program, path
        self._state: State = program.state(path)
        tree = tree or parse(text)
        function, names = outermost_function(tree, hole)
        self._text_lines = Lines(text)
        self._line = self._text_lines.line(tree.start(function))
        self._start = self._text_lines.starts[self._line - 1]
        self._end = self._line_end(tree.end(function), text)
        self._size = len(text)
        source = text[self._start : self._end]
        if text[self._start : tree.start(function)].strip():
            raise NotSound("the function does not begin its line")
        self._indent = tree.start(function) - self._start
        if _REACHES_OUT.search(source):
            raise NotSound("the function may define names beyond itself")
        self._source = source
        self._receiver = _first_argument(tree, function)
        self._node = self._find([self._state.id, *names])
        self._function = self._node.node
        self._refuse_difference(text, hole, baseline)

    def check(self, text: str, fill: Span) -> list[Message]:
        """The errors in the function with the fill in place; raises NotSound."""
        written = text[fill.start : fill.end]
        if _REACHES_OUT.search(written) or _NEW_IN_FILL.search(written):
            raise NotSound("the fill may define names beyond the function")
        if self._receiver and re.search(rf"\b{self._receiver}\b", written) and _assigns(written):
            raise NotSound("the fill may define an attribute")
        return self._graft(text[self._start : self._end + len(text) - self._size])

    @property
    def head(self) -> str:
        """What must stand before the text of the function so that it parses by itself."""
        return "class _:\n" if self._indent else ""

    def look(self, source: str) -> None:
        """Check ``source``, a later text of the whole function, for what mypy sees in it; raises NotSound."""
        if _REACHES_OUT.search(source):
            raise NotSound("the function may define names beyond itself")
        if _ties(source) != _ties(self._source):
            raise NotSound("the function imports other things or is of another kind")
        info = self._node.active_typeinfo
        if self._receiver and info is not None:
            member = re.compile(rf"\b{self._receiver}\s*\.\s*(\w+)")
            if any(info.get(name) is None for name in set(member.findall(source))):
                raise NotSound("the function may define an attribute")
        self._graft(source)

    # --- setting up -------------------------------------------------------------------------------------

    def _line_end(self, offset: int, text: str) -> int:
        line = self._text_lines.line(offset)
        starts = self._text_lines.starts
        return starts[line] if line < len(starts) else len(text)

    def _find(self, names: list[str]) -> FineGrainedDeferredNode:
        nodes, _ = lookup_target(self._program.manager, ".".join(names), self._state.id)
        if len(nodes) != 1 or not isinstance(nodes[0].node, FuncDef):
            raise NotSound("the function is not a target of its own")
        found = nodes[0].node
        if found.line != self._line or found.def_or_infer_vars or found.is_overload:
            raise NotSound("the function is defined more than once or defines attributes")
        return nodes[0]

    def _refuse_difference(self, text: str, hole: Span, baseline: list[Message]) -> None:
        """The graft of what is there already must say what the whole check said about these lines."""
        last = self._text_lines.line(max(self._end - 1, 0))
        mine_too = [m for m in baseline if m.path == self._path and m.code not in _OF_IMPORTS]
        whole = [m for m in mine_too if self._line <= m.line <= last]
        mine = self._graft(text[self._start : self._end])
        if Counter(mine) != Counter(whole):
            raise NotSound("a graft and a whole check differ on this function")

    # --- one graft --------------------------------------------------------------------------------------

    def _graft(self, source: str) -> list[Message]:
        body = self._parse(source)
        function, manager, state = self._function, self._program.manager, self._state
        assert isinstance(function, FuncDef)
        errors, tree = manager.errors, manager.modules[state.id]
        errors.reset()
        function.body, function.end_line = body.body, body.end_line
        errors.set_file_ignored_lines(tree.path, tree.ignored_lines, False)
        errors.set_skipped_lines(tree.path, tree.skipped_lines)
        strip_target(function)
        patches: list[tuple[int, object]] = []
        process_top_level_function(
            manager.semantic_analyzer,
            state,
            state.id,
            function.fullname,
            function,
            self._node.active_typeinfo,
            patches,  # type: ignore[arg-type]
        )
        apply_semantic_analyzer_patches(patches)  # type: ignore[arg-type]
        check_type_arguments_in_targets([self._node], state, errors)
        checker = state.type_checker()
        checker.reset()
        checker.pass_num, checker.last_pass = 0, 3
        more = checker.check_second_pass([self._node], allow_constructor_cache=False)
        while more:
            more = checker.check_second_pass(allow_constructor_cache=False)
        self._look_for_undefined(function)
        state.free_state()
        return read_messages(errors.new_messages())

    def _look_for_undefined(self, function: FuncDef) -> None:
        """What mypy does once for a whole module: uses of variables before they have a value."""
        state, errors = self._state, self._program.manager.errors
        errors.set_file(state.xpath, state.id, options=state.options)
        wanted = (errorcodes.USED_BEFORE_DEF, errorcodes.POSSIBLY_UNDEFINED)
        if not any(errors.is_error_code_enabled(code) for code in wanted):
            return
        builder = MessageBuilder(errors, self._program.manager.modules)
        tree = self._program.manager.modules[state.id]
        visitor = PossiblyUndefinedVariableVisitor(builder, state.type_map(), state.options, tree.names)
        visitor.visit_func_def(function)

    def _parse(self, source: str) -> FuncDef:
        """Parse the function alone, at its own place; raises NotSound unless it is one function."""
        state, errors = self._state, self._program.manager.errors
        before = "\n" * (self._line - 1)
        if self._indent:
            before = "\n" * (self._line - 2) + ("class _:\n" if self._node.active_typeinfo else "if 1:\n")
        errors.reset()
        errors.set_file(state.xpath, state.id, options=state.options)
        try:
            data = (before + source).encode("utf-8")
            tree = parse_module(data, state.xpath, state.id, errors, state.options, eager=True)
        except CompileError:
            raise NotSound("the function does not parse by itself") from None
        if errors.is_blockers():
            raise NotSound("the function does not parse by itself")
        if not state.options.native_parser:
            SemanticAnalyzerPreAnalysis().visit_file(tree, state.xpath, state.id, state.options)
        if not state.options.allow_redefinition:
            tree.accept(LimitedVariableRenameVisitor())
        if state.options.allow_redefinition_old:
            tree.accept(VariableRenameVisitor())
        found: list[Statement] = tree.defs
        if self._indent:
            found = _inner(found)
        if len(found) != 1 or not isinstance(found[0], FuncDef):
            raise NotSound("the fill ends the function")
        return found[0]


def _ties(source: str) -> tuple[list[str], set[str]]:
    """The imports of a function's text, and which of the words it has that make it of another kind."""
    return _IMPORTS.findall(source), set(_NEW_IN_FILL.findall(source))


def _inner(found: list[Statement]) -> list[Statement]:
    if len(found) != 1:
        return []
    if isinstance(found[0], ClassDef):
        return found[0].defs.body
    return found[0].body[0].body if isinstance(found[0], IfStmt) else []


def outermost_function(tree: SyntaxTree, hole: Span) -> tuple[tree_sitter.Node, list[str]]:
    """The outermost function whose body holds the hole, and the dotted path to it; raises NotSound."""
    names: list[str] = []
    for step in tree.path(hole.start, max(hole.end, hole.start + 1)):
        if step.type not in ("class_definition", "function_definition"):
            continue
        name = step.node.child_by_field_name("name")
        if name is None:
            break
        names.append(tree.source(name))
        if step.type == "class_definition":
            continue
        body = step.node.child_by_field_name("body")
        if step.node.child_by_field_name("type_parameters") is not None or body is None:
            break
        if tree.start(body) <= hole.start and hole.end <= tree.end(body):
            return step.node, names
        break
    raise NotSound("the hole is not in the body of a function")


def _first_argument(tree: SyntaxTree, function: tree_sitter.Node) -> str:
    parameters = function.child_by_field_name("parameters")
    first = parameters.named_child(0) if parameters is not None and parameters.named_child_count else None
    while first is not None and first.type != "identifier":
        first = first.named_child(0) if first.named_child_count else None
    return tree.source(first) if first is not None else ""


def _assigns(fill: str) -> bool:
    """The fill may assign to something: as a statement, a loop variable or a context's name."""
    plain = re.sub(r"[=!<>]=", "", fill)
    depth = 0
    for char in plain:
        depth += (char in "([{") - (char in ")]}")
        if char == "=" and depth <= 0:
            return True
    return bool(re.search(r"^\s*(?:async\s+)?(?:for|with|del|match)\b", fill, re.MULTILINE))
