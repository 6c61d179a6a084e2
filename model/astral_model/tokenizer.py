"""Text <-> token ids of the base, and the ids that mean something to us."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from tokenizers import Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as _Tokenizer

_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build_tokenizer(arch: str, tokens: list[str], merges: list[str]) -> _Tokenizer:
    """Byte-level BPE from a GGUF vocabulary. No added tokens: user text never turns into a special id."""
    vocab = {token: i for i, token in enumerate(tokens)}
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    built = _Tokenizer(models.BPE(vocab=vocab, merges=pairs))
    if arch == "llama":
        built.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    else:
        built.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_QWEN_SPLIT), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    built.decoder = decoders.ByteLevel()
    return built


class Tokenizer:
    """Encode and decode; ``vocab`` maps token strings (byte-level alphabet) to ids."""

    def __init__(self, tokenizer: _Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.vocab: dict[str, int] = tokenizer.get_vocab()
        self.size = len(self.vocab)
        self.fim_prefix = self._id("<|fim_prefix|>")
        self.fim_suffix = self._id("<|fim_suffix|>")
        self.fim_middle = self._id("<|fim_middle|>")
        self.end = self._id("<|endoftext|>")
        self.mask = self._id("<|fim_pad|>")
        self.expand = self.mask
        """Predicted where a mask stands for more than one token: the mask's own id, which no text holds."""

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """From the JSON file that `load_checkpoint` wrote."""
        return cls(_Tokenizer.from_file(str(path)))

    def _id(self, token: str) -> int:
        return self.vocab.get(token, -1)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``; text that looks like a special token stays plain text."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """`encode` for many texts, in parallel threads."""
        return [list(e.ids) for e in self._tokenizer.encode_batch(texts, add_special_tokens=False)]

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids``; special ids vanish, broken UTF-8 becomes U+FFFD."""
        special = self.special_ids
        return str(self._tokenizer.decode([i for i in ids if i not in special], skip_special_tokens=False))

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that stand for no text: ``<|...|>`` control tokens and unused padding of the vocabulary."""
        return frozenset(
            i
            for token, i in self.vocab.items()
            if (token.startswith("<|") and token.endswith("|>") and len(token) > 4)
            or token.startswith("[PAD")
            or token in ("<tool_call>", "</tool_call>")
        )

    @cached_property
    def pieces(self) -> list[bytes]:
        """Bytes of every token id; empty for special ids. 152 k entries, built once in about 0.2 s."""
        alphabet = _byte_alphabet()
        pieces = [b""] * self.size
        for token, i in self.vocab.items():
            if i not in self.special_ids:
                pieces[i] = bytes(alphabet[c] for c in token if c in alphabet)
        return pieces

    def fim_context(self, prefix: list[int], suffix: list[int]) -> list[int]:
        """Ids of everything before the canvas, in the base's own fill-in-the-middle order."""
        return [self.fim_prefix, *prefix, self.fim_suffix, *suffix]


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's map from printable characters to bytes, inverted."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in visible]
    table = {chr(b): b for b in visible}
    table.update({chr(256 + n): b for n, b in enumerate(hidden)})
    return table
