"""σ and Γ of the holes of a buffer, read off its frame."""

from __future__ import annotations

import time

from astral_lsp.holes.model import Span
from astral_lsp.workers.protocol import Analyse, Analysed, HoleTypes
from astral_lsp.workers.types.frame import Frames, all_holes
from astral_lsp.workers.types.program import CannotCheck
from astral_lsp.workers.types.quick import Quick
from astral_lsp.workers.types.text import Unreadable


def analyse(params: Analyse, path: str, frames: Frames, quick: Quick) -> Analysed:
    """Return σ and Γ for each asked hole, in order; what mypy cannot tell is None with the reason."""
    began = time.perf_counter()
    expressions = params.expressions or [True] * len(params.holes)
    try:
        seen = _look(params, path, frames, quick)
    except (CannotCheck, Unreadable) as error:
        holes = [HoleTypes(None, [], str(error)) for _ in params.holes]
    else:
        found = [seen[span] for span in params.holes]
        holes = [
            types if is_expression else HoleTypes(None, types.names, types.note)
            for types, is_expression in zip(found, expressions, strict=False)
        ]
    return Analysed(holes, (time.perf_counter() - began) * 1000)


def _look(params: Analyse, path: str, frames: Frames, quick: Quick) -> dict[Span, HoleTypes]:
    """Every hole of the buffer with what is known of it; raises CannotCheck or Unreadable."""
    holes = all_holes(params.holes, params.all_holes)
    if not params.whole and not frames.holds(path, params.text, holes):
        seen = quick.look(path, params.text, holes)
        if seen is not None:
            return seen
    frame = frames.get(path, params.text, params.holes, params.all_holes)
    quick.hold(frame)
    return dict(zip(frame.holes, frame.types, strict=True))
