"""GGUF checkpoint -> one memory-mapped safetensors file, as this machine multiplies it best.

Dequantising 491 MB takes some seconds; it is done once per (checkpoint, form) and a warm start only maps the
file. Linears that read the same input are stored fused (q, k, v; gate, up): one GEMM instead of three or two.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from astral_model.linear import quantise

_FORMAT = 1
_DTYPE_NAMES = {torch.bfloat16: "bf16", torch.float32: "fp32", torch.float16: "fp16", torch.int8: "int8"}
SCALE = ".scale"
"""Suffix of the scales that belong to an int8 matrix."""


_ROWS = 8192
"""Rows of a large matrix that are converted at once."""


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
    weights = _weights(reader, shape, dtype)
    partial = weights_file.with_name(f"{weights_file.name}.{os.getpid()}.part")
    try:
        save_file(weights, str(partial), metadata={"shape": json.dumps(asdict(shape))})
        partial.replace(weights_file)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        size = sum(w.numel() * w.element_size() for w in weights.values()) >> 20
        raise CheckpointError(
            f"The converted weights ({size} MB) could not be written to {weights_file.parent}: {error}."
        ) from error
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


def _weights(reader: Any, shape: Shape, dtype: torch.dtype) -> dict[str, Tensor]:
    from gguf import dequantize

    raw = {t.name: t for t in reader.tensors}
    out = _Converted(dtype)

    def get(name: str) -> Tensor:
        tensor = raw[name]
        found = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        return found if dtype == torch.int8 else found.to(dtype)

    def put_large(name: str, source: str) -> None:
        """As ``out[name] = get(source)``, some rows at a time: half a gigabyte in fp32 is a peak to avoid."""
        tensor, parts = raw[source], []
        for first in range(0, len(tensor.data), _ROWS):
            rows = torch.from_numpy(dequantize(tensor.data[first : first + _ROWS], tensor.tensor_type).copy())
            parts.append(quantise(rows) if dtype == torch.int8 else (rows.to(dtype),))
        joined = [torch.cat(same) for same in zip(*parts, strict=True)]
        out.put(name, *joined)

    put_large("embed", "token_embd.weight")
    out["norm"] = get("output_norm.weight")
    if "output.weight" in raw:
        put_large("output", "output.weight")
    for i in range(shape.layers):
        blk = f"blk.{i}."
        qkv = [get(blk + f"attn_{z}.weight") for z in "qkv"]
        if shape.arch == "llama":  # GGUF llama interleaves rotary pairs; undo, so that one rope serves both
            qkv[0], qkv[1] = _deinterleave(qkv[0], shape.heads), _deinterleave(qkv[1], shape.kv_heads)
        out[f"{i}.qkv"] = torch.cat(qkv)  # ((heads + 2 kv) H, D)
        if f"{blk}attn_q.bias" in raw:
            out[f"{i}.qkv_bias"] = torch.cat([get(blk + f"attn_{z}.bias") for z in "qkv"])
        out[f"{i}.o"] = get(blk + "attn_output.weight")  # (D, heads H)
        out[f"{i}.gate_up"] = torch.cat(
            [get(blk + "ffn_gate.weight"), get(blk + "ffn_up.weight")]
        )  # (2 ff, D)
        out[f"{i}.down"] = get(blk + "ffn_down.weight")  # (D, ff)
        out[f"{i}.attn_norm"] = get(blk + "attn_norm.weight")
        out[f"{i}.ffn_norm"] = get(blk + "ffn_norm.weight")
    return out


class _Converted(dict[str, Tensor]):
    """Weights by name; matrices are quantised as they come in when the form is int8."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._int8 = dtype == torch.int8

    def __setitem__(self, name: str, weight: Tensor) -> None:
        if self._int8 and weight.dim() == 2:
            self.put(name, *quantise(weight))
        else:
            self.put(name, weight)

    def put(self, name: str, weight: Tensor, scale: Tensor | None = None) -> None:
        """Add what is in its final form."""
        super().__setitem__(name, weight)
        if scale is not None:
            super().__setitem__(name + SCALE, scale)


def _deinterleave(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head from (x0 y0 x1 y1 ...) to (x0 x1 ... y0 y1 ...)."""
    rows, columns = weight.shape
    return (
        weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns).contiguous()
    )
