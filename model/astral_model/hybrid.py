"""The engines behind one door, and the ``hybrid`` one: left-to-right drafts and flow drafts in one ranking.

The base reads every candidate, whoever drew it; the denoiser scores every candidate, whoever drew it. What
either of them finds unlikely sinks: the two fail on different holes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from astral_model.adapter import Adapter, AdapterError
from astral_model.ar import ArEngine
from astral_model.backbone import Backbone
from astral_model.contexts import Contexts
from astral_model.engine import Control, Draft, Engine, Request
from astral_model.healing import heal
from astral_model.length import room
from astral_model.ranking import Evidence, draft_of, drafts_of, worth_reading

RELEASED = "astral-0.5b"
FLOW_SHARE = 0.5
AR_SHARE = 0.7
"""Parts of the time left that the flow's drafts, and then the left-to-right ones, may take."""
FLOW_READ_LIMIT = 12
AR_STREAMS = 4
"""Streams the base draws at least: the flow has drawn as many, and four rows cost little more than one."""


class FlowLike(Engine, Protocol):
    """What `hybrid` needs of the flow engine."""

    def score(self, request: Request, texts: list[str], control: Control) -> list[float]:
        """Mean log probability a token of each text under the denoiser; -inf when stopped."""
        ...


class HybridEngine:
    """Pools the candidates of `ArEngine` and of a flow engine and ranks them by what both models say."""

    name = "hybrid"

    def __init__(self, ar: ArEngine, flow: FlowLike) -> None:
        self.ar, self.flow = ar, flow

    def propose(self, request: Request, control: Control) -> list[Draft]:
        """Fresh candidates, best first; each keeps the name of the engine that drew it.

        Drafts are reported as soon as they are drawn, under rough scores, so that they can be verified
        meanwhile: the flow's, which is several times faster, and one of every stream of the base as it ends.
        All that were reported are in the answer, ranked with the rest.
        """
        if request.draw_only:
            return self._drawn(request, control, lambda engine, asked, part: engine.propose(asked, part))
        reported: list[Draft] = []

        def report(draft: Draft) -> None:
            reported.append(draft)
            control.on_draft(draft)

        pool, drafts = self.pool(request, control, report)
        return self._ranked(pool, drafts, {draft.text for draft in reported}, request, control)

    def pool(
        self, request: Request, control: Control, on_draft: Callable[[Draft], None] = lambda draft: None
    ) -> tuple[list[Evidence], list[Draft]]:
        """What is known of every candidate, and the flow's own drafts (all that is left when time is up)."""
        if control.stop():
            return [], []
        part = _silent(control.part(FLOW_SHARE))
        drafts = self.flow.propose(request, part)
        control.evaluations += part.evaluations
        for draft in drafts:
            on_draft(draft)
        pool: list[Evidence] = []
        if not control.stop():
            part = control.part(AR_SHARE)
            pool = self.ar.pool(
                _no_longer(request, drafts),
                part,
                least=AR_STREAMS,
                on_drawn=lambda drawn: on_draft(draft_of(drawn)),
            )
            control.evaluations += part.evaluations
        return self._joined(pool, drafts, request, control), drafts

    def repair(
        self, request: Request, text: str, spans: list[tuple[int, int]], control: Control
    ) -> list[Draft]:
        """The flow remasks the spans in place; time permitting, the base draws the rest of the text again."""
        request = replace(request, rejected=request.rejected | {text})
        return self._drawn(
            request, control, lambda engine, asked, part: engine.repair(asked, text, spans, part)
        )

    def _drawn(
        self, request: Request, control: Control, ask: Callable[[Engine, Request, Control], list[Draft]]
    ) -> list[Draft]:
        """What both engines write, in each one's own order."""
        part = control.part(FLOW_SHARE)
        drafts = ask(self.flow, request, part)
        control.evaluations += part.evaluations
        if not control.stop():
            drafts = drafts + ask(self.ar, _no_longer(request, drafts), control)
        found: dict[str, Draft] = {}
        for draft in drafts:
            if draft.text not in request.rejected:
                found.setdefault(draft.text, draft)
        return list(found.values())

    def _joined(
        self, pool: list[Evidence], drafts: list[Draft], request: Request, control: Control
    ) -> list[Evidence]:
        """``pool`` and ``drafts`` as one pool: the base reads the drafts, the flow scores everything."""
        known = {one.text: one for one in pool}
        fresh = [draft for draft in drafts if draft.text not in known and draft.text not in request.rejected]
        read = self.ar.read_texts(request, [draft.text for draft in fresh[:FLOW_READ_LIMIT]], control)
        for evidence, draft in zip(read, fresh, strict=False):
            evidence.engine, evidence.evaluations = draft.engine, draft.evaluations
        pool = pool + read
        for draft in drafts:
            if draft.text in known:
                known[draft.text].votes += 1
        if pool and not control.stop():
            self._let_flow_score(pool, request, control)
        return pool

    def _let_flow_score(self, pool: list[Evidence], request: Request, control: Control) -> None:
        """`Evidence.flow` of the texts that are in the running; the others get the lowest value found."""
        asked = worth_reading(pool, request.candidates)
        values = self.flow.score(request, [one.text for one in asked], control)
        found = [value for value in values if math.isfinite(value)]
        if not found:  # stopped before
            return
        for one in pool:
            one.flow = min(found)
        for one, value in zip(asked, values, strict=True):
            one.flow = value if math.isfinite(value) else None

    def _ranked(
        self,
        pool: list[Evidence],
        drafts: list[Draft],
        shown: set[str],
        request: Request,
        control: Control,
    ) -> list[Draft]:
        """The best of ``pool``, and all that was ``shown``."""
        best = drafts_of(pool)
        if not best:  # the base had no time to read anything: the flow's own order must do
            best = [draft for draft in drafts if draft.text not in request.rejected]
        answer = best[: request.candidates]
        answer += [draft for draft in best[request.candidates :] if draft.text in shown]
        for draft in answer:
            control.on_draft(draft)
        return answer


def _no_longer(request: Request, drafts: list[Draft]) -> Request:
    """The request for the base, which seldom says where a hole ends and would write until it is stopped: the
    flow's drafts tell about how much is missing."""
    longest = max((draft.tokens for draft in drafts), default=request.max_tokens)
    return replace(request, max_tokens=min(request.max_tokens, room(longest, request.category)))


def _silent(control: Control) -> Control:
    """The same time and cancel, drafts kept back: they are not ranked yet."""
    return Control(control.deadline, control.cancelled)


class Engines:
    """The engines of one loaded model. ``adapter``: name and hash of what is loaded, '' for none."""

    def __init__(self, backbone: Backbone, adapter: Adapter | None = None, label: str = "") -> None:
        self.backbone = backbone
        self.adapter = label
        self.contexts = Contexts(backbone)
        self._engines: dict[str, Engine] = {}
        if adapter is None:
            self._engines["ar"] = ArEngine(backbone, self.contexts)
            return
        from astral_model.sampler import FlowEngine

        flow = FlowEngine(backbone, adapter, contexts=self.contexts)
        ar = ArEngine(backbone, self.contexts, flow.likelihood)
        self._engines |= {"ar": ar, "flow": flow, "hybrid": HybridEngine(ar, flow)}

    @classmethod
    def load(cls, path: Path, adapter: str, cache_dir: Path) -> Engines:
        """Load the base at ``path`` and the adapter in folder ``adapter`` ('' the released one, 'none' none).

        Raises `CheckpointError` and `AdapterError`. Without a released adapter only ``ar`` is there.
        """
        backbone = Backbone.load(path, cache_dir=cache_dir, int8=True)
        folder = _adapter_folder(adapter)
        if folder is None:
            engines = cls(backbone)
        else:
            loaded = Adapter.load(
                folder, backbone.shape, backbone.sha256, backbone.dtype, backbone.device, backbone.int8
            )
            engines = cls(backbone, loaded, f"{folder.name} {str(loaded.card['sha256'])[:12]}")
        engines.contexts.warm_up()
        return engines

    def get(self, name: str) -> Engine | None:
        """The engine of that name, None when it needs an adapter that is not loaded."""
        return self._engines.get(name)

    def forget(self) -> None:
        """Let go of the context kept for the next call on the same file; the engines share one."""
        self.contexts.forget()

    def read_ahead(self, request: Request, control: Control) -> None:
        """Compute the context of ``request`` and keep it; a fill of that hole then starts drawing at once."""
        self.contexts.get(heal(request.prefix).prefix, request.suffix, control)


def _adapter_folder(adapter: str) -> Path | None:
    if adapter == "none":
        return None
    if adapter:
        folder = Path(adapter).expanduser()
        if not (folder / "adapter.json").is_file():
            raise AdapterError(f"There is no adapter in {folder}.")
        return folder
    here = Path(__file__).resolve().parent
    for root in (here / "adapters", here.parent / "adapters"):  # installed; a checkout
        if (root / RELEASED / "adapter.json").is_file():
            return root / RELEASED
    return None
