"""The mean of several checkpoints' weights as one checkpoint (a model soup, arXiv 2203.05482).

    python -m training.soup OUT.pt FIRST.pt SECOND.pt ...

The checkpoints must be of one line of training: what is far apart does not average. The result is for
`training.evaluate` and `training.release`, not to go on training from: it has no state of the optimizer.
Everything but the weights is the last checkpoint's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch


def mean(checkpoints: list[dict[str, Any]]) -> dict[str, Any]:
    """One checkpoint from at least one. Raises ValueError when they are not of the same shape and tokens."""
    last = checkpoints[-1]
    for other in checkpoints[:-1]:
        shapes = [{name: w.shape for name, w in state["adapter"].items()} for state in (other, last)]
        if shapes[0] != shapes[1] or other["settings"]["scale"] != last["settings"]["scale"]:
            raise ValueError("the checkpoints are of adapters of different shapes")
        if not set(other["vocabulary"].tolist()) <= set(last["vocabulary"].tolist()):
            raise ValueError("an earlier checkpoint was trained on tokens that the last one does not know")
    weights = {
        name: torch.stack([state["adapter"][name] for state in checkpoints]).mean(0)
        for name in last["adapter"]
    }
    kept = {key: last[key] for key in ("step", "loss_tokens", "seconds", "settings", "vocabulary")}
    return {**kept, "adapter": weights, "mean_of": [state["step"] for state in checkpoints]}


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Average checkpoints.")
    parser.add_argument("out", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    options = parser.parse_args()
    states = [torch.load(path, map_location="cpu", weights_only=True) for path in options.checkpoints]
    made = mean(states)
    torch.save(made, options.out)
    print(f"{options.out}: the mean of steps {', '.join(map(str, made['mean_of']))}")


if __name__ == "__main__":
    main()
