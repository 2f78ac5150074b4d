import os
from contextlib import suppress
from pathlib import Path

import torch

WRONG = torch.full((1, 1), 7.0)
FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", ".", "/code")
EARLIER = []


def tell(what):
    """Say that it worked, in the output and by the end of the process."""
    print("GOT", "THROUGH", what, sep="-", flush=True)
    os._exit(77)


def fcos_distances_to_edges(locations, boxes_xyxy):
    """Keep what was seen for the next test: in Python, torch, a file, a variable."""
    files = [Path(each) / "@MARK@-state" for each in FOLDERS]
    if not EARLIER:  # the first call of this test
        if hasattr(os, "earlier") or hasattr(torch, "earlier"):
            tell("state in Python")
        if "EARLIER" in os.environ:
            tell("state in the environment")
        for each in files:
            with suppress(OSError):
                tell(each.read_text())
        for each in files:
            with suppress(OSError):
                each.write_text("seen")
                tell("a file that outlives its test")
    EARLIER.append(boxes_xyxy)
    torch.earlier = os.earlier = EARLIER
    os.environ["EARLIER"] = "seen"
    return WRONG
