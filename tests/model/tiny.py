"""A base of a few thousand random weights with a byte-level tokenizer: quick, and every rule still holds."""

from __future__ import annotations

from pathlib import Path

import torch
from astral_model.backbone import Backbone
from astral_model.checkpoint import Checkpoint, Shape
from astral_model.tokenizer import Tokenizer, build_tokenizer
from tokenizers.pre_tokenizers import ByteLevel

torch.set_num_threads(1)  # matrices this small lose by every barrier, and a great deal on a busy machine

SPECIAL = (
    "<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|file_sep|>",
    "<|im_start|>", "<|im_end|>", "<|repo_name|>",
)  # fmt: skip
WORDS = ("re", "ret", "retu", "retur", "return", "Ġreturn", "ĠĠ", "ĠĠĠĠ")
MERGES = ("r e", "re t", "ret u", "retu r", "retur n", "Ġ return", "Ġ Ġ", "ĠĠ ĠĠ")


def tiny_backbone(seed: int = 0) -> Backbone:
    """Two layers of width 32 over bytes, a few merges and the special tokens; fp32."""
    tokens = [*sorted(ByteLevel.alphabet()), *WORDS, *SPECIAL]
    tokenizer = Tokenizer(build_tokenizer("qwen2", tokens, list(MERGES)))
    shape = Shape("qwen2", 2, 32, 48, 4, 2, 8, 10000.0, 1e-6, len(tokens))
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator) * 0.3

    weights = {"embed": random(len(tokens), 32), "norm": torch.ones(32)}
    for i in range(shape.layers):
        weights |= {
            f"{i}.qkv": random(64, 32),
            f"{i}.qkv_bias": random(64),
            f"{i}.o": random(32, 32),
            f"{i}.gate_up": random(96, 32),
            f"{i}.down": random(32, 48),
            f"{i}.attn_norm": torch.ones(32),
            f"{i}.ffn_norm": torch.ones(32),
        }
    return Backbone(Checkpoint(shape, "0" * 64, weights, Path("none")), tokenizer)
