"""The judge of a benchmark keeps what it runs in its place."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from astral_lsp.commands.judge import parses, runs_clean
from astral_lsp.workers.pytest_guest import kernel

CHECK = "def check(candidate):\n    assert candidate() == 1\n"


def judge(program: str, seconds: float = 20.0) -> bool:
    return runs_clean(program, CHECK, "f", seconds)


@pytest.mark.parametrize(
    ("program", "clean"),
    [
        ("def f(): return 1", True),
        ("import tempfile\ndef f():\n    tempfile.TemporaryFile()\n    return 1", True),
        ("def f(): return 2", False),
        ("def f(): return 1 +", False),
        ("import sys\ndef f(): sys.exit(3)", False),
        ("import os\ndef f(): os.abort()", False),
        ("def f(): return bytearray(1 << 40)", False),
        ("def f(): return '\ud800'", False),
    ],
)
def test_it_says_whether_the_test_passes(program: str, clean: bool) -> None:
    assert judge(program) is clean


def test_what_takes_too_long_ends() -> None:
    before = time.monotonic()
    assert not judge("import os, time\ndef f():\n    os.fork()\n    time.sleep(60)\n", 1.0)
    assert time.monotonic() - before < 10


@pytest.mark.skipif(not kernel.LINUX or not kernel.landlock_abi(), reason="needs Landlock")
def test_it_cannot_write_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "precious.txt"
    target.write_text("kept")
    assert not judge(f"def f():\n    open({str(target)!r}, 'w').write('gone')\n    return 1")
    assert not judge(f"import os\ndef f():\n    os.unlink({str(target)!r})\n    return 1")
    assert target.read_text() == "kept"


@pytest.mark.skipif(not kernel.seccomp_known(), reason="needs seccomp")
def test_it_reaches_no_network() -> None:
    assert not judge("import socket\ndef f():\n    socket.socket()\n    return 1")


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="needs an environment of its own")
def test_it_sees_no_variable_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    assert judge("import os\ndef f(): return 1 - ('SECRET_TOKEN' in os.environ)")


def test_parses() -> None:
    assert parses("x = 1\n")
    assert not parses("x = (\n")
    assert not parses("(" * 5000)
