"""GGUF checkpoint -> one memory-mapped safetensors file, as this machine multiplies it best.

Dequantising 491 MB takes some seconds; it is done once per (checkpoint, form) and a warm start only maps the
file. Linears that read the same input are stored fused (q, k, v; gate, up): one GEMM instead of three or two.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from astral_model.linear import quantise
from astral_model.weights_file import WeightsWriter

_FORMAT = 1
_DTYPE_NAMES = {torch.bfloat16: "bf16", torch.float32: "fp32", torch.float16: "fp16", torch.int8: "int8"}
SCALE = ".scale"
"""Suffix of the scales that belong to an int8 matrix."""


_ROWS = 8192
"""Rows of a matrix that are converted at once: half a gigabyte of fp32 is a peak to avoid."""


class CheckpointError(ValueError):
    """The checkpoint cannot be used; the message says why in one sentence."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen2/Llama transformer. D = heads * head_dim for these models."""

    arch: str
    layers: int
    d: int
    ff: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_base: float
    eps: float
    vocab: int


@dataclass(frozen=True)
class Checkpoint:
    """Weights by name, mapped from the cache file; see `load_checkpoint`."""

    shape: Shape
    sha256: str
    weights: dict[str, Tensor]
    tokenizer_file: Path


def best_dtype(device: str = "cpu") -> torch.dtype:
    """bf16 where the hardware multiplies it (AMX, AVX512-BF16, CUDA), fp16 on MPS, else fp32."""
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.startswith("mps"):
        return torch.float16
    probes = [
        getattr(torch.cpu, "_is_amx_tile_supported", None),
        getattr(torch.cpu, "_is_avx512_bf16_supported", None),
    ]
    return torch.bfloat16 if any(probe() for probe in probes if probe is not None) else torch.float32


def default_cache_dir() -> Path:
    """Where converted weights live; ``ASTRAL_CACHE`` overrides."""
    override = os.environ.get("ASTRAL_CACHE")
    if override:
        return Path(override)
    import platformdirs

    return Path(platformdirs.user_cache_dir("astral-lsp"))


def load_checkpoint(path: str | Path, dtype: torch.dtype, cache_dir: Path | None = None) -> Checkpoint:
    """Map the converted weights of the GGUF file at ``path``, converting first if needed.

    With dtype int8 every matrix is int8 with its scales beside it (name + `SCALE`), vectors are fp32.

    Raises `CheckpointError` for a missing file, a file that is not GGUF, or an unknown architecture.
    """
    source = Path(path)
    if not source.is_file():
        raise CheckpointError(f"There is no model file at {source}.")
    cache = cache_dir or default_cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    digest = _sha256(source, cache)
    stem = f"{digest[:16]}-v{_FORMAT}"
    weights_file = cache / f"{stem}-{_DTYPE_NAMES[dtype]}.safetensors"
    tokenizer_file = cache / f"{stem}-tokenizer.json"
    if not weights_file.exists() or not tokenizer_file.exists():
        _convert(source, dtype, weights_file, tokenizer_file)
    try:
        shape, weights = _mapped(weights_file)
    except SafetensorError:  # cut short by a crash or a bad disk: made from what is there, so made again
        _convert(source, dtype, weights_file, tokenizer_file)
        shape, weights = _mapped(weights_file)
    return Checkpoint(shape, digest, weights, tokenizer_file)


def _mapped(weights_file: Path) -> tuple[Shape, dict[str, Tensor]]:
    with safe_open(str(weights_file), framework="pt") as opened:
        about = json.loads(opened.metadata()["shape"])
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    return Shape(**about), weights


def _sha256(source: Path, cache: Path) -> str:
    """SHA-256 of ``source``, remembered by path, size and modification time (491 MB take a second)."""
    stat = source.stat()
    key = hashlib.sha256(f"{source.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:24]
    note = cache / f"{key}.sha256"
    if note.exists():
        known = note.read_text().strip()
        if len(known) == 64:
            return known
    with source.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 22):
            digest.update(block)
    _write_atomic(note, digest.hexdigest().encode())
    return digest.hexdigest()


def _write_atomic(target: Path, data: bytes) -> None:
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    partial.write_bytes(data)
    partial.replace(target)


def _convert(source: Path, dtype: torch.dtype, weights_file: Path, tokenizer_file: Path) -> None:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(str(source))
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"{source} is not a readable GGUF file ({error}).") from error

    def field(key: str) -> Any:
        if key not in reader.fields:
            raise CheckpointError(f"{source} lacks the GGUF field {key}.")
        return reader.fields[key].contents()

    shape = _shape(field)
    partial = weights_file.with_name(f"{weights_file.name}.{os.getpid()}.part")
    try:
        with WeightsWriter(
            partial, {"shape": json.dumps(asdict(shape))}, 4096 * (1 + shape.layers)
        ) as writer:
            for name, parts in _weights(reader, shape):
                _put(writer, name, parts, dtype)
        partial.replace(weights_file)
    except OSError as error:
        raise CheckpointError(
            f"The converted weights could not be written to {weights_file.parent}: {error}."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    from astral_model.tokenizer import build_tokenizer

    built = build_tokenizer(shape.arch, field("tokenizer.ggml.tokens"), field("tokenizer.ggml.merges"))
    _write_atomic(tokenizer_file, built.to_str().encode())


def _shape(field: Any) -> Shape:
    arch = field("general.architecture")
    if arch not in ("qwen2", "llama"):
        raise CheckpointError(f"Only qwen2 and llama checkpoints are supported, not {arch}.")
    d, heads = field(f"{arch}.embedding_length"), field(f"{arch}.attention.head_count")
    return Shape(
        arch=arch,
        layers=field(f"{arch}.block_count"),
        d=d,
        ff=field(f"{arch}.feed_forward_length"),
        heads=heads,
        kv_heads=field(f"{arch}.attention.head_count_kv"),
        head_dim=d // heads,
        rope_base=float(field(f"{arch}.rope.freq_base")),
        eps=float(field(f"{arch}.attention.layer_norm_rms_epsilon")),
        vocab=len(field("tokenizer.ggml.tokens")),
    )


def _weights(reader: Any, shape: Shape) -> Iterator[tuple[str, Iterable[Tensor]]]:
    """(name, fp32 parts of it, row after row) of every weight; a part is made when it is asked for."""
    from gguf import dequantize

    raw = {t.name: t for t in reader.tensors}

    def parts(*names: str) -> Iterator[Tensor]:
        for name in names:
            if name not in raw:
                raise CheckpointError(f"The GGUF file lacks the tensor {name}.")
            tensor = raw[name]
            for first in range(0, len(tensor.data), _ROWS):
                rows = dequantize(tensor.data[first : first + _ROWS], tensor.tensor_type)
                yield torch.from_numpy(rows.copy())

    yield "embed", parts("token_embd.weight")
    yield "norm", parts("output_norm.weight")
    if "output.weight" in raw:
        yield "output", parts("output.weight")
    for i in range(shape.layers):
        blk = f"blk.{i}."
        qkv = [f"{blk}attn_{z}" for z in "qkv"]
        matrices = parts(*(f"{name}.weight" for name in qkv))
        if shape.arch == "llama":  # GGUF llama interleaves rotary pairs; undo, so that one rope serves both
            heads = (shape.heads, shape.kv_heads)
            whole = [torch.cat(list(parts(f"{name}.weight"))) for name in qkv]
            matrices = iter([*map(_deinterleave, whole, heads), whole[2]])
        yield f"{i}.qkv", matrices  # ((heads + 2 kv) H, D)
        if f"{qkv[0]}.bias" in raw:
            yield f"{i}.qkv_bias", parts(*(f"{name}.bias" for name in qkv))
        yield f"{i}.o", parts(blk + "attn_output.weight")  # (D, heads H)
        yield f"{i}.gate_up", parts(blk + "ffn_gate.weight", blk + "ffn_up.weight")  # (2 ff, D)
        yield f"{i}.down", parts(blk + "ffn_down.weight")  # (D, ff)
        yield f"{i}.attn_norm", parts(blk + "attn_norm.weight")
        yield f"{i}.ffn_norm", parts(blk + "ffn_norm.weight")


def _put(writer: WeightsWriter, name: str, parts: Iterable[Tensor], dtype: torch.dtype) -> None:
    """Write a weight in its final form: matrices quantised when ``dtype`` is int8, vectors then in fp32."""
    parts = iter(parts)
    first = next(parts)
    parts = chain([first], parts)
    if dtype != torch.int8:
        writer.put(name, (part.to(dtype) for part in parts))
    elif first.dim() == 1:
        writer.put(name, parts)
    else:
        scales: list[Tensor] = []
        writer.put(name, _quantised(parts, scales))
        writer.put(name + SCALE, scales)


def _quantised(parts: Iterable[Tensor], scales: list[Tensor]) -> Iterator[Tensor]:
    for part in parts:
        values, scale = quantise(part)
        scales.append(scale)
        yield values


def _deinterleave(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head from (x0 y0 x1 y1 ...) to (x0 x1 ... y0 y1 ...)."""
    rows, columns = weight.shape
    return (
        weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns).contiguous()
    )
