"""``astral-lsp bench infilling`` with the real oracles and a scripted model."""

from __future__ import annotations

import gzip
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from astral_lsp.cli import main
from astral_lsp.workers.process import WorkerFailure
from astral_lsp.workers.protocol import Propose
from tests.commands.scripted import script

PROMPT = '''\
from typing import List


def helper(numbers: List[int]) -> int:
    """ Not what is asked. """
    return len(numbers)


def add_all(numbers: List[int]) -> int:
    """ Add them up.
    >>> add_all([1, 2, 3])
    6
    >>> add_all([])
    0
    """
'''
TEST = "def check(candidate):\n    assert candidate([4, 5]) == 9\n"
RIGHT, WRONG = "    return sum(numbers)\n", "    return len(numbers)\n"


def row(prompt: str = PROMPT, suffix: str = "", solution: str = RIGHT, **more: str) -> dict[str, str]:
    return {
        "task_id": "T/0", "entry_point": "add_all", "prompt": prompt, "suffix": suffix,
        "canonical_solution": solution, "test": TEST, **more,
    }  # fmt: skip


def write(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def bench(data: Path, *flags: str) -> tuple[int, list[dict[str, Any]]]:
    out = data.parent / "fills.jsonl"
    code = main(["bench", "infilling", str(data), "--out", str(out), "--budget", "60", *flags])
    lines = out.read_text().splitlines() if out.exists() else []
    return code, [json.loads(line) for line in lines]


def test_doctests_of_the_prompt_choose_the_fill_and_the_hidden_test_judges_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, lambda _: [WRONG, RIGHT])
    code, (outcome,) = bench(write(tmp_path / "d.jsonl", row()))
    assert code == 0
    assert outcome["fill"] == RIGHT
    assert outcome["verdicts"] == {"syntax": "passed", "types": "passed", "tests": "passed"}
    assert outcome["passed"]
    assert outcome["exact"]
    assert outcome["verified"]
    assert {"task_id", "fill", "verdicts", "ms", "evaluations"} <= set(outcome)
    table = capsys.readouterr().out
    assert "scripted-model · adapter scripted-adapter 0123" in table
    assert "100.0%" in table


def test_without_tests_the_engines_order_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda _: [WRONG, RIGHT])
    _, (outcome,) = bench(write(tmp_path / "d.jsonl", row()), "--no-tests", "--no-types")
    assert outcome["fill"] == WRONG
    assert not outcome["passed"]
    assert outcome["verdicts"]["tests"] == "not_run"


HOLES = {
    "body": (PROMPT, "", RIGHT, WRONG),
    "line": (PROMPT + "    a = 0\n", "    return total\n", "    total = sum(numbers)\n", "    total = 1\n"),
    "rest of a line": (PROMPT + "    return ", "", "sum(numbers)\n", "len(numbers)\n"),
    "span": (PROMPT + "    return su", "bers)\n", "m(num", "m(num["),
    "inner line": (
        PROMPT + "    total = 0\n    for n in numbers:\n", "    return total\n",
        "        total += n\n", "        total = n\n",
    ),
    "lines": (PROMPT + "    a = 1\n", "    return total\n", "    total = 0\n    for n in numbers:\n"
              "        total += n\n", "    total = a\n"),
    "body, no newline": (PROMPT, "", RIGHT.rstrip("\n"), WRONG.rstrip("\n")),
}  # fmt: skip


@pytest.mark.parametrize("name", HOLES)
def test_doctests_judge_holes_of_every_shape(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt, suffix, right, wrong = HOLES[name]
    script(monkeypatch, lambda _: [wrong, right])
    _, (outcome,) = bench(write(tmp_path / "d.jsonl", row(prompt, suffix, right)))
    assert outcome["fill"] == right, outcome
    assert outcome["verdicts"]["tests"] == "passed"
    assert outcome["passed"]


def test_examples_without_a_prompt_sign_are_no_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda _: [RIGHT])
    prompt = PROMPT.replace(">>> ", "").replace("    6\n", "    # => 6\n")
    _, (outcome,) = bench(write(tmp_path / "d.jsonl", row(prompt)))
    assert outcome["verdicts"] == {"syntax": "passed", "types": "passed", "tests": "not_run"}
    assert outcome["verified"]


def test_the_model_sees_nothing_but_prompt_and_suffix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Propose] = []

    def draw(params: Propose) -> list[str]:
        seen.append(params)
        return [RIGHT]

    script(monkeypatch, draw)
    bench(write(tmp_path / "d.jsonl", row(test=TEST + "    assert 'secret'\n")), "--no-tests")
    assert (seen[0].before, seen[0].after, seen[0].category) == (PROMPT, "", "any")
    assert "secret" not in seen[0].prefix + seen[0].suffix


def test_every_limit_and_engines_choose_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda _: [RIGHT])
    rows = [row(task_id=f"T/{number}") for number in range(9)]
    flags = ("--every", "3", "--limit", "2", "--engines", "ar,flow", "--no-tests", "--no-types")
    _, outcomes = bench(write(tmp_path / "d.jsonl", *rows), *flags)
    assert [(o["task_id"], o["engine"]) for o in outcomes] == [
        ("T/0", "ar"), ("T/0", "flow"), ("T/3", "ar"), ("T/3", "flow"),
    ]  # fmt: skip


def test_gzipped_data_is_known_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda _: [RIGHT])
    path = tmp_path / "d.data"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(row()).encode() + b"\n\n"))
    code, outcomes = bench(path, "--no-tests", "--no-types")
    assert (code, len(outcomes)) == (0, 1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no rows"),
        (b"\n\n", "no rows"),
        (b'{"task_id": "T/0"}\n', "line 1: Object missing required field"),
        (json.dumps(row()).encode() + b"\nnonsense\n", "line 2: JSON is malformed"),
        (b"[1]\n", "line 1: Expected `object`"),
        (b"\xff\xfe\x00", "line 1: JSON is malformed"),
        (gzip.compress(json.dumps(row()).encode() * 50)[:60], "damaged after line"),
    ],
)
def test_bad_data_is_one_line_and_exit_code_2(
    data: bytes, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(data)
    code, outcomes = bench(path)
    error = capsys.readouterr().err
    assert (code, outcomes) == (2, [])
    assert why in error.replace("\n", " ")
    assert "Traceback" not in error


def test_no_weights_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, lambda _: [], load_failure=WorkerFailure("unavailable", "no weights; run X"))
    assert bench(write(tmp_path / "d.jsonl", row()))[0] == 2
    assert "no weights; run X" in capsys.readouterr().err


def test_an_unwritable_out_file_is_said_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, lambda _: pytest.fail("drew"))
    data = write(tmp_path / "d.jsonl", row())
    assert main(["bench", "infilling", str(data), "--out", str(tmp_path / "no" / "out.jsonl")]) == 2
    assert "out.jsonl" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_and_the_table_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, lambda _: [RIGHT])
    data = write(tmp_path / "d.jsonl", row(), row(task_id="T/1"))
    flags = ["--no-tests", "--no-types", "--budget", "60"]
    assert main(["bench", "infilling", str(data), "--out", "/dev/full", *flags]) == 2
    captured = capsys.readouterr()
    assert "No space left" in captured.err
    assert "1 rows" in captured.out


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_keeps_what_is_done_and_prints_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[Propose] = []

    def draw(params: Propose) -> list[str]:
        drawn.append(params)
        if len(drawn) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return [RIGHT]

    script(monkeypatch, draw)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us with `&`
    rows = [row(task_id=f"T/{number}") for number in range(5)]
    code, outcomes = bench(write(tmp_path / "d.jsonl", *rows), "--no-tests", "--no-types")
    assert code == 130
    assert [o["task_id"] for o in outcomes] == ["T/0", "T/1"]
    captured = capsys.readouterr()
    assert "2 rows" in captured.out
    assert "interrupted" in captured.err
    assert "Traceback" not in captured.err


def test_no_candidate_is_an_outcome_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda _: [])
    _, (outcome,) = bench(write(tmp_path / "d.jsonl", row()), "--no-tests", "--no-types")
    assert (outcome["fill"], outcome["passed"], outcome["candidates"]) == ("", False, 0)
    assert "no candidate" in outcome["message"]
