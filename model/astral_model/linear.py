"""One frozen weight matrix, kept and multiplied as suits the machine.

`Dense` is the plain case. `Int8` keeps a row of weights as signed bytes with one scale: half the memory of
bf16, and where few positions are multiplied (decoding: the time goes into reading weights) less than half the
time. For more of them either both sides are multiplied in bytes, twice as fast on a CPU with VNNI, where the
inputs bear it; or the weights are widened first.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

FEW = 20
"""Positions up to which the byte kernel beats widening and a GEMM (AVX-512: 32 lose, 16 win)."""
FEW_BESIDE_BYTES = 8
"""Positions up to which it beats a product of bytes by bytes (AVX512-VNNI: 8 break even)."""
STEP = 16
"""The byte kernel reads rows in such steps: of one whose length is no multiple it reads too far (torch 2.13,
AVX-512)."""


SIZES = ((32, 8), (256, 32), (1 << 62, 128))
"""Up to so many positions, a bf16 product on a CPU is computed for the next multiple of so many."""
AT_ONCE = 512
"""Positions of a product of bytes: its sums take four bytes each, and memory that is new takes longer."""
BLOCK = 9 << 20
"""Weights that are widened at once: the largest matrix of a layer."""


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., in) W^T + bias for a plain W (out, in).

    For every new number of positions of a bf16 product oneDNN compiles a kernel on the CPU and never lets go
    of it (0.3 to 0.6 MB, measured with torch 2.13): a worker would grow for as long as it lives. Hence
    positions are rounded up, so that few numbers occur.
    """
    if x.dtype != torch.bfloat16 or x.device.type != "cpu":
        return F.linear(x, weight, bias)
    flat, positions = _rounded_up(x.reshape(-1, x.shape[-1]))  # (P, in)
    return F.linear(flat, weight, bias)[:positions].view(*x.shape[:-1], -1)


def _rounded_up(flat: Tensor) -> tuple[Tensor, int]:
    """``flat`` (P, in) with rows of zeros up to one of few sizes, and P."""
    positions = len(flat)
    step = next(step for most, step in SIZES if positions <= most)
    more = -positions % step
    return (F.pad(flat, (0, 0, 0, more)) if more else flat), positions


@cache
def multiplies_bytes() -> bool:
    """Whether this CPU has instructions for products of bytes (x86 with AVX512-VNNI)."""
    asked = getattr(torch.cpu, "_is_vnni_supported", None)
    return bool(asked is not None and asked())


class Linear(Protocol):
    """y = x W^T with a frozen W (out, in)."""

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """x (..., in) -> (..., out) in the dtype of ``x``."""
        ...

    def rows(self, ids: Tensor) -> Linear:
        """Only the outputs ``ids`` (R,), as a copy."""
        ...

    def take(self, ids: Tensor) -> Tensor:
        """Rows ``ids`` (...) of W itself: (..., in), in the compute dtype. The embedding lookup."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """(out, in)."""
        ...


class Dense:
    """W in the dtype that is computed in."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        return product(x, self.weight, bias)

    def rows(self, ids: Tensor) -> Linear:
        return Dense(self.weight[ids].contiguous())

    def take(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)

    @property
    def size(self) -> tuple[int, int]:
        return self.weight.shape[0], self.weight.shape[1]


class Int8:
    """W = diag(scale) Q: Q (out, in) int8, scale (out,). Inference only, one thread at a time."""

    _scratch: dict[torch.dtype, Tensor] = {}  # noqa: RUF012 - one widening buffer for all matrices of the process

    def __init__(
        self, values: Tensor, scale: Tensor, dtype: torch.dtype, *, even_inputs: bool = False
    ) -> None:
        """``even_inputs``: no few inputs are much larger than the rest, so that they too may be bytes."""
        self.values, self.scale, self.dtype = values, scale, dtype
        self._both_in_bytes = even_inputs and multiplies_bytes()
        self._wide_scale = scale.to(dtype)
        self._kernel_scale = scale.to(torch.bfloat16)

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])  # (P, in)
        few = FEW_BESIDE_BYTES if self._both_in_bytes else FEW
        if len(flat) <= few and flat.shape[1] % STEP == 0:
            y = torch._weight_int8pack_mm(flat.to(torch.bfloat16), self.values, self._kernel_scale)
            y = y.to(self.dtype)
        elif self._both_in_bytes:
            y = self._byte_product(flat)
        else:
            y = self._widened_product(flat) * self._wide_scale  # (P, out)
        y = y.view(*x.shape[:-1], -1)
        return y if bias is None else y + bias

    def rows(self, ids: Tensor) -> Linear:
        return Int8(self.values[ids].contiguous(), self.scale[ids], self.dtype)

    def take(self, ids: Tensor) -> Tensor:
        return self.values[ids].to(self.dtype) * self._wide_scale[ids][..., None]

    @property
    def size(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    def _byte_product(self, flat: Tensor) -> Tensor:
        """flat W^T: (P, out), each position of ``flat`` rounded to bytes by a scale of its own: exact but for
        that, and the same whatever stands beside it."""
        if len(flat) > AT_ONCE:
            return torch.cat([self._byte_product(part) for part in torch.split(flat, AT_ONCE)])
        flat, positions = _rounded_up(flat)
        scale = flat.abs().amax(1, keepdim=True).float().clamp_(min=1e-12).div_(127)  # (P, 1)
        values = torch.mul(flat, scale.reciprocal()).round_().to(torch.int8)
        y = torch._int_mm(values, self.values.t())  # (P, out) int32
        return y.float().mul_(scale).mul_(self.scale).to(self.dtype)[:positions]

    def _widened_product(self, flat: Tensor) -> Tensor:
        """flat Q^T: (P, out). Q is widened a block of rows at a time: the whole output matrix is 270 MB."""
        out, inner = self.size
        block = max(1, BLOCK // inner)
        if out <= block:
            return product(flat, self._widen(self.values))
        y = flat.new_empty(len(flat), out)
        for first in range(0, out, block):
            part = self.values[first : first + block]
            y[:, first : first + block] = product(flat, self._widen(part))
        return y

    def _widen(self, part: Tensor) -> Tensor:
        """``part`` in the compute dtype (bytes are exact in bf16), in a buffer that the next call reuses."""
        buffer = self._scratch.get(self.dtype)
        if buffer is None:
            with torch.inference_mode(False):  # an inference tensor could not be written to outside that mode
                buffer = self._scratch[self.dtype] = torch.empty(BLOCK, dtype=self.dtype)
        if part.numel() > BLOCK:  # a single row that is longer than a block
            return part.to(self.dtype)
        wide = buffer[: part.numel()].view(part.shape)
        wide.copy_(part)
        return wide


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest (Q, scale) of a matrix (out, in): scale = max |row| / 127, fp32."""
    weight = weight.float()
    scale = (weight.abs().amax(1) / 127).clamp(min=1e-12)  # (out,)
    return (weight / scale[:, None]).round_().to(torch.int8), scale
