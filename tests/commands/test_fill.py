"""``astral-lsp fill`` with the real oracles and a scripted model: what is printed, written and answered."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from astral_lsp.cli import main
from astral_lsp.verify import types
from astral_lsp.workers.process import WorkerFailure
from astral_lsp.workers.protocol import Propose
from tests.commands.scripted import script

SOURCE = '''\
def total(xs: list[int]) -> int:
    """Add up.

    >>> total([1, 2])
    3
    """
    return __hole__
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'shop'\n")
    (tmp_path / "shop.py").write_text(SOURCE)
    return tmp_path


def fill(
    path: Path, capsys: pytest.CaptureFixture[str], *flags: str
) -> tuple[int, list[dict[str, Any]], str]:
    """(exit code, the holes of the JSON answer, standard error)."""
    code = main(["fill", str(path), "--json", "--budget", "60", "--interpreter", sys.executable, *flags])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, json.loads(captured.out)["holes"] if captured.out else [], captured.err


def statuses(entry: dict[str, Any]) -> list[str]:
    return [entry["verdicts"][domain]["status"] for domain in ("syntax", "types", "tests")]


def test_the_oracles_choose(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, lambda _: ["str(xs)", "len(xs)", "sum(xs)", "sum("])
    code, (hole,), _ = fill(project / "shop.py", capsys)
    assert code == 0
    assert hole["expected_type"] == "int"
    assert [(entry["text"], statuses(entry)) for entry in hole["fills"]] == [
        ("sum(xs)", ["passed", "passed", "passed"]),
        ("len(xs)", ["passed", "passed", "failed"]),
        ("str(xs)", ["passed", "failed", "failed"]),
        ("sum(", ["failed", "not_run", "not_run"]),
    ]
    assert (project / "shop.py").read_text() == SOURCE


def test_write_takes_verified_fills_only(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, lambda _: ["len(xs)"])
    assert fill(project / "shop.py", capsys, "--write")[0] == 1
    assert (project / "shop.py").read_text() == SOURCE
    script(monkeypatch, lambda _: ["sum(xs)"])
    assert fill(project / "shop.py", capsys, "--write")[0] == 0
    assert (project / "shop.py").read_text() == SOURCE.replace("__hole__", "sum(xs)")


@pytest.mark.parametrize(
    ("data", "drawn", "written"),
    [
        (
            b"\xef\xbb\xbfdef f(a: int) -> int:\r\n    ...\r\n",
            "b = a\nreturn b",
            b"    b = a\r\n    return b\r\n",
        ),
        (b"# coding: latin-1\nE = '\xe9'\n\ndef f() -> str:\n\treturn ?e\n", "E", b"\treturn E\n"),
        (b"def f(a: int) -> int: ...\n", "return a", b"def f(a: int) -> int:\n    return a\n"),
        ("X = '𝔘' + __hole__  # 𝔘\n".encode(), "'é'", "X = '𝔘' + 'é'  # 𝔘\n".encode()),
        (b"x = 2 * ?x\n", "1 + 1", b"x = 2 * (1 + 1)\n"),
    ],
)
def test_encodings_and_layout_survive(
    data: bytes,
    drawn: str,
    written: bytes,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def draw(params: Propose) -> list[str]:
        return [drawn.replace("\n", "\n" + params.indent)]

    path = project / "shop.py"
    path.write_bytes(data)
    script(monkeypatch, draw)
    code, (hole,), _ = fill(path, capsys, "--write")
    assert code == 0, hole["fills"]
    assert path.read_bytes().endswith(written)
    assert path.read_bytes()[:8] == data[:8]


def test_a_text_that_the_encoding_cannot_hold_is_not_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "shop.py"
    path.write_bytes(data := b"# coding: latin-1\nE: str = ?e\n")
    script(monkeypatch, lambda _: ["'\u0416'"])
    code, _, error = fill(path, capsys, "--write")
    assert code == 2
    assert "not written" in error
    assert path.read_bytes() == data


def test_a_file_that_changes_meanwhile_is_not_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "shop.py"

    def draw(_: Propose) -> list[str]:
        path.write_text(SOURCE + "# the user goes on\n")
        return ["sum(xs)"]

    script(monkeypatch, draw)
    code, _, error = fill(path, capsys, "--write")
    assert code == 2
    assert "changed while it was being filled" in error
    assert path.read_text() == SOURCE + "# the user goes on\n"


def test_broken_syntax_elsewhere_is_not_the_fills(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "shop.py"
    path.write_text(SOURCE + "\n\ndef later(:\n    x = (\n")
    script(monkeypatch, lambda _: ["sum(xs)", "sum("])
    _, (hole,), _ = fill(path, capsys)
    best, bad = hole["fills"]
    assert best["verdicts"]["syntax"]["detail"] == (
        "checked without lines 10, 11: broken, but not by the fill"
    )
    assert (best["text"], bad["text"]) == ("sum(xs)", "sum(")
    tests = best["verdicts"]["tests"]
    assert (tests["status"], "no test can import the file" in tests["detail"]) == ("unavailable", True)
    assert not best["verified"]


def test_no_test_is_said_and_not_required(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "shop.py"
    path.write_text("def f(a: int) -> int:\n    return ?a\n")
    script(monkeypatch, lambda _: ["a"])
    code, (hole,), _ = fill(path, capsys)
    tests = hole["fills"][0]["verdicts"]["tests"]
    assert code == 0
    assert (tests["status"], tests["applies"]) == ("not_run", False)


def test_an_untrusted_workspace_runs_no_test(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pyproject.toml").write_text("[tool.astral-lsp]\ntrusted = false\n")
    (project / "conftest.py").write_text("open('ran', 'w')\n")
    script(monkeypatch, lambda _: ["sum(xs)"])
    code, (hole,), _ = fill(project / "shop.py", capsys)
    assert code == 1
    assert statuses(hole["fills"][0]) == ["passed", "passed", "not_run"]
    assert "untrusted" in hole["fills"][0]["verdicts"]["tests"]["detail"]
    assert not (project / "ran").exists()


def test_missing_mypy_is_unavailable_and_nothing_is_verified(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import sys; sys.modules['mypy'] = None; import runpy; runpy.run_module('astral_lsp.workers.types')"
    )
    code = code.replace("types')", "types', run_name='__main__')")
    monkeypatch.setattr(types, "worker_argv", lambda: [sys.executable, "-c", code])
    script(monkeypatch, lambda _: ["sum(xs)"])
    exit_code, (hole,), _ = fill(project / "shop.py", capsys)
    verdict = hole["fills"][0]["verdicts"]["types"]
    assert exit_code == 1
    assert verdict["status"] == "unavailable"
    assert "pip install" in verdict["detail"]
    assert hole["expected_type"] == "int", "syntax knows it too"


def test_no_weights_is_one_sentence(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = "no weights and no network; run: astral-lsp model add FILE"
    script(monkeypatch, lambda _: [], load_failure=WorkerFailure("unavailable", sentence))
    code, (hole,), _ = fill(project / "shop.py", capsys)
    assert code == 1
    assert (hole["fills"], hole["message"]) == ([], sentence)


def test_a_later_hole_sees_the_fill_of_the_earlier(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "shop.py"
    path.write_text("LIMIT: int = ?limit\n\n\ndef f() -> int:\n    return ?twice\n")
    seen: list[str] = []

    def draw(params: Propose) -> list[str]:
        seen.append(params.before)
        return ["12"] if len(seen) == 1 else ["LIMIT * 2"]

    script(monkeypatch, draw)
    code, holes, _ = fill(path, capsys, "--write")
    assert code == 0
    assert "LIMIT: int = 12" in seen[1]
    assert path.read_text() == "LIMIT: int = 12\n\n\ndef f() -> int:\n    return LIMIT * 2\n"
    assert [hole["range"]["start"]["line"] for hole in holes] == [0, 4]


@pytest.mark.parametrize(
    ("flags", "line"), [(["--at", "5:12"], 4), (["--hole", "2"], 4), (["--range", "5:5-5:18"], 4)]
)
def test_one_hole_of_several(
    flags: list[str],
    line: int,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = project / "shop.py"
    path.write_text("LIMIT: int = ?limit\n\n\ndef f() -> int:\n    return ?twice\n")
    script(monkeypatch, lambda params: ["return 1" if params.category == "statements" else "1"])
    code, (hole,), _ = fill(path, capsys, *flags)
    assert code == 0
    assert hole["range"]["start"]["line"] == line


def test_diff_is_a_patch_of_verified_fills(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, lambda _: ["sum(xs)"])
    path = project / "shop.py"
    assert main(["fill", str(path), "--diff", "--budget", "60", "--interpreter", sys.executable]) == 0
    shown = capsys.readouterr().out
    assert "-    return __hole__\n+    return sum(xs)\n" in shown
    assert path.read_text() == SOURCE
    assert main(["fill", str(path), "--diff", "--json"]) == 2


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_writes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def draw(_: Propose) -> list[str]:
        os.kill(os.getpid(), signal.SIGINT)
        return ["sum(xs)"]

    script(monkeypatch, draw)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us with `&`
    code, _, error = fill(project / "shop.py", capsys, "--write")
    assert code == 130
    assert "nothing was written" in error
    assert (project / "shop.py").read_text() == SOURCE


def test_a_terminal_report_names_verdicts(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, lambda _: ["sum(xs)", "len(xs)"])
    assert main(["fill", str(project / "shop.py"), "--budget", "60", "--interpreter", sys.executable]) == 0
    shown = capsys.readouterr().out
    assert "expects int" in shown
    assert "sum(xs)" in shown
    assert "verified · ✓ syntax · ✓ types · ✓ tests" in shown
