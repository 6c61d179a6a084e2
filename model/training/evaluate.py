"""Measures an adapter: masked cross-entropy by rate, and exact match of whole fills at unknown length.

Held-out holes are decoded in batches that share nothing but the pass. Loads a released adapter directory or a
training checkpoint (``latest.pt``; ``--average`` takes its running average).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from astral_model.adapter import Adapter
from astral_model.backbone import Backbone, Cache
from astral_model.decoding import Canvas, Decoding, unmask
from astral_model.denoiser import Denoiser
from astral_model.healing import heal
from astral_model.order import OrderName
from astral_model.start_length import calibrated, first_step_confidence
from astral_model.vocabulary import Vocabulary
from astral_model.writing import Row, Writing, write
from torch import Tensor

from training.dataset import Dataset, Example
from training.holes import WEIGHTS

MID_LINE = frozenset(
    ("argument", "rhs", "condition", "return", "call", "comprehension", "iterable", "operand")
)
"""Kinds that are one expression inside a line."""


def load_adapter(path: Path, backbone: Backbone, average: bool = False) -> tuple[Adapter, Tensor | None]:
    """A released adapter, or one from a training checkpoint; with the ids it was trained over if known."""
    if path.is_dir():
        adapter = Adapter.load(
            path, backbone.shape, backbone.sha256, backbone.dtype, backbone.device, backbone.int8
        )
        return adapter, adapter.vocabulary
    state = torch.load(path, map_location="cpu", weights_only=True)
    settings = state["settings"]
    adapter = Adapter(backbone.shape, settings["rank"], settings["scale"])
    adapter.load_state_dict(state["adapter"])
    if average:
        with torch.no_grad():
            parameters = [*adapter.factors.values(), adapter.mask_embedding]
            for p, mean in zip(parameters, state["average"], strict=True):
                p.copy_(mean)
    adapter.requires_grad_(False)
    adapter.prepare(backbone.dtype, backbone.device, backbone.int8)
    return adapter, state.get("vocabulary")


def contexts_of(backbone: Backbone, examples: list[Example]) -> tuple[Cache, Tensor]:
    """Caches of unequal contexts, padded on the right: (cache of M rows, context_mask (M, T))."""
    longest = max(len(e.context) for e in examples)
    ids = torch.full((len(examples), longest), backbone.tokenizer.end)
    mask = torch.zeros(len(examples), longest, dtype=torch.bool)
    for i, e in enumerate(examples):
        ids[i, : len(e.context)] = torch.from_numpy(e.context).long()
        mask[i, : len(e.context)] = True
    with torch.inference_mode():
        _, cache = backbone.forward(ids)
    return cache, mask


@torch.inference_mode()
def cross_entropy(
    denoiser: Denoiser, vocabulary: Vocabulary, examples: list[Example], canvas: int, rates: tuple[float, ...]
) -> dict[float, float]:
    """Mean masked cross-entropy of answer and end tokens, unknown length, by mask rate; rate 0 stands for
    the left-to-right path."""
    generator = torch.Generator().manual_seed(0)
    place = torch.full((denoiser.backbone.shape.vocab,), -1)
    place[vocabulary.ids] = torch.arange(len(vocabulary.ids))
    sums: dict[float, list[Tensor]] = defaultdict(list)
    for i in range(0, len(examples), 8):
        part = examples[i : i + 8]
        cache, mask = contexts_of(denoiser.backbone, part)
        ids = torch.full((len(part), canvas), vocabulary.end)
        for row, e in enumerate(part):
            ids[row, : len(e.answer)] = torch.from_numpy(e.answer).long()
        length = torch.tensor([len(e.answer) for e in part])[:, None]
        column = torch.arange(canvas)[None]
        for rate in rates:
            masked = (torch.rand(ids.shape, generator=generator) < rate) | (column > length)
            causal = None
            if rate == 0.0:  # the left-to-right path: every prefix at once
                masked = torch.zeros_like(masked)
                causal = torch.ones(len(part), dtype=torch.bool)
            hidden = denoiser.hidden(ids, masked, cache, start=mask.sum(1), context_mask=mask, causal=causal)
            counted = (masked | (causal is not None)) & (column <= length) & (place[ids] >= 0)
            logits = vocabulary.logits(hidden[counted], torch.zeros(0, dtype=torch.long))
            sums[rate].append(F.cross_entropy(logits, place[ids[counted]], reduction="none"))
    return {rate: float(torch.cat(parts).mean()) for rate, parts in sums.items()}


def owed_by(example: Example, backbone: Backbone) -> bytes:
    """The healed tokens of an example as bytes."""
    return b"".join(backbone.tokenizer.pieces[t] for t in example.answer[: example.forced])


def decode(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    examples: list[Example],
    owed: list[bytes],
    canvas: int,
    how: Decoding,
    *,
    calibrate: bool = False,
) -> tuple[list[str], int]:
    """Texts of the best fill of each example, healed part included; with the number of row evaluations.

    ``calibrate``: elastic rows start with the length that CAL finds; its pass counts one evaluation a size.
    """
    texts: list[str] = []
    evaluations = 0
    tokenizer = denoiser.backbone.tokenizer
    for i in range(0, len(examples), 8):
        part = examples[i : i + 8]
        cache, mask = contexts_of(denoiser.backbone, part)
        if how.order == "left_to_right":
            rows = [Row(bytes_) for bytes_ in owed[i : i + 8]]
            evaluations += write(
                denoiser,
                vocabulary,
                cache,
                rows,
                Writing(canvas),
                vary=False,
                start=mask.sum(1),
                context_mask=mask,
            )
            texts += [tokenizer.decode(row.tokens) for row in rows]
            continue
        shape = Canvas.given_end if how.elastic else Canvas.blank
        sizes = [how.start if how.elastic else canvas] * len(part)
        if calibrate:
            sure = first_step_confidence(denoiser, vocabulary, cache, start=mask.sum(1), context_mask=mask)
            sizes = calibrated(sure)
            evaluations += sure.numel()
        state = shape(sizes, vocabulary.end, owed[i : i + 8])
        unmask(denoiser, vocabulary, cache, state, how, start=mask.sum(1), context_mask=mask)
        evaluations += state.evaluations
        for row in range(len(part)):
            length = state.length(row, vocabulary.end)
            texts.append(tokenizer.decode(state.ids[row, : canvas if length is None else length].tolist()))
    return texts, evaluations


def print_bias(denoiser: Denoiser, vocabulary: Vocabulary, examples: list[Example]) -> None:
    """What `astral_model.start_length.BIAS` is on ``examples``: holes other than those that are measured."""
    found = []
    for i in range(0, len(examples), 4):
        cache, mask = contexts_of(denoiser.backbone, examples[i : i + 4])
        found.append(first_step_confidence(denoiser, vocabulary, cache, start=mask.sum(1), context_mask=mask))
    print("bias", [round(float(mean), 3) for mean in torch.cat(found).mean(0)], flush=True)


def interval(hits: int, cases: int) -> tuple[float, float]:
    """95 % Wilson interval of a share."""
    if not cases:
        return 0.0, 1.0
    z, p = 1.96, hits / cases
    middle = (p + z * z / (2 * cases)) / (1 + z * z / cases)
    half = z * math.sqrt(p * (1 - p) / cases + z * z / (4 * cases * cases)) / (1 + z * z / cases)
    return middle - half, middle + half


def pick(dataset: Dataset, kinds: frozenset[str], cases: int, canvas: int) -> list[Example]:
    """``cases`` examples of ``kinds`` that fit into the canvas, the same ones each time."""
    names = list(WEIGHTS)
    found: list[Example] = []
    order = list(range(len(dataset)))
    random.Random(0).shuffle(order)
    for i in order:
        if names[int(dataset.kinds[i])] in kinds and len(dataset[i].answer) < canvas:
            found.append(dataset[i])
            if len(found) == cases:
                break
    return found


def infilling(
    denoiser: Denoiser, vocabulary: Vocabulary, path: Path, every: int, canvas: int, how: Decoding
) -> dict[str, float]:
    """HumanEval-Infilling rows: pass@1 and exact match of the one best fill, nothing cut from it.

    Runs what the model wrote, six seconds a case, with this interpreter: for development only.
    """
    tokenizer = denoiser.backbone.tokenizer
    rows = [json.loads(line) for line in path.read_text().splitlines()][::every]
    healed = [heal(row["prompt"]) for row in rows]
    empty = np.zeros(0, np.uint8)
    examples = [
        Example(
            np.array(
                tokenizer.fim_context(tokenizer.encode(h.prefix), tokenizer.encode(row["suffix"])), np.int32
            ),
            np.zeros(0, np.int32),
            empty,
            empty.reshape(0, 2),
            0,
            0,
        )
        for h, row in zip(healed, rows, strict=True)
    ]
    order = sorted(range(len(rows)), key=lambda i: len(examples[i].context))  # like lengths share a batch
    owed = [healed[i].forced.encode() for i in order]
    texts, evaluations = decode(denoiser, vocabulary, [examples[i] for i in order], owed, canvas, how)
    passed = exact = 0
    for i, text in zip(order, texts, strict=True):
        row, fill = rows[i], text[len(healed[i].forced) :]
        exact += fill.strip() == row["canonical_solution"].strip()
        passed += runs_clean(
            row["prompt"] + fill + row["suffix"] + row["test"] + f"\ncheck({row['entry_point']})\n"
        )
    n = len(rows)
    low, high = interval(passed, n)
    return {
        "cases": n,
        "pass": passed / n,
        "low": low,
        "high": high,
        "exact": exact / n,
        "evaluations": evaluations / n,
    }


def runs_clean(program: str) -> bool:
    """Whether ``program`` ends without an error within six seconds, in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", program], capture_output=True, timeout=6, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> None:
    """``python -m training.evaluate ADAPTER --data val.npz --base BASE.gguf``."""
    parser = argparse.ArgumentParser(description="Measure an adapter on held-out holes.")
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--rows", type=Path, action="append", default=[], help="infilling rows to score")
    parser.add_argument("--every", type=int, default=1, help="take every n-th row")
    parser.add_argument("--average", action="store_true")
    parser.add_argument("--int8", action="store_true", help="in bytes, as the server keeps base and adapter")
    parser.add_argument("--cases", type=int, default=48)
    parser.add_argument("--loss-cases", type=int, default=64)
    parser.add_argument("--rates", default="0,0.3,0.6,1", help="mask rates; 0: the left-to-right path")
    parser.add_argument("--canvas", type=int, default=32)
    parser.add_argument("--orders", default="left_to_right")
    parser.add_argument("--groups", default="mid_line,line,span")
    parser.add_argument("--threshold", type=float, default=0.9)
    parser.add_argument("--elastic", type=int, default=0, help="start with so many masks, grow and shrink")
    parser.add_argument("--calibrated", action="store_true", help="with --elastic: CAL's start length")
    parser.add_argument("--no-loss", action="store_true")
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = Backbone.load(options.base, device="cpu", int8=options.int8)
    adapter, ids = load_adapter(options.adapter, backbone, options.average)
    denoiser = Denoiser(backbone, adapter)
    vocabulary = Vocabulary(backbone, ids)
    dataset = Dataset(options.data)
    report: dict[str, object] = {}
    if not options.no_loss:
        rates = tuple(map(float, options.rates.split(",")))
        everything = pick(dataset, frozenset(WEIGHTS), options.loss_cases, options.canvas)
        report["cross_entropy"] = cross_entropy(denoiser, vocabulary, everything, options.canvas, rates)
        print(json.dumps(report), flush=True)
    orders: list[OrderName] = options.orders.split(",")
    for path in options.rows:
        for order in orders:
            how = Decoding(order, options.threshold, elastic=options.elastic > 0, start=options.elastic)
            found = infilling(denoiser, vocabulary, path, options.every, 64, how)
            print(path.name, order, json.dumps(found), flush=True)
    if not options.cases:
        return
    if options.calibrated:
        print_bias(
            denoiser, vocabulary, pick(dataset, MID_LINE, 2 * options.cases, options.canvas)[options.cases :]
        )
    groups = {"mid_line": MID_LINE, "line": frozenset(["line"]), "span": frozenset(["span", "rest_of_line"])}
    for order in orders:
        for name in options.groups.split(","):
            kinds = groups[name]
            examples = pick(dataset, kinds, options.cases, options.canvas)
            began = time.time()
            how = Decoding(order, options.threshold, elastic=options.elastic > 0, start=options.elastic)
            owed = [owed_by(e, backbone) for e in examples]
            texts, evaluations = decode(
                denoiser, vocabulary, examples, owed, options.canvas, how, calibrate=options.calibrated
            )
            answers = [backbone.tokenizer.decode(e.answer.tolist()) for e in examples]
            hits = sum(a.strip() == b.strip() for a, b in zip(texts, answers, strict=True))
            low, high = interval(hits, len(examples))
            n, seconds = len(examples), time.time() - began
            print(
                f"{order} {name}: exact {hits}/{n} = {hits / n:.3f} [{low:.2f}, {high:.2f}], "
                f"{evaluations / n:.1f} evaluations and {seconds / n:.2f} s a fill",
                flush=True,
            )
            for text, answer in list(zip(texts, answers, strict=True))[: options.show]:
                print(
                    "   ", "ok " if text.strip() == answer.strip() else "   ", repr(answer), "->", repr(text)
                )


if __name__ == "__main__":
    main()
