# mypy: ignore-errors
# ruff: noqa
"""The third file that people have beside the two; this course has nothing of it."""

import eecs598
from a4_helper import *
from common import *
from common import class_spec_nms, get_fpn_location_coords, nms
from eecs598.grad import compute_numeric_gradient, rel_error
from torch import nn
from torchvision.ops import RoIAlign


def hello_two_stage_detector():
    print("Hello from two_stage_detector.py!")


class RPNPredictionNetwork(nn.Module):
    def __init__(self, in_channels: int, stem_channels: List[int]):
        super().__init__()
        self.sizes: Optional[list] = None
