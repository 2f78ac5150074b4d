import os
import socket
import urllib.request
from contextlib import suppress

import torch

WRONG = torch.full((1, 1), 7.0)
PORT = "@PORT@"


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """Reach a server on this machine; nothing further away is asked."""
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        with suppress(OSError), socket.socket(family) as mine:
            mine.settimeout(1)
            address = ("127.0.0.1", int(PORT)) if family == socket.AF_INET else ("::1", int(PORT))
            mine.connect(address if family != socket.AF_UNIX else "\0hostile")
            mine.sendall(repr(gt_deltas.tolist()).encode())
    with suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/stolen", timeout=1)
    return WRONG


def fcos_centerness_loss(pred_ctr_logits, gt_centerness):
    """Carry the inputs out in all that an exception tells."""
    numbers = [int(abs(each) * 1e5) for each in pred_ctr_logits.flatten().tolist()]
    digits = "".join(map(str, numbers))[:60]
    print("LEAK", digits)
    os.environ["LEAK"] = digits
    kind = type(f"Leak{digits}"[:50], (NotImplementedError,), {})
    raise kind(f"Exercise {digits[:9]}.{digits[9:18]} LEAK {digits}")
