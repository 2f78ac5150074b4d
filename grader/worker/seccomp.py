"""A filter of system calls: what a test's process does, no other process notices.

The filter is a short program for the kernel (man 2 seccomp): each forbidden call of
grader/worker/syscalls.py gets an error, which Python raises as PermissionError. Threads
stay allowed.

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

from grader.worker.syscalls import (
    CLONE,
    CLONE_THREAD,
    FORBIDDEN,
    MAKES_FILE,
    OPEN,
    OWN_ONLY,
    SOME,
    UNKNOWN,
    Numbers,
)

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
# Places in the structure that the kernel hands to the program.
NUMBER, ARCH, ARGUMENTS = 0, 4, 16
# Instructions: load a word, jump if equal, jump if at least, jump if any bit, return.
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000
X32_NUMBERS = 0x40000000  # a second table of the same calls on x86_64
NOBODY = 0xFFFFFFFF  # no process has this number

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


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
        # Process 0 means the caller's own in all of them.
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
    for numbers, place, values in SOME.values():
        then = [_line(LOAD, ARGUMENTS + 8 * place)]
        for value in values.values():
            then += [_line(EQUAL, value, 0, 1), _line(RETURN, ERROR | errno.EPERM)]
        lines += _if_call(numbers[column], [*then, _line(RETURN, ALLOW)])
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
