"""The real server with its real type checker: what it starts and leaves, and when workers die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.server.harness import Editor, apply_edit, at, editor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc"),
]
SERVER = [sys.executable, "-m", "astral_lsp.server"]
WITHOUT_MODEL = Path(__file__).parent / "without_model.py"
TEXT = "def area(width: int, height: int) -> list[int]:\n    return ...\n"


def descendants(pid: int) -> dict[int, str]:
    """Every descendant of ``pid`` with its command line; the dead ones not."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        try:
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        except (OSError, IndexError):
            continue
        if entry.name.isdigit() and state != "Z":
            parents[int(entry.name)] = int(parent)
    found, front = {}, [pid]
    while front:
        above = front.pop()
        for child, parent_pid in parents.items():
            if parent_pid == above:
                front.append(child)
                with contextlib.suppress(OSError):  # it has ended since
                    found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def _typed(session: Editor, uri: str) -> None:
    pushed = session.client.diagnostics
    await session.until(lambda: any("list[int]" in d.message for d in pushed.get(uri, ())), 60)


@pytest.mark.parametrize("how", ["shutdown", "SIGTERM", "SIGKILL"])
async def test_however_the_server_ends_no_worker_is_left(tmp_path: Path, how: str) -> None:
    async with editor(tmp_path, command=SERVER) as session:
        await _typed(session, session.open("area.py", TEXT))
        assert session.client._server is not None
        pid = session.client._server.pid
        children = descendants(pid)
        assert any("astral_lsp.workers.types" in line for line in children.values())
        assert not any("astral_lsp.workers.model" in line for line in children.values()), "loaded unasked"
        if how != "shutdown":
            session.gone = True
            os.kill(pid, getattr(signal, how))
    for _ in range(100):
        if not any(map(_is_alive, children)):
            break
        await asyncio.sleep(0.1)
    assert not [line for pid, line in children.items() if _is_alive(pid)]


async def test_the_status_tells_that_mypy_reads_the_program_and_when_it_has(tmp_path: Path) -> None:
    async with editor(tmp_path, command=SERVER) as session:
        uri = session.open("area.py", TEXT)
        await _typed(session, uri)
        await session.until(lambda: session.statuses[-1].state == "idle")
        assert "warming" in [status.state for status in session.statuses]
        seen = len(session.statuses)
        session.change(uri, (at(0, 37, 46), "list[bytes]"))
        await session.until(lambda: "list[bytes]" in session.client.diagnostics[uri][0].message, 60)
        assert "warming" not in [status.state for status in session.statuses[seen:]]


async def test_a_fill_is_verified_by_the_real_oracles(tmp_path: Path) -> None:
    """Types by mypy and tests by pytest, of the unsaved buffer; a model that draws right and wrong."""
    text = "def area(width: int, height: int) -> int:\n    return ...\n"
    test = "from area import area\n\n\ndef test_area() -> None:\n    assert area(2, 3) == 6\n"
    (tmp_path / "area.py").write_text("raise SystemExit('what is on disk is not what is checked')\n", "utf-8")
    (tmp_path / "test_area.py").write_text(test, "utf-8")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    candidates = ["width + height", "str(width)", "width * height", "width *"]
    environment = {"ASTRAL_TEST_CANDIDATES": json.dumps(candidates)}
    settings = {"fill": {"budgetS": 60}}
    async with editor(
        tmp_path, command=[sys.executable, str(WITHOUT_MODEL)], environment=environment, settings=settings
    ) as session:
        uri = session.open("area.py", text)
        await session.until(lambda: session.statuses)
        where = {"uri": uri, "position": {"line": 1, "character": 12}}
        answer = await session.command("astral.fillHole", **where)
        marks = {fill["text"]: (fill["verified"], fill["marks"]) for fill in answer["fills"]}
        assert marks["width * height"] == (True, "types ✓ · tests ✓ 1")
        assert marks["width + height"] == (False, "types ✓ · tests ✗")
        assert marks["str(width)"][1].startswith("types ✗")
        assert marks["width *"][1].startswith("syntax ✗")
        assert answer["applied"] == "width * height"
        assert apply_edit(text, session.applied[0].edit) == text.replace("...", "width * height")
        titles = await session.titles(uri, at(1, 12))
        assert titles[0] == "Fill hole: `width * height` · types ✓ · tests ✓ 1"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


async def test_an_untrusted_workspace_runs_no_tests_and_says_so(tmp_path: Path) -> None:
    text = "def area(width: int, height: int) -> int:\n    return ...\n"
    (tmp_path / "test_area.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", "utf-8")
    environment = {"ASTRAL_TEST_CANDIDATES": json.dumps(["width"])}
    async with editor(
        tmp_path,
        command=[sys.executable, str(WITHOUT_MODEL)],
        environment=environment,
        options={"trusted": False},
        settings={"fill": {"budgetS": 60}},
    ) as session:
        uri = session.open("area.py", text)
        await session.until(lambda: session.statuses)
        answer = await session.command("astral.fillHole", uri=uri, position={"line": 1, "character": 12})
        (fill,) = answer["fills"]
        assert fill["verified"] is False
        assert fill["marks"] in ("types ✓ · tests –", "types ✓ · tests ?")
        assert any("trust" in reason for reason in fill["reasons"])
        assert any("trust" in message for message in session.messages), "inserted, and not said"
    assert not (tmp_path / "ran").exists()


async def test_a_killed_type_checker_is_started_afresh(tmp_path: Path) -> None:
    async with editor(tmp_path, command=SERVER) as session:
        uri = session.open("area.py", TEXT)
        await _typed(session, uri)
        assert session.client._server is not None
        pid = session.client._server.pid
        for child in descendants(pid):
            os.kill(child, signal.SIGKILL)
        session.change(uri, (at(0, 37, 46), "list[bytes]"))
        pushed = session.client.diagnostics
        await session.until(lambda: any("list[bytes]" in d.message for d in pushed[uri]), 60)
        assert await session.actions(uri, at(1, 12))


SOUND = "def area(width: int, height: int) -> int:\n    return ...\n"
REAL_FILLS = {"fill": {"budgetS": 60}}


def _with_a_test(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "area.py").write_text(SOUND, "utf-8")
    test = "from area import area\n\n\ndef test_area() -> None:\n    assert area(2, 3) == 6\n"
    (folder / "test_area.py").write_text(test, "utf-8")


async def test_workers_that_are_killed_during_fills_cost_a_verdict_at_most(tmp_path: Path) -> None:
    """All of them, at any moment: every fill is answered, none claims what nobody checked, and it heals."""
    _with_a_test(tmp_path)
    random_ = random.Random(11)
    environment = {
        "ASTRAL_TEST_CANDIDATES": json.dumps(["width + height", "width * height"]),
        "ASTRAL_TEST_DRAW_SECONDS": "0.5",
    }
    command = [sys.executable, str(WITHOUT_MODEL)]
    async with editor(tmp_path, command=command, environment=environment, settings=REAL_FILLS) as session:
        uri = session.open("area.py", SOUND)
        await session.until(lambda: session.statuses)
        assert session.client._server is not None
        pid = session.client._server.pid
        where = {"uri": uri, "position": {"line": 1, "character": 12}, "apply": False}
        for number in range(4):
            session.change(uri, (at(2, 0), f"# {number}\n"))  # another text: nothing is known of it
            running = asyncio.ensure_future(session.command("astral.fillHole", **where))
            for _ in range(3):
                await asyncio.sleep(random_.uniform(0.05, 0.8))
                for child in descendants(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
            answer = await asyncio.wait_for(running, 90)
            for fill in answer["fills"]:
                assert not (fill["text"] == "width + height" and fill["verified"]), "no test was run on it"
        assert await session.actions(uri, at(1, 12))
        for _ in range(10):  # one that keeps dying is left alone for a while: see workers/process.py
            session.change(uri, (at(2, 0), "# healed\n"))
            answer = await session.command("astral.fillHole", **where)
            marks = {fill["text"]: fill["marks"] for fill in answer["fills"]}
            if marks.get("width * height") == "types ✓ · tests ✓ 1":
                break
            await asyncio.sleep(10)
        assert marks["width * height"] == "types ✓ · tests ✓ 1"
        assert marks.get("width + height", "✗").endswith("✗")


async def test_two_editors_on_one_folder_fill_at_once(tmp_path: Path) -> None:
    """Two windows, two servers, the same files: neither sees the other's buffers or takes its workers."""
    folder = tmp_path / "project"
    _with_a_test(folder)
    environment = {
        "ASTRAL_TEST_CANDIDATES": json.dumps(["width * height", "str(width)"]),
        "ASTRAL_TEST_DRAW_SECONDS": "0.3",
    }
    one, two = (
        editor(
            folder,
            command=[sys.executable, str(WITHOUT_MODEL)],
            environment=environment,
            settings=REAL_FILLS,
        )
        for _ in range(2)
    )
    async with one as first, two as second:
        fills = []
        for session, text in ((first, SOUND), (second, "import os\n" + SOUND)):
            uri = session.open("area.py", text)
            await session.until(lambda session=session: session.statuses)  # type: ignore[misc]
            where = {"uri": uri, "position": {"line": text.count("\n") - 1, "character": 12}}
            fills.append(session.command("astral.fillHole", **where))
        for answer in await asyncio.gather(*fills):
            assert answer["applied"] == "width * height"
            marks = {fill["text"]: fill["marks"] for fill in answer["fills"]}
            assert marks["width * height"] == "types ✓ · tests ✓ 1"
        assert apply_edit("import os\n" + SOUND, second.applied[0].edit).startswith("import os\ndef area")


async def test_a_fill_is_judged_with_what_other_buffers_hold(tmp_path: Path) -> None:
    """The test beside it and the module that it imports are open, changed and not saved."""
    text = "from unit import SIDE\n\n\ndef area(width: int) -> int:\n    return ...\n"
    test = "from area import area\n\n\ndef test_area() -> None:\n    assert area(2) == 6\n"
    saved = {"area.py": text, "unit.py": "SIDE = ''\n", "test_area.py": test.replace("6", "7")}
    for name, content in saved.items():
        (tmp_path / name).write_text(content, "utf-8")
    environment = {"ASTRAL_TEST_CANDIDATES": json.dumps(["width + SIDE", "width * SIDE"])}
    async with editor(
        tmp_path,
        command=[sys.executable, str(WITHOUT_MODEL)],
        environment=environment,
        settings={"fill": {"budgetS": 60}},
    ) as session:
        session.open("unit.py", "SIDE = 3\n")
        session.open("test_area.py", test)
        uri = session.open("area.py", text)
        await session.until(lambda: session.statuses)
        answer = await session.command("astral.fillHole", uri=uri, position={"line": 4, "character": 12})
        marks = {fill["text"]: (fill["verified"], fill["marks"]) for fill in answer["fills"]}
        assert marks["width * SIDE"] == (True, "types ✓ · tests ✓ 1")
        assert marks["width + SIDE"] == (False, "types ✓ · tests ✗")
    assert {name: (tmp_path / name).read_text("utf-8") for name in saved} == saved
