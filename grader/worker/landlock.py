"""Landlock: which files a process may read, decided by itself, for good.

Only reading and running, and only below the given paths; nothing can be written or
made (man 7 landlock). Used where the kernel gives us no file system of our own, once
for the zygote; a process pays 0.6 ms for it (benchmarks/results/own_parts.json).
"""

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # on all processors
ASK_VERSION = 1
PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
IOCTL_DEVICE = 1 << 15  # the last right of version 5, which forbids it otherwise
READING = EXECUTE | READ_FILE | READ_DIR
# How many of the rights on files each version of Landlock knows, one bit each.
RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
# Whether network and signals to the outside can be forbidden, too.
NETWORK_VERSION, SCOPE_VERSION = 4, 6
ALL_NETWORK, ALL_SCOPES = 3, 3


class LandlockError(OSError):
    """The kernel has no Landlock, or it is switched off."""


def landlock_version() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    version = int(_libc().syscall(CREATE_RULESET, None, 0, ASK_VERSION))
    return max(version, 0)


def has_landlock() -> bool:
    """Whether it keeps a process from files; tried in one of its own."""
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            allow_only([])
            try:
                os.open("/", os.O_RDONLY | os.O_DIRECTORY)
            except PermissionError:
                code = 0
        os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def allow_only(
    readable: Iterable[Path],
    writable_files: Iterable[Path] = (),
    hidden: Iterable[Path] = (),
    devices: Iterable[Path] = (),
) -> None:
    """Forbid this process all files but these; what is missing is passed over.

    Args:
        readable: files and folders to read.
        writable_files: files that may be written, such as /dev/null.
        hidden: files and folders below them that stay closed; only their names show.
        devices: nodes that may be written and asked (ioctl), such as a GPU's.

    Raises:
        LandlockError: it is not there.
    """
    version = landlock_version()
    if version < 1:
        raise LandlockError("this kernel has no Landlock")
    libc = _libc()
    all_rights = (1 << RIGHTS_OF_VERSION.get(version, 16)) - 1
    attributes = struct.pack(
        "=QQQ",
        all_rights,
        ALL_NETWORK if version >= NETWORK_VERSION else 0,
        ALL_SCOPES if version >= SCOPE_VERSION else 0,
    )
    # Older versions know only the first fields.
    known = 24 if version >= SCOPE_VERSION else 16 if version >= NETWORK_VERSION else 8
    ruleset = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(known), 0)
    if ruleset < 0:
        raise LandlockError(os.strerror(ctypes.get_errno()))
    closed = {path.resolve() for path in hidden}
    above = {parent for path in closed for parent in path.parents}
    for path in readable:
        for part, rights in _around(path, path.resolve(), closed, above, set()):
            _add_rule(libc, ruleset, part, rights)
    for path in writable_files:
        _add_rule(libc, ruleset, path, READ_FILE | WRITE_FILE)
    for path in devices:
        asking = IOCTL_DEVICE & all_rights
        _add_rule(libc, ruleset, path, READ_FILE | WRITE_FILE | asking)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(RESTRICT_SELF, ruleset, 0):
        raise LandlockError(os.strerror(ctypes.get_errno()))
    os.close(ruleset)


def _around(
    path: Path, real: Path, closed: Set[Path], above: Set[Path], seen: set[Path]
) -> Iterator[tuple[Path, int]]:
    """Paths with their rights: this one, or all in it but what is closed.

    Args:
        path: as it is opened.
        real: where it leads.
        closed: what stays closed.
        above: the folders around that.
        seen: those of them that were there already: links may lead in circles.
    """
    if real in closed or real in seen:
        return
    if real not in above:
        yield path, READING
        return
    seen.add(real)
    yield path, READ_DIR
    for entry in os.scandir(path):
        inner = real / entry.name
        if entry.is_symlink():  # as .venv/lib64 to lib
            inner = inner.resolve()
        yield from _around(path / entry.name, inner, closed, above, seen)


def _add_rule(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not path.is_dir():
        rights &= EXECUTE | READ_FILE | WRITE_FILE | IOCTL_DEVICE
    rule = struct.pack("=Qi", rights, folder)
    failed = libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
    os.close(folder)
    if failed:
        raise LandlockError(os.strerror(ctypes.get_errno()))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
