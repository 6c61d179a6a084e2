"""The context of a hole: computed once, shared by all engines and candidates, and no longer than time allows.

A machine that reads 100 tokens a second would spend the whole budget of a fill on a long context. How fast
this one reads is measured at every chunk; what it cannot read in its part of the time is left away, the
farthest text first, so that a short context gives a fill where a long one would give none.
"""

from __future__ import annotations

import time

from astral_model.backbone import Backbone, Cache, common_prefix
from astral_model.engine import Control

CHUNK = 256
"""Tokens of context computed between two looks at the control."""
SHARE = 0.6
"""Part of the time left that the context may take."""
LEAST_PREFIX = 128
LEAST_SUFFIX = 48
"""Tokens next to the hole that are read however slow the machine is."""
STEP = 128
"""The prefix is shortened to a multiple of this: small changes of the pace keep the cache."""
_WARM_UP = 64
_LINE_REACH = 40


class Contexts:
    """Keeps the last context for the next call on the same file. Not thread-safe."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.pace: float | None = None
        """Tokens a second, None while unknown."""
        self._asked: list[int] | None = None
        self._last: Cache | None = None

    def get(self, prefix: str, suffix: str, control: Control) -> Cache | None:
        """The cache of ``prefix`` and ``suffix``, both possibly shortened; None when stopped before it was
        whole. What was done until then is kept."""
        tokenizer = self.backbone.tokenizer
        head = tokenizer.encode(prefix) if prefix else []
        tail = tokenizer.encode(suffix) if suffix else []
        asked = tokenizer.fim_context(head, tail)
        if asked == self._asked:
            return self._last
        ids = self._affordable(head, tail, asked, control.deadline - time.monotonic())
        cache, self._asked = self._last, None
        done = common_prefix(ids, cache.ids) if cache is not None else 0
        while done < len(ids) or cache is None or cache.length != len(ids):
            if control.stop():
                return None
            first, done, began = done, min(done + self._chunk(), len(ids)), time.monotonic()
            self._last = cache = self.backbone.context(ids[:done], cache)
            self._measure(done - first, time.monotonic() - began)
        self._asked = asked
        return cache

    def forget(self) -> None:
        """Let go of the kept context."""
        self._asked = self._last = None

    def warm_up(self) -> None:
        """Page the weights in and measure the pace."""
        ids = [self.backbone.tokenizer.fim_prefix] * _WARM_UP
        self.backbone.context(ids[: _WARM_UP // 2])
        began = time.monotonic()
        self.backbone.context(ids)
        self._measure(_WARM_UP, time.monotonic() - began)

    def _chunk(self) -> int:
        """Half a second's tokens on a slow machine: a stop should not have to wait longer."""
        return CHUNK if self.pace is None else max(_WARM_UP, min(CHUNK, int(self.pace / 2)))

    def _measure(self, tokens: int, seconds: float) -> None:
        if tokens >= _WARM_UP // 2:
            pace = tokens / max(seconds, 1e-6)
            self.pace = pace if self.pace is None else (self.pace + pace) / 2

    def _affordable(self, head: list[int], tail: list[int], asked: list[int], seconds: float) -> list[int]:
        """``asked``, or what can be read of it in `SHARE` of ``seconds``."""
        known = common_prefix(asked, self._last.ids) if self._last is not None else 0
        if self.pace is None or len(asked) - known <= self.pace * SHARE * seconds:
            return asked
        room = int(self.pace * SHARE * max(seconds, 0.0))
        kept = tail[: max(LEAST_SUFFIX, min(len(tail), room // 4))]
        most = max(LEAST_PREFIX, (room - len(kept)) // STEP * STEP)
        return self.backbone.tokenizer.fim_context(self._nearest_lines(head, most), kept)

    def _nearest_lines(self, head: list[int], most: int) -> list[int]:
        """At most ``most`` tokens from the end of ``head``, from the start of a line if one is near."""
        if len(head) <= most:
            return head
        pieces = self.backbone.tokenizer.pieces
        near = head[-most:]
        for at, token in enumerate(near[:_LINE_REACH]):
            if pieces[token].endswith(b"\n"):
                return near[at + 1 :]
        return near
