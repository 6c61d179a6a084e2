"""A training run on a tiny base: loss falls, a resumed run goes on exactly where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from astral_model.adapter import Adapter
from astral_model.denoiser import Denoiser
from training.dataset import Dataset
from training.train import Batches, Model, Run, Settings, loss_of, noise

from tests.model.test_training_data import dataset  # noqa: F401
from tests.model.tiny import tiny_backbone

SETTINGS = Settings(rank=4, contexts=2, batches=2, longest_context=100000, learning_rate=5e-3)


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A process group of one."""
    store = dist.FileStore(str(tmp_path_factory.mktemp("dist") / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def model() -> Model:
    made = Model.__new__(Model)
    made.backbone = tiny_backbone()
    torch.manual_seed(0)
    made.adapter = Adapter(made.backbone.shape, SETTINGS.rank, SETTINGS.scale)
    made.denoiser = Denoiser(made.backbone, made.adapter)
    made.shortlist = torch.arange(made.backbone.shape.vocab)
    made.output = made.backbone.output
    made.place = torch.arange(made.backbone.shape.vocab)
    made.end = made.backbone.tokenizer.end
    return made


def run_of(folder: Path, steps: int, data: Dataset, tag: str) -> Run:
    run = Run(folder, model(), SETTINGS, 0, 1)
    run.tickets = dist.PrefixStore(tag, run.tickets)  # each run counts its own batches
    batches = Batches(data, SETTINGS)
    for _ in range(steps):
        run.update(data, batches, SETTINGS.learning_rate)
    return run


def test_loss_falls(dataset: Dataset, tmp_path: Path) -> None:  # noqa: F811
    run = Run(tmp_path, model(), SETTINGS, 0, 1)
    run.tickets = dist.PrefixStore("falls", run.tickets)
    batches = Batches(dataset, SETTINGS)
    found = [run.update(dataset, batches, SETTINGS.learning_rate) for _ in range(30)]
    means = [(f[1] + f[3]) / (f[0] + f[2]) for f in found]
    assert sum(means[-8:]) / 8 < sum(means[:4]) / 4 - 0.5
    assert run.loss_tokens == sum(f[0] + f[2] for f in found)


def test_a_resumed_run_is_the_same_run(dataset: Dataset, tmp_path: Path) -> None:  # noqa: F811
    whole = run_of(tmp_path / "a", 6, dataset, "whole")
    (tmp_path / "b").mkdir()
    run_of(tmp_path / "b", 3, dataset, "first").save("latest")
    resumed = run_of(tmp_path / "b", 3, dataset, "second")
    assert resumed.step == whole.step == 6
    assert resumed.loss_tokens == whole.loss_tokens
    for a, b in zip(whole.parameters + whole.average, resumed.parameters + resumed.average, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_losses_run_over_masked_or_causal_positions_only(dataset: Dataset) -> None:  # noqa: F811
    made = model()
    batch = Batches(dataset, SETTINGS)[0]
    noised = noise(dataset, batch, made.end, SETTINGS, torch.Generator().manual_seed(0))
    rows = noised.counted & ~noised.causal[:, None]
    assert not bool((rows & ~noised.masked).any())
    assert not bool(noised.masked[noised.causal].any())
    assert bool((noised.weight[noised.counted] >= 0).all())
    made.adapter.prepare(made.backbone.dtype)
    loss, report = loss_of(made, noised)
    assert torch.isfinite(loss)
    assert int(report[0]) == int((noised.counted & noised.causal[:, None] & (noised.weight > 0.1)).sum())


def test_a_batch_alone_gives_the_loss_it_gives_in_company(dataset: Dataset) -> None:  # noqa: F811
    """Packing two holes into one batch changes nothing for either."""
    from dataclasses import replace

    made = model()
    made.adapter.prepare(made.backbone.dtype)
    batch = next(b for b in (Batches(dataset, SETTINGS)[i] for i in range(50)) if len(b.holes) == 2)
    noised = noise(dataset, batch, made.end, SETTINGS, torch.Generator().manual_seed(0))
    rows = len(noised.canvas) // 2
    counts, sums = [], []
    for part in (slice(0, rows), slice(rows, None)):
        which = slice(0, 1) if part.start == 0 else slice(1, 2)
        alone = replace(
            noised,
            contexts=noised.contexts[which],
            context_mask=noised.context_mask[which],
            **{
                name: getattr(noised, name)[part]
                for name in ("canvas", "masked", "visible", "weight", "start", "causal", "counted")
            },
        )
        _, report = loss_of(made, alone)
        counts.append(report[0] + report[2])
        sums.append(report[1] + report[3])
    _, together = loss_of(made, noised)
    assert float(sum(counts)) == float(together[0] + together[2])
    assert float(sum(sums)) == pytest.approx(float(together[1] + together[3]), rel=1e-4)
