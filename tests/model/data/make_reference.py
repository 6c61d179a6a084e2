"""Records logits of an independent implementation for test_reference.py.

Run in an environment that has transformers as well as the project's own dependencies, from the root::

    PYTHONPATH=.:model python tests/model/data/make_reference.py [BASE.gguf]

``reference_tiny.npz``: transformers' Qwen2ForCausalLM with the weights of ``tests/model/tiny.py``, fp32.
``reference_base.npz``: the same class with the dequantised weights of the real base, ten best each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from astral_model.backbone import Backbone
from astral_model.checkpoint import Shape, load_checkpoint
from astral_model.tokenizer import Tokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM

from tests.model.tiny import tiny_backbone

HERE = Path(__file__).parent
TINY_IDS = [[1, 17, 200, 3, 90, 90, 41, 7], [5, 4, 3, 2, 1, 0, 250, 33]]
TEXT = "def area(width: float, height: float) -> float:\n    return width *"


def build(shape: Shape, weights: dict[str, torch.Tensor]) -> Qwen2ForCausalLM:
    """The other implementation with our weights."""
    config = Qwen2Config(
        vocab_size=shape.vocab,
        hidden_size=shape.d,
        intermediate_size=shape.ff,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        rms_norm_eps=shape.eps,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        rope_theta=shape.rope_base,
    )
    model = Qwen2ForCausalLM(config).eval().float()
    state = {
        "model.embed_tokens.weight": weights["embed"],
        "lm_head.weight": weights.get("output", weights["embed"]),
        "model.norm.weight": weights["norm"],
    }
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    for i in range(shape.layers):
        layer = f"model.layers.{i}."
        for kind, name in (("weight", f"{i}.qkv"), ("bias", f"{i}.qkv_bias")):
            parts = weights[name].split([q, kv, kv])
            for letter, part in zip("qkv", parts, strict=True):
                state[f"{layer}self_attn.{letter}_proj.{kind}"] = part
        gate, up = weights[f"{i}.gate_up"].chunk(2)
        state |= {
            f"{layer}self_attn.o_proj.weight": weights[f"{i}.o"],
            f"{layer}mlp.gate_proj.weight": gate,
            f"{layer}mlp.up_proj.weight": up,
            f"{layer}mlp.down_proj.weight": weights[f"{i}.down"],
            f"{layer}input_layernorm.weight": weights[f"{i}.attn_norm"],
            f"{layer}post_attention_layernorm.weight": weights[f"{i}.ffn_norm"],
        }
    model.load_state_dict({k: v.float() for k, v in state.items()})
    return model


@torch.no_grad()
def main() -> None:
    """Write the fixtures."""
    tiny: Backbone = tiny_backbone()
    logits = build(tiny.shape, tiny.weights)(torch.tensor(TINY_IDS)).logits
    np.savez_compressed(HERE / "reference_tiny.npz", ids=np.array(TINY_IDS), logits=logits.numpy())
    if len(sys.argv) > 1:
        checkpoint = load_checkpoint(sys.argv[1], torch.bfloat16)
        ids = Tokenizer.load(checkpoint.tokenizer_file).encode(TEXT)
        best = build(checkpoint.shape, checkpoint.weights)(torch.tensor([ids])).logits[0].topk(10)
        np.savez_compressed(
            HERE / "reference_base.npz",
            ids=np.array(ids),
            top_ids=best.indices.numpy(),
            top_logits=best.values.numpy(),
            sha256=np.array(checkpoint.sha256),
        )


if __name__ == "__main__":
    main()
