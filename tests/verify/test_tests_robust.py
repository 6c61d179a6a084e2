"""What a fill can do to us: the right verdict, the next candidate unaffected, the user's tree
byte-identical."""

# ruff: noqa: E501 (a table of sources reads better unwrapped)

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from astral_lsp.verify.tests import TestsOracle
from tests.verify.guest_project import Asked, Project, digest, live_processes

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's"),
]

MODULE = "import os, sys, time, threading, socket, subprocess, pathlib\n\ndef act(x):\n    $0\n"
TESTS = """
    import os, m
    def test_act(): assert m.act(1) == 2
    def test_surroundings():
        assert m.act(1) == 2
        assert os.path.exists("data.txt") and open("data.txt").read() == "precious"
        assert not os.path.exists("left.txt")
        import m as again
        assert again is m and os.path.samefile(".", os.path.dirname(m.__file__))
"""
GOOD = "return x + 1"

NASTY = {
    "os._exit": ("os._exit(0)", "failed", "exit code 0"),
    "os._exit with a code": ("os._exit(3)", "failed", "exit code 3"),
    "sys.exit": ("sys.exit(0)", "failed", "SystemExit"),
    "kills itself": ("os.kill(os.getpid(), 9)", "failed", "SIGKILL"),
    "kills everything": ("os.kill(-1, 9)", "failed", ""),
    "kills its parent": ("os.kill(os.getppid(), 9)\n    return x + 1", None, ""),
    "segmentation fault": ("import ctypes; ctypes.string_at(0)", "failed", "SIGSEGV"),
    "infinite loop": ("while True: pass", "failed", "no end after"),
    "deaf to signals": (
        "import signal\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n    while True: pass",
        "failed", "no end after",
    ),
    "sleep": ("time.sleep(1000)", "failed", "no end after"),
    "memory bomb": ("return [0] * 10**10", "failed", "MemoryError"),
    "memory creep": ("b = []\n    while True: b.append(bytearray(10**7))", "failed", ""),
    "deep recursion": ("return act(x)", "failed", "RecursionError"),
    "fork bomb": ("while True:\n        try: os.fork()\n        except OSError: pass", "failed", "no end after"),
    "output flood": (
        "while True: sys.stdout.write('x' * 10**6); os.write(1, b'y' * 10**6)", "failed", "no end after",
    ),
    "file flood": ("open('left.txt', 'wb').write(bytes(10**9))", "failed", ""),
    "deletes files": (
        "import shutil\n    shutil.rmtree('.', ignore_errors=True)\n    return x + 1", "failed", "test_surroundings",
    ),
    "rewrites files": (
        "pathlib.Path('data.txt').write_text('gone'); open('left.txt', 'w').close()\n    return 0", "failed", "",
    ),
    "rewrites itself": ("open(__file__, 'w').write('def act(x): return 2')\n    return 0", "failed", "0 == 2"),
    "changes modes": ("os.chmod('data.txt', 0); os.chmod('.', 0o777)\n    return 0", "failed", ""),
    "writes at home": (
        "pathlib.Path.home().joinpath('astral-was-here').write_text('x')\n    return 0", "failed", "test_act",
    ),
    "writes to /tmp": ("open('/tmp/astral-was-here', 'w').write('x')\n    return 0", "failed", ""),
    "changes cwd": ("os.chdir('/')\n    return 0", "failed", "0 == 2"),
    "opens a socket": ("socket.create_connection(('1.1.1.1', 53), 5)", "failed", "unreachable"),
    "replaces sys.modules": ("sys.modules.clear(); sys.modules['m'] = None\n    return 0", "failed", ""),
    "replaces builtins": ("import builtins\n    builtins.open = builtins.len = None\n    return 0", "failed", ""),
    "closes descriptors": ("os.closerange(0, 1000)\n    return 0", "failed", ""),
    "floods the report": ("for fd in range(3, 64):\n        try: os.write(fd, b'{}\\n' * 1000)\n"
                          "        except OSError: pass\n    return 0", "failed", ""),
    "threads that never end": (
        "threading.Thread(target=time.sleep, args=(1000,)).start()\n    return 0", "failed", "0 == 2",
    ),
    "no memory for its parser": ("return " + "(" * 500 + "1" + ")" * 500, "failed", "does not parse"),
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def oracle(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestsOracle]:
    oracle = TestsOracle()
    yield oracle
    await oracle.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def asked(oracle: TestsOracle, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    project = Project(tmp_path_factory.mktemp("workspace"))
    project.write({"test_m.py": TESTS, "data.txt": "precious"})
    await oracle.open(project.root, sys.executable, trusted=True)
    return project.hole("m.py", MODULE)


@pytest.mark.parametrize("name", NASTY)
async def test_nasty_fill(oracle: TestsOracle, asked: Asked, name: str) -> None:
    fill, status, words = NASTY[name]
    before = digest(asked.path.parent)
    timeout = 1500.0 if "no end" in words else 20_000.0
    bad, good = await asked.run(oracle, [fill, GOOD], timeout_ms=timeout)
    assert (good.status, good.count) == ("passed", 2), good
    if status is not None:
        assert bad.status == status, bad
    assert words in bad.detail, bad
    assert digest(asked.path.parent) == before
    assert not Path("/tmp/astral-was-here").exists()
    assert not Path.home().joinpath("astral-was-here").exists()


async def test_where_a_fill_hangs(oracle: TestsOracle, asked: Asked) -> None:
    fill = "y = x\n    while True:\n        y += 1"
    (verdict,) = await asked.run(oracle, [fill], timeout_ms=1500)
    (finding,) = verdict.findings
    assert finding.span is not None
    assert fill[finding.span.start : finding.span.end] in ("while True:", "y += 1")


async def test_daemons_die(oracle: TestsOracle, asked: Asked) -> None:
    mark = f"astral-daemon-{uuid.uuid4().hex}"
    daemon = (
        "if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n"
        f"            os.execvp({sys.executable!r}, ['python', '-c', 'import time; time.sleep(60)', {mark!r}])\n"
        "        os._exit(0)\n    os.wait()\n    return x + 1"
    )
    (verdict,) = await asked.run(oracle, [daemon])
    assert verdict.status == "passed", verdict
    assert live_processes(mark) == []


async def test_no_secret_in_the_environment(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "hush")
    monkeypatch.setenv("PLAIN", "seen")
    oracle = TestsOracle()
    try:
        await oracle.open(asked.path.parent, sys.executable, trusted=True)
        look = (
            "blob = open('/proc/self/environ', 'rb').read()\n    assert b'hush' not in blob\n"
            "    assert 'MY_API_TOKEN' not in os.environ and os.environ['PLAIN'] == 'seen'\n    return x + 1"
        )
        (verdict,) = await asked.run(oracle, [look])
        assert verdict.status == "passed", verdict
    finally:
        await oracle.close()


async def test_loopback_works(oracle: TestsOracle, asked: Asked) -> None:
    fill = (
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "    socket.create_connection(server.getsockname(), 5).close()\n    return x + 1"
    )
    (verdict,) = await asked.run(oracle, [fill])
    assert verdict.status == "passed", verdict


@pytest_asyncio.fixture(loop_scope="module")
async def doomed(asked: Asked) -> AsyncIterator[TestsOracle]:
    """An oracle of its own: one that dies often is left alone for a minute."""
    oracle = TestsOracle()
    await oracle.open(asked.path.parent, sys.executable, trusted=True)
    yield oracle
    await oracle.close()


async def test_guest_killed(doomed: TestsOracle, asked: Asked) -> None:
    oracle = doomed
    running = asyncio.ensure_future(asked.run(oracle, ["time.sleep(1000)"], timeout_ms=50_000))
    await asyncio.sleep(1.0)
    assert oracle.pid is not None
    os.kill(oracle.pid, signal.SIGKILL)
    (verdict,) = await running
    assert verdict.status == "unavailable"
    (verdict,) = await asked.run(oracle, [GOOD])
    assert verdict.status == "passed", verdict


async def test_guest_killed_takes_its_children_along(doomed: TestsOracle, asked: Asked) -> None:
    oracle = doomed
    mark = f"astral-child-{uuid.uuid4().hex}"
    fill = f"subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', {mark!r}])"
    running = asyncio.ensure_future(asked.run(oracle, [fill], timeout_ms=50_000))
    for _ in range(200):
        await asyncio.sleep(0.05)
        if live_processes(mark):
            break
    assert live_processes(mark)
    assert oracle.pid is not None
    os.kill(oracle.pid, signal.SIGKILL)
    await running
    for _ in range(100):
        if not live_processes(mark):
            break
        await asyncio.sleep(0.05)
    assert live_processes(mark) == []


async def test_guest_hung(doomed: TestsOracle, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = doomed
    await asked.run(oracle, [GOOD])
    monkeypatch.setattr("astral_lsp.verify.tests.MARGIN_SECONDS", 1.0)
    assert oracle.pid is not None
    os.kill(oracle.pid, signal.SIGSTOP)
    (verdict,) = await asked.run(oracle, [GOOD], budget_ms=500)
    assert verdict.status == "unavailable"
    assert "did not answer" in verdict.detail
    (verdict,) = await asked.run(oracle, [GOOD])
    assert verdict.status == "passed", verdict


async def test_tests_that_kill_their_collection(oracle: TestsOracle, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"test_m.py": "import os\nimport m\nos._exit(5)\n"})
    await oracle.open(project.root, sys.executable, trusted=True)
    hole = project.hole("m.py", "def f():\n    return $0\n")
    first, second = await hole.run(oracle, ["1", "2"])
    assert first.status != "passed"
    assert second.status != "passed"


async def test_tests_that_hang_in_collection(oracle: TestsOracle, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write({"test_m.py": "import time\nimport m\ntime.sleep(1000)\n"})
    await oracle.open(project.root, sys.executable, trusted=True)
    hole = project.hole("m.py", "def f():\n    return $0\n")
    (verdict,) = await hole.run(oracle, ["1"], budget_ms=3000)
    assert verdict.status in ("not_run", "unavailable")
