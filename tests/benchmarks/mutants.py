"""Small wrong and right changes to real Python files: what a fill may do to a hole, generated."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass

from astral_lsp.workers.types.text import Lines


@dataclass(frozen=True)
class Mutant:
    """Replace ``text[start:end]`` (code points) by ``fill``."""

    start: int
    end: int
    fill: str
    change: str
    place: str
    """'function', 'method', 'async', 'generator', 'nested', 'overload', 'property', 'class' or 'module'."""

    def applied(self, text: str) -> str:
        """Return the changed text."""
        return text[: self.start] + self.fill + text[self.end :]


class _Site:
    def __init__(self, node: ast.expr | ast.stmt, place: str) -> None:
        self.node, self.place = node, place


def mutants(text: str, rng: random.Random, count: int, per_hole: int = 3) -> list[Mutant]:
    """Return about ``count`` different mutants of ``text``, spread over its places, some a hole."""
    tree = ast.parse(text)
    lines = Lines(text)
    sites = [site for site in _sites(tree, "module") if _span(lines, site.node) is not None]
    by_place: dict[str, list[_Site]] = {}
    for site in sites:
        by_place.setdefault(site.place, []).append(site)
    words = _Words(tree)
    found: dict[Mutant, None] = {}
    for _ in range(count * 6):
        if len(found) >= count or not by_place:
            break
        # half of them uniform over places, so that the rare ones (async, overload, class) get their share
        pool = rng.choice(list(by_place.values())) if rng.random() < 0.5 else sites
        site = rng.choice(pool)
        for mutant in [_mutate(text, lines, site, words, rng) for _ in range(per_hole)]:
            if mutant is not None and mutant.fill != text[mutant.start : mutant.end]:
                found[mutant] = None
    return list(found)


class _Words:
    def __init__(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        self.names = sorted({n.id for n in nodes if isinstance(n, ast.Name)} | {"nope"})
        self.attributes = sorted({n.attr for n in nodes if isinstance(n, ast.Attribute)} | {"nope"})


def _mutate(text: str, lines: Lines, site: _Site, words: _Words, rng: random.Random) -> Mutant | None:
    span = _span(lines, site.node)
    assert span is not None
    made = (
        _statement(text, lines, site, rng)
        if isinstance(site.node, ast.stmt)
        else _expression(site.node, words, rng)
    )
    if made is None:
        return None
    change, fill = made
    return Mutant(*span, fill, change, site.place)


def _expression(node: ast.expr, words: _Words, rng: random.Random) -> tuple[str, str] | None:
    constants = ["'z'", "3", "None", "[]", "{}", "True", "1.5", "()", "b'x'"]
    if isinstance(node, ast.Name):
        return (
            ("name", rng.choice(words.names)) if rng.random() < 0.7 else ("constant", rng.choice(constants))
        )
    if isinstance(node, ast.Attribute):
        return "attribute", f"{ast.unparse(node.value)}.{rng.choice(words.attributes)}"
    if isinstance(node, ast.Constant):
        return "constant", rng.choice(constants)
    if isinstance(node, ast.Call):
        return _call(node, words, rng)
    if isinstance(node, (ast.BinOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Subscript, ast.List, ast.Dict)):
        source = ast.unparse(node)
        return "wrap", rng.choice(
            [f"[{source}]", f"({source}, 1)", f"str({source})", f"({source}).nope", "None"]
        )
    return None


def _call(node: ast.Call, words: _Words, rng: random.Random) -> tuple[str, str]:
    new = ast.Call(node.func, list(node.args), list(node.keywords))
    kind = rng.randrange(4)
    if kind == 0 and new.args:
        del new.args[rng.randrange(len(new.args))]
    elif kind == 1:
        new.args.append(ast.Name(rng.choice(words.names), ast.Load()))
    elif kind == 2 and new.keywords:
        del new.keywords[rng.randrange(len(new.keywords))]
    else:
        return "drop the call", ast.unparse(node.func)
    return "arguments", ast.unparse(new)


def _statement(text: str, lines: Lines, site: _Site, rng: random.Random) -> tuple[str, str] | None:
    node = site.node
    if not isinstance(node, (ast.Return, ast.Expr, ast.Assign, ast.AugAssign, ast.Raise, ast.AnnAssign)):
        return None
    span = _span(lines, node)
    assert span is not None
    source = text[span[0] : span[1]]
    indent = " " * node.col_offset
    choices = [("pass", "pass"), ("twice", f"{source}\n{indent}{source}")]
    if isinstance(node, ast.Return):
        choices += [("return nothing", "return"), ("return a thing", "return object()")]
    if isinstance(node, (ast.Assign, ast.AugAssign)) and isinstance(node.value, ast.expr):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        choices.append(("assign", f"{ast.unparse(target)} = {rng.choice(['None', '3', repr('z'), '[]'])}"))
        choices.append(("annotate", f"fresh: int = {ast.unparse(node.value)}"))
    choices.append(("branch", f"if {rng.choice(['fresh', 'True', 'len'])}:\n{indent}    {source}"))
    return rng.choice(choices)


def _sites(node: ast.AST, place: str) -> Iterator[_Site]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_comment", "type_params", "keywords") and not isinstance(
            node, ast.Call
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr) or _is_docstring(child):
                continue
            inner = _place(child, place) if name == "body" else place
            if (
                isinstance(child, (ast.expr, ast.stmt))
                and _is_read(child)
                and not isinstance(child, ast.Starred)
            ):
                yield _Site(child, place)
            yield from _sites(child, inner)


def _is_read(node: ast.expr | ast.stmt) -> bool:
    return not isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del))


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _place(node: ast.AST, outer: str) -> str:
    if isinstance(node, ast.ClassDef):
        return "class" if outer in ("module", "class") else "nested"
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return outer
    if outer not in ("module", "class"):
        return "nested"
    if isinstance(node, ast.AsyncFunctionDef):
        return "async"
    decorators = " ".join(ast.unparse(d) for d in node.decorator_list)
    if "overload" in decorators:
        return "overload"
    if "property" in decorators or ".setter" in decorators:
        return "property"
    if any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(node)):
        return "generator"
    return "method" if outer == "class" else "function"


def _span(lines: Lines, node: ast.expr | ast.stmt) -> tuple[int, int] | None:
    if node.end_lineno is None or node.end_col_offset is None:
        return None
    return (
        _offset(lines, node.lineno, node.col_offset),
        _offset(lines, node.end_lineno, node.end_col_offset),
    )


def _offset(lines: Lines, line: int, byte: int) -> int:
    return lines.starts[line - 1] + len(lines.get(line).encode()[:byte].decode(errors="ignore"))
