"""The Neovim plugin in a real, headless Neovim against a real server process with a scripted engine.

Each file of ``specs/`` runs in one Neovim (harness.lua); each of its cases is one test here.
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
SECONDS = 120.0
REAL_SECONDS = 900.0
"""With the real weights, which a busy machine takes minutes to run."""
_CASE = re.compile(r"""^test\(\s*(['"])(.+?)\1""", re.MULTILINE)


def _cases(folder: str) -> list[tuple[Path, str]]:
    specs = sorted((HERE / folder).glob("*.lua"))
    return [(spec, match[1]) for spec in specs for match in _CASE.findall(spec.read_text("utf-8"))]


@pytest.fixture(scope="session")
def nvim() -> str:
    """A Neovim that is new enough: $ASTRAL_NVIM, else the one on PATH."""
    program = os.environ.get("ASTRAL_NVIM") or shutil.which("nvim")
    if program is None:
        pytest.skip("no nvim on PATH; tests/editors/neovim/setup.sh installs one (ASTRAL_NVIM names it)")
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    version = re.search(r"v(\d+)\.(\d+)", answer.stdout)
    if version is None or (int(version[1]), int(version[2])) < (0, 11):
        pytest.skip(f"{program} is {answer.stdout.splitlines()[0]}; the plugin needs 0.11")
    return program


class Runs:
    """Runs each spec once and keeps what came of it."""

    def __init__(self, nvim: str, home: Path) -> None:
        self._nvim, self._home = nvim, home
        self._outcomes: dict[Path, dict[str, str]] = {}

    def problem(self, spec: Path, case: str) -> str:
        """'' when ``case`` passed, else what went wrong."""
        if spec not in self._outcomes:
            self._outcomes[spec] = self._run(spec)
        outcome = self._outcomes[spec]
        return outcome.get("<file>") or outcome.get(case, f"{case!r} did not run: {outcome.get('<end>')}")

    def _run(self, spec: Path) -> dict[str, str]:
        home = self._home / spec.stem
        home.mkdir()
        seconds = SECONDS if spec.parent.name == "specs" else REAL_SECONDS
        output = home / "results.jsonl"
        command = [
            self._nvim,
            "--clean",
            "--headless",
            "-l",
            "harness.lua",
            str(spec),
            str(REPOSITORY),
            str(output),
        ]
        try:
            process = subprocess.run(
                command,
                cwd=HERE,
                env=self._environment(home),
                capture_output=True,
                text=True,
                timeout=seconds,
            )
            end = process.stderr[-4000:]
        except subprocess.TimeoutExpired:
            end = f"Neovim did not end within {seconds:g} s"
        lines = output.read_text("utf-8").splitlines() if output.exists() else []
        outcomes = {entry["name"]: entry.get("problem", "") for entry in map(json.loads, lines)}
        return outcomes | {"<end>": end}

    def _environment(self, home: Path) -> dict[str, str]:
        places = {
            f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("STATE", "CONFIG", "DATA", "CACHE")
        }
        return {
            **os.environ,
            **places,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "model")]),
            "ASTRAL_TEST_HOME": str(home),
            "ASTRAL_TEST_PYTHON": sys.executable,
        }


@pytest.fixture(scope="session")
def runs(nvim: str, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Outcomes of all specs, each run when first asked for."""
    return Runs(nvim, tmp_path_factory.mktemp("neovim"))


def _name(value: object) -> str:
    return value.stem if isinstance(value, Path) else str(value)


@pytest.mark.editor
@pytest.mark.parametrize(("spec", "case"), _cases("specs"), ids=_name)
def test_neovim(runs: Runs, spec: Path, case: str) -> None:
    """One case of one spec."""
    problem = runs.problem(spec, case)
    assert not problem, problem


@pytest.mark.editor
@pytest.mark.real_model
@pytest.mark.parametrize(("spec", "case"), _cases("real"), ids=_name)
def test_neovim_with_the_real_weights(runs: Runs, spec: Path, case: str) -> None:
    """One case of one spec."""
    problem = runs.problem(spec, case)
    assert not problem, problem
