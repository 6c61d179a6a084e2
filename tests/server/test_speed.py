"""Lists stay quick while a fill runs: 99 of 100 under 5 ms, as the client sees it, at a typist's pace.

The client is the raw pipe of the benchmark (no client library is measured). A machine that does other work
adds what it likes, so the best of a few rounds counts; ``python -m tests.benchmarks server`` prints figures.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.benchmarks.bench_server import FILL, LINES, LIST_MS, WITHOUT_MODEL, Pipe, actions_at, edit, source

pytestmark = pytest.mark.slow
ROUNDS = 5
SAMPLES = 200
TYPING_MS = 50.0
"""Less than people notice, with every worker on the one core that a test may have."""


def _p99(work: Callable[[], object], pause: float) -> float:
    samples = []
    for _ in range(SAMPLES):
        began = time.perf_counter()
        work()
        samples.append((time.perf_counter() - began) * 1e3)
        time.sleep(pause)
    return statistics.quantiles(samples, n=100, method="inclusive")[98]


def _opened(pipe: Pipe, root: Path, lines: int = LINES) -> tuple[str, int]:
    """(URI, line of the first hole) of a big buffer."""
    uri, text = (root / "big.py").as_uri(), source(lines)
    document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
    pipe.send("textDocument/didOpen", {"textDocument": document})
    return uri, text[: text.index("...")].count("\n")


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Pipe]:
    pipe = Pipe({"delay": 600.0}, tmp_path, settings={"fill": {"budgetS": 600}})
    yield pipe
    pipe.process.kill()
    pipe.process.wait()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Pipe]:
    """mypy and pytest verify; only the model is scripted."""
    pipe = Pipe({}, tmp_path, WITHOUT_MODEL, settings={"fill": {"mode": "onIdle"}})
    yield pipe
    pipe.process.kill()
    pipe.process.wait()


def test_lists_during_a_fill(scripted: Pipe, tmp_path: Path) -> None:
    uri, line = _opened(scripted, tmp_path)
    (action, *_) = actions_at(scripted, uri, line)
    scripted.send("codeAction/resolve", action, FILL)
    time.sleep(0.3)
    rounds = [_p99(lambda: actions_at(scripted, uri, line), 0.002) for _ in range(ROUNDS)]
    assert min(rounds) < LIST_MS, rounds
    assert FILL not in scripted.answered, "no fill was running"


def test_lists_while_mypy_and_pytest_judge(real: Pipe, tmp_path: Path) -> None:
    uri, line = _opened(real, tmp_path)
    rounds = []
    version = itertools.count(2)
    for _ in range(ROUNDS):
        edit(real, uri, next(version))  # another text, so that each round fills anew
        (action, *_) = actions_at(real, uri, line)
        real.send("codeAction/resolve", action, FILL + len(rounds))
        rounds.append(_p99(lambda: actions_at(real, uri, line), 0.005))
    assert min(rounds) < LIST_MS, rounds


def test_typing_while_the_background_fills(real: Pipe, tmp_path: Path) -> None:
    """Mode onIdle: each keystroke and the list after it, with pauses that let background work begin."""
    uri, line = _opened(real, tmp_path)
    version = itertools.count(2)

    def typed() -> None:
        edit(real, uri, next(version))
        actions_at(real, uri, line)

    rounds = []
    for _ in range(ROUNDS):
        time.sleep(4.0)
        rounds.append(_p99(typed, 0.01))
    assert min(rounds) < TYPING_MS, rounds
    holes = real.request(
        "workspace/executeCommand", {"command": "astral.listHoles", "arguments": [{"uri": uri}]}
    )
    assert any(hole["fills"] for hole in holes), "nothing was filled in the background"


def test_twenty_thousand_lines(scripted: Pipe, tmp_path: Path) -> None:
    uri, line = _opened(scripted, tmp_path, 20_000)
    actions_at(scripted, uri, line)
    rounds = [_p99(lambda: actions_at(scripted, uri, line), 0.002) for _ in range(ROUNDS)]
    assert min(rounds) < LIST_MS, rounds
