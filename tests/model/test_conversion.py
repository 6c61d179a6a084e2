"""The base converted once to a file that can be mapped: what comes out, and what a disk can do to it."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from astral_model.checkpoint import CheckpointError, load_checkpoint
from tokenizers.pre_tokenizers import ByteLevel

from tests.model.tiny import MERGES, SPECIAL, WORDS

WIDTH, INNER, HEADS, KV_HEADS, LAYERS = 32, 48, 4, 2, 2
TOKENS = [*sorted(ByteLevel.alphabet()), *WORDS, *SPECIAL]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of the tiny shape."""
    path = tmp_path_factory.mktemp("base") / "tiny.gguf"
    writer = gguf.GGUFWriter(str(path), "qwen2")
    writer.add_embedding_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_token_list(TOKENS)
    writer.add_token_merges(list(MERGES))
    choose = np.random.default_rng(0)

    def put(name: str, *shape: int) -> None:
        writer.add_tensor(name, choose.standard_normal(shape).astype(np.float32))

    put("token_embd.weight", len(TOKENS), WIDTH)
    put("output_norm.weight", WIDTH)
    head = WIDTH // HEADS
    for layer in range(LAYERS):
        for letter, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            put(f"blk.{layer}.attn_{letter}.weight", heads * head, WIDTH)
            put(f"blk.{layer}.attn_{letter}.bias", heads * head)
        put(f"blk.{layer}.attn_output.weight", WIDTH, WIDTH)
        put(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
        put(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
        put(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
        put(f"blk.{layer}.attn_norm.weight", WIDTH)
        put(f"blk.{layer}.ffn_norm.weight", WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_second_load_maps_what_the_first_has_written(base: Path, tmp_path: Path) -> None:
    first = load_checkpoint(base, torch.float32, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    second = load_checkpoint(base, torch.float32, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert not list(tmp_path.glob("*.part"))
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert first.shape.layers == LAYERS


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_a_disk_that_fills_up_is_one_sentence_and_leaves_nothing(
    base: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    load_checkpoint(base, dtype, tmp_path / "whole")
    size = max(path.stat().st_size for path in (tmp_path / "whole").glob("*.safetensors"))
    cache = tmp_path / "cache"
    said = _converting_with_files_of_at_most(size // 2, base, cache, dtype)
    assert "could not be written" in said
    assert str(cache) in said
    assert "\n" not in said.strip()
    assert [path.suffix for path in cache.iterdir()] == [".sha256"]
    again = load_checkpoint(base, dtype, cache)  # there is room again
    assert again.shape.layers == LAYERS


def _converting_with_files_of_at_most(limit: int, base: Path, cache: Path, dtype: torch.dtype) -> str:
    """What a process says that converts ``base`` where no file can grow beyond ``limit`` bytes."""
    program = (
        "import sys, torch\nfrom pathlib import Path\n"
        "from astral_model.checkpoint import CheckpointError, load_checkpoint\n"
        "try:\n    load_checkpoint(sys.argv[1], getattr(torch, sys.argv[3]), Path(sys.argv[2]))\n"
        "except CheckpointError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(base), str(cache), str(dtype).removeprefix("torch.")]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=_limited(limit), timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _limited(limit: int) -> Callable[[], None]:
    def apply() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond it fails with EFBIG instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return apply


@pytest.mark.parametrize("damage", ["cut", "cut late", "empty", "noise"])
def test_a_damaged_gguf_file_is_named(base: Path, tmp_path: Path, damage: str) -> None:
    data = base.read_bytes()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes({"cut": data[:300], "cut late": data[:-2000], "empty": b"", "noise": b"x" * 4096}[damage])
    with pytest.raises(CheckpointError, match=r"bad\.gguf"):
        load_checkpoint(bad, torch.float32, tmp_path / "cache")


def test_a_converted_file_that_was_cut_is_made_again(base: Path, tmp_path: Path) -> None:
    whole = load_checkpoint(base, torch.float32, tmp_path).weights["norm"].clone()
    (converted,) = tmp_path.glob("*.safetensors")
    size = converted.stat().st_size
    converted.write_bytes(converted.read_bytes()[:-100])
    again = load_checkpoint(base, torch.float32, tmp_path)
    assert torch.equal(again.weights["norm"], whole)
    assert converted.stat().st_size == size
