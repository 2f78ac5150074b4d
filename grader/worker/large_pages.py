"""Memory in large pages, of which a fork copies 500 times fewer entries.

After the import of torch a process has 80,000 small pages in use, and to copy and to
drop their entries took most of the time of a short test. This is only about speed: a
kernel that does not know the request (before Linux 6.1) refuses it, and all stays. To
fork a process and to take it down costs 4.8 ms instead of 17 ms
(benchmarks/results/own_parts.json).
"""

import ctypes
from pathlib import Path

COLLAPSE = 25  # MADV_COLLAPSE of linux/mman.h
LARGE = 2**21  # bytes of a large page on x86_64, and on aarch64 as a rule
MAPS = Path("/proc/self/maps")


def use_large_pages() -> None:
    """Move what this process has in its memory to large pages, once it is all there."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "madvise"):
        return
    try:
        lines = MAPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        addresses, rights, _, _, inode, *_ = line.split()
        if rights != "rw-p" or inode != "0":
            continue  # code, or data of a file
        start, end = (int(address, 16) for address in addresses.split("-"))
        start, end = -(-start // LARGE) * LARGE, end // LARGE * LARGE
        if start < end:
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), COLLAPSE)
