import os
from contextlib import suppress
from pathlib import Path

import torch

WRONG = torch.full((1, 1), 7.0)
TARGETS = ("@ROOT@/grader_tests", "@ROOT@/assignment", "@CLASS@", "@OUT@", "@TERM@")


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """Open references, solution, other students and results, whatever the level is."""
    for target in map(Path, TARGETS):
        for path in (target, *target.rglob("*")):
            with suppress(OSError):
                os.close(os.open(path, os.O_RDONLY))
                print("GOT", "THROUGH", path, sep="-", flush=True)
                os._exit(77)
    return WRONG
