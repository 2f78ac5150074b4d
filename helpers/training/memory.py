"""Memory of a training step: kept for the next step instead of given back."""

import ctypes
import platform

# Numbers of glibc's mallopt, from its malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = -1
TOP_PAD_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Let the process keep the memory of freed tensors; True where that is possible.

    A training step makes and frees the same large tensors each time. glibc asks the
    operating system for every one of them and gives it back, and each page is zeroed
    again at its first use: a tenth of a step on a processor. Kept, the process stays as
    large as its largest step. Other systems' memory managers are left as they are.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    wanted = (
        (M_TRIM_THRESHOLD, NEVER),
        (M_MMAP_MAX, 0),
        (M_TOP_PAD, TOP_PAD_BYTES),
    )
    return all(mallopt(number, value) == 1 for number, value in wanted)
