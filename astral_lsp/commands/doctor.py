"""``astral-lsp doctor``: check the environment, and say what to do about each problem."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec
from astral_model.store import Store
from rich.console import Console
from rich.markup import escape

from astral_lsp.config import ConfigError, Settings, from_pyproject, merge
from astral_lsp.fill.session import Session
from astral_lsp.interpreter import NoInterpreter, find_interpreter, find_root, from_command_line
from astral_lsp.verify.sandbox import explain

_SIGNS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "problem": "[red]✗[/]"}
_PROBE_SECONDS = 20
_FAST_FLAGS = {
    "amx_bf16": "AMX bf16",
    "avx512_bf16": "AVX-512 bf16",
    "avx512_vnni": "AVX-512 VNNI",
    "avx2": "AVX2",
}


class Check(msgspec.Struct, frozen=True):
    """One line of the doctor's answer."""

    name: str
    state: Literal["ok", "warning", "problem"]
    detail: str
    advice: str = ""
    """What to do about it; '' when it is well."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``astral-lsp doctor``."""
    parser.add_argument("folder", type=Path, nargs="?", default=Path("."), metavar="FOLDER")
    parser.add_argument("--interpreter", metavar="PYTHON", help="the project's Python (default: found)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; exit code 0 when nothing stands in the way of filling, 1 otherwise."""
    root = find_root(arguments.folder.resolve())
    checks = asyncio.run(examine(root, from_command_line(arguments.interpreter or "")))
    if arguments.json:
        payload = {"schema": "astral-lsp/doctor/1", "root": str(root), "checks": checks}
        print(msgspec.json.format(msgspec.json.encode(payload), indent=2).decode())
    else:
        out = Console(highlight=False, soft_wrap=True)
        for check in checks:
            out.print(f"{_SIGNS[check.state]} {check.name:<12} {escape(check.detail)}")
            for line in check.advice.splitlines():
                out.print(f"  {'':<12} [dim]→ {escape(line)}[/]")
    return int(any(check.state == "problem" for check in checks))


async def examine(root: Path, interpreter: str = "") -> list[Check]:
    """Every check, cheap ones first; never raises."""
    settings, about_settings = _settings(root, interpreter)
    checks = [_server(), _torch(), _processor(), _memory(), _weights(settings), _adapter(settings), _disk()]
    checks.append(about_settings)
    python, check = _interpreter(root, settings)
    checks.append(check)
    if python:
        checks += await _oracles(root, settings)
    return checks


def _server() -> Check:
    version = importlib.metadata.version("astral-lsp")
    return Check(
        "server", "ok", f"astral-lsp {version} on Python {platform.python_version()} ({sys.executable})"
    )


def _torch() -> Check:
    probe = "import torch; print(torch.__version__, torch.get_num_threads(), torch.cuda.is_available())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, timeout=_PROBE_SECONDS * 3
        )
    except subprocess.TimeoutExpired:
        return Check("torch", "problem", "importing torch takes more than a minute", "reinstall torch")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Check("torch", "problem", f"does not import: {last}", f"{sys.executable} -m pip install torch")
    version, threads, cuda = done.stdout.split()
    return Check("torch", "ok", f"torch {version}, {threads} threads{', CUDA' if cuda == 'True' else ''}")


def _processor() -> Check:
    flags: set[str] = set()
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("flags"):
                flags = set(line.split(":", 1)[1].split())
                break
    except OSError:
        return Check("processor", "ok", f"{platform.machine()} {platform.processor()}".strip())
    found = [name for flag, name in _FAST_FLAGS.items() if flag in flags]
    if not found:
        return Check("processor", "warning", platform.machine(), "no AVX2: expect fills to take long")
    return Check("processor", "ok", f"{platform.machine()} with {', '.join(found)}")


def _memory() -> Check:
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1e6
    except (OSError, StopIteration, ValueError):
        return Check("memory", "ok", "not measured on this system")
    if free < 2.0:
        return Check("memory", "warning", f"{free:.1f} GB free", "the model needs 1.6 GB: close something")
    return Check("memory", "ok", f"{free:.1f} GB free")


def _weights(settings: Settings) -> Check:
    if settings.model.base:
        path = Path(settings.model.base).expanduser()
        if path.is_file():
            return Check("weights", "ok", f"{path} ({path.stat().st_size / 1e6:.0f} MB), by the settings")
        return Check("weights", "problem", f"{path} is not a file", "mend model.base in the settings")
    status = Store().status()
    if status.stored:
        return Check("weights", "ok", f"{status.path} ({status.weights.bytes / 1e6:.0f} MB)")
    advice = "astral-lsp model pull (the first fill does it by itself), or astral-lsp model add FILE"
    return Check("weights", "warning", "not there yet", advice)


def _adapter(settings: Settings) -> Check:
    """Without an adapter for the base, ``flow`` and ``hybrid`` cannot run."""
    asked = settings.model.adapter
    if asked == "none":
        return Check("adapter", "ok", "none, by the settings: the engine is ar")
    # the package's own home, found without importing it: that would load torch
    found = importlib.util.find_spec("astral_model")
    home = Path(found.origin).resolve().parent if found is not None and found.origin else Path()
    released = (*home.glob("adapters/*/adapter.json"), *home.parent.glob("adapters/*/adapter.json"))
    cards = [Path(asked).expanduser() / "adapter.json"] if asked else sorted(released)
    try:
        card = json.loads(cards[0].read_text("utf-8"))
        name, steps = f"{cards[0].parent.name} {card['sha256'][:12]}", card.get("steps", "?")
    except (IndexError, OSError, ValueError, KeyError, TypeError):
        where = asked or "the installed package"
        return Check("adapter", "warning", f"none in {where}: the engine is ar", "install the package again")
    if not settings.model.base and card.get("base_sha256") != Store().weights.sha256:
        return Check("adapter", "problem", f"{name} is for another base", "set model.adapter, or to none")
    return Check("adapter", "ok", f"{name}, {steps} training steps")


def _disk() -> Check:
    folder = Store().path.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    if free < 2.5:
        return Check("disk", "warning", f"{free:.1f} GB free for the cache", "the weights take 1.5 GB in all")
    return Check("disk", "ok", f"{free:.0f} GB free for the cache")


def _settings(root: Path, interpreter: str) -> tuple[Settings, Check]:
    try:
        settings = merge(from_pyproject(root), {"interpreter": interpreter} if interpreter else {})
    except ConfigError as error:
        return Settings(), Check(
            "settings", "problem", str(error), "mend [tool.astral-lsp] in pyproject.toml"
        )
    return settings, Check("settings", "ok", f"root {root} · engine {settings.fill.engine}")


def _interpreter(root: Path, settings: Settings) -> tuple[str, Check]:
    try:
        python = find_interpreter(root, settings.interpreter)
        probe = "import sys, json; print(json.dumps(sys.version_info[:3]))"
        done = subprocess.run(
            [python, "-I", "-c", probe], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True
        )
        version = tuple(json.loads(done.stdout))
    except NoInterpreter as error:
        return "", Check("interpreter", "problem", str(error), "set astral-lsp.interpreter or --interpreter")
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return "", Check("interpreter", "problem", f"does not run: {error}", "set astral-lsp.interpreter")
    shown = ".".join(map(str, version))
    if version < (3, 10):
        advice = "tests of the project run under Python 3.10 or newer only"
        return python, Check("interpreter", "warning", f"{python} (Python {shown})", advice)
    return python, Check("interpreter", "ok", f"{python} (Python {shown})")


async def _oracles(root: Path, settings: Settings) -> list[Check]:
    session = Session(settings, root, trusted=True)
    try:
        return [await _mypy(session), *await _pytest(session)]
    finally:
        await session.close()


async def _mypy(session: Session) -> Check:
    problem = await session.open_types()
    if problem is not None:
        return Check("mypy", "warning", problem.detail, "types verdicts will be unavailable")
    about = session.types.about
    config = about.get("config_file") or "no configuration file"
    return Check("mypy", "ok", f"mypy {about.get('mypy', '?')} · {config}")


async def _pytest(session: Session) -> list[Check]:
    problem = await session.open_tests()
    if problem is not None:
        return [Check("pytest", "warning", problem.detail, "tests verdicts will be unavailable")]
    about = session.tests.about
    version = about.get("pytest")
    advice = "install pytest into the project's environment; doctests run without it"
    pytest = (
        Check("pytest", "ok", f"pytest {version}")
        if version
        else Check("pytest", "warning", "not installed under the project's interpreter", advice)
    )
    layers: dict[str, bool] = about.get("sandbox") or {}
    working = ", ".join(name for name, works in layers.items() if works) or "no layer"
    missing: dict[str, str] = about.get("missing") or {}
    if not missing:
        return [pytest, Check("sandbox", "ok", working)]
    advised = [
        *explain(missing),
        "tests still run, and verdicts name what is missing; verify.tests.sandbox = require forbids it",
    ]
    detail = f"{working}; missing: {', '.join(missing)}"
    return [pytest, Check("sandbox", "warning", detail, "\n".join(advised))]
