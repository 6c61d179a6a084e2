"""The few Linux calls that Python lacks, through ctypes. Nothing here runs at import but loading libc."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

LINUX = sys.platform == "linux"

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT = 1, 2, 4, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1
_SYS_MOUNT_SETATTR = 442
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446

_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _call(name: str, *args: object) -> int:
    if _libc is None:
        raise OSError(38, f"{name}: only on Linux")
    return _check(int(getattr(_libc, name)(*args)), name)


def unshare(flags: int) -> None:
    """Leave the parent's namespaces named by ``flags``; raises OSError."""
    _call("unshare", flags)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2); raises OSError naming the target."""
    arguments = [None if part is None else os.fsencode(part) for part in (source, target, kind, data)]
    try:
        _call("mount", *arguments[:3], ctypes.c_ulong(flags), arguments[3])
    except OSError as error:
        raise OSError(
            error.errno, f"mount {kind or 'bind'} on {target}: {os.strerror(error.errno or 0)}"
        ) from error


def unmount(target: str) -> None:
    """Detach what is mounted on ``target`` and below; raises OSError."""
    _call("umount2", os.fsencode(target), MNT_DETACH)


def make_all_read_only() -> None:
    """Make every mount of this namespace read-only (mount_setattr, Linux 5.12); raises OSError."""
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    _call(
        "syscall", ctypes.c_long(_SYS_MOUNT_SETATTR), _AT_FDCWD, b"/", _AT_RECURSIVE, attributes,
        ctypes.c_size_t(len(attributes)),
    )  # fmt: skip


def die_with_parent(signal_number: int = 9) -> None:
    """Ask to be killed when the parent ends."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every orphaned descendant."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def forbid_new_privileges() -> None:
    """No exec below here gains rights (set-uid, file capabilities)."""
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def drop_capabilities() -> None:
    """Give up every capability of this thread; raises OSError."""
    header = struct.pack("=Ii", 0x20080522, 0)  # version 3, this thread
    _call("capset", header, bytes(24))


# --- Landlock: writes only below given folders (Linux 5.13; kernel documentation, userspace-api/landlock) ---

_WRITE_FILE = 1 << 1
_MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14


def landlock_abi() -> int:
    """Version of Landlock in this kernel, 0 when there is none."""
    if _libc is None:
        return 0
    return max(0, int(_libc.syscall(ctypes.c_long(_SYS_LANDLOCK_CREATE), None, ctypes.c_size_t(0), 1)))


def landlock(writable: list[str]) -> None:
    """Deny writes but below ``writable``, for good, here and in all children; raises OSError."""
    abi = landlock_abi()
    rights = _WRITE_FILE | _MAKE_AND_REMOVE | (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0)
    attributes = struct.pack("=Q", rights)
    ruleset = _call(
        "syscall", ctypes.c_long(_SYS_LANDLOCK_CREATE), attributes, ctypes.c_size_t(len(attributes)), 0
    )
    try:
        for path in writable:
            folder = os.path.isdir(path)
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                on_file = _WRITE_FILE | (_TRUNCATE if abi >= 3 else 0)
                rule = struct.pack("=Qi", rights if folder else on_file, handle)
                _call("syscall", ctypes.c_long(_SYS_LANDLOCK_ADD), ruleset, 1, rule, 0)
            finally:
                os.close(handle)
        forbid_new_privileges()
        _call("syscall", ctypes.c_long(_SYS_LANDLOCK_RESTRICT), ruleset, 0)
    finally:
        os.close(ruleset)


# --- seccomp: a short list of calls that no test needs (kernel documentation, userspace-api/seccomp_filter) -

_ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# name -> (x86_64, aarch64)
_DENIED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "mount_setattr": (442, 442), "setns": (308, 268),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "open_by_handle_at": (304, 265),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "io_uring_setup": (425, 425),
}  # fmt: skip
_SOCKET = (41, 198)
_INTERNET_FAMILIES = (2, 10, 17)  # AF_INET, AF_INET6, AF_PACKET
_LOAD, _JEQ, _JGE, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _EPERM, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000


def seccomp_known() -> bool:
    """Whether the filter knows this processor."""
    return LINUX and platform.machine() in _ARCHES


def _filter(no_network: bool) -> bytes:
    column = list(_ARCHES).index(platform.machine())
    operations: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),  # the architecture word of struct seccomp_data
        (_JEQ, 1, 0, _ARCHES[platform.machine()]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the call's number
        (_JGE, 0, 1, 0x40000000),  # x32 calls would pass under other numbers
        (_RETURN, 0, 0, _EPERM),
    ]
    for numbers in _DENIED.values():
        operations += [(_JEQ, 0, 1, numbers[column]), (_RETURN, 0, 0, _EPERM)]
    if no_network:
        operations += [(_JEQ, 0, 1 + 2 * len(_INTERNET_FAMILIES), _SOCKET[column]), (_LOAD, 0, 0, 16)]
        for family in _INTERNET_FAMILIES:
            operations += [(_JEQ, 0, 1, family), (_RETURN, 0, 0, _EPERM)]
    operations.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", code, yes, no, value) for code, yes, no, value in operations)


def seccomp(no_network: bool) -> None:
    """Install the filter, for good; ``no_network`` also denies internet sockets. Raises OSError."""
    if not seccomp_known():
        raise OSError(38, "seccomp: unknown processor")
    program = _filter(no_network)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    forbid_new_privileges()
    _call("prctl", _PR_SET_SECCOMP, 2, header, 0, 0)
