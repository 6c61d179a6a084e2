"""The passes over a function that a fine-grained update leaves out.

mypy puts a function off while a type in it is not known yet, three times at most, and the last time says
"Cannot determine type of ...". A build from nothing goes all the way, an update stops after the second pass
(mypy 2.4, `update_module_isolated`) and so says nothing.
"""

from __future__ import annotations

from mypy.checker import FineGrainedDeferredNode
from mypy.nodes import Decorator, FuncDef, MypyFile, OverloadedFuncDef, TypeInfo

from astral_lsp.holes.model import Span
from astral_lsp.holes.tree import SyntaxTree
from astral_lsp.workers.types.baseline import Baseline
from astral_lsp.workers.types.graft import NotSound, outermost_function
from astral_lsp.workers.types.messages import Message, read_messages
from astral_lsp.workers.types.program import Program

_CODE = "has-type"


def undetermined(program: Program, path: str, tree: SyntaxTree, hole: Span) -> list[Message]:
    """What mypy says at last of types that it cannot determine in the function around ``hole``.

    ``tree`` is of the text that the program holds. Leaves traces in the build: for a copy of it.
    """
    try:
        _, names = outermost_function(tree, hole)
    except NotSound:
        return []  # at the top of a module nothing is put off
    state, manager = program.state(path), program.manager
    node = _find(state.tree, names) if state.tree is not None else None
    if node is None or state.tree is None:
        return []
    errors = manager.errors
    errors.reset()
    errors.set_file_ignored_lines(state.tree.path, state.tree.ignored_lines, False)
    errors.set_skipped_lines(state.tree.path, state.tree.skipped_lines)
    checker = state.type_checker()
    checker.reset()
    checker.pass_num, checker.last_pass = 0, 3
    more = checker.check_second_pass([node], allow_constructor_cache=False)
    while more:
        more = checker.check_second_pass(allow_constructor_cache=False)
    state.free_state()
    found = read_messages(errors.new_messages())
    errors.reset()
    return [message for message in found if message.code == _CODE]


def _find(tree: MypyFile, names: list[str]) -> FineGrainedDeferredNode | None:
    """The function of this dotted name, as the checker takes functions that were put off."""
    table, owner = tree.names, None
    for name in names[:-1]:
        symbol = table.get(name)
        if symbol is None or not isinstance(symbol.node, TypeInfo):
            return None
        owner, table = symbol.node, symbol.node.names
    symbol = table.get(names[-1])
    found = symbol.node if symbol is not None else None
    if isinstance(found, Decorator):
        found = found.func
    if not isinstance(found, (FuncDef, OverloadedFuncDef)):
        return None
    return FineGrainedDeferredNode(found, owner)


class Updater:
    """Lives in a copy of the build: updates the program, and goes all the way in the function of the hole."""

    def __init__(self, program: Program, baseline: Baseline) -> None:
        self._program, self._baseline = program, baseline
        self._own: set[str] | None = None
        """What mypy cannot determine there without a fill."""

    def __call__(self, question: tuple[str, int, int]) -> list[Message] | str:
        text, start, end = question
        base = self._baseline
        if self._own is None:
            mine = undetermined(self._program, base.path, base.tree, base.hole)
            self._own = {message.text for message in mine}
        found = self._program.try_text(base.path, text)
        if isinstance(found, str):
            return found
        tree = base.tree_with(text[start:end])
        late = undetermined(self._program, base.path, tree, Span(start, end))
        said = {(message.line, message.text) for message in found}
        return [*found, *(m for m in late if m.text not in self._own and (m.line, m.text) not in said)]
