"""What this machine can do to keep generated code in, for ``doctor`` and the status bar.

The sandbox itself is the guest's (`astral_lsp/workers/pytest_guest/sandbox.py`): it must run under the user's
interpreter. Here it is only asked.
"""

from __future__ import annotations

import tempfile

from astral_lsp.verify.tests import OPEN_SECONDS, worker
from astral_lsp.workers.protocol import OpenTests

_ADVICE = {
    "user": "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces; on "
    "Ubuntu kernel.apparmor_restrict_unprivileged_userns=0; in a container, its seccomp profile)",
    "mount": "tests run on a copy of the workspace instead of an overlay; allow mounts in user namespaces",
    "network": "tests could reach the network unless seccomp stops them; allow network namespaces",
    "pid": "processes that tests leave behind are hunted down one by one; allow PID namespaces",
    "ipc": "tests share System V IPC with other programs; allow IPC namespaces",
    "seccomp": "the filter knows x86-64 and aarch64 only",
    "landlock": "only needed where mount namespaces are missing (Linux 5.13)",
}


async def probe(python: str) -> dict[str, str]:
    """Each layer with '' when it works under the interpreter ``python``, else why not; raises
    WorkerFailure."""
    guest = worker(python)
    with tempfile.TemporaryDirectory() as folder:
        try:
            await guest.start()
            about = await guest.call(OpenTests(folder), timeout=OPEN_SECONDS)
        finally:
            await guest.close()
    missing: dict[str, str] = about["missing"]
    return {name: missing.get(name, "") for name in about["sandbox"]}


def explain(report: dict[str, str]) -> list[str]:
    """One line for each missing layer: what is missing, why, and what to do; one where none can be had."""
    reasons = set(report.values())
    if len(reasons) == 1 and all(report.values()):
        return [f"sandbox: none ({reasons.pop()}): tests run on a copy of the workspace and reach all else"]
    return [
        f"sandbox: no {name} layer ({why}): {_ADVICE.get(name, 'see the documentation')}"
        for name, why in report.items()
        if why
    ]
