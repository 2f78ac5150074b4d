"""Run a command on a kernel that says it has no Landlock: `python ... COMMAND ...`."""

import ctypes
import errno
import os
import platform
import struct
import sys

from grader.worker import seccomp
from grader.worker.landlock import ADD_RULE, CREATE_RULESET, RESTRICT_SELF


def forbid_landlock() -> None:
    """The three calls are unknown from here on, in all processes that follow."""
    line = seccomp._line
    lines = [
        line(seccomp.LOAD, seccomp.ARCH),
        line(seccomp.EQUAL, seccomp.ARCHITECTURES[platform.machine()], 1, 0),
        line(seccomp.RETURN, seccomp.KILL),
        line(seccomp.LOAD, seccomp.NUMBER),
    ]
    for number in (CREATE_RULESET, ADD_RULE, RESTRICT_SELF):
        lines += seccomp._if_call(
            number, [line(seccomp.RETURN, seccomp.ERROR | errno.ENOSYS)]
        )
    program = b"".join([*lines, line(seccomp.RETURN, seccomp.ALLOW)])
    code = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(seccomp.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(seccomp.PR_SET_SECCOMP, seccomp.SECCOMP_MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter")


if __name__ == "__main__":
    forbid_landlock()
    os.execvp(sys.argv[1], sys.argv[1:])
