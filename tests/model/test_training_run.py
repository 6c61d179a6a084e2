"""A training run on a tiny base: loss falls, a resumed run goes on exactly where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from astral_model.adapter import Adapter
from astral_model.corruption import Mixture
from astral_model.denoiser import Denoiser
from training.dataset import Dataset
from training.packing import CAUSAL, LOOKAHEAD, NOISED, UNSCORED, Views
from training.train import Batches, Ids, Model, Packed, Run, Settings, collate, loss_of, misalignment, states

from tests.model.test_training_data import dataset  # noqa: F401
from tests.model.tiny import tiny_backbone

ORDINARY = Views()
SETTINGS = Settings(rank=4, holes=2, batches=2, longest_context=100000, learning_rate=5e-3)


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
    tokenizer = made.backbone.tokenizer
    made.ids = Ids(tokenizer.fim_middle, tokenizer.end, tokenizer.expand)
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
    means = [sum(f[1::2]) / sum(f[::2]) for f in found]
    assert sum(means[-8:]) / 8 < sum(means[:4]) / 4 - 0.5
    assert run.loss_tokens == sum(sum(f[::2]) for f in found)


def test_a_resumed_run_is_the_same_run(dataset: Dataset, tmp_path: Path) -> None:  # noqa: F811
    whole = run_of(tmp_path / "a", 6, dataset, "whole")
    (tmp_path / "b").mkdir()
    run_of(tmp_path / "b", 3, dataset, "first").save("latest")
    resumed = run_of(tmp_path / "b", 3, dataset, "second")
    assert resumed.step == whole.step == 6
    assert resumed.loss_tokens == whole.loss_tokens
    for a, b in zip(whole.parameters + whole.average, resumed.parameters + resumed.average, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def packed_of(data: Dataset, made: Model, holes: int = 2, views: Views = ORDINARY) -> Packed:
    batches = Batches(data, SETTINGS)
    batch = next(b for b in (batches[i] for i in range(50)) if len(b) == holes)
    generator = torch.Generator().manual_seed(0)
    return collate([data[i] for i in batch], made.ids, Mixture(), views, generator)


def test_losses_run_over_every_part_and_are_counted(dataset: Dataset) -> None:  # noqa: F811
    made = model()
    packed = packed_of(dataset, made)
    made.adapter.prepare(made.backbone.dtype)
    loss, report = loss_of(made, packed, Settings())
    assert torch.isfinite(loss)
    for at, part in enumerate((CAUSAL, LOOKAHEAD, NOISED)):
        assert int(report[2 * at]) == int(((packed.part == part) & (packed.weight > 0.1)).sum()) > 0


def test_a_batch_alone_gives_the_loss_it_gives_in_company(dataset: Dataset) -> None:  # noqa: F811
    """Packing two holes into one batch changes nothing for either."""
    made = model()
    made.adapter.prepare(made.backbone.dtype)
    packed = packed_of(dataset, made)
    parts = []
    for hole in range(2):
        alone = Packed(**{name: value[hole : hole + 1] for name, value in vars(packed).items()})
        parts.append(loss_of(made, alone, Settings())[1])
    _, together = loss_of(made, packed, Settings())
    assert torch.allclose(sum(parts), together, rtol=1e-4)


def test_views_side_by_side_are_the_views_alone(dataset: Dataset) -> None:  # noqa: F811
    """Every position of a packed row answers as it does when only what it sees is computed."""
    made = model()
    for factor in made.adapter.factors.values():
        torch.nn.init.normal_(factor, std=0.2)
    made.adapter.prepare(made.backbone.dtype)
    packed = packed_of(dataset, made)
    with torch.no_grad():
        whole, _ = states(made, packed)
        scored = (packed.part[0] != UNSCORED).nonzero().flatten().tolist()
        for at in scored[:: max(1, len(scored) // 12)]:
            needed = packed.sees[0, at].nonzero().flatten()
            one = made.denoiser.rows(
                packed.tokens[:1, needed],
                packed.masked[:1, needed],
                packed.sees[:1][:, needed][:, :, needed],
                made.backbone.forward(packed.contexts[:1])[1],
                positions=packed.positions[:1, needed],
                start=packed.context_mask[:1].sum(1),
                context_mask=packed.context_mask[:1],
            )
            place = needed.tolist().index(at)
            assert torch.allclose(one[0, place], whole[0, at], atol=1e-4)


def test_an_adapter_of_zero_is_aligned_where_queries_are_the_base(dataset: Dataset) -> None:  # noqa: F811
    """On the causal view the untrained adapter is the base, so its states agree; masked queries' do not."""
    made = model()
    made.adapter.prepare(made.backbone.dtype)
    packed = packed_of(dataset, made)
    with torch.no_grad():
        hidden, context = states(made, packed)
        apart = misalignment(made, packed, hidden, context)
        packed.part = torch.where(packed.part == CAUSAL, NOISED, UNSCORED)
        packed.weight = torch.where(packed.part == NOISED, packed.weight, 0.0)
        assert float(misalignment(made, packed, hidden, context)) == pytest.approx(0.0, abs=1e-5)
        assert float(apart) > 0.01


def test_elastic_views_ask_for_expand_and_train(dataset: Dataset) -> None:  # noqa: F811
    made = model()
    made.adapter.prepare(made.backbone.dtype)
    packed = packed_of(dataset, made, views=Views(elastic=1.0))
    asked = packed.target[(packed.weight > 0) & (packed.source < 0)]
    assert {made.ids.expand, made.ids.end} <= set(asked.tolist())
    loss, _ = loss_of(made, packed, Settings(alignment=1.0))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
