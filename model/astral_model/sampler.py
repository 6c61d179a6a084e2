"""The ``flow`` engine: candidates for one hole from the denoiser, drawn together on one cached context.

Fresh candidates are unmasked strictly left to right by default (`writing`), or in another order on a canvas
(`decoding`). A failed candidate is repaired in two ways at once: the failed tokens are remasked in place,
with all that was right given on both sides; and what stands between the first and the last failed token is
taken as a hole of its own, so that its length may change. Where nothing says which tokens failed, each word
is remasked by itself (`variants`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from astral_model.adapter import Adapter
from astral_model.backbone import Backbone, Cache
from astral_model.contexts import Contexts
from astral_model.decoding import Canvas, Decoding, unmask
from astral_model.denoiser import Denoiser
from astral_model.engine import Control, Draft, Request
from astral_model.healing import heal, strip_forced
from astral_model.length import LONGEST, canvas_size, room
from astral_model.likelihood import Likelihood
from astral_model.names import NameRule
from astral_model.order import OrderName
from astral_model.seam import Seam
from astral_model.stop import Frame
from astral_model.variants import variants
from astral_model.vocabulary import Vocabulary
from astral_model.writing import Row, Writing, read, write

LEAST_ROWS = 4
"""Rows drawn even for one candidate: a pass of four costs little more than a pass of one."""
SUFFIX_WEIGHT = 1.5 / 12
"""What log p(beginning of the suffix | prefix, text) under the base counts beside the mean log probability of
the text: how well a text joins what follows. Chosen on the pools of 53 development rows (model/README.md)."""
TEMPERATURES = (0.8, 1.0)
"""Of the first attempt and of the second."""
HOT = (1.0, 1.4)
"""The same where everything is judged and the likely texts are known: what is wanted is something else."""
REPAIR_GROWTH = 24
"""Tokens by which the gaps of a repair may grow."""
REMASK_MOST = 16
"""Tokens that are remasked in place at most: a pass computes all positions of a row and settles one or two; a
longer gap is drawn again from the left sooner (30 tokens: 0.7 s against 7 s)."""
VARIANTS = 12
"""Candidates of a repair that changes one word: oracles judge so many in the time of one more drawing."""
READ_POSITIONS = 96
"""Tokens of all variants that are read as a whole, at 4 ms each; `VARIANTS` texts at least."""
LEAST_REPEAT = 8
BROKEN_PENALTY = 2.5
"""Taken from log p(end) where the text stops inside a word of the file."""
BURIES_PENALTY = 2.0
"""Taken from the mean log probability of a text behind which the code of the file would never run, and from
log p(end) where it would end, as `BROKEN_PENALTY`."""
HOLLOW_PENALTY = 2.0
"""Taken from the mean log probability of statements that do nothing."""
UNKNOWN_NAME_PENALTY = 0.5
"""Taken from the mean log probability for each name that is nowhere in Γ, in the file or built in."""


@dataclass(frozen=True)
class Drawn:
    """A text as it would be inserted, with what its drawing said."""

    text: str
    log_prob: float
    """Sum over its tokens and the end."""
    tokens: int
    """Number of both."""
    ended: bool


class EndRule:
    """Tier 1 at the end of a fill: whether a row may end where it wants to."""

    def __init__(self, request: Request, frame: Frame, forced: str) -> None:
        self._request, self._frame, self._forced = request, frame, forced
        before = request.before[: len(request.before) - len(forced)]
        self._seam = Seam(before, request.after, request.names)

    def penalty(self, text: str) -> float:
        """Nats taken from the end token after ``text`` (healed part included); infinite where the file would
        not parse with it."""
        if not text.startswith(self._forced):
            return math.inf
        drawn = Drawn(strip_forced(text, self._forced), 0.0, 1, True)
        shapes = _shapes(drawn, self._request)
        allowed = next((shape for shape in shapes if self._frame.allows(shape)), None)
        if allowed is None:
            return math.inf
        buried = BURIES_PENALTY * self._frame.buries(allowed)
        return buried + (BROKEN_PENALTY if self._seam.broken(text) else 0.0)


class FlowEngine:
    """See the module. Not thread-safe.

    ``contexts``: to share with another engine over the same backbone.
    """

    name = "flow"

    def __init__(
        self,
        backbone: Backbone,
        adapter: Adapter,
        contexts: Contexts | None = None,
        order: OrderName = "left_to_right",
        threshold: float = 0.9,
    ) -> None:
        self.backbone = backbone
        self.denoiser = Denoiser(backbone, adapter)
        self.vocabulary = Vocabulary(backbone, adapter.vocabulary)
        self.likelihood = Likelihood(backbone, self.vocabulary)
        self.order: OrderName = order
        self.elastic = adapter.elastic
        self.threshold = threshold
        self.contexts = contexts or Contexts(backbone)

    # --- the engine's face --------------------------------------------------------------------------------

    def propose(self, request: Request, control: Control) -> list[Draft]:
        """Fresh candidates, best first."""
        context = self.contexts.get(heal(request.prefix).prefix, request.suffix, control)
        if context is None:
            return []
        frame = Frame(request.before, request.after, request.category, request.indent)
        generator = _generator(request)
        found: dict[str, Draft] = {}
        for attempt in range(2):  # once more, hotter, if few of the first were different and well-formed
            skip = attempt * max(LEAST_ROWS, request.candidates) or _tried(request)
            temperature = (HOT if request.draw_only else TEMPERATURES)[attempt]
            drawn = self._draw(request, context, skip, frame, generator, control, temperature)
            self._admit(found, drawn, request, frame, control)
            if 2 * len(found) >= request.candidates or control.stop():
                break
        if not request.draw_only:
            self._read_suffix(found, request, context, control)
        return _reported(found, request.candidates, control)

    def repair(
        self, request: Request, text: str, spans: list[tuple[int, int]], control: Control
    ) -> list[Draft]:
        """Candidates that differ from ``text`` inside ``spans`` (half-open, code points of ``text``), without
        any in one word, anywhere."""
        request = replace(request, rejected=request.rejected | {text}, draw_only=True)
        frame = Frame(request.before, request.after, request.category, request.indent)
        context = self.contexts.get(heal(request.prefix).prefix, request.suffix, control)
        if context is None:
            return []
        if not spans:
            return self._vary(request, context, text, frame, control)
        spans = sorted((max(0, a), min(len(text), b)) for a, b in spans if a < len(text)) or [(0, len(text))]
        generator = _generator(request)
        found: dict[str, Draft] = {}
        drawn = self._remask(request, context, text, spans, generator, control)
        self._admit(found, drawn, request, frame, control)
        if not control.stop():
            self._admit(found, self._narrow(request, text, spans, control), request, frame, control)
        return _reported(found, len(found), control)

    def score(self, request: Request, texts: list[str], control: Control) -> list[float]:
        """Mean log probability a token (the end included) of each text along the left-to-right path.

        Exact by the chain rule, in one batched pass; comparable between texts of one hole, whoever drew them.
        -inf for all when the control stops first.
        """
        healed = heal(request.prefix)
        context = self.contexts.get(healed.prefix, request.suffix, control) if texts else None
        if context is None or control.stop():
            return [float("-inf")] * len(texts)
        tokens = [self.backbone.tokenizer.encode(healed.forced + text) for text in texts]
        given = self._given(healed.forced, tokens)
        extra = self.vocabulary.extra([i for ids in tokens for i in ids])
        control.evaluations += len(texts)
        readings = read(self.denoiser, self.vocabulary, context, tokens, given, extra)
        return [total / max(1, count) for total, count in readings]

    # --- drawing ------------------------------------------------------------------------------------------

    def _draw(
        self,
        request: Request,
        context: Cache,
        skip: int,
        frame: Frame,
        generator: torch.Generator,
        control: Control,
        temperature: float,
    ) -> list[Drawn]:
        """One batch of rows; the first one takes the best token always, unless ``skip`` best first tokens
        were tried before: then all rows start with other ones."""
        healed = heal(request.prefix)
        count = max(LEAST_ROWS, request.candidates)
        extra = self.vocabulary.extra(context.ids)
        owed = healed.forced.encode()
        longest = min(request.max_tokens, LONGEST) + 1
        if self.order != "left_to_right":
            how = Decoding(self.order, self.threshold, temperature, elastic=self.elastic, largest=longest)
            size = how.start if self.elastic else canvas_size(request.category, longest)
            shape = Canvas.given_end if self.elastic else Canvas.blank
            canvas = shape([size] * count, self.vocabulary.end, [owed] * count)
            unmask(
                self.denoiser,
                self.vocabulary,
                context,
                canvas,
                how,
                extra=extra,
                generator=generator,
                stop=control.stop,
            )
            control.evaluations += canvas.evaluations
            return self._from_canvas(canvas, healed.forced)
        end = EndRule(request, frame, healed.forced)
        names = NameRule(request, healed.forced, self.vocabulary.pieces)
        rows = [Row(owed) for _ in range(count)]
        control.evaluations += write(
            self.denoiser,
            self.vocabulary,
            context,
            rows,
            Writing(
                longest,
                temperature=temperature,
                skip=skip,
                room=lambda tokens: room(tokens, request.category),
                end_penalty=end.penalty,
                steer=names.steer,
            ),
            extra=extra,
            generator=generator,
            stop=control.stop,
        )
        drawn = []
        for row in rows:
            text = self._text(row.tokens, healed.forced)
            if text is not None:
                drawn.append(Drawn(text, row.log_prob, row.free + row.ended, row.ended))
        return drawn

    def _remask(
        self,
        request: Request,
        context: Cache,
        text: str,
        spans: list[tuple[int, int]],
        generator: torch.Generator,
        control: Control,
    ) -> list[Drawn]:
        """Mask the tokens that overlap ``spans``, `REMASK_MOST` at most, and unmask them again; everything
        else is given, the end too. With an adapter that was trained for it the gaps grow and shrink as they
        need."""
        healed = heal(request.prefix)
        tokens = self.backbone.tokenizer.encode(healed.forced + text)
        if not tokens:
            return []
        masked = self._overlapping(tokens, healed.forced, text, spans)
        if int(masked.sum()) > REMASK_MOST:
            return []
        count = max(2, request.candidates)
        end = self.vocabulary.end
        ids = torch.tensor([*tokens, end]).repeat(count, 1)  # (N, C)
        mask = torch.cat([masked, torch.tensor([False])]).repeat(count, 1)
        ids[mask] = end
        # of a fixed length nothing may end inside; of an elastic one the healed tokens are no news
        given = self._given(healed.forced, [tokens]) if self.elastic else len(tokens)
        canvas = Canvas(
            ids, mask, torch.ones_like(mask), torch.zeros(mask.shape), [b""] * count, [given] * count
        )
        largest = len(tokens) + REPAIR_GROWTH
        unmask(
            self.denoiser,
            self.vocabulary,
            context,
            canvas,
            Decoding("anchored", self.threshold, TEMPERATURES[0], elastic=self.elastic, largest=largest),
            extra=self.vocabulary.extra(context.ids, tokens),
            generator=generator,
            stop=control.stop,
        )
        control.evaluations += canvas.evaluations
        return self._from_canvas(canvas, healed.forced)

    def _vary(
        self, request: Request, context: Cache, text: str, frame: Frame, control: Control
    ) -> list[Draft]:
        """At most `VARIANTS` of ``text`` that may stand in the hole: of the most promising ones those that
        are likeliest as a whole."""
        made, passes = variants(
            self.denoiser,
            self.vocabulary,
            context,
            text,
            frozenset(filter(str.isidentifier, request.names)),
            forced=heal(request.prefix).forced,
            stop=control.stop,
        )
        control.evaluations += passes
        most = max(VARIANTS, READ_POSITIONS // max(1, len(self.backbone.tokenizer.encode(text))))
        texts: list[str] = []
        for one in made:
            if len(texts) == most or control.stop():
                break
            if one.text not in request.rejected and self._may_stand(one.text, request, frame):
                texts.append(one.text)
        found = {
            text: Draft(text, value, 1, control.evaluations, self.name)
            for text, value in zip(texts, self.score(request, texts, control), strict=True)
        }
        return _reported(found, VARIANTS, control)

    def _may_stand(self, text: str, request: Request, frame: Frame) -> bool:
        """Whether ``text`` parses, does something, and reads only names that are bound."""
        unknown = request.names and frame.unknown_names(text, frozenset(request.names))
        return frame.allows(text) and not unknown and not frame.hollow(text) and not frame.buries(text)

    def _overlapping(self, tokens: list[int], forced: str, text: str, spans: list[tuple[int, int]]) -> Tensor:
        """(T,) bool: tokens that share a character with ``spans``; at least one, never a healed one."""
        edges = self.vocabulary.edges(tokens)
        skip = len(forced.encode())
        masked = torch.zeros(len(tokens), dtype=torch.bool)
        for first, last in spans:
            low = skip + len(text[:first].encode())
            high = skip + len(text[: max(last, first + 1)].encode())
            for n in range(len(tokens)):
                if edges[n] < high and edges[n + 1] > max(low, skip):
                    masked[n] = True
        if not bool(masked.any()):
            masked[-1] = True
        return masked

    def _narrow(
        self, request: Request, text: str, spans: list[tuple[int, int]], control: Control
    ) -> list[Drawn]:
        """Draw everything between the first and the last failed character again, as a hole of its own."""
        first, last = spans[0][0], max(b for _, b in spans)
        head, tail = text[:first], text[last:]
        inner = replace(
            request,
            prefix=request.prefix + head,
            suffix=tail + request.suffix,
            before=request.before + head,
            after=tail + request.after,
            category="any",
        )
        context = self.contexts.get(heal(inner.prefix).prefix, inner.suffix, control)
        if context is None:
            return []
        generator = _generator(request)
        # the same hole again, or a narrower one that nothing was drawn for yet
        skip = _tried(request) if (first, last) == (0, len(text)) else 0
        frame = Frame(inner.before, inner.after, "any", request.indent)
        drawn = self._draw(inner, context, skip, frame, generator, control, HOT[0])
        return [replace(one, text=head + one.text + tail) for one in drawn]

    # --- texts --------------------------------------------------------------------------------------------

    def _from_canvas(self, canvas: Canvas, forced: str) -> list[Drawn]:
        drawn = []
        for n in range(len(canvas.ids)):
            length = canvas.length(n, self.vocabulary.end)
            if bool(canvas.masked[n, :length].any()):  # stopped half way
                continue
            size = canvas.ids.shape[1] if length is None else length
            text = self._text(canvas.ids[n, :size].tolist(), forced)
            if text is not None:
                chance = canvas.log_prob[n, : size + 1]
                drawn.append(Drawn(text, float(chance.sum()), max(1, len(chance)), length is not None))
        return drawn

    def _text(self, tokens: list[int], forced: str) -> str | None:
        """The fill proper, None if it is not a text that starts as it must."""
        text = self.backbone.tokenizer.decode(tokens)
        if not text.startswith(forced) or "\ufffd" in text:
            return None
        return strip_forced(text, forced)

    def _admit(
        self,
        found: dict[str, Draft],
        drawn: list[Drawn],
        request: Request,
        frame: Frame,
        control: Control,
    ) -> None:
        """Add what ended, was not rejected, and may stand in the hole by its syntax (tier 1)."""
        for one in drawn:
            text = next((t for t in _shapes(one, request) if frame.allows(t)), None)
            if text is None or text in request.rejected:
                continue
            hollow = frame.hollow(text)
            if hollow and request.draw_only:  # no ranking would put it last
                continue
            value = one.log_prob / max(1, one.tokens)
            if request.names:
                unknown = frame.unknown_names(text, frozenset(request.names))
                value -= UNKNOWN_NAME_PENALTY * len(unknown)
            value -= BURIES_PENALTY * frame.buries(text) + HOLLOW_PENALTY * hollow
            if text not in found or found[text].score < value:
                found[text] = Draft(text, value, one.tokens, control.evaluations, self.name)

    def _read_suffix(
        self, found: dict[str, Draft], request: Request, context: Cache, control: Control
    ) -> None:
        """Add to every score what the base says of the suffix behind that text; one batched pass."""
        if len(found) < 2 or not request.suffix or control.stop():
            return
        plain = context.truncated(context.ids.index(self.backbone.tokenizer.fim_suffix))
        forced = heal(request.prefix).forced
        control.evaluations += len(found)
        suffixes = self.likelihood.suffixes(plain, forced, list(found), request.suffix, control.stop)
        for text, suffix in zip(list(found), suffixes, strict=True):
            found[text] = replace(found[text], score=found[text].score + SUFFIX_WEIGHT * suffix)

    def _given(self, forced: str, texts: list[list[int]]) -> int:
        """How many first tokens lie inside ``forced``: the least over ``texts``, for comparison."""
        size = len(forced.encode())
        ends = (self.vocabulary.edges(tokens)[1:] for tokens in texts)
        return min((sum(end <= size for end in those) for those in ends), default=0)


def _reported(found: dict[str, Draft], most: int, control: Control) -> list[Draft]:
    best = sorted(found.values(), key=lambda draft: -draft.score)[:most]
    for draft in best:
        control.on_draft(draft)
    return best


def _tried(request: Request) -> int:
    """Best first tokens that were tried before. A few rejected texts may be those of a run that was cut: the
    likeliest text need not be among them."""
    return len(request.rejected) if len(request.rejected) >= LEAST_ROWS else 0


def _generator(request: Request) -> torch.Generator:
    """Another seed each round: what was rejected is known, drawing it again would be a waste."""
    return torch.Generator().manual_seed(request.seed + len(request.rejected))


def _shapes(drawn: Drawn, request: Request) -> list[str]:
    """How a drawn text may be written into the hole, best first: as it is (if it ended), without blanks at
    its edges, and without what it repeats of the suffix (it knew what follows, but not that it was not to
    write it)."""
    text, whole = drawn.text, request.category == "any"
    shapes = [text.strip(), text] if not whole and text != text.strip() else [text]
    shapes = shapes if drawn.ended else []
    for at in _repeats(text, request.suffix):
        shapes.append(text[:at] if whole else text[:at].strip())
    return [shape for shape in dict.fromkeys(shapes) if shape]


def _repeats(text: str, suffix: str) -> list[int]:
    """Where ``text`` begins to repeat ``suffix``: at its end, or for `LEAST_REPEAT` characters inside."""
    longest = next((k for k in range(min(len(text), len(suffix)), 0, -1) if text.endswith(suffix[:k])), 0)
    found = [len(text) - longest] if longest else []
    head = suffix[:LEAST_REPEAT]
    inside = text.find(head) if len(head.strip()) >= LEAST_REPEAT // 2 else -1
    return [*found, inside] if inside >= 0 and inside not in found else found
