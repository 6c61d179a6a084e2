"""One frozen weight matrix, kept and multiplied as suits the machine.

`Dense` is the plain case. `Int8` keeps a row of weights as signed bytes with one scale: half the memory of
bf16, and where few positions are multiplied (decoding: the time goes into reading weights) less than half the
time. For many positions (reading a context) bytes are widened first, which costs a tenth of the GEMM.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

FEW = 20
"""Positions up to which the byte kernel beats widening and a GEMM (AVX-512: 32 lose, 16 win)."""
STEP = 16
"""The byte kernel reads rows in such steps: of one whose length is no multiple it reads too far (torch 2.13,
AVX-512)."""


SIZES = ((32, 8), (256, 32), (1 << 62, 128))
"""Up to so many positions, a bf16 product on a CPU is computed for the next multiple of so many."""
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
    flat = x.reshape(-1, x.shape[-1])  # (P, in)
    positions = len(flat)
    step = next(step for most, step in SIZES if positions <= most)
    more = -positions % step
    y = F.linear(F.pad(flat, (0, 0, 0, more)) if more else flat, weight, bias)[:positions]
    return y.view(*x.shape[:-1], -1)


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

    def __init__(self, values: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        self.values, self.scale, self.dtype = values, scale, dtype
        self._wide_scale = scale.to(dtype)
        self._kernel_scale = scale.to(torch.bfloat16)

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])  # (P, in)
        if len(flat) <= FEW and flat.shape[1] % STEP == 0:
            y = torch._weight_int8pack_mm(flat.to(torch.bfloat16), self.values, self._kernel_scale)
            y = y.to(self.dtype)
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
