"""Low-rank adapter (LoRA) over the base's fused linears, and the learned mask embedding.

The adapter acts on canvas positions only: the context and the left-to-right path keep the base exactly.
y += (x A^T) B^T * scale, with A (r, in) and B (out, r); B starts at zero, so training starts at the base.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from astral_model.checkpoint import Shape
from astral_model.linear import Dense, Int8, Linear, quantise

LAYOUT = 1
"""Raised when the canvas layout changes: an adapter of another layout is refused."""


class AdapterError(ValueError):
    """The adapter cannot be used with this base; the message says why in one sentence."""


def linear_sizes(shape: Shape) -> dict[str, tuple[int, int]]:
    """(out, in) of every adapted linear."""
    heads = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
    return {
        "qkv": (heads, shape.d),
        "o": (shape.d, shape.heads * shape.head_dim),
        "gate_up": (2 * shape.ff, shape.d),
        "down": (shape.d, shape.ff),
    }


class Adapter(nn.Module):
    """Trainable factors in fp32; `prepare` makes the copies that passes use."""

    def __init__(self, shape: Shape, rank: int = 32, scale: float = 2.0) -> None:
        super().__init__()
        self.shape, self.rank, self.scale = shape, rank, scale
        self.factors = nn.ParameterDict()
        for i in range(shape.layers):
            for name, (out, inner) in linear_sizes(shape).items():
                self.factors[f"{i}_{name}_a"] = nn.Parameter(torch.randn(rank, inner) / math.sqrt(inner))
                self.factors[f"{i}_{name}_b"] = nn.Parameter(torch.zeros(out, rank))
        self.mask_embedding = nn.Parameter(torch.zeros(shape.d))
        self.vocabulary: Tensor | None = None
        """Token ids that losses ran over; None means all."""
        self._ready: dict[str, Linear] = {}

    def delta(self, layer: int, name: str, x: Tensor) -> Tensor:
        """Change of linear ``name`` of ``layer`` for input ``x`` (..., in): (..., out)."""
        key = f"{layer}_{name}"
        return self._ready[f"{key}_b"](self._ready[f"{key}_a"](x))

    def prepare(self, dtype: torch.dtype, device: str = "cpu", int8: bool = False) -> None:
        """Copy the factors for the next passes (differentiable under grad); ``scale`` goes into B.

        ``int8``: in bytes, beside a base in bytes. Few positions are not worth a bf16 product each: a pass of
        four rows takes a third less time, see model/README.md.
        """
        self._ready = {}
        for name, p in self.factors.items():
            factor = p * self.scale if name.endswith("_b") else p
            self._ready[name] = (
                Int8(*quantise(factor), dtype) if int8 else Dense(factor.to(device=device, dtype=dtype))
            )

    def save(
        self,
        directory: Path,
        about: dict[str, object],
        vocabulary: Tensor | None = None,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        """Write ``adapter.safetensors`` and ``adapter.json``; ``vocabulary``: the ids losses ran over."""
        directory.mkdir(parents=True, exist_ok=True)
        tensors = {name: p.detach().to(dtype).contiguous() for name, p in self.factors.items()}
        tensors["mask_embedding"] = self.mask_embedding.detach().to(torch.float32)
        if vocabulary is not None:
            tensors["vocabulary"] = vocabulary.to(torch.int32)
        save_file(tensors, str(directory / "adapter.safetensors"))
        digest = hashlib.sha256((directory / "adapter.safetensors").read_bytes()).hexdigest()
        card = {"layout": LAYOUT, "rank": self.rank, "scale": self.scale, "sha256": digest, **about}
        (directory / "adapter.json").write_text(json.dumps(card, indent=2) + "\n")

    @classmethod
    def load(
        cls,
        directory: Path,
        shape: Shape,
        base_sha256: str,
        dtype: torch.dtype,
        device: str = "cpu",
        int8: bool = False,
    ) -> Adapter:
        """Read a saved adapter, ready for inference and for nothing else; ``int8`` as in `prepare`.

        Raises `AdapterError`.
        """
        try:
            card = json.loads((directory / "adapter.json").read_text())
            tensors = load_file(str(directory / "adapter.safetensors"))
        except (OSError, ValueError) as error:
            raise AdapterError(f"There is no readable adapter in {directory} ({error}).") from error
        if card["layout"] != LAYOUT:
            raise AdapterError(f"The adapter has layout {card['layout']}, this program reads {LAYOUT}.")
        if card["base_sha256"] != base_sha256:
            raise AdapterError("The adapter was trained on another base model than the one that is loaded.")
        adapter = cls(shape, card["rank"], card["scale"])
        vocabulary = tensors.pop("vocabulary", None)
        adapter.vocabulary = None if vocabulary is None else vocabulary.long()
        state = {f"factors.{name}": t.float() for name, t in tensors.items() if name != "mask_embedding"}
        adapter.load_state_dict({**state, "mask_embedding": tensors["mask_embedding"]})
        adapter.requires_grad_(False)
        adapter.card = card
        adapter.prepare(dtype, device, int8)
        adapter.factors.clear()  # only the prepared copies are used from here on
        return adapter

    @property
    def elastic(self) -> bool:
        """Whether it was trained on gaps of the wrong size (`astral_model.elastic`)."""
        settings = self.card.get("settings")
        return isinstance(settings, dict) and bool(settings.get("elastic"))

    card: dict[str, object] = {}  # noqa: RUF012 - replaced per instance by `load`
