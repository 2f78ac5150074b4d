"""A hostile common.py: tries to leave something for the next test, or to signal others.

Each way returns what it could do; what the sandbox refuses raises OSError. `seen` is
what a later test could read of it. tests/test_no_state_crosses.py hands this file in.
"""

import ctypes
import fcntl
import os
import platform
import resource
import struct
from contextlib import suppress

FOLDERS = ("/tmp", "/dev/shm", os.environ.get("HOME", "/tmp"))
FILES = ("/dev/null", "/dev/zero", __file__, os.__file__)
IS_X86_64 = platform.machine() == "x86_64"
# Calls that the C library has no function for: numbers on x86_64 and aarch64.
NUMBERS = {
    "rt_tgsigqueueinfo": (297, 240),
    "rt_sigqueueinfo": (129, 138),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "ioprio_get": (252, 31),
    "pidfd_open": (434, 434),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "process_madvise": (440, 440),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "keyctl": (250, 219),
    "fchmodat2": (452, 452),
    "tkill": (200, 130),
}
SIGCONT, SIGSTOP = 18, 19
O_PATH = 0o10000000
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    """A system call; OSError if the kernel says no."""
    number = NUMBERS[name][0 if IS_X86_64 else 1]
    given = [
        ctypes.c_long(part) if isinstance(part, int) else part for part in arguments
    ]
    return check(LIBC.syscall(number, *given))


def check(answer):
    """What a function of the C library answered; OSError if it is an error."""
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def parent():
    """The process that forks all tests."""
    return os.getppid()


def signal_to_parent():
    """As rt_tgsigqueueinfo wants it."""
    info = ctypes.create_string_buffer(128)
    struct.pack_into("iii", info, 0, SIGCONT, 0, -1)
    return info


def opened(path, flags=os.O_RDONLY):
    """A file, open."""
    return os.open(path, flags)


def on_pipe(command, argument):
    """Change how a pipe of our own behaves."""
    return fcntl.fcntl(os.pipe()[0], command, argument)


def each_file(action):
    """Do it to all; one that is allowed is enough."""
    for path in (*FILES, *FOLDERS):
        with suppress(OSError):
            action(path)
            return path
    raise PermissionError("all are refused")


def attributes():
    """A scheduling policy and a nice value."""
    return ctypes.create_string_buffer(struct.pack("IIQiIQQQ", 48, 3, 0, 7, 0, 0, 0, 0))


ONE = ctypes.create_string_buffer(struct.pack("Q", 1) + bytes(120))
WAYS = {
    "priority of the parent": lambda: os.setpriority(os.PRIO_PROCESS, parent(), 5),
    "priority of the user": lambda: os.setpriority(os.PRIO_USER, 0, 6),
    "scheduler of the parent": lambda: os.sched_setscheduler(
        parent(), os.SCHED_BATCH, os.sched_param(0)
    ),
    "scheduler's numbers": lambda: os.sched_setparam(parent(), os.sched_param(0)),
    "scheduler's attributes": lambda: call("sched_setattr", parent(), attributes(), 0),
    "processors of the parent": lambda: os.sched_setaffinity(
        parent(), {min(os.sched_getaffinity(0))}
    ),
    "priority of the parent's files": lambda: call(
        "ioprio_set", 1, parent(), (2 << 13) | 5
    ),
    "limits of the parent": lambda: resource.prlimit(
        parent(), resource.RLIMIT_NOFILE, (60, 60)
    ),
    "kill": lambda: os.kill(parent(), SIGCONT),
    "kill all": lambda: os.kill(-1, SIGCONT),
    "killpg": lambda: os.killpg(os.getpgid(parent()), SIGCONT),
    "tkill": lambda: call("tkill", parent(), SIGCONT),
    "sigqueue": lambda: call("rt_sigqueueinfo", parent(), SIGCONT, signal_to_parent()),
    "tgsigqueue": lambda: call(
        "rt_tgsigqueueinfo", parent(), parent(), SIGCONT, signal_to_parent()
    ),
    "pidfd": lambda: call("pidfd_open", parent(), 0),
    "owner of a file": lambda: on_pipe(8, parent()),
    "owner of a file, extended": lambda: on_pipe(15, struct.pack("ii", 1, parent())),
    "signal of a file": lambda: on_pipe(10, SIGSTOP),
    "lease of a file": lambda: fcntl.fcntl(opened(__file__), 1024, 0),
    "news of a folder": lambda: fcntl.fcntl(opened("/"), 1026, 1),
    "owner by ioctl": lambda: fcntl.ioctl(
        os.pipe()[0], 0x8901, struct.pack("i", parent())
    ),
    "memory of the parent": lambda: call("migrate_pages", parent(), 64, ONE, ONE),
    "pages of the parent": lambda: call("move_pages", parent(), 0, 0, 0, 0, 0),
    "advice to the parent": lambda: call("process_madvise", 0, 0, 0, 0, 0),
    "memory policy": lambda: call("set_mempolicy", 1, ONE, 64),
    "policy of pages": lambda: call("mbind", 0, 0, 0, 0, 0, 0),
    "personality": lambda: check(LIBC.personality(0x0040000)),
    "keys": lambda: call("keyctl", 0, -3, 1, 0, 0),
    "shared memory": lambda: check(LIBC.shmget(77, 4096, 0o1600)),
    "shared memory of others": lambda: check(LIBC.shmctl(0, 14, ONE)),
    "semaphores": lambda: check(LIBC.semget(77, 1, 0o1600)),
    "messages": lambda: check(LIBC.msgget(77, 0o1600)),
    "times of a file": lambda: each_file(os.utime),
    "rights of a file": lambda: each_file(lambda path: os.chmod(path, 0o777)),
    "rights of an open file": lambda: each_file(
        lambda path: os.fchmod(opened(path), 0o777)
    ),
    "rights, by the newest call": lambda: call(
        "fchmodat2", -100, FOLDERS[-1].encode(), 0o700, 0
    ),
    "mark on a file": lambda: each_file(
        lambda path: fcntl.fcntl(opened(path), 1036, struct.pack("Q", 3))
    ),
    "attribute of a file": lambda: each_file(
        lambda path: os.setxattr(path, "user.mark", b"1")
    ),
    "a file": lambda: each_file(
        lambda path: opened(f"{path}/mark", os.O_CREAT | os.O_WRONLY)
    ),
    "a folder": lambda: each_file(lambda path: os.mkdir(f"{path}/mark")),
    "a folder less": lambda: os.rmdir(f"{FOLDERS[-1]}/.config/matplotlib"),
    "another folder less": lambda: os.rmdir(f"{FOLDERS[-1]}/.cache"),
    "a folder renamed": lambda: os.rename(FOLDERS[-1], f"{FOLDERS[-1]}-mark"),
    "who reads a file": lambda: check(LIBC.inotify_init1(0)),
    "which files were read": lambda: check(LIBC.mincore(0, 0, ONE)),
}


def try_all():
    """Name -> what it could do; what is refused is not in it."""
    done = {}
    for name, way in WAYS.items():
        try:
            done[name] = str(way())
        except PermissionError:
            continue
        except OSError as error:
            done[name] = str(error)  # the kernel had another reason: it was asked
    return done


def seen():
    """What a test can read that an earlier one might have set."""
    pid = parent()
    times = {}
    for path in (*FILES, *FOLDERS):
        with suppress(OSError):
            status = os.stat(path)
            times[path] = [status.st_mtime_ns, status.st_mode, status.st_nlink]
    return {
        "priority": [os.getpriority(os.PRIO_PROCESS, who) for who in (0, pid)],
        "scheduler": [os.sched_getscheduler(who) for who in (0, pid)],
        "processors": sorted(os.sched_getaffinity(0)),
        "files": [call("ioprio_get", 1, who) for who in (0, pid)],
        "times": times,
        "open": sorted(_open_files()),
    }


def _open_files():
    """Numbers of the files that a test begins with; a path alone keeps nothing."""
    for number in range(64):
        with suppress(OSError):
            if not fcntl.fcntl(number, fcntl.F_GETFL) & O_PATH:
                yield number
