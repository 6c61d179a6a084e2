"""Eglot in a real Emacs (batch) against a real server process with a scripted engine.

Each ert test of specs.el is one test here. Debian: ``apt-get install emacs-nox elpa-eglot``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
SPECS = HERE / "specs.el"
SECONDS = 180.0
PROBE = "(progn (require 'package) (package-initialize) (require 'eglot) (princ emacs-version))"


def _cases() -> list[str]:
    return re.findall(r"^\(ert-deftest (\S+)", SPECS.read_text("utf-8"), re.MULTILINE)


@pytest.fixture(scope="session")
def emacs() -> str:
    """An Emacs with Eglot: $ASTRAL_EMACS, else the one on PATH."""
    program = os.environ.get("ASTRAL_EMACS") or shutil.which("emacs")
    if program is None:
        pytest.skip("no emacs on PATH; Debian has it in emacs-nox and elpa-eglot")
    probe = subprocess.run(
        [program, "--batch", "-q", "--eval", PROBE], capture_output=True, text=True, timeout=60
    )
    if probe.returncode != 0:
        pytest.skip(f"{program} has no Eglot; Debian has it in elpa-eglot")
    return program


@pytest.fixture(scope="session")
def outcomes(emacs: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Test name to its problem, '' when it passed; '<end>' holds how Emacs ended."""
    home = tmp_path_factory.mktemp("emacs")
    output = home / "results.jsonl"
    environment = _environment(home, output, delay=0.4)
    try:
        process = subprocess.run(
            [emacs, "--batch", "-q", "-l", str(SPECS)],
            cwd=home, env=environment, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        end = process.stderr[-4000:]
    except subprocess.TimeoutExpired:
        end = f"Emacs did not end within {SECONDS:g} s"
    lines = output.read_text("utf-8").splitlines() if output.exists() else []
    return {entry["name"]: entry["problem"] for entry in map(json.loads, lines)} | {"<end>": end}


def _environment(home: Path, output: Path, *, delay: float) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "model")]),
        "LC_ALL": "C.UTF-8",
        "ASTRAL_TEST_REPOSITORY": str(REPOSITORY),
        "ASTRAL_TEST_HOME": str(home),
        "ASTRAL_TEST_OUTPUT": str(output),
        "ASTRAL_TEST_SERVER": "\t".join([sys.executable, str(REPOSITORY / "tests/server/scripted.py")]),
        "ASTRAL_TEST_SCRIPT": json.dumps({"delay": delay, "log": str(home / "engine.log")}),
    }


@pytest.mark.editor
@pytest.mark.parametrize("case", _cases())
def test_emacs(outcomes: dict[str, str], case: str) -> None:
    """One ert test."""
    problem = outcomes.get(case, f"it did not run: {outcomes['<end>']}")
    assert not problem, problem


@pytest.mark.editor
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_list_that_is_open_grows(emacs: str, tmp_path: Path) -> None:
    """In a terminal, where there is a minibuffer: *Completions* follows the candidates as they come."""
    import pty

    output = tmp_path / "seen.jsonl"
    environment = _environment(tmp_path, output, delay=4.0) | {"TERM": "xterm"}
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execve(emacs, [emacs, "-nw", "-q", "-l", str(HERE / "interactive.el")], environment)
    try:
        while os.read(terminal, 65536):  # what is drawn must be read, or Emacs waits for us
            pass
    except OSError:
        pass  # Emacs has ended
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    assert status == 0
    seen = {
        entry["name"]: entry["value"] for entry in map(json.loads, output.read_text("utf-8").splitlines())
    }
    assert "more are being drawn" in seen["prompt"]
    assert seen["first"] == ["width * height"]
    assert len(seen["grown"]) == 4
    assert "return second_1" in seen["text"]
