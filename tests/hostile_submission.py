"""The files of a made-up submission whose functions misbehave, for sessions."""

from pathlib import Path

COMMON = """
import os
import time

import torch
from torch import nn
from torchvision.ops import nms as published_nms

from extra import DOUBLE
from assignment import extra

BACKGROUND = -1
print("hello from common")


class Layer(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(size, 3), nn.ReLU())
        self.levels = {"p3": 8}

    def forward(self, x):
        return self.stem(x)


class AlwaysEqual(torch.Tensor):
    def __eq__(self, other):
        return True


class Friend:
    def __eq__(self, other):
        return True

    __hash__ = None


def double(x, dtype=torch.float32):
    return DOUBLE * x.to(dtype)

def same_module():
    import assignment.common, common
    import extra as short
    return assignment.common is common and short is extra

def fail(x):
    y = 1
    return y / 0

def stub():
    raise NotImplementedError("Exercise 3.2: notebook 3")

def change(x):
    x[0] = 7
    return x.sum()

def change_level(levels):
    levels["p3"].data[0] = 7
    return levels["p3"]

def many(count):
    return torch.zeros(count)

def strange():
    return torch.ones(2).as_subclass(AlwaysEqual)

def friend():
    return Friend()

def huge():
    return 2 ** 70

def take_torchvisions(boxes, scores):
    return published_nms(boxes, scores, 0.5)

def take_operator(boxes, scores):
    return torch.ops.torchvision.nms(boxes, scores, 0.5)

def pretrained():
    import torchvision
    net = torchvision.models.regnet_x_400mf(pretrained=True)
    net.load_state_dict(torch.hub.load_state_dict_from_url("http://localhost/x.pth"))
    return net

def leave():
    os._exit(0)

def stop():
    raise SystemExit(0)

def loop():
    while True:
        pass

def sleep():
    time.sleep(60)

def shout():
    for _ in range(3000):
        print("x" * 1000)

def unicode():
    print("grün \\ud800")

def recurse():
    return recurse()

def order():
    return list({"p3", "p4", "p5", "p6", "p7"})

def odd_error():
    class Bad(Exception):
        def __str__(self):
            raise SystemExit
    Bad.__name__ = "<script>"
    raise Bad

def close_line():
    os.closerange(3, 64)

class Secret:
    pass
"""
BROKEN = "def FCOS(:\n"
DELTAS = "from common import *\n\ndef from_deltas():\n    return BACKGROUND\n"
FILES = {
    "common.py": COMMON,
    "one_stage_detector.py": BROKEN,
    "fcos_deltas.py": DELTAS,
    "extra.py": "DOUBLE = 2\n",
    "torch.py": "raise SystemExit('a file of a submission took the place of torch')\n",
    "sitecustomize.py": "raise SystemExit\n",
    "__init__.py": "raise SystemExit\n",
}


def write_submission(folder: Path) -> Path:
    """Write all files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder
