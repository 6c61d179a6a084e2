"""The sandbox's layers: probed, taken away one by one, and the same promises kept or named as missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from astral_lsp.verify.sandbox import explain, probe
from astral_lsp.verify.tests import TestsOracle
from astral_lsp.workers.protocol import OpenTests, RunTests
from tests.verify.guest_project import OPEN_SECONDS, OpenWithout, Project, digest, open_guest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")

MODULE = "import os, pathlib, socket\n\ndef act(x):\n    $0\n"
TESTS = """
    import m
    def test_act(): assert m.act(1) == 2
    def test_again(): assert m.act(1) == 2
"""
GOOD = "return x + 1"
WRITES = "pathlib.Path('left.txt').touch(); pathlib.Path('sub/deep.txt').write_text('new')\n    return x + 1"
DELETES = "os.path.exists('test_m.py') and os.unlink('test_m.py')\n    return x + 1"
LOOKS = (
    "assert not os.path.exists('left.txt') and os.path.exists('test_m.py')\n"
    "    assert open('sub/deep.txt').read() == 'old'\n    return x + 1"
)
OUTSIDE = "(pathlib.Path(__import__('tempfile').gettempdir()).parent / 'x').touch()\n    return x + 1"


async def test_probe_names_every_layer() -> None:
    report = await probe(sys.executable)
    assert set(report) >= {"user", "mount", "network", "pid", "ipc", "seccomp", "landlock"}
    assert all(isinstance(why, str) for why in report.values())


def test_explain_says_what_to_do() -> None:
    whole = {"user": "", "mount": "", "network": "", "pid": "", "ipc": "", "seccomp": "", "landlock": ""}
    assert explain(whole) == []
    lines = explain({**whole, "user": "Operation not permitted", "network": "Operation not permitted"})
    assert any("user" in line and "Operation not permitted" in line for line in lines)
    (line,) = explain(dict.fromkeys(whole, "not on Darwin"))
    assert "none (not on Darwin): tests run on a copy" in line


@pytest.mark.parametrize(
    ("without", "named"),
    [
        ([], ""),
        (["network"], ""),  # seccomp stands in
        (["network", "seccomp"], "no network namespace"),
        (["pid"], "no PID namespace"),
        (["user", "mount", "network", "pid", "ipc"], "no PID namespace"),
        (["mount"], ""),  # a copy, behind Landlock
        (["mount", "landlock"], "no protection of files outside a copy"),
    ],
)
async def test_with_layers_missing(tmp_path: Path, without: list[str], named: str) -> None:
    project = Project(tmp_path)
    project.write({"test_m.py": TESTS, "sub/deep.txt": "old"})
    hole = project.hole("m.py", MODULE)
    before = digest(tmp_path)
    guest = await open_guest(tmp_path, without)
    try:
        fills = [GOOD, WRITES, DELETES, LOOKS, "return x"]
        params = RunTests(str(hole.path), hole.text, hole.span, fills, [], 20_000.0, 60_000.0)
        verdicts = (await guest.call(params, timeout=75)).verdicts
    finally:
        await guest.close()
    assert [verdict.status for verdict in verdicts] == ["passed"] * 4 + ["failed"], verdicts
    for verdict in verdicts:
        assert (f"sandbox: {named}" in verdict.detail) if named else ("sandbox" not in verdict.detail), (
            verdict
        )
    assert digest(tmp_path) == before


async def test_no_network_without_its_namespace(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"test_m.py": TESTS})
    hole = project.hole("m.py", MODULE)
    guest = await open_guest(tmp_path, ["network"])
    try:
        fill = "socket.create_connection(('1.1.1.1', 53), 5)"
        params = RunTests(str(hole.path), hole.text, hole.span, [fill], [], 20_000.0, 60_000.0)
        (verdict,) = (await guest.call(params, timeout=75)).verdicts
    finally:
        await guest.close()
    assert "PermissionError" in verdict.detail, verdict


async def test_landlock_keeps_writes_in(tmp_path: Path) -> None:
    work = tmp_path / "work"
    project = Project(work)
    project.write({"test_m.py": TESTS})
    hole = project.hole("m.py", MODULE)
    guest = await open_guest(work, ["mount"])
    fill = f"open({str(tmp_path / 'escaped')!r}, 'w').close()"
    try:
        params = RunTests(str(hole.path), hole.text, hole.span, [fill], [], 20_000.0, 60_000.0)
        (verdict,) = (await guest.call(params, timeout=75)).verdicts
    finally:
        await guest.close()
    assert "PermissionError" in verdict.detail, verdict
    assert not (tmp_path / "escaped").exists()


async def test_require_refuses_what_is_not_whole(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"test_m.py": TESTS})
    hole = project.hole("m.py", MODULE)
    guest = await open_guest(tmp_path, ["pid"], "require")
    params = RunTests(str(hole.path), hole.text, hole.span, [GOOD], [], 20_000.0, 60_000.0)
    try:
        (verdict,) = (await guest.call(params, timeout=75)).verdicts
        assert (verdict.status, verdict.detail) == ("not_run", "not run: the sandbox lacks PID namespace")
        await guest.call(OpenWithout(str(tmp_path), "require", []), timeout=OPEN_SECONDS)
        (verdict,) = (await guest.call(params, timeout=75)).verdicts
        assert verdict.status == "passed"
    finally:
        await guest.close()


async def test_off_still_keeps_to_a_copy(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"test_m.py": TESTS, "sub/deep.txt": "old"})
    hole = project.hole("m.py", MODULE)
    before = digest(tmp_path)
    oracle = TestsOracle()
    try:
        await oracle.open(tmp_path, sys.executable, "off", trusted=True)
        verdicts = await hole.run(oracle, [WRITES, LOOKS, "return x"])
    finally:
        await oracle.close()
    assert [verdict.status for verdict in verdicts] == ["passed", "passed", "failed"], verdicts
    assert verdicts[0].detail == "2 tests; sandbox: off"
    assert digest(tmp_path) == before


async def test_opening_nonsense_is_refused(tmp_path: Path) -> None:
    guest = await open_guest(tmp_path)
    try:
        with pytest.raises(Exception, match="is not a folder"):
            await guest.call(OpenTests(str(tmp_path / "nowhere")), timeout=OPEN_SECONDS)
    finally:
        await guest.close()
