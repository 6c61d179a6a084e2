"""Makes the released adapter of a checkpoint: weights in bf16, a card that says what made them, the curves.

``python -m training.release CHECKPOINT OUT --base BASE.gguf --data train.npz --manifest manifest.toml``
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path

import torch
from astral_model.backbone import Backbone

from training.evaluate import load_adapter

LIMIT = 40 * 1024 * 1024


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def smoothed(values: list[float], keep: float = 0.9) -> list[float]:
    """Running mean, corrected for its start."""
    mean, weight, out = 0.0, 0.0, []
    for value in values:
        mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        out.append(mean / weight)
    return out


def plot(logs: list[Path], out: Path) -> None:
    """Training loss of the three kinds of positions over loss tokens, as a small picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for log in logs for row in csv.reader(log.read_text().splitlines())]
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), dpi=80)
    tokens = [int(row[1]) for row in rows]
    for color, name in enumerate(("causal view", "lookahead", "noised views")):
        values = [float(row[6 + color]) for row in rows]
        axes.plot(tokens, values, alpha=0.15, color=f"C{color}")
        axes.plot(tokens, smoothed(values), color=f"C{color}", label=name)
    axes.set(xlabel="loss tokens", ylabel="cross-entropy (nats)", ylim=(0, None))
    axes.legend()
    figure.tight_layout()
    figure.savefig(out)


def main() -> None:
    """See the module docstring."""
    parser = argparse.ArgumentParser(description="Release an adapter.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--log", type=Path, action="append", default=[])
    parser.add_argument("--average", action="store_true", help="release the running average of the weights")
    parser.add_argument("--command", default="", help="the command that trained it, for the card")
    options = parser.parse_args()
    backbone = Backbone.load(options.base, device="cpu")
    adapter, vocabulary = load_adapter(options.checkpoint, backbone, options.average)
    state = torch.load(options.checkpoint, map_location="cpu", weights_only=True)
    about: dict[str, object] = {
        "base_sha256": backbone.sha256,
        "mask_token": "<|fim_pad|>, embedding learned",
        "command": options.command,
        "settings": state["settings"],
        "steps": state["step"],
        "loss_tokens": state["loss_tokens"],
        "training_seconds": round(state["seconds"]),
        "averaged": options.average,
        "mean_of_steps": state.get("mean_of", [state["step"]]),
        "manifest_sha256": digest(options.manifest),
        "data_sha256": digest(options.data),
        "licence": "Apache-2.0",
    }
    adapter.save(options.out, about, vocabulary)
    size = (options.out / "adapter.safetensors").stat().st_size
    if size > LIMIT:
        raise SystemExit(f"The adapter has {size} bytes, more than the {LIMIT} a release may have.")
    if options.log:
        plot(options.log, options.out / "curves.png")
    print(f"{options.out}: {size / 1e6:.1f} MB, step {state['step']}, {state['loss_tokens']} loss tokens")


if __name__ == "__main__":
    main()
