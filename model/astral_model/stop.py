"""Where a hole's text ends: the stop rule of the left-to-right engine.

The base, left to itself, writes past a hole: it knows the suffix but seldom says its end token in time. So
the end is not left to it. Every token boundary of a drawn stream is a possible end (and so is every place
inside a token where the stream begins to repeat the suffix); `Frame` says which of these ends the syntax
allows, `Cut` carries what the stream says about each, and `ranking` weighs it.
"""

from __future__ import annotations

import ast
import io
import re
import symtable
import textwrap
import tokenize
import warnings
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise

from astral_model.engine import Category
from astral_model.hollow import hollow
from astral_model.words import BUILTINS, words

_A_HOLE = re.compile(r"\.\.\.|raise NotImplementedError(?:\(.*\))?", re.DOTALL)
_OTHER_HOLE = re.compile(r"\?\?|\?(?=[^\W\d])")
_TOP_LEVEL = re.compile(r"^[^\s#)\]}'\"]", re.MULTILINE)
_NEW_TOP = re.compile(r"\n(?=[^\s)\]}'\"])")
_FILLERS = ("__hole__", "pass", "", "    pass\n", "__hole__,", "__hole__:", "(", ")")
_WHOLE_FILE = 4_000
"""Files up to this many characters are parsed whole; of longer ones, the definition around the hole."""
SURE_OVERLAP = 24
"""Characters of the suffix that a stream must repeat before it is certain to have left the hole."""


@lru_cache(maxsize=4096)
def _tree(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parses(source: str) -> bool:
    return _tree(source) is not None


# --- what the syntax allows -------------------------------------------------------------------------------


class Frame:
    """The file around one hole, and which texts may stand in it."""

    def __init__(self, before: str, after: str, category: Category, indent: str) -> None:
        self.category, self.indent = category, indent
        self.before, self.after = _around(_OTHER_HOLE.sub("", before), _OTHER_HOLE.sub("", after))
        self._words = words(before, after)
        before, after = before[: max(0, len(before) - len(self.before))], after[len(self.after) :]
        self._far = words(before, after)
        """Words of the part of a long file that is not parsed: it may bind any of them."""

    def allows(self, text: str) -> bool:
        """Whether ``text`` is whole for the hole's category and the file parses with it.

        Where the file does not parse with any filler, only the text itself can be judged. A text that is
        nothing but another hole fills none.
        """
        if _A_HOLE.fullmatch(text.strip()):
            return False
        if self.category == "expression":
            return self._is_expression(text)
        if self.category == "statements" and not self._are_statements(text):
            return False
        return self.parses(text) or not self._can_parse

    def parses(self, text: str) -> bool:
        """Whether the file (or the definition around the hole) parses with ``text`` inserted."""
        return _parses(self.before + text + self.after)

    @cached_property
    def _can_parse(self) -> bool:
        if self.category == "any":  # a range chosen by hand may need any text at all: no filler proves much
            return True
        fillers = ("__hole__",) if self.category == "expression" else ("pass",)
        return any(self.parses(filler) for filler in fillers)

    def _is_expression(self, text: str) -> bool:
        """One whole expression: brackets around it change nothing in the tree."""
        if not text.strip() or text != text.strip():
            return False
        if not self._can_parse:
            return _expression(text) is not None
        plain = _tree(self.before + text + self.after)
        if plain is None:
            return False
        closed = _tree(f"{self.before}({text}){self.after}")
        if closed is None:
            return self._is_slice(plain, text)
        return ast.dump(plain) == ast.dump(closed)

    def _is_slice(self, tree: ast.Module, text: str) -> bool:
        """Whether ``text`` is one whole slice of a subscript, which stands there as an expression would."""
        first, last = _line_and_byte(self.before), _line_and_byte(self.before + text)
        return any(
            isinstance(node, ast.Slice)
            and (node.lineno, node.col_offset) == first
            and (node.end_lineno, node.end_col_offset) == last
            for node in ast.walk(tree)
        )

    def _are_statements(self, text: str) -> bool:
        """Whole statements, the first without indentation, none of them outside the block."""
        if not text.strip() or text != text.strip():
            return False
        lines = (self.indent + text).split("\n")
        if any(line.strip() and not line.startswith(self.indent) for line in lines) and '"""' not in text:
            return False
        return _parses(f"if True:\n{self.indent}{text}\n" if self.indent else text + "\n")

    def leaves(self, text: str) -> bool:
        """Whether ``text`` starts a new top-level statement although the hole lies inside a block."""
        lines = "\n" + text if self.before.endswith("\n") else text
        return self._inside and bool(_NEW_TOP.search(lines))

    def buries(self, text: str) -> bool:
        """Whether the code behind the hole would never run: commented out by the end of ``text``, or behind a
        jump that ``text`` ends in."""
        if self.category == "expression" or not self.after.strip():
            return False
        source = self.before + text + self.after
        first, last = _line_and_column(self.before), _line_and_column(self.before + text)
        return _comments_out(source, last, self.after) or _jumps_over(source, first, last)

    def unresolved(self, text: str) -> int:
        """Names that some scope reads and nothing binds once ``text`` stands in the hole.

        Counts what the text leaves undefined and what the rest of the file still waits for (a loop variable
        that the hole has to name). Only differences between texts of one hole mean something.
        """
        return len(_unresolved(self.before + text + self.after) - self._far)

    def hollow(self, text: str) -> bool:
        """Whether statements do nothing at all (`astral_model.hollow`)."""
        if self.category != "statements":
            return False
        tree = _tree(textwrap.dedent(self.indent + text))
        return tree is not None and hollow(tree.body, self.before, self.after, self.indent)

    @cached_property
    def _inside(self) -> bool:
        lines = [line for line in self.before.splitlines() if line.strip()]
        return bool(lines) and (lines[-1][0] in " \t" or lines[-1].rstrip().endswith(":"))

    def unknown_names(self, text: str, names: frozenset[str]) -> set[str]:
        """Names that ``text`` reads and that are neither in Γ, built in, in the file, nor bound by itself."""
        tree = _expression(text) or _tree(textwrap.dedent(self.indent + text)) or _tree(text.strip())
        if tree is None:
            return set()
        read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        return read - _bound(tree) - names - self._words - BUILTINS


def _line_and_column(text: str) -> tuple[int, int]:
    """Where ``text`` ends: line from 1, column in code points from 0."""
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1)


def _line_and_byte(text: str) -> tuple[int, int]:
    """Where ``text`` ends as the tree counts: line from 1, column in bytes of UTF-8."""
    return text.count("\n") + 1, len(text[text.rfind("\n") + 1 :].encode())


def _comments_out(source: str, place: tuple[int, int], after: str) -> bool:
    """Whether a comment that starts before ``place`` goes on over code behind it."""
    if not after.split("\n", 1)[0].strip():
        return False
    line, column = place
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and token.start[0] == line:
                return token.start[1] < column
    except (tokenize.TokenError, SyntaxError):
        pass
    return False


def _jumps_over(source: str, first: tuple[int, int], last: tuple[int, int]) -> bool:
    """Whether a statement that begins at ``last`` or later stands right behind a jump between ``first`` and
    ``last``, in the same block."""
    tree = _tree(source)
    if tree is None:
        return False
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            for jump, following in pairwise(block if isinstance(block, list) else []):
                if isinstance(jump, _JUMPS) and first <= _starts(jump) < last <= _starts(following):
                    return True
    return False


def _starts(statement: ast.stmt) -> tuple[int, int]:
    return statement.lineno, statement.col_offset


_JUMPS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@lru_cache(maxsize=1024)
def _unresolved(source: str) -> frozenset[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            top = symtable.symtable(source, "hole", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    free: set[str] = set()
    bound: set[str] = set(BUILTINS)
    tables = [top]
    while tables:
        table = tables.pop()
        tables.extend(table.get_children())
        for symbol in table.get_symbols():
            binds = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if binds and (table is top or symbol.is_declared_global()):
                bound.add(symbol.get_name())
            elif symbol.is_referenced() and (symbol.is_global() or table is top):
                free.add(symbol.get_name())
    return frozenset(free - bound)


def _bound(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            found.add(node.name)
    return found


def _expression(text: str) -> ast.AST | None:
    tree = _tree(f"({text}\n)")
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return None
    return tree.body[0].value


def _around(before: str, after: str) -> tuple[str, str]:
    """The part of the file that must be parsed for each candidate: all of a short one, unless it is broken
    outside the definition around the hole."""
    head, tail = _definition(before, after)
    rest = before[: len(before) - len(head)], after[len(tail) :]
    short = len(before) + len(after) <= _WHOLE_FILE
    if short and all(map(_parses, rest)):
        return before, after
    if short or any(_parses(head + filler + tail) for filler in _FILLERS):
        return head, tail
    return before, after


def _definition(before: str, after: str) -> tuple[str, str]:
    """The top-level statement around the hole; of a definition, with its decorators."""
    starts = [match.start() for match in _TOP_LEVEL.finditer(before)]
    head = before[_decorated(before, starts) :] if starts else before
    line_end = after.find("\n") + 1
    next_top = _TOP_LEVEL.search(after, line_end) if line_end else None
    return head, after[: next_top.start()] if next_top else after


def _decorated(before: str, starts: list[int]) -> int:
    """Start of the last definition, its decorators included."""
    index = len(starts) - 1
    while (
        index > 0
        and before[starts[index - 1]] == "@"
        and "\n\n" not in before[starts[index - 1] : starts[index]]
    ):
        index -= 1
    return starts[index]


# --- where a stream could end -----------------------------------------------------------------------------


@dataclass
class Stream:
    """What was drawn: token ids after the healed prefix, with what the model thought at each step."""

    forced: str
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    """log p of each token."""
    end_log_probs: list[float] = field(default_factory=list)
    """log p(end) before each token, and after the last one if the stream ended by itself."""
    ended: bool = False
    """The model said its end token."""


@dataclass
class Cut:
    """One possible text of the hole, with the evidence for ending there."""

    text: str
    log_prob: float
    """log p(text | context), the healed part included, the end excluded."""
    tokens: int
    end_log_prob: float | None
    """log p(end) at this boundary; None inside a token."""
    overlap: int
    """Characters of the suffix that the stream goes on with from here."""
    rest: int
    """Characters of the stream after this cut."""
    ended: bool
    """The model itself ended here."""
    greedy: bool = False
    """On the greedy stream."""
    votes: int = 1
    """Streams that pass through this text."""


def cuts(stream: Stream, suffix: str, pieces: list[bytes]) -> list[Cut]:
    """All possible ends of ``stream``, shortest first; ``pieces`` are the bytes of every token id."""
    data, ends = b"", [0]
    for token in stream.tokens:
        data += pieces[token]
        ends.append(len(data))
    whole = data.decode("utf-8", "ignore")
    if not whole.startswith(stream.forced):
        return []
    text = whole[len(stream.forced) :]
    found: dict[int, Cut] = {}
    total = 0.0
    for index, end in enumerate(ends):
        total += stream.log_probs[index - 1] if index else 0.0
        at = _boundary(data, end, len(stream.forced))
        if at is None or at > len(text):
            continue
        end_log_prob = stream.end_log_probs[index] if index < len(stream.end_log_probs) else None
        found[at] = Cut(
            text[:at], total, index, end_log_prob, overlap(text, at, suffix), len(text) - at, False
        )
    _add_inner(found, text, suffix)
    if stream.ended and len(text) in found:
        found[len(text)].ended = True
    return [found[at] for at in sorted(found)]


def _boundary(data: bytes, end: int, forced: int) -> int | None:
    """Characters of the fill before byte ``end``; None inside a character or inside what is forced."""
    try:
        size = len(data[:end].decode("utf-8"))
    except UnicodeDecodeError:
        return None
    return size - forced if size >= forced else None


def _add_inner(found: dict[int, Cut], text: str, suffix: str) -> None:
    """Ends inside a token, where what follows repeats the suffix (a hole may end in the middle of a word)."""
    last = Cut("", 0.0, 0, None, 0, 0, False)  # a first token may cover the healed part and more
    needed = min(4, len(suffix))
    for at in range(len(text)):
        if at in found:
            last = found[at]
        elif needed:
            same = overlap(text, at, suffix)
            if same >= needed or (same and at + same == len(text)):
                found[at] = Cut(text[:at], last.log_prob, last.tokens, None, same, len(text) - at, False)


def overlap(text: str, at: int, suffix: str) -> int:
    """How many characters of ``suffix`` follow ``text[:at]`` in ``text``."""
    limit = min(len(text) - at, len(suffix))
    size = 0
    while size < limit and text[at + size] == suffix[size]:
        size += 1
    return size


def has_left(text: str, suffix: str, frame: Frame) -> bool:
    """Whether a stream is certain to be past its hole, so that drawing more of it is a waste."""
    if frame.category == "statements" and _dedented(text, frame.indent):
        return True
    if frame.category == "expression" and _closed(text):
        return True
    if frame.category == "any" and frame.leaves(text):
        return True
    start = suffix[:SURE_OVERLAP]
    if len(start.strip()) < 4:
        return False
    at = text.rfind(start)
    return at >= 0 and frame.allows(text[:at] if frame.category == "any" else text[:at].strip())


def _dedented(text: str, indent: str) -> bool:
    """Whether a whole later line of ``text`` stands further left than the block."""
    lines = text.split("\n")[1:]
    return any(line.strip() and not line.startswith(indent) for line in lines[:-1]) or (
        bool(lines) and bool(lines[-1].strip()) and not lines[-1].startswith(indent)
    )


def _closed(text: str) -> bool:
    """Whether ``text`` holds a whole expression and then something no expression can go on with."""
    body = text.lstrip()
    if not body:
        return False
    depth, quote, at = 0, "", 0
    while at < len(body):
        char = body[at]
        if quote:
            if char == "\\":
                at += 1
            elif body.startswith(quote, at):
                at += len(quote) - 1
                quote = ""
        elif char in "\"'":
            quote = char * 3 if body.startswith(char * 3, at) else char
            at += len(quote) - 1
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "\n" and depth == 0:
            return True
        if depth < 0:
            return True
        at += 1
    return False
