"""The command line without the model: usage, errors, holes, doctor."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from astral_lsp.cli import main
from astral_lsp.interpreter import NoInterpreter, find_interpreter, from_command_line

SOURCE = 'def f(xs: list[int]) -> int:\n    """Sum."""\n    return __hole__\n'


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "m.py"
    path.write_text(SOURCE)
    return path


def test_holes_lists_positions_that_fill_takes(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["holes", str(module)]) == 0
    assert capsys.readouterr().out == f"{module}:3:12: 1 return `__hole__` in f\n"


def test_holes_as_json(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["holes", str(module), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "astral-lsp/holes/1"
    assert answer["holes"][0]["range"]["start"] == {"line": 2, "character": 11}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["fill", "nope.py"], "No such file"),
        (["fill", "{m}", "--at", "1:1"], "no hole here"),
        (["fill", "{m}", "--at", "x"], "is not LINE:COL"),
        (["fill", "{m}", "--hole", "7"], "hole 7 of 1 does not exist"),
        (["fill", "{m}", "--range", "9:1-9:2"], "line 9 is outside the file"),
        (["fill", "{m}", "--interpreter", "/no/python"], "/no/python"),
        (["holes", "nope.py"], "No such file"),
        (["bench", "infilling", "nope.jsonl"], "nope.jsonl"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    module: Path, arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([argument.format(m=module) for argument in arguments])
    error = capsys.readouterr().err
    assert code == 2
    assert why in error.replace("\n", "")
    assert "Traceback" not in error
    assert module.read_text() == SOURCE


def test_a_file_without_holes_says_how_to_write_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.py"
    path.write_text("x = 1\n")
    assert main(["fill", str(path)]) == 2
    assert "?name" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--candidates", "0"], ["--budget", "-1"], ["--engine", "gpt"]])
def test_bad_flags_are_usage_errors(module: Path, flags: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fill", str(module), *flags])
    assert caught.value.code == 2


def test_a_bad_setting_is_named(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (module.parent / "pyproject.toml").write_text('[tool.astral-lsp.fill]\nengine = "gpt"\n')
    assert main(["fill", str(module)]) == 2
    error = capsys.readouterr().err.replace("\n", "")
    assert "pyproject.toml" in error
    assert "gpt" in error


def test_an_environment_is_the_projects_only_within_its_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(variable, raising=False)
    root = tmp_path / "repository" / "project"
    root.mkdir(parents=True)
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    assert find_interpreter(root) != str(python)
    (tmp_path / "repository" / ".git").mkdir()
    assert find_interpreter(root) != str(python)
    (tmp_path / ".git").mkdir()
    (tmp_path / "repository" / ".git").rmdir()
    assert find_interpreter(root) == str(python)


def test_doctor_names_a_wrong_interpreter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path), "--interpreter", "/no/python", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    states = {check["name"]: check["state"] for check in answer["checks"]}
    assert states["interpreter"] == "problem"
    assert states["torch"] == "ok"


def test_an_interpreter_on_the_command_line_is_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    asked = from_command_line("env/python")
    assert find_interpreter(tmp_path / "project", asked) == str(tmp_path / "env" / "python")
    assert find_interpreter(tmp_path / "project", from_command_line("python3"))
    with pytest.raises(NoInterpreter):
        find_interpreter(tmp_path / "project", "env/python")


def checks_of(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    main(["doctor", str(root), "--json"])
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


def test_doctor_names_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.mypy]\nstrict = true\n")
    checks = checks_of(tmp_path, capsys)
    assert "pyproject.toml" in checks["mypy"]["detail"]
    assert re.fullmatch(r"astral-\S+ [0-9a-f]{12}, \d+ training steps", checks["adapter"]["detail"])
    assert all(check["advice"] == "" for check in checks.values() if check["state"] == "ok")
    assert all(check["advice"] for check in checks.values() if check["state"] != "ok")


def test_doctor_names_model_files_that_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = '[tool.astral-lsp.model]\nbase = "/no/base.gguf"\nadapter = "/no/adapter"\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    checks = checks_of(tmp_path, capsys)
    assert (checks["weights"]["state"], checks["adapter"]["state"]) == ("problem", "warning")
    assert "/no/adapter" in checks["adapter"]["detail"]


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_goes_away_is_no_error(module: Path) -> None:
    module.write_text(SOURCE * 5000)
    command = [sys.executable, "-m", "astral_lsp.cli", "holes", str(module)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["holes"], ["holes", "--json"], ["model", "list"]])
def test_output_that_finds_no_room_is_one_line(module: Path, arguments: list[str]) -> None:
    operand = [] if arguments[0] == "model" else [str(module)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "astral_lsp.cli", *arguments, *operand],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    message = "astral-lsp: the output could not be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "astral_lsp.cli", "--tcp", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    message = f"astral-lsp: port {port} cannot be listened on: Address already in use\n"
    assert (done.returncode, done.stderr) == (2, message)


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_what_is_no_port_is_a_usage_error(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([f"--tcp={port}"])
    assert "--tcp" in capsys.readouterr().err


def test_a_file_over_the_limit_is_refused(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module.write_text("x = 1\n" * 1_500_000)
    assert main(["fill", str(module)]) == 2
    assert "over the limit" in capsys.readouterr().err


def test_listing_holes_loads_neither_torch_nor_mypy(module: Path) -> None:
    probe = (
        "import sys; from astral_lsp.cli import main; main(['holes', sys.argv[1]]);"
        "bad = {'torch', 'mypy', 'pygls'} & set(sys.modules); sys.exit(f'loaded {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe, str(module)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
