"""Trains the adapter. Resumable to the step: everything random is a function of (seed, batch number).

One process a core, one thread each: on few and shared cores, a barrier per step costs far less than the
barriers inside every multi-threaded GEMM. A step is a fixed set of small batches; the processes draw them
from one counter, so that one whose core is taken away holds nobody up; gradients are summed once a step.
Run::

    torchrun --standalone --nproc-per-node 2 -m training.train RUN --data train.npz --base BASE.gguf

The learning rate warms up and then stays constant (so a run can always go on); ``--decay-minutes N`` makes
the release branch: from the resumable checkpoint, falling to zero over N minutes, saved apart.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from astral_model.adapter import Adapter
from astral_model.backbone import Backbone, Cache
from astral_model.corruption import Mixture
from astral_model.denoiser import Denoiser
from torch import Tensor

from training.dataset import Dataset, Example, plan
from training.packing import CAUSAL, UNSCORED, Views, pack


@dataclass(frozen=True)
class Settings:
    """What decides the run; saved with every checkpoint."""

    seed: int = 0
    rank: int = 32
    scale: float = 2.0
    learning_rate: float = 3e-4
    warmup: int = 20
    holes: int = 4
    """Holes a batch."""
    batches: int = 4
    """Batches a step."""
    longest_context: int = 260
    average: float = 0.99
    lookahead: float = 0.4
    """What the mean loss of the lookahead queries counts, where that of the causal view counts one."""
    noised: float = 0.6
    """What the mean loss of the noised views counts."""
    corruption: str = "mixture"
    """See `Mixture.named`."""
    elastic: float = 0.0
    """See `Views.elastic`."""
    alignment: float = 0.0
    """Weight of 1 - cos between the last hidden states of masked queries and those of the frozen base where
    it predicts the same token from everything before it (after REPR-ALIGN, arXiv 2605.06885)."""


@dataclass(frozen=True)
class Ids:
    """The special ids that a packed row holds."""

    anchor: int
    end: int
    expand: int = -1


class Model:
    """Base, adapter and the vocabulary that losses run over."""

    def __init__(
        self, base: Path, settings: Settings, frequency: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    ) -> None:
        self.backbone = Backbone.load(base, device="cpu")
        torch.manual_seed(settings.seed)
        self.adapter = Adapter(self.backbone.shape, settings.rank, settings.scale)
        tokenizer = self.backbone.tokenizer
        with torch.no_grad():
            self.adapter.mask_embedding.copy_(
                self.backbone.embedding.take(torch.tensor(tokenizer.mask)).float()
            )
        self.denoiser = Denoiser(self.backbone, self.adapter)
        seen = frequency > 1
        seen[tokenizer.end] = True
        seen[tokenizer.expand] |= settings.elastic > 0
        self.shortlist = shortlist = torch.from_numpy(np.flatnonzero(seen))
        self.output = self.backbone.output.rows(shortlist)  # (shortlist, D): a fifth of the vocabulary
        self.place = torch.full((self.backbone.shape.vocab,), -100)
        self.place[shortlist] = torch.arange(len(shortlist))
        self.ids = Ids(tokenizer.fim_middle, tokenizer.end, tokenizer.expand)


@dataclass
class Packed:
    """The rows of one batch, padded to the longest. M holes, C context, T packed positions."""

    contexts: Tensor  # (M, C)
    context_mask: Tensor  # (M, C) bool
    tokens: Tensor  # (M, T)
    masked: Tensor  # (M, T) bool
    positions: Tensor  # (M, T)
    sees: Tensor  # (M, T, T) bool
    target: Tensor  # (M, T)
    weight: Tensor  # (M, T)
    part: Tensor  # (M, T)
    source: Tensor  # (M, T)


def collate(
    examples: list[Example], ids: Ids, mixture: Mixture, views: Views, generator: torch.Generator
) -> Packed:
    """Draw the views of every hole (see `training.packing`) and put them side by side."""
    end = ids.end
    rows = [pack(e, ids.anchor, end, views, mixture, generator, ids.expand) for e in examples]
    m, size, longest = len(rows), max(len(r.tokens) for r in rows), max(len(e.context) for e in examples)
    out = Packed(
        torch.full((m, longest), end),
        torch.zeros(m, longest, dtype=torch.bool),
        torch.full((m, size), end),
        torch.zeros(m, size, dtype=torch.bool),
        torch.zeros(m, size, dtype=torch.long),
        torch.eye(size, dtype=torch.bool).repeat(m, 1, 1),
        torch.full((m, size), end),
        torch.zeros(m, size),
        torch.full((m, size), UNSCORED),
        torch.full((m, size), -1),
    )
    for i, (example, row) in enumerate(zip(examples, rows, strict=True)):
        context, t = torch.from_numpy(example.context.astype(np.int64)), len(row.tokens)
        out.contexts[i, : len(context)], out.context_mask[i, : len(context)] = context, True
        out.sees[i, :t, :t] = row.sees
        for name in ("tokens", "masked", "positions", "target", "weight", "part", "source"):
            getattr(out, name)[i, :t] = getattr(row, name)
    return out


def states(model: Model, packed: Packed) -> tuple[Tensor, Cache]:
    """Hidden states (M, T, D) of the packed positions, and the cache of their contexts (no gradient)."""
    with torch.no_grad():
        _, cache = model.backbone.forward(packed.contexts)
    cache = Cache(cache.keys, cache.values)
    hidden = model.denoiser.rows(
        packed.tokens,
        packed.masked,
        packed.sees,
        cache,
        positions=packed.positions,
        start=packed.context_mask.sum(1),
        context_mask=packed.context_mask,
    )
    return hidden, cache


def loss_of(model: Model, packed: Packed, settings: Settings) -> tuple[Tensor, Tensor]:
    """Weighted sum of the parts' mean losses (and of `misalignment`), and for each part how many positions it
    ran over and their summed plain loss: (6,)."""
    hidden, cache = states(model, packed)
    place = model.place[packed.target]  # (M, T)
    counted = (packed.part != UNSCORED) & (place >= 0)
    part, weight = packed.part[counted], packed.weight[counted]
    logits = model.output(hidden[counted]).float()  # (positions, shortlist)
    losses = F.cross_entropy(logits, place[counted], reduction="none")
    total, report = torch.zeros(()), torch.zeros(6)
    for kind, share in enumerate((1.0, settings.lookahead, settings.noised)):
        rows = part == kind
        if bool(rows.any()):
            total = total + share * (losses[rows] * weight[rows]).sum() / weight[rows].sum()
            plain = losses.detach()[rows & (weight > 0.1)]
            report[2 * kind], report[2 * kind + 1] = len(plain), plain.sum()
    if settings.alignment:
        total = total + settings.alignment * misalignment(model, packed, hidden, cache)
    return total, report


def misalignment(model: Model, packed: Packed, hidden: Tensor, context: Cache) -> Tensor:
    """Mean 1 - cos between ``hidden`` (M, T, D) at masked queries and the hidden states of the base alone on
    the left-to-right path, where it predicts the same answer token."""
    width = 1 + int(packed.source.max())  # the causal view stands first: anchor and answer
    with torch.no_grad():
        teacher, _ = model.backbone.forward(
            packed.tokens[:, :width],
            context=context,
            start=packed.context_mask.sum(1),
            context_mask=packed.context_mask,
        )  # (M, width, D)
    asked = (packed.part != CAUSAL) & (packed.weight > 0) & (packed.source >= 0)
    row, place = asked.nonzero(as_tuple=True)
    goal = teacher[row, packed.source[row, place]].float()
    return (1 - F.cosine_similarity(hidden[row, place].float(), goal, dim=-1)).mean()


class Batches:
    """The endless sequence of epochs, by batch number."""

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        self._dataset, self._settings = dataset, settings
        self._epochs: list[list[tuple[int, ...]]] = []

    def __getitem__(self, number: int) -> tuple[int, ...]:
        epoch = 0
        while True:
            if epoch == len(self._epochs):
                settings = self._settings
                self._epochs.append(
                    plan(self._dataset, settings.seed, epoch, settings.holes, settings.longest_context)
                )
            if number < len(self._epochs[epoch]):
                return self._epochs[epoch][number]
            number -= len(self._epochs[epoch])
            epoch += 1


class Run:
    """State of training: step, optimizer, running average, log."""

    def __init__(self, directory: Path, model: Model, settings: Settings, rank: int, world: int) -> None:
        self.directory, self.model, self.settings, self.rank, self.world = (
            directory,
            model,
            settings,
            rank,
            world,
        )
        self.mixture = Mixture.named(settings.corruption)
        self.views = Views(elastic=settings.elastic)
        self.parameters = [*model.adapter.factors.values(), model.adapter.mask_embedding]
        self.optimizer = torch.optim.AdamW(
            self.parameters, settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        self.average = [p.detach().clone() for p in self.parameters]
        self.tickets = dist.distributed_c10d._get_default_store()
        self.step, self.loss_tokens, self.seconds = 0, 0, 0.0
        latest = directory / "latest.pt"
        if latest.exists():
            self._restore(torch.load(latest, map_location="cpu", weights_only=True))

    def _restore(self, state: dict[str, object]) -> None:
        self.model.adapter.load_state_dict(state["adapter"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        for mine, saved in zip(self.average, state["average"], strict=True):  # type: ignore[call-overload]
            mine.copy_(saved)
        self.step, self.loss_tokens = int(state["step"]), int(state["loss_tokens"])  # type: ignore[call-overload]
        self.seconds = float(state["seconds"])  # type: ignore[arg-type]

    def save(self, name: str) -> None:
        """Write the resumable state atomically (rank 0 only)."""
        if self.rank:
            return
        partial = self.directory / f"{name}.part"
        torch.save(
            {
                "adapter": self.model.adapter.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average,
                "step": self.step,
                "loss_tokens": self.loss_tokens,
                "seconds": self.seconds,
                "settings": asdict(self.settings),
                "vocabulary": self.model.shortlist,
            },
            partial,
        )
        partial.replace(self.directory / f"{name}.pt")

    def update(self, dataset: Dataset, batches: Batches, learning_rate: float) -> list[float]:
        """One step over `Settings.batches` batches, shared among ranks as they are free. Returns the report
        of `loss_of`, summed."""
        total = self.settings.batches
        report = torch.zeros(6)
        while (ticket := self.tickets.add(f"step/{self.step}", 1) - 1) < total:
            number = self.step * total + ticket
            generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + number)
            examples = [dataset[i] for i in batches[number]]
            packed = collate(examples, self.model.ids, self.mixture, self.views, generator)
            self.model.adapter.prepare(self.model.backbone.dtype)
            loss, found = loss_of(self.model, packed, self.settings)
            (loss / total).backward()  # type: ignore[no-untyped-call]
            report += found
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        flat = torch.cat([g.flatten() for g in grads] + [report])
        dist.all_reduce(flat)
        report = flat[-6:].clone()
        at = 0
        for p in self.parameters:
            p.grad = flat[at : at + p.numel()].view_as(p)
            at += p.numel()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        keep = min(self.settings.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - keep)
        self.step += 1
        self.loss_tokens += int(report[::2].sum())
        return [float(x) for x in report]


def train(run: Run, dataset: Dataset, options: argparse.Namespace) -> None:
    """Step until the time, the steps or the decay run out; log every step, save every ten minutes."""
    batches = Batches(dataset, run.settings)
    rate = run.settings.learning_rate
    began, first, last_save = time.time(), run.step, time.time()
    before = run.seconds
    name = "decayed" if options.decay_minutes else "latest"
    stop_file = run.directory / "stop"
    log_path = run.directory / ("decay.csv" if options.decay_minutes else "log.csv")
    with log_path.open("a", newline="") as stream:
        log = csv.writer(stream)
        while True:
            spent = (time.time() - began) / 60
            over = spent > (options.decay_minutes or options.minutes)
            over |= stop_file.exists() or bool(options.steps and run.step - first >= options.steps)
            shared = torch.tensor([float(over), spent / run.world])
            dist.all_reduce(shared)  # one clock for all: ranks with different rates would drift apart
            if shared[0] > 0:
                break
            if options.decay_minutes:
                learning_rate = rate * max(0.0, 1 - float(shared[1]) / options.decay_minutes)
            else:
                learning_rate = rate * min(1.0, (run.step + 1) / run.settings.warmup)
            report = run.update(dataset, batches, learning_rate)
            run.seconds = before + time.time() - began
            if run.rank == 0:
                counts = [int(count) for count in report[::2]]
                losses = [round(loss / max(1, n), 4) for loss, n in zip(report[1::2], counts, strict=True)]
                row = [run.step, run.loss_tokens, round(run.seconds, 1), *counts]
                log.writerow([*row, *losses, f"{learning_rate:.2e}"])
                stream.flush()
                if run.step % 20 == 0:
                    print(f"step {run.step} {run.loss_tokens / run.seconds:.1f} loss tokens/s", flush=True)
            if time.time() - last_save > 600:
                run.save(name)
                last_save = time.time()
    run.save(name)
    if run.rank == 0:
        print(f"stopped at step {run.step}, {run.loss_tokens} loss tokens, {run.seconds:.0f} s", flush=True)


def main() -> None:
    """See the module docstring."""
    parser = argparse.ArgumentParser(description="Train the adapter.")
    parser.add_argument("run", type=Path, help="run directory; goes on from latest.pt if it is there")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--decay-minutes", type=float, default=0.0)
    for key, value in asdict(Settings()).items():
        parser.add_argument(f"--{key.replace('_', '-')}", type=type(value), default=value)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    settings = Settings(**{key: getattr(options, key) for key in asdict(Settings())})
    options.run.mkdir(parents=True, exist_ok=True)
    dataset = Dataset(options.data)
    model = Model(options.base, settings, dataset.frequency)
    run = Run(options.run, model, settings, dist.get_rank(), dist.get_world_size())
    if run.rank == 0:
        about = {**asdict(settings), "data": str(options.data), "ranks": run.world, "resumed_at": run.step}
        (options.run / "settings.json").write_text(json.dumps(about, indent=2))
        print(
            f"shortlist {len(model.shortlist)} of {model.backbone.shape.vocab}; {len(dataset)} holes",
            flush=True,
        )
    train(run, dataset, options)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
