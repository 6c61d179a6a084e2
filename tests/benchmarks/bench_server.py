"""The language server's own speed: start, lists at rest and during a fill, holes after an edit, memory.

``python -m tests.benchmarks server``. A real server process on stdio with a scripted engine, so that the
server is measured and not a model; the client is a raw pipe, so that no client library is measured either.
On a busy machine the CPU figures (Linux) are the ones to read.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from astral_lsp.commands.quantiles import middle_and_high

REPOSITORY = Path(__file__).parents[2]
SCRIPTED = REPOSITORY / "tests" / "server" / "scripted.py"
WITHOUT_MODEL = SCRIPTED.with_name("without_model.py")
CANDIDATES = ["limit", "len(values)", "'text'", "sum(values)", "max(values)", "values[0]"]
LINES = 2000
FILL = 10_000
"""Id of the request that keeps a fill running."""
LIST_MS, HOLES_MS, START_S, RSS_MB = 5.0, 20.0, 1.0, 150.0
CAPABILITIES: dict[str, Any] = {
    "textDocument": {
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}},
            "dataSupport": True,
            "resolveSupport": {"properties": ["edit"]},
            "isPreferredSupport": True,
        }
    },
    "workspace": {"workspaceEdit": {"documentChanges": True}},
}


class Pipe:
    """A minimal LSP client."""

    def __init__(
        self,
        script: dict[str, Any],
        root: Path,
        program: Path = SCRIPTED,
        settings: dict[str, Any] | None = None,
    ) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'model'}",
            "ASTRAL_TEST_SCRIPT": json.dumps(script),
            "XDG_STATE_HOME": str(root),
            "ASTRAL_TEST_CANDIDATES": json.dumps(CANDIDATES),
            "ASTRAL_TEST_DRAW_SECONDS": "2",
        }
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self.number = 0
        self.answered: set[Any] = set()
        """Ids of requests that were answered while another was waited for."""
        self.request(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": root.as_uri(),
                "capabilities": CAPABILITIES,
                "initializationOptions": {"trusted": True, "settings": settings or {}},
            },
        )
        self.started = time.perf_counter() - self.began
        self.send("initialized", {})

    def send(self, method: str, params: Any, number: int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if number is not None:
            message["id"] = number
        body = json.dumps(message).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def request(self, method: str, params: Any) -> Any:
        """Send and wait for the answer; anything else that arrives is dropped."""
        self.number += 1
        self.send(method, params, self.number)
        while True:
            message = self.read()
            if message.get("id") == self.number and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            self.answered.add(message.get("id"))

    def read(self) -> Any:
        stream = self.process.stdout
        assert stream is not None
        length = 0
        while (header := stream.readline()).strip():
            if header.lower().startswith(b"content-length:"):
                length = int(header.split(b":")[1])
        return json.loads(stream.read(length))

    def resident_mb(self) -> float:
        """Resident memory of the server (Linux)."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_s(self) -> float:
        """CPU seconds of the server so far (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.request("shutdown", None)
        self.send("exit", None)
        self.process.wait(10)


def source(lines: int) -> str:
    """A file of functions, every tenth with a hole."""
    parts = []
    for number in range(lines // 8):
        body = "..." if number % 10 == 0 else "sum(value * 2 for value in values if value > limit)"
        parts.append(
            f"def compute_{number}(values: list[int], limit: int) -> int:\n"
            f'    """Add up what is over the limit, case {number}."""\n'
            "    if not values:\n        return 0\n"
            f"    total = {body}\n    return total + limit\n\n\n"
        )
    return "".join(parts)


def percentiles(work: Callable[[int], None], times: int) -> tuple[float, float]:
    """(p50, p99) milliseconds of ``work``."""
    samples = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        samples.append((time.perf_counter() - began) * 1e3)
    return middle_and_high(samples, 0.99)


def actions_at(pipe: Pipe, uri: str, line: int) -> Any:
    position = {"line": line, "character": 13}
    return pipe.request(
        "textDocument/codeAction",
        {
            "textDocument": {"uri": uri},
            "range": {"start": position, "end": position},
            "context": {"diagnostics": []},
        },
    )


def edit(pipe: Pipe, uri: str, version: int) -> None:
    """Type one character into a comment-like place in the middle of the file."""
    place = {"line": LINES // 2 - LINES // 2 % 8 + 1, "character": 8}
    end = {**place, "character": 9} if version % 2 else place
    pipe.send(
        "textDocument/didChange",
        {
            "textDocument": {"uri": uri, "version": version},
            "contentChanges": [{"range": {"start": place, "end": end}, "text": "" if version % 2 else "x"}],
        },
    )


class Row(NamedTuple):
    """One line of the table."""

    name: str
    p50: float
    p99: float
    limit: float | None
    """None: shown for reading the others on a busy machine."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [*measure_start(Path(folder)), *measure_requests(Path(folder)), *measure_real(Path(folder))]
        rows += measure_background(Path(folder))
    print(f"{'measure':44} {'p50':>8} {'p99':>8} {'limit':>8}")
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:g}"
        flag = "  OVER" if row.limit is not None and row.p99 > row.limit else ""
        print(f"{row.name:44} {row.p50:8.2f} {row.p99:8.2f} {limit:>8}{flag}")


def measure_start(root: Path) -> Iterator[Row]:
    starts, cpu = [], []
    for _ in range(5):
        pipe = Pipe({}, root)
        starts.append(pipe.started)
        cpu.append(pipe.cpu_s())
        pipe.close()
    yield Row("start to initialised, s", statistics.median(starts), max(starts), START_S)
    yield Row("start to initialised, s of CPU", statistics.median(cpu), max(cpu), START_S)


def open_big(pipe: Pipe, root: Path) -> tuple[str, int]:
    """Open the long file; its address, and the line of its first hole."""
    uri, text = (root / "big.py").as_uri(), source(LINES)
    document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
    pipe.send("textDocument/didOpen", {"textDocument": document})
    return uri, text[: text.index("...")].count("\n")


def measure_requests(root: Path) -> Iterator[Row]:
    pipe = Pipe({"delay": 60.0}, root)
    uri, line = open_big(pipe, root)
    version = itertools.count(2)

    def list_(_: int) -> None:
        actions_at(pipe, uri, line)

    def edit_and_list(_: int) -> None:
        edit(pipe, uri, next(version))
        actions_at(pipe, uri, line)

    for when in ("", " during a fill"):
        if when:
            (action, *_) = actions_at(pipe, uri, line)
            pipe.send("codeAction/resolve", action, FILL)
            time.sleep(0.3)
        before = pipe.cpu_s()
        yield Row(f"list, {LINES} lines{when}, ms", *percentiles(list_, 500), LIST_MS)
        cpu = (pipe.cpu_s() - before) / 500 * 1e3
        yield Row(f"list, {LINES} lines{when}, ms of CPU (mean)", cpu, cpu, None)
        yield Row(f"edit then list, {LINES} lines{when}, ms", *percentiles(edit_and_list, 300), HOLES_MS)
    yield Row("resident memory, MB", pipe.resident_mb(), pipe.resident_mb(), RSS_MB)
    pipe.send("$/cancelRequest", {"id": FILL})
    pipe.close()


def measure_real(root: Path) -> Iterator[Row]:
    """Lists at a typist's pace while mypy and pytest really verify a fill; only the model is scripted."""
    pipe = Pipe({}, root, WITHOUT_MODEL)
    uri, line = open_big(pipe, root)
    (action, *_) = actions_at(pipe, uri, line)
    pipe.send("codeAction/resolve", action, FILL)
    samples: list[float] = []
    answered = False
    while not answered:
        began = time.perf_counter()
        actions_at(pipe, uri, line)
        samples.append((time.perf_counter() - began) * 1e3)
        answered = FILL in pipe.answered
        time.sleep(0.01)
    middle, high = middle_and_high(samples, 0.99)
    yield Row(f"list during a real fill ({len(samples)} lists), ms", middle, high, LIST_MS)
    yield Row("the same, slowest, ms", max(samples), max(samples), None)
    yield Row("resident memory after a real fill, MB", pipe.resident_mb(), pipe.resident_mb(), RSS_MB)
    pipe.close()


def measure_background(root: Path) -> Iterator[Row]:
    """A keystroke and the list after it while mode onIdle fills; only the model is scripted."""
    pipe = Pipe({}, root, WITHOUT_MODEL, settings={"fill": {"mode": "onIdle"}})
    uri, line = open_big(pipe, root)
    version = itertools.count(2)

    def typed(number: int) -> None:
        if number % 20 == 0:
            time.sleep(3.0)  # longer than the pause after which the background begins
        began = time.perf_counter()
        edit(pipe, uri, next(version))
        actions_at(pipe, uri, line)
        samples.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.1)

    samples: list[float] = []
    for number in range(200):
        typed(number)
    middle, high = middle_and_high(samples, 0.99)
    yield Row("edit then list while the background fills, ms", middle, high, HOLES_MS)
    pipe.close()


if __name__ == "__main__":
    main()
