"""The base: a Qwen2/Llama transformer in plain torch.

Names of sizes: N rows, T new positions, D width, H head width, Q query heads, KV key heads, G = Q / KV,
M contexts (N is a multiple of M: consecutive N / M rows share one context), C context length, P own past.

Every attention here sees two kinds of keys: a *context*, shared by rows, and the rows' *own* keys.
That is all it takes for prefill, batched left-to-right decoding and the bidirectional canvas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from astral_model.checkpoint import SCALE, Checkpoint, Shape, best_dtype, load_checkpoint
from astral_model.linear import Dense, Int8, Linear
from astral_model.tokenizer import Tokenizer

EVEN_INPUTS = frozenset(("qkv", "o", "gate_up"))
"""Matrices whose inputs may be rounded to bytes: outputs are off by 1 to 2 %. Those of ``down`` would be by
4 %, for a few of its inputs are fifty times larger than the rest."""


class LinearAdapter(Protocol):
    """Low-rank change of the base's linears; see `astral_model.adapter`."""

    def delta(self, layer: int, name: str, x: Tensor) -> Tensor:
        """What to add to linear ``name`` ('qkv', 'o', 'gate_up', 'down') of ``layer`` for input ``x``."""
        ...


@dataclass
class Cache:
    """Rotated keys and values of a causal token run, per layer.

    ``keys[i]``, ``values[i]``: (N, KV, len(ids), H). ``ids`` names the tokens of a context (N = 1) and
    stays empty for the own past of a batch.
    """

    keys: list[Tensor]
    values: list[Tensor]
    ids: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        return int(self.keys[0].shape[2]) if self.keys else 0

    def truncated(self, length: int) -> Cache:
        """The first ``length`` positions, as views."""
        return Cache(
            [k[:, :, :length] for k in self.keys], [v[:, :, :length] for v in self.values], self.ids[:length]
        )

    def rows(self, index: Tensor) -> Cache:
        """Rows ``index`` only (to drop finished candidates, or to widen one row to many)."""
        return Cache([k[index] for k in self.keys], [v[index] for v in self.values], self.ids)


class Backbone:
    """Frozen weights and the passes over them. All passes are pure: caches go in and new ones come out."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer, device: str = "cpu") -> None:
        self.shape: Shape = checkpoint.shape
        self.sha256 = checkpoint.sha256
        self.tokenizer = tokenizer
        self.device = device
        self.linears, self.weights, self.dtype = _split(checkpoint.weights, device)
        self.embedding = self.linears["embed"]  # (V, D)
        self.output = self.linears.get("output", self.embedding)  # (V, D)
        half = (
            torch.arange(0, self.shape.head_dim, 2, dtype=torch.float32, device=device) / self.shape.head_dim
        )
        self._inverse_frequency = 1.0 / self.shape.rope_base**half  # (H / 2,)

    @property
    def int8(self) -> bool:
        """Whether matrices are kept in bytes."""
        return isinstance(self.output, Int8)

    @property
    def form(self) -> str:
        """How weights are kept and computed with, for people: 'bfloat16', or 'int8, bfloat16'."""
        name = str(self.dtype).removeprefix("torch.")
        return f"int8, {name}" if self.int8 else name

    @classmethod
    def load(
        cls,
        path: str | Path,
        dtype: torch.dtype | None = None,
        device: str | None = None,
        cache_dir: Path | None = None,
        int8: bool = False,
    ) -> Backbone:
        """Map the GGUF at ``path`` (converted once). Defaults: best device and dtype of this machine.

        ``int8`` (CPU only, no gradients): matrices are kept in bytes, see `astral_model.linear`.

        Raises `astral_model.checkpoint.CheckpointError`.
        """
        chosen = device or best_device()
        form = torch.int8 if int8 and chosen == "cpu" else dtype or best_dtype(chosen)
        checkpoint = load_checkpoint(path, form, cache_dir)
        return cls(checkpoint, Tokenizer.load(checkpoint.tokenizer_file), chosen)

    # --- passes ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def context(self, ids: Sequence[int], cache: Cache | None = None) -> Cache:
        """Keys and values of the causal run ``ids``; what it shares with ``cache`` is reused."""
        ids = list(ids)
        shared = common_prefix(ids, cache.ids) if cache is not None else 0
        if cache is not None and shared:
            past = cache.truncated(shared)
            if shared == len(ids):
                return past
            _, new = self.forward(self._tensor([ids[shared:]]), context=past, start=shared)
            joined = [torch.cat([a, b], 2) for a, b in zip(past.keys, new.keys, strict=True)]
            joined_v = [torch.cat([a, b], 2) for a, b in zip(past.values, new.values, strict=True)]
            return Cache(joined, joined_v, ids)
        _, new = self.forward(self._tensor([ids]))
        return Cache(new.keys, new.values, ids)

    def forward(
        self,
        ids: Tensor,
        *,
        context: Cache | None = None,
        past: Cache | None = None,
        start: int | Tensor | None = None,
        positions: Tensor | None = None,
        causal: bool = True,
        own_mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        adapter: LinearAdapter | None = None,
        embedded: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """Run ``ids`` (N, T) after ``context`` (M rows, shared) and the rows' own ``past`` (N rows).

        start: position of the first new token, an int or (N,); default context length + past length.
        positions: (N, T) places of the new tokens, counted from ``start``; default 0 .. T - 1.
        causal: new token t sees new tokens <= t; False makes the block bidirectional (the canvas).
        own_mask: (N, T, P + T) bool, or (N, P + T) for all new tokens alike; False hides an own key.
        context_mask: (M, C) bool, False hides a context position (batches of unequal contexts).
        embedded: (N, T, D) replaces the embedding lookup of ``ids``.
        Returns hidden states after the last norm (N, T, D) and the own cache grown to P + T.
        """
        x = self.embedding.take(ids) if embedded is None else embedded  # (N, T, D)
        rows, length = ids.shape
        own_past = past.length if past is not None else 0
        if start is None:
            start = (context.length if context is not None else 0) + own_past
        cos, sin = self.rope(start, length, positions)
        first = causal and context is None and past is None and own_mask is None
        bias = None if first else self._own_bias(rows, length, own_past, causal, own_mask)
        context_bias = None
        if context_mask is not None:
            context_bias = torch.zeros(context_mask.shape, dtype=self.dtype, device=self.device)
            context_bias.masked_fill_(~context_mask, -math.inf)
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for i in range(self.shape.layers):
            x, k, v = self.layer(
                i,
                x,
                cos,
                sin,
                context_k=context.keys[i] if context is not None else None,
                context_v=context.values[i] if context is not None else None,
                past_k=past.keys[i] if past is not None else None,
                past_v=past.values[i] if past is not None else None,
                own_bias=bias,
                context_bias=context_bias,
                causal=first,
                adapter=adapter,
            )
            keys.append(k)
            values.append(v)
        return F.rms_norm(x, (self.shape.d,), self.weights["norm"], self.shape.eps), Cache(keys, values)

    def logits(self, hidden: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits in fp32 of ``hidden`` (..., D): over the vocabulary, or over the ids ``rows`` only.

        Gather the positions you need first: a linear over a non-contiguous slice is a hundred times slower.
        """
        output = self.output if rows is None else self.output.rows(rows)
        return output(hidden.contiguous()).float()  # (..., V)

    # --- one layer ------------------------------------------------------------------------------------

    def layer(
        self,
        i: int,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        *,
        context_k: Tensor | None = None,
        context_v: Tensor | None = None,
        past_k: Tensor | None = None,
        past_v: Tensor | None = None,
        own_bias: Tensor | None = None,
        context_bias: Tensor | None = None,
        causal: bool = False,
        adapter: LinearAdapter | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One block on ``x`` (N, T, D); returns the new x and the own keys and values (N, KV, P + T, H).

        causal: ``x`` is all there is and looks left; no bias says so.
        """
        w, s = self.weights, self.shape
        n, t, _ = x.shape
        h = F.rms_norm(x, (s.d,), w[f"{i}.attn_norm"], s.eps)  # (N, T, D)
        qkv = self.linear(i, "qkv", h, adapter).view(n, t, -1, s.head_dim).transpose(1, 2)
        q, k, v = qkv[:, : s.heads], qkv[:, s.heads : -s.kv_heads], qkv[:, -s.kv_heads :]  # (N, Q | KV, T, H)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if past_k is not None and past_v is not None:
            k, v = torch.cat([past_k, k], 2), torch.cat([past_v, v], 2)  # (N, KV, P + T, H)
        a = attend(q, k, v, context_k, context_v, own_bias, context_bias, causal)  # (N, T, D)
        x = x + self.linear(i, "o", a, adapter)
        h = F.rms_norm(x, (s.d,), w[f"{i}.ffn_norm"], s.eps)
        gate, up = self.linear(i, "gate_up", h, adapter).chunk(2, -1)  # (N, T, ff) each
        return x + self.linear(i, "down", F.silu(gate) * up, adapter), k, v

    def linear(self, i: int, name: str, x: Tensor, adapter: LinearAdapter | None) -> Tensor:
        """Base linear plus the adapter's change, if any."""
        y = self.linears[f"{i}.{name}"](x, self.weights.get(f"{i}.{name}_bias"))
        return y if adapter is None else y + adapter.delta(i, name, x)

    # --- positions and masks --------------------------------------------------------------------------

    def rope(
        self, start: int | Tensor, length: int, positions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """cos and sin of ``start`` + (0 .. length, or ``positions`` (N, T)): (1 | N, 1, T, H / 2)."""
        steps = torch.arange(length, device=self.device) if positions is None else positions
        first = torch.as_tensor(start, device=self.device, dtype=torch.float32).reshape(-1, 1)  # (1 | N, 1)
        angle = (first + steps)[:, None, :, None] * self._inverse_frequency  # (1 | N, 1, T, H / 2)
        return angle.cos().to(self.dtype), angle.sin().to(self.dtype)

    def _own_bias(
        self, rows: int, length: int, past: int, causal: bool, own_mask: Tensor | None
    ) -> Tensor | None:
        """Additive mask over own keys: (1 | N, T, P + T), or None when everything is visible."""
        if own_mask is None and (not causal or length == 1):
            return None
        visible = torch.ones(length, past + length, dtype=torch.bool, device=self.device)
        if causal:
            visible = visible.tril(past)
        if own_mask is not None and own_mask.dim() == 2:
            own_mask = own_mask[:, None, :]
        full = visible[None] if own_mask is None else visible[None] & own_mask
        return torch.zeros(full.shape, dtype=self.dtype, device=self.device).masked_fill_(~full, -math.inf)

    def _tensor(self, ids: list[list[int]]) -> Tensor:
        return torch.tensor(ids, dtype=torch.long, device=self.device)


def _split(
    weights: dict[str, Tensor], device: str
) -> tuple[dict[str, Linear], dict[str, Tensor], torch.dtype]:
    """Matrices as linears, vectors as tensors, and the dtype to compute in."""
    embed = weights["embed"]
    dtype = best_dtype(device) if embed.dtype == torch.int8 else embed.dtype
    linears: dict[str, Linear] = {}
    vectors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.dtype == torch.int8:
            even = name.rpartition(".")[2] in EVEN_INPUTS
            linears[name] = Int8(weight, weights[name + SCALE], dtype, even_inputs=even)
        elif weight.dim() == 2:
            linears[name] = Dense(weight.to(device))
        elif not name.endswith(SCALE):
            vectors[name] = weight.to(device, dtype)
    return linears, vectors, dtype


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    context_k: Tensor | None,
    context_v: Tensor | None,
    own_bias: Tensor | None,
    context_bias: Tensor | None,
    causal: bool = False,
) -> Tensor:
    """Softmax attention of q (N, Q, T, H) over a shared context (M, KV, C, H) and own keys (N, KV, S, H).

    Query heads of a group, and rows that share a context, are folded into matrix rows: two GEMMs instead of a
    repeated cache. Where no rows share one, torch's fused kernel takes a third of the time (its backward is
    slow). ``causal``: own keys are all there is, and new token t sees those <= t.

    On a CPU it computes in fp32: lengths are new at nearly every call, and oneDNN compiles a bf16 kernel for
    each and keeps it (see `astral_model.linear.product`), which costs more than the halved numbers save; not
    under gradients, where it costs a sixth of a training step. Returns (N, T, Q * H).
    """
    if q.dtype == torch.bfloat16 and q.device.type == "cpu" and not q.requires_grad:
        wide_k, wide_v, wide_own, wide_far = (
            None if x is None else x.float() for x in (context_k, context_v, own_bias, context_bias)
        )
        wide = attend(q.float(), k.float(), v.float(), wide_k, wide_v, wide_own, wide_far, causal)
        return wide.to(q.dtype)
    n, heads, t, width = q.shape
    if not q.requires_grad and (context_k is None or len(context_k) == n):
        return _fused(q, k, v, context_k, context_v, own_bias, context_bias, causal)
    if causal:
        own_bias = q.new_full((1, t, t), -math.inf).triu_(1)
    kv = k.shape[1]
    g = heads // kv
    own = k.shape[2]
    q = q.reshape(n, kv, g * t, width) * width**-0.5
    scores = q @ k.transpose(-1, -2)  # (N, KV, G T, S)
    if own_bias is not None:
        scores = (scores.view(n, kv, g, t, own) + own_bias[:, None, None]).view(n, kv, g * t, own)
    if context_k is None or context_v is None:
        out = scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
        return out.reshape(n, heads, t, width).transpose(1, 2).reshape(n, t, heads * width)
    m, _, c, _ = context_k.shape
    share = n // m
    folded = q.view(m, share, kv, g * t, width).transpose(1, 2).reshape(m, kv, share * g * t, width)
    far = folded @ context_k.transpose(-1, -2)  # (M, KV, N/M G T, C)
    if context_bias is not None:
        far = far + context_bias[:, None, None]
    far = far.view(m, kv, share, g * t, c).transpose(1, 2).reshape(n, kv, g * t, c)
    weights = torch.cat([far, scores], -1).softmax(-1, dtype=torch.float32).to(v.dtype)
    far, near = weights[..., :c], weights[..., c:]
    far = far.reshape(m, share, kv, g * t, c).transpose(1, 2).reshape(m, kv, share * g * t, c)
    seen = (far @ context_v).view(m, kv, share, g * t, width).transpose(1, 2).reshape(n, kv, g * t, width)
    out = seen + near @ v  # (N, KV, G T, H)
    return out.reshape(n, heads, t, width).transpose(1, 2).reshape(n, t, heads * width)


def _fused(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    context_k: Tensor | None,
    context_v: Tensor | None,
    own_bias: Tensor | None,
    context_bias: Tensor | None,
    causal: bool,
) -> Tensor:
    """`attend` where every row has a context of its own, or none."""
    n, heads, t, width = q.shape
    mask = own_bias  # (1 | N, T, S)
    if context_k is not None and context_v is not None:
        far = context_k.shape[2]
        k, v = torch.cat([context_k, k], 2), torch.cat([context_v, v], 2)  # (N, KV, C + S, H)
        if context_bias is not None and mask is None:
            mask = q.new_zeros(1, t, k.shape[2] - far)
        if mask is not None:
            left = q.new_zeros(1, 1, far) if context_bias is None else context_bias[:, None]  # (1 | N, 1, C)
            rows = max(len(left), len(mask))
            mask = torch.cat([left.expand(rows, t, far), mask.expand(rows, -1, -1)], 2)  # (1 | N, T, C + S)
    mask = None if mask is None else mask[:, None]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=True)
    return out.transpose(1, 2).reshape(n, t, heads * width)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (half-split pairing) on x (N, heads, T, H)."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def best_device() -> str:
    """'cuda', 'mps' or 'cpu', whichever is there first."""
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"
