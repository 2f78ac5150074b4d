import mmap
import os
import signal
from contextlib import suppress
from pathlib import Path

import torch

WRONG = torch.full((1, 1), 7.0)
# What forks of one process would share, made while the file is loaded.
SHARED = mmap.mmap(-1, 8)
OFFSET = os.open(__file__, os.O_RDONLY)
PIPE = os.pipe()
EVENT = os.eventfd(0, os.EFD_NONBLOCK)
os.set_blocking(PIPE[0], False)
CALLS = []
CHILD = 0
with suppress(OSError):
    CHILD = os.fork()
    if CHILD == 0:
        while True:
            signal.pause()


def tell(what):
    """Say that it worked, in the output and by the end of the process."""
    print("GOT", "THROUGH", what, sep="-", flush=True)
    os._exit(77)


def fcos_distances_to_edges(locations, boxes_xyxy):
    """Look for what an earlier test left in what was made at loading; leave it, too."""
    if not CALLS:
        if SHARED[0]:
            tell("shared memory")
        if os.lseek(OFFSET, 0, os.SEEK_CUR):
            tell("the place in an open file")
        with suppress(OSError):
            if os.read(PIPE[0], 9):
                tell("a pipe")
        with suppress(OSError):
            if os.eventfd_read(EVENT):
                tell("a counter of the kernel")
    CALLS.append(1)
    SHARED[0] = 7
    os.lseek(OFFSET, 42, os.SEEK_SET)
    os.write(PIPE[1], b"seen")
    os.eventfd_write(EVENT, 5)
    return WRONG


def fcos_is_candidate(ltrb_px, size_range_px):
    """End a process that was forked at loading, the parent, the siblings, all."""
    if CHILD:
        tell("a process that was started at loading")
    others = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    for pid in {os.getppid(), -1, 1, *others} - {os.getpid()}:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            tell("a signal to another process")
    return WRONG
