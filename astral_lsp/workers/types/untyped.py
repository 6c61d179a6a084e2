"""What mypy says as the user has set it up, where that leaves functions without annotations alone.

The build checks untyped functions whatever the configuration says: σ and Γ of their holes come from it. But
no fill is refused for an error that the user's own mypy never reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import tree_sitter

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree
from astral_lsp.workers.types.baseline import Baseline
from astral_lsp.workers.types.fork import CAN_FORK, Branch
from astral_lsp.workers.types.messages import Message
from astral_lsp.workers.types.passes import Updater
from astral_lsp.workers.types.program import Program
from astral_lsp.workers.types.text import Lines

LEFT_ALONE = "your mypy does not check this function (no annotations; check_untyped_defs is off)"
_ANNOTATED = ("typed_parameter", "typed_default_parameter")
_WITHOUT_FUNCTIONS = ("expression_statement", "parameters", "return_statement", "argument_list", "comment")
_DEFINES = re.compile(r"\bdef\b")


class AsWritten:
    """A copy of the build with the user's own ``check_untyped_defs``; made when first needed."""

    def __init__(self, program: Program, baseline: Baseline) -> None:
        self._program, self._strict = program, baseline
        self._branch: Branch | None = None
        self._baseline: Baseline | None = None
        self.skips = False
        """Whether the file's untyped functions are left alone; known once `baseline` has answered."""

    def may_differ(self, fill: str, messages: Sequence[Message]) -> bool:
        """Whether the user's mypy may keep some of ``messages`` to itself."""
        if not CAN_FORK or self._checked:
            return False
        if self._methods or _DEFINES.search(fill):
            return True  # without a check their attributes have no types, which may matter anywhere
        place = self._strict.place_of(fill)
        moved = place.last - self._strict.place.last
        mine = [m.line for m in messages if m.path == self._strict.path]
        asked = [line if line <= place.first else max(line - moved, place.first) for line in mine]
        return any(first <= line <= last for line in asked for first, last in self._extents)

    @cached_property
    def _checked(self) -> bool:
        return self._program.checks_untyped(self._strict.path)

    @cached_property
    def _functions(self) -> list[tree_sitter.Node]:
        return list(untyped_functions(self._strict.tree.root))

    @cached_property
    def _methods(self) -> bool:
        return any(_is_method(function) for function in self._functions)

    @cached_property
    def _extents(self) -> list[tuple[int, int]]:
        tree = self._strict.tree
        lines = Lines(tree.text)
        return [(lines.line(tree.start(f)), lines.line(tree.end(f))) for f in self._functions]

    def leaves_hole_alone(self) -> bool:
        """Whether the hole is in a function that the user's mypy does not check; after `baseline`."""
        base = self._strict
        return self.skips and leaves_alone(base.tree, base.hole)

    def baseline(self, seconds: float) -> Baseline | None:
        """What fills are held to here; None when mypy stops. Raises BranchFailed."""
        if self._baseline is None:
            base = self._strict
            found = self.messages(base.text, base.hole, seconds, True)
            if isinstance(found, str):
                return None
            self._baseline = Baseline(replace(base.frame, messages=tuple(found)), base.written_hole)
        return self._baseline

    def messages(self, text: str, fill: Span, seconds: float, confirm: bool) -> list[Message] | str:
        """As `Copies.messages`, always by a whole update."""
        if self._branch is None or self._branch.worn:
            self.close()
            self._branch = Branch(_Writer(self._program, self._strict))
        answer: list[Message] | str
        self.skips, answer = self._branch.ask((text, fill.start, fill.end), seconds)
        return answer

    def close(self) -> None:
        """End the copy."""
        if self._branch is not None:
            self._branch.close()
        self._branch = None


class _Writer:
    """Lives in the copy: takes the user's option back and checks texts."""

    def __init__(self, program: Program, baseline: Baseline) -> None:
        self._program, self._path = program, baseline.path
        self._updater = Updater(program, baseline)
        self._ready = False

    def __call__(self, question: tuple[str, int, int]) -> tuple[bool, list[Message] | str]:
        if not self._ready:
            self._program.configuration.leave_untyped()
            self._ready = True
        found = self._updater(question)
        return not self._program.state(self._path).options.check_untyped_defs, found


def would_say(message: Message) -> str:
    """A note on an error that the user's mypy keeps to itself."""
    return f"with check_untyped_defs mypy would say: {message.text}"


def leaves_alone(tree: SyntaxTree, hole: Span) -> bool:
    """Whether ``hole`` is in the body of a function that mypy leaves alone without check_untyped_defs."""
    return _is_untyped(_innermost(tree, hole))


def untyped_functions(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """The functions without annotations in ``node``."""
    if _is_untyped(node):
        yield node
    for child in node.children:
        if child.type not in _WITHOUT_FUNCTIONS:
            yield from untyped_functions(child)


def _is_untyped(node: tree_sitter.Node | None) -> bool:
    """A function without any annotation (one in a comment counts as none: then it is looked at twice)."""
    if node is None or node.type != "function_definition" or node.child_by_field_name("return_type"):
        return False
    parameters = node.child_by_field_name("parameters")
    return parameters is None or not any(child.type in _ANNOTATED for child in parameters.named_children)


def _is_method(function: tree_sitter.Node) -> bool:
    outer = function.parent
    while outer is not None and outer.type in ("block", "decorated_definition"):
        outer = outer.parent
    return outer is not None and outer.type == "class_definition"


def _innermost(tree: SyntaxTree, hole: Span) -> tree_sitter.Node | None:
    """The innermost function in whose body the hole is."""
    for step in reversed(tree.path(hole.start, hole.end)):
        body = step.node.child_by_field_name("body") if step.type == "function_definition" else None
        if body is not None and tree.start(body) <= hole.start:
            return step.node
    return None
