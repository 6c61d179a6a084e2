"""Passes of the denoiser beside what this machine's matrix products reach, measured in the same run.

A canvas step on a warm context, one position a row as strict left-to-right order has it, the reading of a
context, and a batch of training in the shapes of the project's first experiment (four contexts of 224 tokens,
24 canvas positions; one process and one thread, as training runs one a core). GFLOP/s count the linear maps
only, base and adapter; attention and the output rows are extra work that the time includes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "model"))  # training is not part of the installed package

from astral_model.adapter import linear_sizes  # noqa: E402
from astral_model.backbone import Cache  # noqa: E402
from astral_model.checkpoint import Shape  # noqa: E402
from astral_model.corruption import Mixture  # noqa: E402
from astral_model.hybrid import Engines  # noqa: E402
from astral_model.linear import multiplies_bytes  # noqa: E402
from astral_model.sampler import FlowEngine  # noqa: E402
from astral_model.store import Store  # noqa: E402
from training.dataset import Example  # noqa: E402
from training.packing import Views  # noqa: E402
from training.train import Model, Settings, collate, loss_of  # noqa: E402

from astral_lsp.workers.model import limit_memory  # noqa: E402

CANVAS = 16
CONTEXT = 600
LONG_CONTEXT = 1250
"""What the server's budgets of characters come to in most files that are longer than them."""
TRAINED_CONTEXT, TRAINED_ANSWER, HOLES = 224, 23, 4
FIRST_EXPERIMENT = 25
"""Loss tokens a second of the first experiment, over two cores of another machine (its notes)."""


def seconds(work: Callable[[], object], times: int) -> float:
    """Median time of ``work``, which ran twice before: kernels are made, pages are there."""
    work(), work()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return sorted(found)[times // 2]


def gemm_rate(dtype: torch.dtype, shape: Shape) -> float:
    """GFLOP/s of the largest matrix of a layer times 1024 positions."""
    x, weight = torch.randn(1024, shape.d).to(dtype), torch.randn(2 * shape.ff, shape.d).to(dtype)
    return 2e-9 * x.numel() * len(weight) / seconds(lambda: torch.nn.functional.linear(x, weight), 9)


def byte_rate(shape: Shape) -> float:
    """The same with bytes on both sides."""
    x = torch.randint(-127, 127, (1024, shape.d), dtype=torch.int8)
    weight = torch.randint(-127, 127, (2 * shape.ff, shape.d), dtype=torch.int8)
    return 2e-9 * x.numel() * len(weight) / seconds(lambda: torch._int_mm(x, weight.t()), 9)


def flops(shape: Shape, rank: int) -> float:
    """Operations of a position's linear maps, adapter (of ``rank``, 0 for none) included."""
    sizes = linear_sizes(shape).values()
    return 2.0 * shape.layers * sum(out * inner + rank * (out + inner) for out, inner in sizes)


def print_inference(flow: FlowEngine, gemm: float, times: int) -> None:
    """Canvas steps, left-to-right passes and the reading of a context, as the model worker computes them."""
    base, denoiser = flow.backbone, flow.denoiser
    ids = flow.vocabulary.ids[torch.arange(LONG_CONTEXT) * 7 % len(flow.vocabulary.ids)]
    none = torch.zeros(0, dtype=torch.long)

    @torch.inference_mode()
    def step(context: Cache, rows: int) -> None:
        canvas = ids[:CANVAS].repeat(rows, 1)
        masked = torch.ones_like(canvas, dtype=torch.bool)
        masked[:, ::2] = False
        hidden = denoiser.hidden(canvas, masked, context)
        flow.vocabulary.logits(hidden[masked], none)

    @torch.inference_mode()
    def left_to_right(context: Cache, rows: int) -> None:
        hidden, _ = base.forward(ids[:1].repeat(rows, 1), context=context, adapter=denoiser.adapter)
        flow.vocabulary.logits(hidden[:, -1], none)

    context = base.context(ids[:CONTEXT].tolist())
    rank = denoiser.adapter.rank
    for name, work, positions in (
        ("canvas step", step, CANVAS + 1),
        ("left-to-right pass, one position a row,", left_to_right, 1),
    ):
        for rows in (1, 4, 8):
            took = seconds(lambda work=work, rows=rows: work(context, rows), times)  # type: ignore[misc]
            rate = 1e-9 * rows * positions * flops(base.shape, rank) / took
            size = f"{CANVAS} tokens, " if positions > 1 else ""
            print(f"{name} {size}{rows} rows, context {CONTEXT}: {1e3 * took:.1f} ms, {_of(rate, gemm)}")
    for length in (CONTEXT, LONG_CONTEXT):
        read = ids[:length].tolist()
        took = seconds(lambda read=read: base.context(read), times)  # type: ignore[misc]
        rate = 1e-9 * length * flops(base.shape, 0) / took
        print(f"reading a context of {length} tokens: {1e3 * took:.0f} ms, {_of(rate, gemm)}")


def print_training(base: Path, size: int, vocabulary: torch.Tensor, gemm: float, times: int) -> None:
    """Forward and backward of one batch; the base in bf16 (or fp32), as `training.train` has it."""
    frequency = 2 * np.isin(np.arange(size), vocabulary.numpy())  # what the losses run over
    settings = Settings()
    model = Model(base, settings, frequency)
    rng = np.random.default_rng(0)
    drawn = vocabulary.numpy().astype(np.int32)
    spans = np.array([[0, 4], [4, 9]], np.uint8)
    examples = [
        Example(
            rng.choice(drawn, TRAINED_CONTEXT),
            rng.choice(drawn, TRAINED_ANSWER),
            np.zeros(TRAINED_ANSWER, np.uint8),
            spans,
            0,
            0,
        )
        for _ in range(HOLES)
    ]
    packed = collate(examples, model.ids, Mixture(), Views(), torch.Generator().manual_seed(0))
    counted = 0

    def batch() -> None:
        nonlocal counted
        model.adapter.prepare(model.backbone.dtype)
        loss, report = loss_of(model, packed, settings)
        loss.backward()  # type: ignore[no-untyped-call]
        counted = int(report[::2].sum())

    took = seconds(batch, max(3, times // 4))
    shape = model.backbone.shape
    own = packed.tokens.numel() * 2 * flops(shape, settings.rank)  # backward: gradients of inputs
    read = packed.contexts.numel() * flops(shape, 0)
    rate = 1e-9 * (own + read) / took
    print(
        f"training, {HOLES} holes of {TRAINED_CONTEXT} + {TRAINED_ANSWER + 1} tokens, 1 thread: "
        f"{took:.1f} s, {counted} loss tokens, {counted / took:.0f} a second, "
        f"{counted / took / FIRST_EXPERIMENT:.1f} times the first experiment's over two cores of another "
        f"machine, {_of(rate, gemm)}"
    )


def _of(rate: float, gemm: float) -> str:
    return f"{rate:.0f} GFLOP/s, {rate / gemm:.0%} of a plain product"


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=15)
    options = parser.parse_args()
    path = Store().find()
    if path is None:
        sys.exit("no weights; run: astral-lsp model pull")
    limit_memory()
    flow = Engines.load(path, "", Store().converted).get("flow")
    assert isinstance(flow, FlowEngine)
    base, shape = flow.backbone, flow.backbone.shape
    threads = torch.get_num_threads()
    rates = {dtype: gemm_rate(dtype, shape) for dtype in (torch.bfloat16, torch.float32)}
    listed = ", ".join(f"{str(dtype)[6:]} {rate:.0f} GFLOP/s" for dtype, rate in rates.items())
    listed += f", bytes {byte_rate(shape):.0f}" if multiplies_bytes() else ""
    print(f"{threads} threads; plain products of 1024 positions: {listed}; base {base.form}")
    print_inference(flow, rates[base.dtype], options.times)
    torch.set_num_threads(1)
    one = gemm_rate(base.dtype, shape)
    print(f"1 thread; plain product: {one:.0f} GFLOP/s")
    print_training(path, shape.vocab, flow.vocabulary.ids, one, options.times)


if __name__ == "__main__":
    main()
