"""The ablation table: runs of equal length side by side, on the same held-out holes.

    python -m training.ablations RUN... --data val.npz --base BASE.gguf

Each RUN is a directory of `training.train`; its running average is measured. Runs with elastic gaps are
measured with them as well: canvases that start with eight masks and a given end.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from astral_model.backbone import Backbone
from astral_model.decoding import Decoding
from astral_model.denoiser import Denoiser
from astral_model.elastic import START
from astral_model.order import OrderName
from astral_model.vocabulary import Vocabulary

from training.dataset import Dataset, Example
from training.evaluate import MID_LINE, cross_entropy, decode, interval, load_adapter, owed_by, pick
from training.holes import WEIGHTS

ORDERS: tuple[OrderName, ...] = ("left_to_right", "confidence", "anchored")
RATES = (0.0, 0.3, 0.6, 1.0)
"""Mask rates of the cross-entropy; 0 is the left-to-right path."""


@dataclass(frozen=True)
class Cases:
    """What every run is measured on."""

    loss: list[Example]
    mid_line: list[Example]
    canvas: int


def losses(denoiser: Denoiser, vocabulary: Vocabulary, cases: Cases) -> list[str]:
    """Cross-entropy by mask rate, as cells."""
    found = cross_entropy(denoiser, vocabulary, cases.loss, cases.canvas, RATES)
    return [f"{found[rate]:.2f}" for rate in RATES]


def exact(denoiser: Denoiser, vocabulary: Vocabulary, cases: Cases, how: Decoding) -> str:
    """Exact matches with their 95 % interval and row passes a fill, as one cell."""
    base = denoiser.backbone
    owed = [owed_by(example, base) for example in cases.mid_line]
    texts, evaluations = decode(denoiser, vocabulary, cases.mid_line, owed, cases.canvas, how)
    answers = [base.tokenizer.decode(example.answer.tolist()) for example in cases.mid_line]
    hits = sum(a.strip() == b.strip() for a, b in zip(texts, answers, strict=True))
    n = len(answers)
    low, high = interval(hits, n)
    return f"{100 * hits / n:.1f} [{100 * low:.0f}, {100 * high:.0f}], {evaluations / n:.1f}"


def rows(run: Path, backbone: Backbone, cases: Cases, threshold: float) -> Iterator[str]:
    """The table's rows of one run."""
    state = torch.load(run / "latest.pt", map_location="cpu", weights_only=True)
    adapter, ids = load_adapter(run / "latest.pt", backbone, average=True)
    denoiser = Denoiser(backbone, adapter)
    vocabulary = Vocabulary(backbone, ids)
    about = f"{run.name}, {state['step']} steps, {state['loss_tokens']} loss tokens"
    cells = losses(denoiser, vocabulary, cases)
    cells += [exact(denoiser, vocabulary, cases, Decoding(order, threshold)) for order in ORDERS]
    yield f"| {about} | " + " | ".join(cells) + " |"
    if state["settings"].get("elastic"):
        cells = ["", "", "", "", ""]
        for order in ORDERS[1:]:
            how = Decoding(order, threshold, elastic=True)
            cells.append(exact(denoiser, vocabulary, cases, how))
        yield (f"| {run.name}, gaps that grow and shrink from {START} masks | " + " | ".join(cells) + " |")


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Measure runs of equal length side by side.")
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=64)
    parser.add_argument("--canvas", type=int, default=32)
    parser.add_argument("--threshold", type=float, default=0.9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = Backbone.load(options.base, device="cpu")
    dataset = Dataset(options.data)
    cases = Cases(
        pick(dataset, frozenset(WEIGHTS), options.cases, options.canvas),
        pick(dataset, MID_LINE, options.cases, options.canvas),
        options.canvas,
    )
    head = [f"cross-entropy at rate {rate:g}" for rate in RATES]
    head += [f"{order}: exact %, passes" for order in ORDERS]
    print("| run | " + " | ".join(head) + " |")
    print("|" + "---|" * (len(head) + 1))
    for run in options.runs:
        for row in rows(run, backbone, cases, options.threshold):
            print(row, flush=True)


if __name__ == "__main__":
    main()
