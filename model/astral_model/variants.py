"""Texts that differ from a given one in one word or operator, the most promising first.

It is the corrector's step (`astral_model.velocity`: a position goes back to the mask and is drawn again) at
all words at once, with every likely outcome kept: which of them is right, an oracle says. One row of a pass
asks for one word, the rest of the text given on both sides.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from astral_model.backbone import Backbone, Cache
from astral_model.batches import like_lengths
from astral_model.denoiser import Denoiser
from astral_model.vocabulary import Vocabulary
from astral_model.words import BUILTINS, STRING
from astral_model.writing import token_log_probs

MOST_POSITIONS = 400
"""Positions of all rows together, at about 2 ms each; of a longer text the unlikeliest words are asked."""
BEST = 32
"""Best tokens looked at for each word."""
LEAST = -9.0
"""Log probability of a word that is worth an oracle's time."""
FOREIGN = 2.0
"""Nats taken from a built-in name, and from a value in the place of a name."""
LONGER_NAME = 2.0
"""Nats taken for each further token of a name: only its first one was asked for, and others begin like it."""
_ROWS = 8

_WORD = re.compile(
    r"(?P<string>'{2,})|(?P<name>[^\W\d]\w*)|(?P<number>(?<!\w)\d+(?:\.\d+)?(?!\w))"
    r"|(?P<compare>[=!<>]=|(?<![-<>])[<>](?![<>=]))|(?P<arithmetic>(?://|\*\*|[-+*/%])(?![=>]))"
)
_COMPARE = frozenset(("==", "!=", "<", "<=", ">", ">=", "in", "is"))
_ARITHMETIC = frozenset(("+", "-", "*", "/", "//", "%", "**"))
_BOOLEAN = frozenset(("and", "or"))
_VALUES = frozenset(("None", "True", "False"))
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_ARGUMENT_NAME = re.compile(r"\s*=(?!=)")


@dataclass(frozen=True)
class Word:
    """A word of a text: ``text[start:end]``, and whether another one may stand in its place."""

    start: int
    end: int
    admits: Callable[[str], bool]
    name: bool
    attribute: bool
    """A name behind a dot."""


@dataclass(frozen=True)
class Variant:
    """``text`` with one word changed; ``gain``: log p(new word) - log p(old word), everything else given."""

    text: str
    gain: float


@dataclass(frozen=True)
class _Row:
    """The text without one word: ``tokens[at]`` is masked."""

    word: Word
    tokens: list[int]
    at: int
    lead: bytes
    """What the masked token begins with besides the word: nothing or a blank."""
    old: int
    """The token that stood there, of a longer word the first."""


def words_of(text: str) -> list[Word]:
    """Names, values, numbers, strings as a whole and operators. Comments, keywords and the names of keyword
    arguments stay."""
    code = STRING.sub(lambda match: _blank(match[0]), text)
    found = []
    for match in _WORD.finditer(code):
        admits = _admits(code, match)
        if admits is not None:
            behind_dot = code[: match.start()].endswith(".")
            found.append(Word(*match.span(), admits, match["name"] is not None, behind_dot))
    return found


def _blank(hidden: str) -> str:
    """As many characters for a string or a comment: quotes for the one, blanks for the other."""
    return " " * len(hidden) if hidden.startswith("#") else "'" * len(hidden)


def _admits(code: str, match: re.Match[str]) -> Callable[[str], bool] | None:
    word = match[0]
    for group in (_COMPARE, _ARITHMETIC, _BOOLEAN):
        if word in group:
            return group.__contains__
    if match["number"] or match["string"]:
        return _is_operand
    if code[: match.start()].endswith("."):
        return _is_name
    if not _is_operand(word) or (
        _inside_call(code[: match.start()]) and _ARGUMENT_NAME.match(code, match.end())
    ):
        return None
    return _is_name if code[match.end() : match.end() + 1] == "(" else _is_operand


def _inside_call(left: str) -> bool:
    return left.count("(") > left.count(")")


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def _is_operand(word: str) -> bool:
    return _is_name(word) or word in _VALUES or _NUMBER.fullmatch(word) is not None


@torch.inference_mode()
def variants(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    context: Cache,
    text: str,
    names: frozenset[str],
    *,
    forced: str = "",
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Variant], int]:
    """Variants of ``text``, the most promising first, and the row passes they took.

    ``names``: identifiers that are bound where the text stands, besides the built-in ones; empty: any may be.
    ``forced``: what stands before the text and is written again (token healing). Stopped between passes, it
    gives what it has.
    """
    tokenizer = denoiser.backbone.tokenizer
    tokens = tokenizer.encode(forced + text)
    edges = vocabulary.edges(tokens)
    masked = (_masked(denoiser.backbone, tokens, edges, forced, text, word) for word in words_of(text))
    rows = [row for row in masked if row is not None]
    extra = vocabulary.extra(context.ids, tokens)
    options = _Options(vocabulary, extra, names, tokenizer.encode)
    most = max(2, MOST_POSITIONS // (len(tokens) + 2))
    if len(rows) > most:
        rows = _unlikeliest(denoiser, vocabulary, context, tokens, rows, extra)[:most]
    found: dict[str, float] = {}
    passes = 0
    for batch in like_lengths([len(row.tokens) for row in rows], _ROWS):
        if stop():
            break
        part = [rows[index] for index in batch]
        passes += len(part)
        log_probs = _ask(denoiser, vocabulary, context, part, extra)
        for row, chances in zip(part, log_probs, strict=True):
            for word, chance in options.of(row, chances):
                changed = text[: row.word.start] + word + text[row.word.end :]
                if changed != text:
                    found[changed] = max(chance, found.get(changed, chance))
    return [Variant(*one) for one in sorted(found.items(), key=lambda item: -item[1])], passes


def _masked(
    base: Backbone, tokens: list[int], edges: list[int], forced: str, text: str, word: Word
) -> _Row | None:
    """``tokens`` (between ``edges``) with one mask for ``word``; None where one of them reaches beyond it."""
    start = len((forced + text[: word.start]).encode())
    stop = start + len(text[word.start : word.end].encode())
    if stop not in edges:
        return None
    first = max(n for n, edge in enumerate(edges) if edge <= start)
    lead = (forced + text).encode()[edges[first] : start]
    head = tokens[:first]
    if lead not in (b"", b" "):
        head, lead = head + base.tokenizer.encode(lead.decode(errors="replace")), b""
    old = base.tokenizer.encode(lead.decode() + text[word.start : word.end])[0]
    return _Row(word, [*head, base.tokenizer.end, *tokens[edges.index(stop) :]], len(head), lead, old)


def _unlikeliest(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    context: Cache,
    tokens: list[int],
    rows: list[_Row],
    extra: Tensor,
) -> list[_Row]:
    """``rows`` by how likely the word was when it was written, the least likely first."""
    chances = token_log_probs(denoiser, vocabulary, context, [tokens], extra)[0]
    return sorted(rows, key=lambda row: float(chances[min(row.at, len(tokens) - 1)]))


def _ask(
    denoiser: Denoiser, vocabulary: Vocabulary, context: Cache, rows: list[_Row], extra: Tensor
) -> Tensor:
    """(N, W + X): log probability of every token in the masked place of each of N rows."""
    longest = max(len(row.tokens) for row in rows) + 1  # the end is given
    ids = torch.full((len(rows), longest), vocabulary.end)  # (N, C)
    masked = torch.zeros(ids.shape, dtype=torch.bool)
    visible = torch.zeros_like(masked)
    for n, row in enumerate(rows):
        ids[n, : len(row.tokens)] = torch.tensor(row.tokens)
        masked[n, row.at] = True
        visible[n, : len(row.tokens) + 1] = True
    hidden = denoiser.hidden(ids, masked, context, visible=visible)  # (N, C, D)
    here = hidden[torch.arange(len(rows)), torch.tensor([row.at for row in rows])]  # (N, D)
    return vocabulary.logits(here, extra).log_softmax(-1)


class _Options:
    """Words that may stand in the place of another one."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        extra: Tensor,
        names: frozenset[str],
        encode: Callable[[str], list[int]],
    ) -> None:
        self._columns = vocabulary.all_ids(extra)  # (W + X,)
        self._column = {token: column for column, token in enumerate(self._columns.tolist())}
        self._pieces, self._names, self._encode = vocabulary.pieces, sorted(names), encode
        self._bound = names | BUILTINS
        self._spelt: dict[bytes, list[tuple[str, list[int]]]] = {}

    def of(self, row: _Row, chances: Tensor) -> list[tuple[str, float]]:
        """Each with what it gains; ``chances`` (W + X,): log probability of every token in that place."""
        found = dict(self._of_one_token(row, chances))
        if not row.word.attribute:
            found |= dict(self._bound_names(row, chances))
        before = self._at(row.old, chances)
        return [(word, chance - before) for word, chance in found.items() if chance > LEAST]

    def _of_one_token(self, row: _Row, chances: Tensor) -> Iterator[tuple[str, float]]:
        old, top = row.word, chances.topk(min(BEST, len(chances)))
        for token, chance in zip(self._columns[top.indices].tolist(), top.values.tolist(), strict=True):
            piece = self._pieces[token]
            word = piece[len(row.lead) :].decode(errors="replace") if piece.startswith(row.lead) else ""
            if not old.admits(word):
                continue
            if old.attribute or not self._names:  # nothing is known of what is bound
                yield word, chance
            elif not _is_name(word) or word in self._bound:
                foreign = word in BUILTINS or (old.name and not _is_name(word))
                yield word, chance - FOREIGN * foreign

    def _bound_names(self, row: _Row, chances: Tensor) -> Iterator[tuple[str, float]]:
        lead = row.lead.decode()
        if row.lead not in self._spelt:
            self._spelt[row.lead] = [(name, self._encode(lead + name)) for name in self._names]
        for name, (first, *rest) in self._spelt[row.lead]:
            if row.word.admits(name):
                yield name, self._at(first, chances) - LONGER_NAME * len(rest)

    def _at(self, token: int, chances: Tensor) -> float:
        column = self._column.get(token)
        return LEAST if column is None else float(chances[column])
