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
from astral_model.corruption import Mixture, corrupt, nearness
from astral_model.denoiser import Denoiser
from torch import Tensor

from training.dataset import Batch, Dataset, plan

NOISINGS = {8: 5, 16: 3, 32: 2, 64: 2}
"""Rows of one hole by canvas size: the first is causal and trains every prefix, the others are noised."""


@dataclass(frozen=True)
class Settings:
    """What decides the run; saved with every checkpoint."""

    seed: int = 0
    rank: int = 32
    scale: float = 2.0
    learning_rate: float = 5e-4
    warmup: int = 10
    contexts: int = 2
    batches: int = 4
    end_weight: float = 1.5
    tail_weight: float = 0.1
    longest_context: int = 260
    tail_share: float = 0.25
    average: float = 0.98


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
            self.adapter.mask_embedding.copy_(self.backbone.embedding[tokenizer.mask].float())
        self.denoiser = Denoiser(self.backbone, self.adapter)
        seen = frequency > 1
        seen[tokenizer.end] = True
        self.shortlist = shortlist = torch.from_numpy(np.flatnonzero(seen))
        self.output = self.backbone.output[
            shortlist
        ].contiguous()  # (shortlist, D): a fifth of the vocabulary
        self.place = torch.full((self.backbone.shape.vocab,), -100)
        self.place[shortlist] = torch.arange(len(shortlist))
        self.end = tokenizer.end


@dataclass
class Noised:
    """Tensors of one batch. N = holes * noisings; rows of one hole are consecutive."""

    contexts: Tensor  # (M, T)
    context_mask: Tensor  # (M, T)
    canvas: Tensor  # (N, C)
    masked: Tensor  # (N, C)
    visible: Tensor  # (N, C)
    weight: Tensor  # (N, C)
    start: Tensor  # (N,)
    causal: Tensor  # (N,)
    counted: Tensor  # (N, C) bool


def noise(dataset: Dataset, batch: Batch, end: int, settings: Settings, generator: torch.Generator) -> Noised:
    """Draw the noisings of every hole of ``batch`` (see `astral_model.corruption`)."""
    examples = [dataset[i] for i in batch.holes]
    k, c, m = NOISINGS[batch.canvas], batch.canvas, len(examples)
    longest = max(len(e.context) for e in examples)
    contexts = torch.full((m, longest), end)
    context_mask = torch.zeros(m, longest, dtype=torch.bool)
    canvas = torch.full((m, k, c), end)
    masked = torch.zeros(m, k, c, dtype=torch.bool)
    visible = torch.ones(m, k, c, dtype=torch.bool)
    weight = torch.zeros(m, k, c)
    counted = torch.zeros(m, k, c, dtype=torch.bool)
    causal = torch.zeros(m, k, dtype=torch.bool)
    causal[:, 0] = True
    for i, example in enumerate(examples):
        n = len(example.answer)
        contexts[i, : len(example.context)] = torch.from_numpy(example.context.astype(np.int64))
        context_mask[i, : len(example.context)] = True
        canvas[i, :, :n] = torch.from_numpy(example.answer.astype(np.int64))
        masked[i, 1:] = corrupt(
            n,
            c,
            batch.known[i],
            torch.from_numpy(example.roles),
            [(int(a), int(b)) for a, b in example.spans],
            k - 1,
            Mixture(),
            generator,
            example.forced,
        )
        weight[i, :, : n + 1] = nearness(masked[i])[:, : n + 1]
        weight[i, :, n] *= settings.end_weight
        counted[i, 0, example.forced : n + 1] = True
        counted[i, 1:] = masked[i, 1:]
        if batch.known[i]:
            visible[i, :, n + 1 :] = False
        else:
            chosen = torch.rand(k, c - n - 1, generator=generator) < settings.tail_share
            weight[i, :, n + 1 :] = chosen * settings.tail_weight
    start = context_mask.sum(1).repeat_interleave(k)
    flat = (m * k, c)
    rows = (canvas.view(flat), masked.view(flat), visible.view(flat), weight.view(flat))
    return Noised(contexts, context_mask, *rows, start, causal.view(-1), counted.view(flat))


def loss_of(model: Model, noised: Noised) -> tuple[Tensor, Tensor]:
    """Mean loss of the causal rows plus weighted mean loss of the noised rows, halved; with it for each of
    the two how many positions it ran over and the plain mean."""
    with torch.no_grad():
        _, cache = model.backbone.forward(noised.contexts)
    hidden = model.denoiser.hidden(
        noised.canvas,
        noised.masked,
        Cache(cache.keys, cache.values),
        start=noised.start,
        context_mask=noised.context_mask,
        visible=noised.visible,
        causal=noised.causal,
    )
    target = model.place[noised.canvas]  # (N, C)
    counted = noised.counted & (noised.weight > 0) & (target >= 0)
    left = noised.causal[:, None].expand_as(counted)[counted]
    weight, target = noised.weight[counted], target[counted]
    logits = F.linear(hidden[counted], model.output).float()  # (positions, shortlist)
    losses = F.cross_entropy(logits, target, reduction="none")
    total = torch.zeros(())
    report = torch.zeros(4)
    for at, rows in ((0, left), (2, ~left)):
        if bool(rows.any()):
            total = total + 0.5 * (losses[rows] * weight[rows]).sum() / weight[rows].sum()
            plain = losses.detach()[rows & (weight > 0.1)]
            report[at], report[at + 1] = len(plain), plain.sum()
    return total, report


class Batches:
    """The endless sequence of epochs, by batch number."""

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        self._dataset, self._settings = dataset, settings
        self._epochs: list[list[Batch]] = []

    def __getitem__(self, number: int) -> Batch:
        epoch = 0
        while True:
            if epoch == len(self._epochs):
                settings = self._settings
                self._epochs.append(
                    plan(self._dataset, settings.seed, epoch, settings.contexts, settings.longest_context)
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
        """One step over `Settings.batches` batches, shared among ranks as they are free. Returns positions
        and summed loss of the causal rows, then of the noised rows."""
        total = self.settings.batches
        report = torch.zeros(4)
        while (ticket := self.tickets.add(f"step/{self.step}", 1) - 1) < total:
            number = self.step * total + ticket
            generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + number)
            noised = noise(dataset, batches[number], self.model.end, self.settings, generator)
            self.model.adapter.prepare(self.model.backbone.dtype)
            loss, found = loss_of(self.model, noised)
            (loss / total).backward()  # type: ignore[no-untyped-call]
            report += found
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        flat = torch.cat([g.flatten() for g in grads] + [report])
        dist.all_reduce(flat)
        report = flat[-4:].clone()
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
        self.loss_tokens += int(report[0] + report[2])
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
            causal, causal_loss, noised, noised_loss = run.update(dataset, batches, learning_rate)
            run.seconds = before + time.time() - began
            if run.rank == 0:
                row = [run.step, run.loss_tokens, round(run.seconds, 1), int(causal), int(noised)]
                losses = [round(causal_loss / max(1, causal), 4), round(noised_loss / max(1, noised), 4)]
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
            f"shortlist {len(model.output)} of {model.backbone.shape.vocab}; {len(dataset)} holes", flush=True
        )
    train(run, dataset, options)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
