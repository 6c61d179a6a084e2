"""The ``ar`` engine: the frozen base fills left to right, and a stop rule decides where the hole ended.

One cached context (prefix, suffix), N streams drawn from it in one batch, every possible end of every stream
a candidate, the best of them read once more by the base (`likelihood`) and ranked (`ranking`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from astral_model.backbone import Backbone, Cache
from astral_model.contexts import Contexts
from astral_model.engine import Control, Draft, Request
from astral_model.healing import heal
from astral_model.likelihood import Likelihood, Reading
from astral_model.names import NameRule
from astral_model.ranking import Evidence, drafts_of
from astral_model.seam import Seam
from astral_model.stop import Cut, Frame, Stream, cuts, has_left

TEMPERATURE = 0.8
HOT = 1.0
"""Where everything is judged and the likely texts are known: what is wanted is something else."""
TOP_P = 0.95
TOP_K = 40
FAIR_START = 0.02
"""Streams after the first begin with the next best tokens, down to this probability: the first token decides
much (at a line's start, its indentation), and drawing seldom varies it."""
MIN_STREAMS = 6
"""Streams drawn even for one candidate: on a CPU a few rows cost little more than one."""
MAX_STREAMS = 12
DRAW_SHARE = 0.8
"""Part of the time left that drawing may take; reading needs the rest."""
READ_LIMIT = 10
"""Candidates that are read in full; the rest were clearly worse by what their stream said."""
ATOM_LIMIT = 16
"""Well-typed atoms of Γ that are read."""
MIDDLE_OF_TOKEN = -7.0
"""Stands for log p(end) where a boundary lies inside a token."""
_UNREAD = Reading(0.0, 0, 0.0)


@dataclass(frozen=True)
class _Drawing:
    """What stays the same while the streams of a hole are drawn."""

    columns: Tensor
    """Token ids of the logits' columns."""
    ends: Tensor
    """Which columns are end tokens, bool."""
    names: NameRule
    generator: torch.Generator
    tried: int
    """Best first tokens that were used before."""
    greedy: int | None
    """The stream that takes the best token always."""
    temperature: float


class ArEngine:
    """See the module. Not thread-safe.

    ``contexts``, ``likelihood``: to share with another engine over the same backbone.
    """

    name = "ar"

    def __init__(
        self, backbone: Backbone, contexts: Contexts | None = None, likelihood: Likelihood | None = None
    ) -> None:
        self.backbone = backbone
        self.contexts = contexts or Contexts(backbone)
        self.likelihood = likelihood or Likelihood(backbone)
        self.vocabulary = self.likelihood.vocabulary
        self._special = backbone.tokenizer.special_ids

    # --- the engine's face --------------------------------------------------------------------------------

    def propose(self, request: Request, control: Control) -> list[Draft]:
        """Fresh candidates, best first."""
        return self._finish(self.pool(request, control), request, control)

    def repair(
        self, request: Request, text: str, spans: list[tuple[int, int]], control: Control
    ) -> list[Draft]:
        """Keep ``text`` up to the first span and draw the rest again, without what was rejected. Without
        spans there is nothing to say: one word inside a text is not a matter of left to right."""
        if not spans:
            return []
        keep = text[: min(start for start, _ in spans)]
        changed = replace(request, rejected=request.rejected | {text}, draw_only=True)
        return self._finish(self.pool(changed, control, keep=keep), changed, control)

    def _finish(self, pool: list[Evidence], request: Request, control: Control) -> list[Draft]:
        drafts = drafts_of(pool)[: request.candidates]
        for draft in drafts:
            control.on_draft(draft)
        return drafts

    # --- candidates ---------------------------------------------------------------------------------------

    def pool(
        self,
        request: Request,
        control: Control,
        *,
        keep: str = "",
        least: int = MIN_STREAMS,
        on_drawn: Callable[[Evidence], None] | None = None,
    ) -> list[Evidence]:
        """All candidates worth ranking, with what the base says of each; [] when stopped too early.

        ``keep``: text that every candidate starts with. ``least``: streams drawn even for one candidate.
        Where texts were rejected, no stream is greedy: what it would write is among them.
        ``on_drawn``: told of the likeliest text of every stream as soon as that has ended, before it is read.
        """
        healed = heal(request.prefix)
        context = self.contexts.get(healed.prefix, request.suffix, control)
        if context is None:
            return []
        frame = Frame(request.before, request.after, request.category, request.indent)
        count = max(least, min(MAX_STREAMS, request.candidates))

        def on_ended(stream: Stream) -> None:
            if on_drawn is None:
                return
            for cut in _most_likely(self._texts([stream], request, keep).values(), frame, 1):
                if not frame.hollow(cut.text):
                    on_drawn(_drawn(cut))

        streams = self._draw(context, healed.forced, keep, count, frame, request, control, on_ended)
        texts = self._texts(streams, request, keep)
        drawn = [_drawn(cut) for cut in _most_likely(texts.values(), frame)]
        if request.draw_only:
            return [one for one in drawn if not frame.hollow(one.text)]
        atoms = [Evidence(text, _UNREAD) for text in _atoms(request, frame, texts)]
        return self._read(drawn + atoms, healed.forced, context, request, frame, control)

    def read_texts(self, request: Request, texts: list[str], control: Control) -> list[Evidence]:
        """What the base says of ``texts``, whoever drew them; [] when stopped before it had a context."""
        healed = heal(request.prefix)
        context = self.contexts.get(healed.prefix, request.suffix, control) if texts else None
        if context is None:
            return []
        frame = Frame(request.before, request.after, request.category, request.indent)
        pool = [Evidence(text, _UNREAD) for text in texts]
        return self._read(pool, healed.forced, context, request, frame, control)

    def _read(
        self,
        pool: list[Evidence],
        forced: str,
        context: Cache,
        request: Request,
        frame: Frame,
        control: Control,
    ) -> list[Evidence]:
        """Complete what is known of ``pool``. What a stream said of its own text is not computed again."""
        if not pool:
            return pool
        unread = [one for one in pool if one.reading is _UNREAD]
        if control.stop():  # out of time: what the streams said of themselves must do
            return [one for one in pool if one.reading is not _UNREAD]
        readings = self.likelihood.texts(context, forced, [one.text for one in unread], control.stop)
        for one, reading in zip(unread, readings, strict=True):
            if reading is not None:
                one.reading, one.evaluations = reading, one.evaluations + 1
        pool = [one for one in pool if one.reading is not _UNREAD]
        if control.stop():
            return pool
        plain = context.truncated(context.ids.index(self.backbone.tokenizer.fim_suffix))
        texts = [one.text for one in pool]
        suffixes = self.likelihood.suffixes(plain, forced, texts, request.suffix, control.stop)
        control.evaluations += len(unread) + len(pool)
        names, typed = frozenset(name.split(".")[0] for name in request.names), frozenset(request.preferred)
        seam = Seam(request.before, request.after, names)
        for one, suffix in zip(pool, suffixes, strict=True):
            one.reading.suffix = suffix
            one.evaluations += 1
            one.preferred = one.text in typed
            one.unresolved = frame.unresolved(one.text)
            one.leaves, one.hollow = frame.leaves(one.text), frame.hollow(one.text)
            one.broken, one.buries = seam.broken(one.text), frame.buries(one.text)
            one.ragged = (
                one.text[-1:].isspace() and not one.text.endswith("\n") and request.suffix[:1] in " \t"
            )
            one.unknown_names = len(frame.unknown_names(one.text, names)) if names else 0
        return pool

    def _texts(self, streams: list[Stream], request: Request, keep: str) -> dict[str, Cut]:
        """Every end of every stream, by its text."""
        pieces = self.backbone.tokenizer.pieces
        found: dict[str, Cut] = {}
        for index, stream in enumerate(streams):
            for cut in cuts(stream, request.suffix, pieces):
                cut.text = _trimmed(keep + cut.text, request)
                cut.greedy = index == 0
                old = found.get(cut.text)
                if old is None:
                    found[cut.text] = cut
                else:
                    _merge(old, cut)
        return {text: cut for text, cut in found.items() if text and text not in request.rejected}

    # --- passes -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _draw(
        self,
        context: Cache,
        forced: str,
        keep: str,
        count: int,
        frame: Frame,
        request: Request,
        control: Control,
        on_ended: Callable[[Stream], None],
    ) -> list[Stream]:
        """Draw ``count`` streams at once: the first greedily (unless texts were rejected), the others at
        random."""
        base = self.backbone
        extra, columns = self.likelihood.columns(context.ids, base.tokenizer.encode(forced + keep))
        tried = len(request.rejected)  # another seed and other first tokens each round
        generator = torch.Generator().manual_seed(request.seed + tried)
        names = NameRule(request, forced, self.vocabulary.pieces)
        ends = torch.isin(columns, self.likelihood.end_ids)
        temperature = HOT if request.draw_only else TEMPERATURE
        how = _Drawing(columns, ends, names, generator, tried, None if tried else 0, temperature)
        streams = [Stream(forced + keep) for _ in range(count)]
        owed = [(forced + keep).encode()] * count
        alive = list(range(count))
        middle = torch.full((1, 1), base.tokenizer.fim_middle, device=base.device)
        hidden, past = base.forward(middle, context=context)
        past = past.rows(torch.zeros(count, dtype=torch.long))
        logits = self.vocabulary.logits(hidden[:, -1], extra).expand(count, -1)
        part = control.part(DRAW_SHARE)
        while not part.stop():
            control.evaluations += len(alive)
            kept = self._step(logits, how, streams, owed, alive)
            kept = [row for row in kept if self._goes_on(streams[alive[row]], keep, request, frame)]
            for row, index in enumerate(alive):
                if row not in kept:
                    on_ended(streams[index])
            if not kept:
                break
            if len(kept) < len(alive):
                past = past.rows(torch.tensor(kept))
                alive = [alive[row] for row in kept]
            last = torch.tensor([[streams[index].tokens[-1]] for index in alive], device=base.device)
            hidden, past = base.forward(last, context=context, past=past)
            logits = self.vocabulary.logits(hidden[:, -1], extra)
        if part.ended != "done":
            control.ended = part.ended
        return streams

    def _step(
        self, logits: Tensor, how: _Drawing, streams: list[Stream], owed: list[bytes], alive: list[int]
    ) -> list[int]:
        """Choose a token for each living stream by its ``logits``; return the rows that go on."""
        log_probs = logits.log_softmax(-1)
        ends = log_probs[:, how.ends].logsumexp(-1).tolist()
        kept: list[int] = []
        for row, index in enumerate(alive):
            stream = streams[index]
            token, chance = self._choose(log_probs[row], how, index, stream, owed[index])
            stream.end_log_probs.append(ends[row])
            if token in self._special:
                stream.ended = True
                continue
            stream.tokens.append(token)
            stream.log_probs.append(chance)
            if owed[index]:
                owed[index] = self.vocabulary.forced.rest(owed[index], token)
            kept.append(row)
        return kept

    def _choose(
        self, log_probs: Tensor, how: _Drawing, index: int, stream: Stream, owed: bytes
    ) -> tuple[int, float]:
        """The next token of ``stream``, which agrees with the ``owed`` bytes, and its log probability."""
        steered = how.names.steer(self.vocabulary.text(stream.tokens), log_probs, how.columns)
        if owed:
            agrees = self.vocabulary.agrees(owed, how.columns)
            if not bool(agrees.any()):
                return self.vocabulary.forced.allowed(owed)[0], 0.0
            steered = steered.masked_fill(~agrees, -torch.inf).log_softmax(-1)
        start = None if stream.tokens else index + how.tried
        column = _pick(steered, None if index == how.greedy else how.generator, start, how.temperature)
        return int(how.columns[column]), float(log_probs[column])

    def _goes_on(self, stream: Stream, keep: str, request: Request, frame: Frame) -> bool:
        """Whether drawing more of ``stream`` can still change where it ends."""
        if len(stream.tokens) >= request.max_tokens:
            return False
        text = self.backbone.tokenizer.decode(stream.tokens)[len(stream.forced) :]
        return not has_left(keep + text, request.suffix, frame)


def _pick(log_probs: Tensor, generator: torch.Generator | None, start: int | None, temperature: float) -> int:
    """A column: the best without a generator, else by nucleus sampling.

    ``start``: take the start-th best (from 0) instead, if it is likely enough to be worth a stream.
    """
    if generator is None:
        return int(log_probs.argmax())
    sharp = (log_probs / temperature).softmax(-1)
    values, ids = sharp.topk(min(TOP_K, len(log_probs)))
    if start is not None and start < len(ids) and float(log_probs[ids[start]].exp()) >= FAIR_START:
        return int(ids[start])
    values = values.masked_fill(values.cumsum(0) - values > TOP_P, 0)
    return int(ids[torch.multinomial(values, 1, generator=generator)])


def _trimmed(text: str, request: Request) -> str:
    """Expressions and statements carry no outer white space; a free range keeps every character."""
    return text if request.category == "any" else text.strip()


def _atoms(request: Request, frame: Frame, known: dict[str, Cut]) -> list[str]:
    """Term search at depth one: well-typed expressions of Γ that no stream came upon."""
    if request.category != "expression":
        return []
    fresh = [atom for atom in request.preferred if atom not in known and atom not in request.rejected]
    return [atom for atom in fresh[:ATOM_LIMIT] if frame.allows(atom)]


def _drawn(cut: Cut) -> Evidence:
    end = cut.end_log_prob if cut.end_log_prob is not None else MIDDLE_OF_TOKEN
    return Evidence(
        cut.text,
        Reading(cut.log_prob, cut.tokens, end),
        overlap=cut.overlap,
        votes=cut.votes,
        greedy=cut.greedy,
        ended=cut.ended,
        evaluations=cut.tokens,
    )


def _merge(old: Cut, new: Cut) -> None:
    """Add the evidence of another stream that passes through the same text."""
    old.votes += int(not (old.greedy and new.greedy))
    old.greedy |= new.greedy
    old.ended |= new.ended
    old.overlap = max(old.overlap, new.overlap)
    if new.end_log_prob is not None:
        old.end_log_prob = max(new.end_log_prob, old.end_log_prob if old.end_log_prob is not None else -99.0)


def _most_likely(found: Iterable[Cut], frame: Frame, most: int = READ_LIMIT) -> list[Cut]:
    """The ``most`` best admissible ends by what their own streams say: p(end), votes, repeated suffix.

    Likely ends are looked at first: parsing the file for each of some hundred ends would take seconds.
    """

    def likely(cut: Cut) -> float:
        end = cut.end_log_prob if cut.end_log_prob is not None else MIDDLE_OF_TOKEN
        mean = cut.log_prob / max(1, cut.tokens)
        return max(end, -14.0) + 0.25 * min(cut.overlap, 40) + mean + cut.votes

    def fit(cut: Cut) -> float:
        unfit = (
            frame.leaves(cut.text)
            + frame.hollow(cut.text)
            + (not cut.text.strip())
            + 0.5 * min(frame.unresolved(cut.text), 4)
        )
        return likely(cut) - 6.0 * unfit

    admitted: list[Cut] = []
    for cut in sorted(found, key=likely, reverse=True):
        if frame.allows(cut.text):
            admitted.append(cut)
            if len(admitted) == 2 * most:
                break
    return sorted(admitted, key=fit, reverse=True)[:most]
