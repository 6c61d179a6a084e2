"""The mean of checkpoints: weights are averaged, the rest is the last one's, what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from astral_model.adapter import Adapter
from training.evaluate import load_adapter
from training.soup import main, mean

from tests.model.tiny import tiny_backbone


def checkpoint(
    step: int, value: float, rank: int = 2, vocabulary: tuple[int, ...] = (1, 2)
) -> dict[str, Any]:
    adapter = Adapter(tiny_backbone().shape, rank)
    return {
        "adapter": {name: torch.full_like(w, value) for name, w in adapter.state_dict().items()},
        "optimizer": {},
        "average": [],
        "step": step,
        "loss_tokens": 10 * step,
        "seconds": 1.0 * step,
        "settings": {"rank": rank, "scale": 2.0},
        "vocabulary": torch.tensor(vocabulary),
    }


def test_weights_are_averaged_and_the_rest_is_the_last_ones() -> None:
    made = mean([checkpoint(3, 1.0), checkpoint(9, 4.0, vocabulary=(1, 2, 5))])
    assert all(bool((weight == 2.5).all()) for weight in made["adapter"].values())
    assert (made["step"], made["loss_tokens"], made["mean_of"]) == (9, 90, [3, 9])
    assert made["vocabulary"].tolist() == [1, 2, 5]


@pytest.mark.parametrize(
    "other", [checkpoint(9, 1.0, rank=3), checkpoint(9, 1.0, vocabulary=(1, 3))], ids=["rank", "vocabulary"]
)
def test_what_does_not_fit_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"different shapes|does not know"):
        mean([checkpoint(3, 1.0), other])


def test_the_mean_is_a_checkpoint_that_can_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "a.pt", tmp_path / "b.pt"]
    for number, path in enumerate(paths):
        torch.save(checkpoint(number, float(number)), path)
    monkeypatch.setattr("sys.argv", ["soup", str(tmp_path / "mean.pt"), *map(str, paths)])
    main()
    assert "steps 0, 1" in capsys.readouterr().out
    adapter, vocabulary = load_adapter(tmp_path / "mean.pt", tiny_backbone())
    assert float(adapter.mask_embedding.mean()) == 0.5
    assert vocabulary is not None
