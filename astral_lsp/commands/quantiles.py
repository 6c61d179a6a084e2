"""Quantiles of measured times."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable


def quantile(values: Iterable[float], part: float) -> float:
    """One of ``values``: ``part`` of them lie below it. nan of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else math.nan


def middle_and_high(values: Iterable[float], part: float = 0.95) -> tuple[float, float]:
    """Median, and the quantile ``part``; nan of nothing."""
    ordered = sorted(values)
    return (statistics.median(ordered) if ordered else math.nan), quantile(ordered, part)
