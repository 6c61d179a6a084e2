"""The wheel holds all that an installation needs, and what it holds works where there is no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as an installer lays it down; dependencies are those of this environment."""
    site = tmp_path_factory.mktemp("site")
    wheel.extractall(site)
    return site


def run(site: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "astral_lsp.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_file_of_both_packages_is_in_it(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for package in (ROOT / "astral_lsp", ROOT / "model" / "astral_model", ROOT / "model" / "adapters"):
        prefix = "astral_model/" if package.name == "adapters" else ""
        for path in package.rglob("*"):
            relative = path.relative_to(package.parent).as_posix()
            if path.is_file() and "__pycache__" not in path.parts:
                assert prefix + relative in names


def test_what_runs_by_its_file_or_is_read_at_run_time(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {
        "astral_lsp/py.typed",
        "astral_lsp/workers/model.py",
        "astral_lsp/workers/types/__main__.py",
        "astral_lsp/workers/pytest_guest/__main__.py",  # a script of the user's interpreter
        "astral_model/sources.toml",
    } <= names
    for card in (name for name in names if name.endswith("/adapter.json")):
        assert card.replace(".json", ".safetensors") in names
        assert wheel.getinfo(card.replace(".json", ".safetensors")).file_size > 1 << 20


def test_nothing_else_is_in_it(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"astral_lsp", "astral_model"}


def test_it_works_without_a_checkout(installed: Path, tmp_path: Path) -> None:
    where = "import astral_lsp, astral_model; print(astral_lsp.__file__, astral_model.__file__)"
    shown = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(path.startswith(str(installed)) for path in shown.split())

    (tmp_path / "shop.py").write_text("def f(a: int) -> int:\n    return ?x\n")
    listed = run(installed, "holes", "shop.py", cwd=tmp_path)
    assert (listed.returncode, listed.stdout.strip()) == (0, "shop.py:2:12: 1 return `?x` in f")

    done = run(installed, "doctor", "--json", "--interpreter", sys.executable, cwd=tmp_path)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    for name in ("server", "torch", "adapter", "mypy", "pytest"):
        assert checks[name]["state"] == "ok", checks[name]
