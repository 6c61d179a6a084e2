"""The main job with the real weights: the README's command on the README's example."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real_model
EXAMPLE = Path(__file__).parents[2] / "examples" / "orders"


def digest(folder: Path) -> dict[str, str]:
    """Hashes of the Python files below ``folder``."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.py"))
    }


def fill(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "astral_lsp.cli", "fill", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=cwd)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop") / "orders"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return folder


@pytest.fixture(scope="module")
def answer(example: Path) -> tuple[int, dict[str, Any]]:
    before = digest(example)
    done = fill("orders.py", "--json", "--budget", "30", "--seed", "1", cwd=example)
    assert done.returncode in (0, 1), done.stderr
    assert digest(example) == before, "filling changed a file of the user"
    return done.returncode, json.loads(done.stdout)


def test_the_contract_of_the_json(answer: tuple[int, dict[str, Any]]) -> None:
    code, report = answer
    assert report["schema"] == "astral-lsp/fill/1"
    assert report["model"].startswith("qwen2.5-coder-0.5b")
    assert len(report["holes"]) >= 6
    for hole in report["holes"]:
        assert {"id", "kind", "range", "expected_type", "environment_size", "elapsed_ms", "fills"} <= set(
            hole
        )
        assert hole["fills"], hole
        for entry in hole["fills"]:
            statuses = {verdict["status"] for verdict in entry["verdicts"].values()}
            assert statuses <= {"passed", "failed", "not_run", "unavailable"}
            assert not entry["verified"] or "failed" not in statuses
        ranked = [entry["verified"] for entry in hole["fills"]]
        assert ranked == sorted(ranked, reverse=True), "verified fills come first"
    assert code == int(not all(any(f["verified"] for f in hole["fills"]) for hole in report["holes"]))


def test_most_holes_of_the_example_are_filled_and_verified_by_tests(
    answer: tuple[int, dict[str, Any]],
) -> None:
    _, report = answer
    verified = [
        hole for hole in report["holes"] for best in hole["fills"][:1]
        if best["verified"] and best["verdicts"]["tests"]["status"] == "passed"
    ]  # fmt: skip
    assert len(verified) >= 4, [(hole["id"], hole["fills"][0]) for hole in report["holes"]]


def test_expected_types_come_from_mypy(answer: tuple[int, dict[str, Any]]) -> None:
    _, report = answer
    assert any(hole["expected_type"] for hole in report["holes"])
    assert all(hole["environment_size"] > 0 for hole in report["holes"])


def test_write_takes_verified_fills_only_and_the_project_then_passes(example: Path, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    shutil.copytree(example, folder)
    text = (folder / "orders.py").read_text()
    done = fill("orders.py", "--write", "--budget", "30", "--seed", "1", cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    assert (folder / "orders.py").read_text() != text
    if done.returncode == 0:
        check = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert check.returncode == 0, check.stdout
