"""Reading and writing a Python file without losing its encoding, BOM or line endings."""

from __future__ import annotations

import io
import os
import tempfile
import tokenize
from pathlib import Path

import msgspec

MAX_BYTES = 8 * 1024 * 1024


class SourceError(ValueError):
    """The file cannot be read or written; the message is one sentence for people."""


class Source(msgspec.Struct, frozen=True):
    """A file's text as it stands, line endings kept; a BOM is not part of ``text``."""

    path: Path
    text: str
    encoding: str
    bom: bytes = b""


def is_stub(path: Path) -> bool:
    """Whether the file is a stub, in which ``...`` is no placeholder."""
    return path.suffix == ".pyi"


def read_source(path: Path) -> Source:
    """Read ``path`` by PEP 263; raises SourceError."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SourceError(f"{path}: {size} bytes is over the limit of {MAX_BYTES}")
        data = path.read_bytes()
    except IsADirectoryError:
        raise SourceError(f"{path}: is a folder, not a Python file") from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        bom = b"\xef\xbb\xbf" if encoding == "utf-8-sig" else b""
        encoding = "utf-8" if bom else encoding
        text = data[len(bom) :].decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise SourceError(f"{path}: cannot be decoded: {error}") from error
    if "\0" in text:
        raise SourceError(f"{path}: holds NUL characters, so it is no Python source")
    return Source(path, text, encoding, bom)


def write_source(source: Source, text: str) -> None:
    """Replace the file's contents in one step; on any failure the old file stays. Raises SourceError."""
    path = source.path.resolve()
    temporary = None
    try:
        data = source.bom + text.encode(source.encoding)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
    except (OSError, UnicodeEncodeError) as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise SourceError(f"{source.path}: not written: {error}") from error
