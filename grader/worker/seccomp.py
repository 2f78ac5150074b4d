"""A filter of system calls: a test starts no process, opens no socket, makes no file.

The filter is a short program for the kernel (man 2 seccomp): each forbidden call gets
an error, which Python raises as PermissionError. Threads stay allowed.

It costs each test's process 1.4 ms, beside 4.8 ms for its fork and end
(benchmarks/results/own_parts.json).
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from functools import cache

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
# Places in the structure that the kernel hands to the program.
NUMBER, ARCH, ARGUMENTS = 0, 4, 16
# Instructions: load a word, jump if equal, jump if at least, jump if any bit, return.
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000
X32_NUMBERS = 0x40000000  # a second table of the same calls on x86_64
CLONE_THREAD = 0x00010000
O_TMPFILE = 0x00400000
MAKES_FILE = os.O_CREAT | O_TMPFILE
NOBODY = 0xFFFFFFFF  # no process has this number

# name -> numbers of the call on x86_64 and aarch64; None: there is no such call.
Numbers = tuple[int | None, int | None]
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FORBIDDEN: dict[str, Numbers] = {
    # processes
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "tkill": (200, 130),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "rt_sigqueueinfo": (129, 138),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "setns": (308, 268),
    "unshare": (272, 97),
    # network and other ways to talk
    "socket": (41, 198),
    "socketpair": (53, 199),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # files that outlive the test
    "creat": (85, None),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # the kernel
    "mount": (165, 40),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
}
# Calls whose arguments no filter can read; C libraries fall back to the older ones.
UNKNOWN: dict[str, Numbers] = {"clone3": (435, 435), "openat2": (437, 437)}
# Allowed only for this process: name -> numbers. The first argument is a process.
OWN_ONLY = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
# Allowed only without these bits: name -> (numbers, which argument holds the flags).
OPEN: dict[str, tuple[Numbers, int]] = {
    "open": ((2, None), 1),
    "openat": ((257, 56), 2),
}
CLONE: Numbers = (56, 220)


class SeccompError(OSError):
    """The kernel takes no filter."""


def forbid_calls() -> None:
    """Install the filter for this process and its threads, for good.

    Raises:
        SeccompError: unknown processor, or a kernel without seccomp.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise SeccompError(f"no filter for {machine} processors")
    program = filter_program(machine, os.getpid())
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    )
    for option in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0),
    ):
        arguments = [
            ctypes.c_ulong(argument) if isinstance(argument, int) else argument
            for argument in option
        ]
        if libc.prctl(*arguments):
            raise SeccompError(os.strerror(ctypes.get_errno()))


def filter_program(machine: str, own_pid: int) -> bytes:
    """The filter as the kernel reads it."""
    return _program(machine).replace(_is_process(NOBODY), _is_process(own_pid))


def prepare_filter() -> None:
    """Called before the forks, so that each of them finds the filter nearly made."""
    if platform.machine() in ARCHITECTURES:
        _program(platform.machine())


@cache
def _program(machine: str) -> bytes:
    """For a process without a number."""
    column = list(ARCHITECTURES).index(machine)
    lines = [
        _line(LOAD, ARCH),
        _line(EQUAL, ARCHITECTURES[machine], 1, 0),
        _line(RETURN, KILL),
        _line(LOAD, NUMBER),
        _line(AT_LEAST, X32_NUMBERS, 0, 1),
        _line(RETURN, ERROR | errno.EPERM),
    ]
    lines += _refuse(FORBIDDEN, column, errno.EPERM)
    lines += _refuse(UNKNOWN, column, errno.ENOSYS)
    for own in OWN_ONLY.values():
        # Process 0 means the caller's own in all three.
        lines += _if_call(
            own[column],
            [
                _line(LOAD, ARGUMENTS),
                _is_process(NOBODY),
                _line(EQUAL, 0, 1, 0),
                _line(RETURN, ERROR | errno.EPERM),
                _line(RETURN, ALLOW),
            ],
        )
    for numbers, place in [*OPEN.values(), (CLONE, 0)]:
        is_clone = numbers is CLONE
        bits = CLONE_THREAD if is_clone else MAKES_FILE
        lines += _if_call(
            numbers[column],
            [
                _line(LOAD, ARGUMENTS + 8 * place),
                _line(ANY_BIT, bits, *((1, 0) if is_clone else (0, 1))),
                _line(RETURN, ERROR | errno.EPERM),
                _line(RETURN, ALLOW),
            ],
        )
    return b"".join([*lines, _line(RETURN, ALLOW)])


def _refuse(calls: Mapping[str, Numbers], column: int, error: int) -> list[bytes]:
    lines = []
    for numbers in calls.values():
        lines += _if_call(numbers[column], [_line(RETURN, ERROR | error)])
    return lines


def _if_call(number: int | None, then: list[bytes]) -> list[bytes]:
    """What to do for this call; for all others go on behind it."""
    if number is None:
        return []
    return [_line(EQUAL, number, 0, len(then)), *then]


def _is_process(pid: int) -> bytes:
    return _line(EQUAL, pid, 2, 0)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
