"""The sandbox around every run: namespaces, an overlay over the workspace, limits. Probed, never assumed.

`leave_host` runs in a fresh child of the server and takes the namespaces; `Place` is set up by that child's
own first child (pid 1 of the new PID namespace): it lays an overlay over the workspace so that writes land
in memory, makes the rest of the file system read-only, and can be renewed between two runs. `confine` runs
in each run just before foreign code: limits, no capabilities, seccomp.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from . import kernel

try:
    import fcntl
    import resource
except ImportError:  # Windows: no overlay and no limits there
    fcntl = resource = None  # type: ignore[assignment]

LAYERS = ("user", "mount", "network", "pid", "ipc", "seccomp")
"""What a whole sandbox has besides limits; Landlock stands in where there is no mount namespace."""
REQUIRED = ("files", "network", "processes")

_FLAGS = {
    "mount": kernel.CLONE_NEWNS,
    "network": kernel.CLONE_NEWNET,
    "pid": kernel.CLONE_NEWPID,
    "ipc": kernel.CLONE_NEWIPC,
}
SCRATCH = "/dev/shm"  # there on every Linux with glibc or musl; a private one is mounted over it
SCRATCH_BYTES = 512 << 20
MEMORY_BYTES = 2 << 30
FILE_BYTES = 64 << 20
PROCESSES = 128
OPEN_FILES = 1024
COPY_LIMIT_BYTES = 200 << 20
_NOT_COPIED = shutil.ignore_patterns(
    ".git",
    ".hg",
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
)


class CannotIsolate(Exception):
    """There is no way here to keep the user's files out of reach; the message says why."""


# --- namespaces --------------------------------------------------------------------------------------------


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def leave_host(wanted: dict[str, bool]) -> None:
    """Enter new namespaces of the kinds in ``wanted``; the PID namespace begins with the next child."""
    uid, gid = os.getuid(), os.getgid()
    flags = 0
    for name, flag in _FLAGS.items():
        flags |= flag if wanted.get(name) else 0
    if wanted.get("user"):
        kernel.unshare(flags | kernel.CLONE_NEWUSER)
        with contextlib.suppress(OSError):
            _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    elif flags:
        kernel.unshare(flags)


def _try(action: dict[str, bool]) -> str:
    """Run `leave_host` in a child; '' when it works, else why not."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        why = ""
        try:
            leave_host(action)
            if action.get("mount"):
                kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
                kernel.mount("tmpfs", SCRATCH, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV)
                _lay_overlay(os.getcwd(), Path(SCRATCH))
        except OSError as error:
            why = error.strerror or str(error)
        except BaseException as error:
            why = repr(error)
        finally:
            with contextlib.suppress(OSError):
                os.write(write, why.encode()[:500])
            os._exit(0)
    os.close(write)
    answer = b""
    while chunk := os.read(read, 4096):
        answer += chunk
    os.close(read)
    os.waitpid(child, 0)
    return answer.decode(errors="replace")


def probe() -> dict[str, str]:
    """Each layer with '' when this machine has it, else why not. Forks; changes nothing here."""
    if not kernel.LINUX:
        why = f"not on {platform.system()}"
        return {name: why for name in (*LAYERS, "landlock")}
    report = {"user": _try({"user": True})}
    base = {"user": not report["user"]}
    for name in _FLAGS:
        report[name] = _try({**base, name: True})
    report["seccomp"] = "" if kernel.seccomp_known() else f"no table for {platform.machine()}"
    report["landlock"] = "" if kernel.landlock_abi() else "not in this kernel"
    return report


def missing(layers: dict[str, str], copied: bool = False) -> list[str]:
    """What protection is wanting, in words for a verdict; [] when all that matters is there."""
    found = []
    if layers["mount"] or copied:
        found.append("protection of files outside a copy" if layers["landlock"] else "")
    if layers["network"]:
        found.append("network namespace" if layers["seccomp"] else "")
    if layers["pid"]:
        found.append("PID namespace")
    return [name for name in found if name]


# --- the place where tests run ------------------------------------------------------------------------------


def _lay_overlay(root: str, scratch: Path, above: Sequence[str] = ()) -> None:
    """Overlay ``root`` with a new layer in ``scratch``; the folders ``above`` lie between, topmost first."""
    upper, work = scratch / "up", scratch / "work"
    upper.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    handle = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # by descriptor: a path may hold the option separators , and :
        lower = ":".join([*above, f"/proc/self/fd/{handle}"])
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        try:
            kernel.mount("overlay", root, "overlay", flags, options + ",userxattr")
        except OSError:
            kernel.mount("overlay", root, "overlay", flags, options)
    finally:
        os.close(handle)


def _mounts_below(root: str) -> list[str]:
    """Mount points strictly below ``root``, outermost first (proc(5), mountinfo)."""
    found = []
    prefix = root.rstrip("/") + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split(" ")[4])
            if point.startswith(prefix):
                found.append(point)
    return sorted(found)


def _needed(paths: list[str], folder: str) -> bool:
    real = [os.path.realpath(path) for path in paths]
    return any(path == folder or path.startswith(folder + "/") for path in (*paths, *real))


class Place:
    """Where the tests run: the workspace under an overlay, or a copy of it."""

    def __init__(
        self, root: str, path: str, layers: dict[str, str], use: bool, others: Mapping[str, str] | None = None
    ) -> None:
        """``use`` False: no namespaces and no Landlock (policy ``off``), a copy all the same.

        ``others``: what other files of the workspace hold here, by path.
        """
        self._others = {os.path.relpath(other, root): text for other, text in (others or {}).items()}
        self.layers = layers if use else dict.fromkeys(layers, "switched off")
        self.original_root, self.original_path = root, path
        self.overlaid = not self.layers["mount"]
        self.init = not self.layers["pid"]
        self.root, self.path = root, path
        self._turn = 0
        self._clean = 0
        self._handle: int | None = None
        self._kept: list[str] = []
        self._kept_temporary: set[str] = set()

    def set_up(self) -> None:
        """Make the place, in the keeper; raises OSError or CannotIsolate."""
        if self.overlaid:
            self._private_mounts()
            self._mount_root()
            self._hide_sockets()
        if not self.layers["network"]:
            with contextlib.suppress(OSError):
                _raise_loopback()
        if self.init:
            self._private_proc()
        else:
            kernel.adopt_orphans()
        os.chdir(self.root)

    def use_copy(self, folder: str) -> None:
        """Stand on a copy of the workspace in ``folder`` (made by the server) instead of an overlay."""
        self.stand_on(folder)
        self._write_others(self.root)
        self._stamps = _stamps(self.root, self.path)

    def stand_on(self, folder: str) -> None:
        """As `use_copy`, where that has been done already by another process."""
        self.overlaid = False
        self.root = os.path.join(folder, "tree")
        self.path = os.path.join(self.root, os.path.relpath(self.original_path, self.original_root))
        self.temporary = os.path.join(folder, "tmp")

    @property
    def paths(self) -> set[str]:
        """Every name under which the module under test may be imported."""
        names = {self.path, self.original_path}
        return names | {os.path.realpath(name) for name in names}

    def write_module(self, text: str) -> None:
        """Put ``text`` where the module under test is read from."""
        data = text.encode("utf-8", "surrogatepass")
        target = self._buffer if self.overlaid else self.path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)

    def _write_others(self, folder: str) -> None:
        for name, text in self._others.items():
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)  # it may be a link to elsewhere
            with open(target, "wb") as file:
                file.write(text.encode("utf-8", "surrogatepass"))
            os.utime(target, (1, 1))  # older than any bytecode that the saved file has left

    def keep(self) -> None:
        """Make what was written so far (by importing the tests) part of the place; later writes still go
        away."""
        if not self.overlaid:
            self._stamps = _stamps(self.root, self.path)
        self._kept_temporary = set(os.listdir(self.temporary))
        if self.overlaid and self._dirty():
            os.chdir("/")
            kernel.unmount(self.root)
            self._kept.insert(0, f"{SCRATCH}/.astral/{self._turn}/up")
            self._mount_root()
            os.chdir(self.root)

    def _restore_copy(self) -> None:
        """Make the copy as it was; what cannot be restored in place is copied anew from the user's tree."""
        now = _stamps(self.root, self.path)
        for path in sorted(now.keys() - self._stamps.keys(), reverse=True):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        for path, stamp in sorted(self._stamps.items()):
            if now.get(path) == stamp:
                continue
            source = os.path.join(self.original_root, os.path.relpath(path, self.root))
            if os.path.isdir(source) and not os.path.islink(source):
                os.makedirs(path, exist_ok=True)
                shutil.copystat(source, path)
            elif os.path.relpath(path, self.root) in self._others:
                self._write_others(self.root)
            elif os.path.lexists(source):
                with contextlib.suppress(OSError):
                    os.unlink(path)
                shutil.copy2(source, path, follow_symlinks=False)
            self._stamps[path] = _stamp(path)
        os.chdir(self.root)

    def _dirty(self) -> bool:
        return self._handle is not None and os.fstat(self._handle).st_ctime_ns != self._clean

    def renew(self) -> None:
        """Undo what the last run wrote; raises OSError when that cannot be done."""
        if not self.overlaid:
            _empty(self.temporary, self._kept_temporary)
            self._restore_copy()
            return
        _empty(SCRATCH, {".astral", "tmp"})
        _empty(self.temporary, self._kept_temporary)
        if not self._dirty():
            return
        os.chdir("/")
        kernel.unmount(self.root)
        self._mount_root()
        os.chdir(self.root)

    # --- inside ---------------------------------------------------------------------------------------------

    def _private_mounts(self) -> None:
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        try:
            kernel.make_all_read_only()
        except OSError as error:
            self.layers["mount"] = f"cannot make the rest read-only: {error.strerror}"
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("tmpfs", SCRATCH, "tmpfs", flags, f"size={SCRATCH_BYTES},mode=1777")
        os.makedirs(SCRATCH + "/.astral", 0o700)
        self.temporary = SCRATCH + "/tmp"
        os.mkdir(self.temporary, 0o700)
        self._buffer = SCRATCH + "/.astral/buffer.py"
        Path(self._buffer).touch()

    def _mount_root(self) -> None:
        below = [(point, os.open(point, os.O_PATH | os.O_CLOEXEC)) for point in _mounts_below(self.root)]
        if self._handle is not None:
            os.close(self._handle)
            old = f"{SCRATCH}/.astral/{self._turn}"
            if old + "/up" not in self._kept:
                shutil.rmtree(old, ignore_errors=True)
        self._turn += 1
        layer = Path(f"{SCRATCH}/.astral/{self._turn}")
        layer.mkdir()
        if not os.path.exists(self.path):  # a buffer that was never saved
            made = layer / "up" / os.path.relpath(self.path, self.root)
            made.parent.mkdir(parents=True)
            made.touch()
        self._write_others(str(layer / "up"))
        _lay_overlay(self.root, layer, self._kept)
        for point, handle in below:
            with contextlib.suppress(OSError):
                kernel.mount(f"/proc/self/fd/{handle}", point, None, kernel.MS_BIND | kernel.MS_REC)
            os.close(handle)
        kernel.mount(self._buffer, self.path, None, kernel.MS_BIND)
        self._handle = os.open(layer / "up", os.O_RDONLY | os.O_CLOEXEC)
        self._clean = os.fstat(self._handle).st_ctime_ns

    def _hide_sockets(self) -> None:
        """Sockets of the desktop and of daemons are files: cover the folders that hold them."""
        needed = [self.root, self.path, sys.prefix, sys.base_prefix, sys.executable, *sys.path]
        for folder in ("/run", "/tmp"):
            if os.path.isdir(folder) and not os.path.islink(folder) and not _needed(needed, folder):
                with contextlib.suppress(OSError):
                    kernel.mount(self.temporary, folder, None, kernel.MS_BIND)

    def _private_proc(self) -> None:
        with contextlib.suppress(OSError):  # refused where the host masks parts of /proc; the old one serves
            kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV)
            if os.getuid() == 0 and _kernel_version() >= (6, 14):
                # RLIMIT_NPROC does not bind the superuser; since 6.14 this limit is the namespace's own
                _write("/proc/sys/kernel/pid_max", str(301 + PROCESSES))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return found.st_mode, 0, 0
    return found.st_mode, found.st_mtime_ns, found.st_size


def _stamps(root: str, leave_out: str) -> dict[str, tuple[int, int, int] | None]:
    """How everything below ``root`` looks, but ``leave_out``."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            if path != leave_out:
                found[path] = _stamp(path)
    return found


def _empty(folder: str, keep: Set[str] = frozenset()) -> None:
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.name in keep:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh14x", b"lo", 1)  # SIOCSIFFLAGS, IFF_UP
        fcntl.ioctl(handle, 0x8914, request)


def _kernel_version() -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(match[1]), int(match[2])) if match else (0, 0)


def copy_tree(root: str) -> str:
    """Copy the workspace to a new temporary folder; returns it. Raises CannotIsolate when it is too large."""
    total = 0
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_COPIED(folder, folders)]
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
        if total > COPY_LIMIT_BYTES:
            raise CannotIsolate(
                f"no overlay here, and over {COPY_LIMIT_BYTES >> 20} MB the workspace is too large to copy"
            )
    made = tempfile.mkdtemp(prefix="astral-tests-")
    shutil.copytree(root, os.path.join(made, "tree"), symlinks=True, ignore=_NOT_COPIED)
    os.mkdir(os.path.join(made, "tmp"))
    return made


# --- each run -----------------------------------------------------------------------------------------------


def _virtual_bytes() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0


def _process_limit() -> int:
    if _kernel_version() >= (5, 14):
        return PROCESSES  # counted per user namespace since then
    mine = 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            mine += name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.getuid()
    return mine + PROCESSES


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (ceiling, ceiling))


def confine(place: Place, seconds: float) -> None:
    """Take away from this process what a run may not have. Called in the run, before foreign code."""
    if resource is None:
        return
    _limit(resource.RLIMIT_CPU, int(seconds) + 2)
    _limit(resource.RLIMIT_FSIZE, FILE_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    virtual = _virtual_bytes()
    if virtual:
        _limit(resource.RLIMIT_AS, virtual + MEMORY_BYTES)
    if kernel.LINUX:
        # without a user namespace of our own the count would include all of the user's programs
        _limit(resource.RLIMIT_NPROC, _process_limit() if not place.layers["user"] else _all_processes())
        kernel.drop_capabilities()
        kernel.forbid_new_privileges()
        if not place.overlaid and not place.layers["landlock"]:
            with contextlib.suppress(OSError):
                kernel.landlock([place.root, place.temporary, "/dev", "/proc"])
        if not place.layers["seccomp"]:
            kernel.seccomp(no_network=bool(place.layers["network"]))


def _all_processes() -> int:
    mine = 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                mine += len(os.listdir(f"/proc/{name}/task"))
    return mine + PROCESSES
