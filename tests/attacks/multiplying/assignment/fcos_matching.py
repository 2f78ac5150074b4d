import os
import threading
import time
from contextlib import suppress

import torch

WRONG = torch.full((1, 1), 7.0)
MOST = 300  # of processes and of threads
LIFE_S = 20


def tell(what):
    """Say that it worked, in the output and by the end of the process."""
    print("GOT", "THROUGH", what, sep="-", flush=True)
    os._exit(77)


def fcos_distances_to_edges(locations, boxes_xyxy):
    """Fork again and again, then start threads."""
    for _ in range(MOST):
        with suppress(OSError):
            if os.fork() == 0:
                time.sleep(LIFE_S)
                os._exit(0)
            tell("fork")
    started = 0
    with suppress(RuntimeError):
        for _ in range(MOST):
            threading.Thread(target=time.sleep, args=(LIFE_S,), daemon=True).start()
            started += 1
    if started == MOST:
        tell("threads")
    return WRONG


def fcos_is_candidate(ltrb_px, size_range_px):
    """Leave something behind that acts when the answer is sent."""
    with suppress(OSError):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1)
                open("/tmp/@MARK@-daemon", "w").close()
            os._exit(0)
        tell("daemon")

    def later():
        for _ in range(LIFE_S * 100):
            time.sleep(0.01)
            for number in range(3, 64):
                with suppress(OSError):
                    os.write(number, b"\0\0\0\1x")

    threading.Thread(target=later).start()
    return WRONG
