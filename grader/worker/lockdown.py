"""How the process in the sandbox gives up what it may do, before any student's code.

The zygote gives up for itself and all its children; `close_child` does the rest in
each of them.
"""

import ctypes
import mimetypes
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grader.border.limits import Limits, limit_process
from grader.worker.landlock import LandlockError, allow_only
from grader.worker.seccomp import SeccompError, forbid_calls, prepare_filter

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
MOST_CAPABILITIES = 64
OPEN_FOLDER = "/proc/self/fd"
SYSTEM_FILES = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/urandom",
    "/dev/zero",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    *mimetypes.knownfiles,  # which Python reads if they are there
)


@dataclass(frozen=True)
class Lockdown:
    """What the zygote shall give up.

    Attributes:
        uid: become this user; None: stay who it is.
        use_landlock: forbid all files but the interpreter, the code, the submission.
        hidden: files and folders of the interpreter that are forbidden, too.
        use_seccomp: forbid the calls of grader/worker/seccomp.py in each test.
        is_alone: all other processes that it may kill belong to this sandbox.
        devices: nodes of a GPU that may be used.
        readable: files of its driver.
    """

    uid: int | None
    use_landlock: bool
    use_seccomp: bool
    is_alone: bool
    hidden: tuple[str, ...] = ()
    devices: Sequence[str] = ()
    readable: Sequence[str] = ()


def lock_zygote(lockdown: Lockdown, own_folders: list[Path]) -> list[str]:
    """Give up rights for good; return what this kernel could not take, in words."""
    missing = []
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = getattr(libc, "prctl", None)
    if prctl is not None:
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if lockdown.uid is not None:
        _reach_by_open_folders()
        for capability in range(MOST_CAPABILITIES):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(lockdown.uid, lockdown.uid, lockdown.uid)
        os.setresuid(lockdown.uid, lockdown.uid, lockdown.uid)
    if lockdown.use_landlock:
        prefixes = [Path(sys.base_prefix), Path(sys.prefix)]
        allowed = [*map(Path, (*SYSTEM_FILES, *lockdown.readable))]
        allowed += [*prefixes, *own_folders]
        devices = [Path(node) for node in lockdown.devices]
        try:
            # Opened before the change of user, a prefix can be read though its
            # parents cannot.
            readable = [*_open_folders(), *allowed]
            hidden = map(Path, lockdown.hidden)
            allow_only(readable, [Path("/dev/null")], hidden, devices)
        except LandlockError as error:
            missing.append(f"Landlock: {error}")
    if prctl is not None:
        # Nobody of the same user may read or write this process's memory.
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if lockdown.use_seccomp:
        prepare_filter()
        if not has_seccomp():
            missing.append("seccomp: this kernel takes no filter")
    return missing


def close_child(lockdown: Lockdown, limits: Limits, in_use: int) -> None:
    """Bound a test's process and forbid it the calls of grader/worker/seccomp.py.

    Args:
        lockdown: as for the zygote.
        limits: of the test.
        in_use: bytes of addresses that the zygote has mapped.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = getattr(libc, "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    limit_process(limits, lockdown.is_alone, in_use, has_gpu=bool(lockdown.devices))
    if lockdown.use_seccomp:
        with suppress(SeccompError):  # the zygote has said that there is none
            forbid_calls()


def has_seccomp() -> bool:
    """Whether this kernel takes our filter; tried in a process of its own."""
    child = os.fork()
    if child == 0:
        with suppress(SeccompError):
            forbid_calls()
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _reach_by_open_folders() -> None:
    """Keep packages importable below a home that the next user cannot enter.

    An interpreter in /root, say, is closed to everybody else. Its folder is opened
    now, and all paths of packages lead through the open folder from here on.
    """
    for prefix in {sys.base_prefix, sys.prefix}:
        if all(folder.stat().st_mode & 0o001 for folder in Path(prefix).parents):
            continue
        opened = os.open(prefix, os.O_PATH | os.O_DIRECTORY)
        door = f"{OPEN_FOLDER}/{opened}"
        sys.path[:] = [_through(door, prefix, entry) for entry in sys.path]
        for module in list(sys.modules.values()):
            paths = getattr(module, "__path__", None)
            if isinstance(paths, list):
                paths[:] = [_through(door, prefix, path) for path in paths]
        _DOORS.append(Path(door))
    sys.path_importer_cache.clear()


_DOORS: list[Path] = []


def _open_folders() -> list[Path]:
    return list(_DOORS)


def _through(door: str, prefix: str, path: str) -> str:
    inside = path == prefix or path.startswith(prefix + "/")
    return door + path[len(prefix) :] if inside else path
