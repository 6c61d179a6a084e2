"""End to end in real VS Code (code-server in headless Chromium), the engine scripted.

Build the environment once with ``tests/editors/vscode/setup.sh DIRECTORY``, then run
``ASTRAL_VSCODE_ENV=DIRECTORY pytest -m editor tests/editors/vscode``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VSIX = HERE.parents[2] / "editors" / "vscode" / "astral-lsp.vsix"
SECONDS = 480
"""Idle, a scenario takes about 40."""


def missing() -> str:
    """Why real VS Code cannot be driven here; '' when it can."""
    home = os.environ.get("ASTRAL_VSCODE_ENV", "")
    if not home:
        return (
            "ASTRAL_VSCODE_ENV is not set; build the environment with tests/editors/vscode/setup.sh DIRECTORY"
        )
    if not (Path(home) / "chromium.path").is_file():
        return f"{home} is not complete; run tests/editors/vscode/setup.sh {home}"
    if shutil.which("node") is None:
        return "there is no node on PATH"
    if not VSIX.is_file():
        return "the extension is not packaged; run npm run package in editors/vscode"
    return ""


@pytest.mark.editor
@pytest.mark.slow
@pytest.mark.skipif(missing() != "", reason=missing())
@pytest.mark.parametrize(
    "scenario",
    [
        "accept",
        "cancel",
        "body",
        "lens",
        "early",
        "suggest",
        "ghost",
        "refine",
        "notebook",
        "cells",
        "roots",
        "untitled",
        "file",
        "selection",
        "trust",
        "life",
        "hang",
        "install",
        "installed",
    ],
)
def test_scenario(scenario: str) -> None:
    run(scenario, SECONDS)


@pytest.mark.editor
@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.skipif(missing() != "", reason=missing())
def test_real_weights() -> None:
    run("real", 2 * SECONDS)


def run(scenario: str, seconds: float) -> None:
    command = ["node", str(HERE / "scenarios.mjs"), scenario]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["ok"] is True
