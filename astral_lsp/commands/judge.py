"""The judge of a benchmark: does a finished program pass the test that nobody showed to the fill?

The program is a model's: it runs in a process of its own that may write below its own folder only, reaches no
network and ends, with all that it started, after six seconds.
"""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from astral_lsp.workers.pytest_guest import kernel

TEST_SECONDS = 6.0
_MEMORY_BYTES = 2 << 30
_FILE_BYTES = 16 << 20


def parses(program: str) -> bool:
    """Whether Python parses ``program``."""
    try:
        ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def runs_clean(program: str, test: str, entry_point: str, seconds: float = TEST_SECONDS) -> bool:
    """Whether ``program``, ``test`` and ``check(entry_point)`` run without an error in ``seconds``."""
    source = f"{program}\n{test}\ncheck({entry_point})\n"
    with tempfile.TemporaryDirectory(prefix="astral-judge-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "case.py").write_text(source, encoding="utf-8", errors="surrogatepass")
        posix = os.name == "posix"
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "case.py"],
            cwd=folder,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8"}
            if posix
            else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=posix,
            preexec_fn=(lambda: _confine(folder)) if posix else None,
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _confine(folder: str) -> None:
    """What this system can do; the limits everywhere, the rest on Linux."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    with contextlib.suppress(OSError, ValueError):  # macOS knows the limit and refuses it
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    if kernel.LINUX:
        with contextlib.suppress(OSError):
            kernel.landlock([folder, "/dev/null"])
        with contextlib.suppress(OSError):
            kernel.seccomp(no_network=True)
