"""The syntax oracle: does the file compile with this fill in it, and is the fill what its hole may hold?

Exact, in this process, and cheap enough to ask for every candidate: the file without the fill is judged once,
then only the statement or function around the hole is compiled for each fill. Broken syntax elsewhere is not
held against a fill.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import tree_sitter

from astral_lsp.holes.find import find_holes
from astral_lsp.holes.lines import line_end, line_indent, line_start
from astral_lsp.holes.mask import stand_in
from astral_lsp.holes.model import Hole, Span
from astral_lsp.holes.tree import SyntaxTree, parse
from astral_lsp.report import Finding, Verdict
from astral_lsp.verify.python_source import parse_or_none, plain, position, syntax_error, unplain
from astral_lsp.verify.surroundings import cut, surroundings

_COMPOUND = ("function_definition", "class_definition", "decorated_definition")
_MAX_ERRORS = 8


class Frame(NamedTuple):
    """A buffer prepared for judging fills of one hole; other holes are stand-ins."""

    head: str
    before: str
    after: str
    tail: str
    """``before`` and ``after``: the smallest run of whole lines around the hole that compiles by itself, cut
    at the hole; ``head`` and ``tail``: the rest of the file."""
    wrapped: bool
    """The run is indented and needs a header above it."""
    compiles: bool
    """The run compiles with a stand-in for the hole; if not, only its errors can be compared."""
    rest_parses: bool
    """So does the whole file."""
    left_out: tuple[int, ...] = ()
    """Lines (1-based) of the file that do not parse and were left out."""
    errors: int = 0
    """How many syntax errors tree-sitter sees around the stand-in."""


def check_syntax(
    text: str, hole: Hole, fill: str, other_holes: Sequence[Hole] = (), *, allow_holes: bool = False
) -> Verdict:
    """Judge ``fill`` in place of ``hole``; ``fill`` is exactly what would replace the span.

    ``failed`` when the file does not compile with it (and did without), when it is not the one expression or
    the statements that the hole's category asks for, or when it still holds a hole (unless ``allow_holes``).
    Findings carry spans inside ``fill``. Never raises on any text.
    """
    began = time.perf_counter()
    frame = _frame(text, hole, tuple(other_holes))
    if hole.category == "any" and not frame.rest_parses:
        before, after = cut(text, hole, other_holes)
        if _parses(before + fill + after):  # only such a fill can mend what no stand-in does
            frame = Frame("", before, after, "", False, True, True)
    problem = (
        _unusable(fill)
        or (None if allow_holes else _still_a_hole(frame, fill, hole))
        or _wrong_category(frame, fill, hole)
        or _does_not_compile(frame, fill)
    )
    elapsed = (time.perf_counter() - began) * 1000
    if problem is not None:
        return Verdict("failed", problem.message, (problem,), elapsed_ms=elapsed)
    return Verdict("passed", _reservation(frame), elapsed_ms=elapsed)


def _reservation(frame: Frame) -> str:
    """What a fill that passed was not checked against; '' when it was checked against the whole file."""
    if frame.rest_parses:
        return ""
    if not frame.left_out:
        return "the file is broken elsewhere, not by the fill: only the code next to it was checked"
    lines = ", ".join(map(str, frame.left_out[:_MAX_ERRORS]))
    more = " and more" * (len(frame.left_out) > _MAX_ERRORS)
    plural = "s" * (len(frame.left_out) > 1)
    return f"checked without line{plural} {lines}{more}: broken, but not by the fill"


@lru_cache(maxsize=64)
def _frame(text: str, hole: Hole, others: tuple[Hole, ...]) -> Frame:
    """Everything about the buffer that does not depend on the fill."""
    around = surroundings(text, hole, others)
    before, after = around.before, around.after
    if around.filler is None and hole.category == "any":
        return Frame("", before, after, "", False, False, False)
    filler = around.filler if around.filler is not None else hole.lead + stand_in(hole)
    start = len(before)
    low, high, wrapped = _run(parse(before + filler + after), start, start + len(filler))
    cut = high - start - len(filler)
    rest_parses = around.filler is not None and not around.left_out
    frame = Frame(
        before[:low], before[low:], after[:cut], after[cut:], wrapped, False, rest_parses, around.left_out
    )
    if _compile_error(frame, filler) is None:
        return frame._replace(compiles=True)
    return frame._replace(errors=len(_errors_around(frame, filler)))


def _run(tree: SyntaxTree, start: int, end: int) -> tuple[int, int, bool]:
    """Whole lines around ``[start, end)`` that stand alone: the outermost function, else the statement."""
    path = tree.path(start, max(end, start + 1)) if tree.text else []
    chosen: tree_sitter.Node | None = None
    for step in path[1:]:
        if step.node.is_error:
            break
        if step.type in _COMPOUND:
            chosen = step.node
            if _is_function(step.node):
                break
        elif step.node.parent is not None and step.node.parent.type in ("block", "module"):
            chosen = step.node if step.type != "block" else chosen
    if chosen is None:
        return 0, len(tree.text), False
    low = line_start(tree.text, tree.start(chosen))
    high = line_end(tree.text, max(tree.end(chosen), end))
    if tree.text[low : tree.start(chosen)].strip():
        return 0, len(tree.text), False
    return low, high, bool(line_indent(tree.text, low).strip("\f"))


def _is_function(node: tree_sitter.Node) -> bool:
    inner = node.child_by_field_name("definition") if node.type == "decorated_definition" else node
    return inner is not None and inner.type == "function_definition"


# --- the checks, cheapest first ---------------------------------------------------------------------------


def _unusable(fill: str) -> Finding | None:
    if not fill.strip():
        return Finding("the fill is empty", "syntax", Span(0, len(fill)), confidence=1.0)
    for index, character in enumerate(fill):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            where = Span(index, index + 1)
            return Finding(
                f"character U+{ord(character):04X} cannot stand in Python", "syntax", where, None, 1.0
            )
    return None


def _still_a_hole(frame: Frame, fill: str, hole: Hole) -> Finding | None:
    if not any(mark in fill for mark in ("...", "__hole__", "?", "raise", "pass", "hole")):
        return None
    aliased = "hole" in fill  # what `hole` is called is said by the imports
    low = len(frame.head if aliased else "") + len(frame.before)
    text = _whole(frame, fill) if aliased else frame.before + fill + frame.after
    for found in find_holes(text):
        if low <= found.start < low + len(fill):
            span = Span(found.start - low, min(found.end - low, len(fill)))
            return Finding(f"the fill still holds a hole: {found.text.strip()}", "hole", span, confidence=1.0)
    return None


def _wrong_category(frame: Frame, fill: str, hole: Hole) -> Finding | None:
    if hole.category == "expression":
        return _not_one_expression(frame, fill, hole)
    if hole.category == "statements":
        return _not_statements(fill, hole)
    return None


def _not_statements(fill: str, hole: Hole) -> Finding | None:
    """Statements, each of which starts at the hole's indentation."""
    body = fill.removeprefix(hole.lead) if hole.lead else fill
    shift = len(fill) - len(body)
    inline = bool(hole.lead) and shift == 0
    lead = ("if 1:" if inline else "if 1:\n" + hole.indent) if hole.indent else ""
    error = syntax_error(lead + body)
    if error is not None:
        return _finding(error, lead, body, shift)
    module = ast.parse(plain(lead + body))
    if hole.indent and len(module.body) > 1:
        at = position(plain(lead + body), module.body[1].lineno, module.body[1].col_offset) - len(lead)
        span = Span(max(0, at) + shift, len(fill))
        return Finding("the fill leaves the block that its hole is in", "syntax", span, confidence=0.9)
    return None


def _not_one_expression(frame: Frame, fill: str, hole: Hole) -> Finding | None:
    """One expression that keeps together where it stands: no operator next to it takes a part of it away."""
    if _is_positional_argument(frame, hole):
        return _not_arguments(frame, fill)
    if _is_slice(fill) and _is_index(frame):
        return None
    starred = fill.lstrip().startswith("*")  # `*rest` among elements
    lead = "_f(" if starred else "("
    error = syntax_error(f"{lead}{fill}\n)")
    if error is not None:
        return _finding(error, lead, fill, 0)
    if starred or not frame.compiles:
        return None
    plain, grouped = _tree(frame, fill), _tree(frame, f"({fill}\n)" if "#" in fill else f"({fill})")
    if plain is None:
        return None  # the compiler says why
    if grouped is not None and ast.dump(plain) != ast.dump(grouped):
        message = "the fill does not keep together here: put it in parentheses"
        return Finding(message, "syntax", Span(0, len(fill)), confidence=0.6)
    return None


def _is_index(frame: Frame) -> bool:
    """The hole is all of a subscript's index, or all of one that a comma parts from others; whether the
    brackets are a subscript's is for the compiler to say."""
    return frame.before.rstrip()[-1:] in ("[", ",") and frame.after.lstrip()[:1] in ("]", ",")


def _is_slice(fill: str) -> bool:
    """``low:high:step`` in whole, any part left out."""
    tree = parse_or_none(f"_[{plain(fill)}\n]")
    value = tree.body[0].value if tree is not None and isinstance(tree.body[0], ast.Expr) else None
    return (
        isinstance(value, ast.Subscript)
        and isinstance(value.value, ast.Name)
        and isinstance(value.slice, ast.Slice)
    )


def _is_positional_argument(frame: Frame, hole: Hole) -> bool:
    return hole.kind == "argument" and frame.before.rstrip().endswith(("(", ","))


def _not_arguments(frame: Frame, fill: str) -> Finding | None:
    """One argument, a keyword one included; several where the hole stands for all arguments of the call."""
    error = syntax_error(f"_f({fill}\n)")
    if error is not None:
        return _finding(error, "_f(", fill, 0)
    call = ast.parse(f"_f({plain(fill)}\n)", mode="eval").body
    everything = frame.before.rstrip().endswith("(") and frame.after.lstrip(" \t\r\n,").startswith(")")
    if not isinstance(call, ast.Call):
        return Finding("the fill closes the call that it is an argument of", "syntax", Span(0, len(fill)))
    if not everything and len(call.args) + len(call.keywords) != 1:
        return Finding("the fill is not one argument", "syntax", Span(0, len(fill)), confidence=0.6)
    return None


def _does_not_compile(frame: Frame, fill: str) -> Finding | None:
    error = _compile_error(frame, fill)
    if error is None:
        return None
    if frame.compiles:
        return _finding(error, _lead(frame) + frame.before, fill, 0)
    return _new_error(frame, fill, error)


def _new_error(frame: Frame, fill: str, error: SyntaxError) -> Finding | None:
    """In broken surroundings: an error that touches the fill, or more errors around it than without it."""
    low, high = len(frame.before), len(frame.before) + len(fill)
    spans = _errors_around(frame, fill)
    for start, end in spans:
        if end >= low and start < high:
            span = Span(max(0, start - low), max(0, min(end, high) - low))
            return Finding("invalid syntax", "syntax", span, confidence=0.5)
    return _finding(error, _lead(frame) + frame.before, fill, 0) if len(spans) > frame.errors else None


def _errors_around(frame: Frame, fill: str) -> list[tuple[int, int]]:
    """tree-sitter's errors in the top-level statements of the run that the fill touches."""
    low, high = len(frame.before), len(frame.before) + len(fill)
    tree = parse(frame.before + fill + frame.after)
    touched = [node for node in tree.root.children if tree.end(node) >= low and tree.start(node) <= high]
    nodes = [tree.root] if tree.root.is_error else touched
    return [(tree.start(item), tree.end(item)) for node in nodes for item in _errors(node)]


def _errors(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    found: list[tree_sitter.Node] = []
    queue = [node]
    while queue and len(found) < _MAX_ERRORS:
        item = queue.pop()
        if item.is_error or item.is_missing:
            found.append(item)
        elif item.has_error:
            queue.extend(item.children)
    return found


# --- Python's own parser ----------------------------------------------------------------------------------


def _whole(frame: Frame, fill: str) -> str:
    return "".join((frame.head, frame.before, fill, frame.after, frame.tail))


def _lead(frame: Frame) -> str:
    return "if 1:\n" if frame.wrapped else ""


def _tree(frame: Frame, fill: str) -> ast.Module | None:
    return parse_or_none(plain(_lead(frame) + frame.before + fill + frame.after))


def _parses(source: str) -> bool:
    return syntax_error(source) is None


def _compile_error(frame: Frame, fill: str) -> SyntaxError | None:
    """Also what only the compiler refuses: ``return`` outside a function, ``await`` outside a coroutine."""
    source = _lead(frame) + frame.before + fill + frame.after
    error = syntax_error(source, compiled=True)
    if error is None and frame.wrapped and len(ast.parse(plain(source)).body) > 1:
        return SyntaxError("the fill leaves the block that its hole is in")
    return error


def _finding(error: SyntaxError, before: str, fill: str, shift: int) -> Finding:
    """Turn Python's position into a span of the fill; at its end when the error is found after it."""
    message = error.msg or "invalid syntax"
    if error.lineno is None:
        return Finding(message, "syntax", Span(0, shift + len(fill)), confidence=0.3)
    original, before, fill = fill, plain(before), plain(fill)
    source = before + fill
    at = position(source, error.lineno, column=error.offset) - len(before)
    at = min(max(at, 0), max(len(fill) - 1, 0))
    stop = len(fill)
    if error.end_lineno is not None and error.end_offset is not None and error.end_offset > 0:
        stop = position(source, error.end_lineno, column=error.end_offset) - len(before)
    stop = min(max(stop, at + 1), len(fill))
    span = Span(unplain(original, at) + shift, unplain(original, stop) + shift)
    return Finding(message, "syntax", span, confidence=0.7)
