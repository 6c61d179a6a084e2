"""σ and Γ of the holes of a buffer, read off its frame."""

from __future__ import annotations

import time

from astral_lsp.workers.protocol import Analyse, Analysed, HoleTypes
from astral_lsp.workers.types.frame import Frames
from astral_lsp.workers.types.program import CannotCheck
from astral_lsp.workers.types.text import Unreadable


def analyse(params: Analyse, path: str, frames: Frames) -> Analysed:
    """Return σ and Γ for each asked hole, in order; what mypy cannot tell is None with the reason."""
    began = time.perf_counter()
    expressions = params.expressions or [True] * len(params.holes)
    try:
        frame = frames.get(path, params.text, params.holes, params.all_holes)
    except (CannotCheck, Unreadable) as error:
        holes = [HoleTypes(None, [], str(error)) for _ in params.holes]
    else:
        found = [frame.types[frame.index(span)] for span in params.holes]
        holes = [
            types if is_expression else HoleTypes(None, types.names, types.note)
            for types, is_expression in zip(found, expressions, strict=False)
        ]
    return Analysed(holes, (time.perf_counter() - began) * 1000)
