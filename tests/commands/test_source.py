"""Files come in and go out without losing encoding, BOM, line endings or mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from astral_lsp.commands import source as source_module
from astral_lsp.commands.source import SourceError, read_source, write_source


@pytest.mark.parametrize(
    "data",
    [
        b"x = 1\n",
        b"x = 1\r\ny = 2\r\n",
        b"\xef\xbb\xbfx = '\xc3\xa9'\n",
        b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
        "x = '𝔘'\n".encode(),
        b"",
        b"no newline at end",
        b"a\rb\n",
    ],
)
def test_round_trip(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.py"
    path.write_bytes(data)
    path.chmod(0o640)
    source = read_source(path)
    assert not source.text.startswith("\ufeff")
    write_source(source, source.text)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["m.py"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"x = '\xff\xfe'\n", "cannot be decoded"),
        (b"# coding: klingon\n", "cannot be decoded"),
        (b"a\0b", "NUL"),
    ],
)
def test_undecodable_files_are_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "m.py"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=why):
        read_source(path)


def test_missing_folder_and_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_source(tmp_path / "nope.py")
    with pytest.raises(SourceError, match="is a folder"):
        read_source(tmp_path)
    monkeypatch.setattr(source_module, "MAX_BYTES", 3)
    (tmp_path / "m.py").write_bytes(b"12345")
    with pytest.raises(SourceError, match="over the limit"):
        read_source(tmp_path / "m.py")


def test_a_failed_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.py"
    path.write_bytes(b"x = 1\n")
    source = read_source(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(source_module.os, "fsync", full)
    with pytest.raises(SourceError, match="not written"):
        write_source(source, "y = 2\n")
    assert path.read_bytes() == b"x = 1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["m.py"]


def test_text_that_its_encoding_cannot_hold_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_bytes(b"# coding: latin-1\nx = 1\n")
    with pytest.raises(SourceError, match="not written"):
        write_source(read_source(path), "x = '𝔘'\n")
    assert path.read_bytes() == b"# coding: latin-1\nx = 1\n"
