"""□(σ, Γ) compiled for the three tiers (ASTRAL §4): what prunes, what ranks, and what decides.

Tier 1 is the syntax category and the names that may be used at all; tier 2 the names whose type fits σ;
tier 3 the oracles that a verified fill must pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from astral_lsp.context.environment import Environment
from astral_lsp.context.prompt import Prompt, build_prompt, in_sight
from astral_lsp.holes.lines import BOM, line_ending, line_start
from astral_lsp.holes.mask import neutralise
from astral_lsp.holes.model import Category, Hole, Span
from astral_lsp.report import Domain
from astral_lsp.verify.surroundings import surroundings
from astral_lsp.verify.syntax import check_syntax
from astral_lsp.workers.protocol import EngineName, Propose

_LINE_ENDING = re.compile(r"\r\n|\r")
_MAX_PREFERRED = 16
_EMPTY_NAMES = ("_", "x", "hole", "todo", "value", "expr", "fill", "here")
"""What people write after the question mark when they do not mean anything by it."""
PREFIX_CHARS = 3000
SUFFIX_CHARS = 1000
RELATED_CHARS = 900


class Specification(msgspec.Struct, frozen=True):
    """What a fill of one hole must be and should be."""

    category: Category
    """Tier 1: the syntax."""
    indent: str
    """Tier 1: white space of every later line of a statements fill."""
    names: tuple[str, ...]
    """Tier 1: identifiers in Γ; () when Γ is not known whole, and then no name is refused."""
    preferred: tuple[str, ...]
    """Tier 2: expressions in Γ whose type is assignable to σ, fittest first."""
    expected: str | None
    """Tier 2: σ."""
    required: tuple[Domain, ...] = ("syntax", "types", "tests")
    """Tier 3: the oracles that must answer ``passed``."""


def compile_specification(
    hole: Hole, environment: Environment, *, types: bool = True, tests: bool = True
) -> Specification:
    """Compile a hole and its environment; ``types`` and ``tests`` say which oracles the user asked for."""
    roots = dict.fromkeys(name.name.partition(".")[0] for name in environment.names)
    fitting = [name.name for name in environment.names if name.fits]
    wanted: tuple[tuple[Domain, bool], ...] = (("syntax", True), ("types", types), ("tests", tests))
    return Specification(
        category=hole.category,
        indent=hole.indent,
        names=tuple(roots) if environment.complete else (),
        preferred=tuple(fitting[:_MAX_PREFERRED]),
        expected=environment.expected,
        required=tuple(domain for domain, asked in wanted if asked),
    )


def propose(
    text: str,
    hole: Hole,
    specification: Specification,
    engine: EngineName,
    *,
    other_holes: Sequence[Hole] = (),
    related: str = "",
    candidates: int = 4,
    max_tokens: int = 96,
    budget_ms: float = 8000.0,
    seed: int = 0,
) -> Propose:
    """The request that asks the model worker for candidates. `finish` makes a fill of each answer."""
    others = [other for other in other_holes if other.end <= hole.start or other.start >= hole.end]
    around = surroundings(text, hole, others)
    prompt = model_context(text, hole, others, related)
    return Propose(
        engine=engine,
        prefix=prompt.prefix,
        suffix=prompt.suffix,
        before=around.before + hole.lead,
        after=around.after,
        category=specification.category,
        indent=specification.indent,
        candidates=candidates,
        max_tokens=max_tokens,
        budget_ms=budget_ms,
        seed=seed,
        names=list(specification.names),
        preferred=list(specification.preferred),
    )


def model_context(text: str, hole: Hole, others: Sequence[Hole], related: str = "") -> Prompt:
    """What the model reads: other holes as plain Python, line feeds only, the hole's words as a comment.

    ``related`` (cut at `RELATED_CHARS`) goes first and takes no room from the lines near the hole.
    """
    masked = neutralise(text, others, replacement=_shown)
    start = masked.to_masked(hole.start)
    before = masked.text[:start] + hole.lead
    after = masked.text[start + hole.end - hole.start :]
    before = _with_comment(before, hole)
    before = _LINE_ENDING.sub("\n", before).removeprefix(BOM)
    after = _LINE_ENDING.sub("\n", after)
    related = related[:RELATED_CHARS].rstrip("\n") + "\n\n" if related.strip() else ""
    prompt = build_prompt(
        before + after, len(before), len(before), prefix_chars=PREFIX_CHARS, suffix_chars=SUFFIX_CHARS
    )
    return Prompt(related + prompt.prefix, prompt.suffix)


def sight(text: str, hole: Hole) -> Span:
    """What of the buffer the model sees at least, whatever else is related to the hole."""
    return in_sight(
        text,
        hole.start,
        hole.end,
        prefix_chars=PREFIX_CHARS,
        suffix_chars=SUFFIX_CHARS,
    )


def finish(text: str, hole: Hole, candidate: str, other_holes: Sequence[Hole] = ()) -> str:
    """The exact fill for a model's ``candidate``: lead, the file's line endings, parentheses if needed."""
    fill = candidate.rstrip() if hole.category == "statements" else candidate
    if hole.category == "expression":
        fill = fill.strip()
    ending = line_ending(text)
    if ending != "\n":
        fill = _LINE_ENDING.sub("\n", fill).replace("\n", ending)
    fill = hole.lead + fill if fill else fill
    if hole.category != "expression" or not fill or hole.position != "value":
        return fill
    if check_syntax(text, hole, fill, other_holes).status == "passed":
        return fill
    grouped = f"({fill})"
    return grouped if check_syntax(text, hole, grouped, other_holes).status == "passed" else fill


def _shown(hole: Hole) -> str:
    """Another hole as the model should read it: never ``...``, which it would copy."""
    if hole.position == "statement":
        return "pass"
    if hole.position in ("name", "target"):
        return hole.name or "name"
    return "object" if hole.position == "type" else "None"


def _with_comment(before: str, hole: Hole) -> str:
    """Keep the words that the span or the marker takes with it as a comment above the canvas."""
    gone = hole.marker == "hole_call" or "#" in hole.text
    words = " ".join(hole.comment.split()) if gone else ""
    if not words and hole.name is not None and hole.name not in _EMPTY_NAMES:
        words = hole.name
    if not words:
        return before
    at = len(before) if hole.category == "statements" else line_start(before, len(before))
    indent = hole.indent
    comment = f"# {words}\n{indent}"
    return before[:at] + (comment if at == len(before) else f"{indent}# {words}\n") + before[at:]
