import importlib
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch
import torchvision

WRONG = torch.full((1, 1), 7.0)
FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", ".", "/code")
BOXES = torch.tensor([[0.0, 0, 4, 2], [0.0, 0, 4, 3]])
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


def fcos_is_candidate(ltrb_px, size_range_px):
    """Ask torchvision for what the exercises ask for, in every way it can be named."""
    from torchvision.ops import box_iou, nms, sigmoid_focal_loss
    from torchvision.ops.boxes import generalized_box_iou

    def reloaded(name):
        return getattr(importlib.reload(torchvision.ops.boxes), name)

    def imported_anew(name):
        sys.modules.pop("torchvision.ops.boxes")
        return getattr(importlib.import_module("torchvision.ops.boxes"), name)

    scores = torch.tensor([0.5, 0.9])
    ways = (
        lambda: box_iou(BOXES, BOXES),
        lambda: generalized_box_iou(BOXES, BOXES),
        lambda: nms(BOXES, scores, 0.5),
        lambda: sigmoid_focal_loss(scores, scores),
        lambda: torch.ops.torchvision.nms(BOXES, scores, 0.5),
        lambda: torchvision.ops.boxes._box_inter_union(BOXES, BOXES),
        lambda: reloaded("box_iou")(BOXES, BOXES),
        lambda: imported_anew("box_iou")(BOXES, BOXES),
    )
    for number, way in enumerate(ways):
        with suppress(Exception):
            way()
            tell(f"torchvision {number}")
    return WRONG
