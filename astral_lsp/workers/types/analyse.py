"""σ and Γ of the holes of a buffer: one check of the buffer with every hole as a watched call."""

from __future__ import annotations

import time

from astral_lsp.holes.tree import parse
from astral_lsp.workers.protocol import Analyse, Analysed, HoleTypes
from astral_lsp.workers.types.expected import Observer, Wanted
from astral_lsp.workers.types.places import Site, bound_names, site
from astral_lsp.workers.types.program import CannotCheck, Program
from astral_lsp.workers.types.text import HOLE, Skeleton, Unreadable, call, mend, skeleton


def analyse(params: Analyse, path: str, program: Program, observer: Observer) -> Analysed:
    """Return σ and Γ for each asked hole, in order; what mypy cannot tell is None with the reason."""
    began = time.perf_counter()
    try:
        holes = _analyse(params, path, program, observer)
    except (CannotCheck, Unreadable) as error:
        holes = [HoleTypes(None, [], str(error)) for _ in params.holes]
    return Analysed(holes, (time.perf_counter() - began) * 1000)


def _analyse(params: Analyse, path: str, program: Program, observer: Observer) -> list[HoleTypes]:
    source = skeleton(params.text, params.holes, params.all_holes)
    source = _mended(source, path, program)
    expressions = params.expressions or [True] * len(params.holes)
    plain = [call(i + 1, source.written(i)) for i in range(len(params.holes))]
    text, spans = source.fill(plain)
    tree = parse(text)
    sites = [site(tree, span) for span in spans]
    wanted = {
        i + 1: Wanted(
            found.rule,
            found.expected,
            found.note,
            bound_names(tree, spans[i].start),
            expressions[i] and not found.statement,
            found.narrowest,
            found.in_function,
            found.argument,
        )
        for i, found in enumerate(sites)
    }
    watched = [call(i + 1, source.written(i), *_siblings(found)) for i, found in enumerate(sites)]
    observer.expect(wanted)
    try:
        program.show(path, source.fill(watched)[0], force=True)
    finally:
        seen = observer.answer()
    return [seen.get(i + 1) or _unseen(sites[i]) for i in range(len(params.holes))]


def _siblings(found: Site) -> list[str]:
    return [f"({found.sibling})"] if found.sibling else []


def _unseen(found: Site) -> HoleTypes:
    return HoleTypes(found.expected, [], "mypy does not check this place (unreachable, or not an expression)")


def _mended(source: Skeleton, path: str, program: Program) -> Skeleton:
    """Make the whole parse; a hole that no expression can stand for is left as a bare name."""
    calls = [call(i + 1, source.written(i)) for i in range(len(source.targets))]
    reason = ""
    for stand_in in (calls, [HOLE] * len(calls)):
        mended, why = mend(source, stand_in, lambda text: program.syntax_error(path, text))
        if why is None:
            return mended
        reason = why
    raise CannotCheck(reason)
