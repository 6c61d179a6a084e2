"""What the imports of a buffer call things: local name -> dotted origin, broken syntax elsewhere allowed."""

from __future__ import annotations

import re

import tree_sitter

from astral_lsp.holes.tree import SyntaxTree

_IMPORT = re.compile(r"^[ \t\f\ufeff]*(?:import|from)\b|[;:][ \t]*(?:import|from)[ \t]", re.MULTILINE)
_STATEMENTS = ("import_statement", "import_from_statement")


class Imports:
    """Import statements anywhere in a buffer, read once."""

    def __init__(self, tree: SyntaxTree) -> None:
        self._tree = tree
        self._origins: dict[str, str] | None = None

    @property
    def origins(self) -> dict[str, str]:
        """Local name -> dotted origin: ``{'np': 'numpy', 'hole': 'astral_lsp.hole', 'os': 'os'}``."""
        if self._origins is None:
            self._origins = {}
            for match in _IMPORT.finditer(self._tree.text):
                self._read(match.end() - 1)
        return self._origins

    def origin(self, dotted: str) -> str:
        """Where a dotted expression comes from, itself when its first name is not imported."""
        first, dot, rest = dotted.partition(".")
        return self.origins.get(first, first) + dot + rest

    def _read(self, offset: int) -> None:
        path = self._tree.path(offset)
        statement = next((step.node for step in path if step.type in _STATEMENTS), None)
        if statement is None or self._origins is None:
            return
        module = ""
        if statement.type == "import_from_statement":
            source = statement.child_by_field_name("module_name")
            module = self._tree.source(source) + "." if source is not None else ""
        for name in statement.children_by_field_name("name"):
            self._bind(self._origins, name, module)

    def _bind(self, origins: dict[str, str], name: tree_sitter.Node, module: str) -> None:
        original, alias = name, None
        if name.type == "aliased_import":
            original = name.child_by_field_name("name") or name
            alias = name.child_by_field_name("alias")
        dotted = self._tree.source(original)
        if alias is not None:
            origins[self._tree.source(alias)] = module + dotted
        elif module:
            origins[dotted] = module + dotted
        else:
            first = dotted.partition(".")[0]
            origins[first] = first
