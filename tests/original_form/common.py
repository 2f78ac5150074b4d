# mypy: ignore-errors
# ruff: noqa
"""A solution as it is written for the original assignment: names, structure, habits.

Two files, star imports, its own FPN keys, everything inside the classes.
"""

from typing import Dict, Tuple

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models import feature_extraction


def hello_common():
    print("Hello from common.py!")


class DetectorBackboneWithFPN(nn.Module):
    def __init__(self, out_channels: int):
        super().__init__()
        self.out_channels = out_channels
        _cnn = models.regnet_x_400mf(weights=None)
        self.backbone = feature_extraction.create_feature_extractor(
            _cnn,
            return_nodes={
                "trunk_output.block2": "c3",
                "trunk_output.block3": "c4",
                "trunk_output.block4": "c5",
            },
        )
        dummy_out = self.backbone(torch.randn(2, 3, 224, 224))
        self.fpn_params = nn.ModuleDict()
        for name in ("c3", "c4", "c5"):
            channels = dummy_out[name].shape[1]
            self.fpn_params["lat_" + name] = nn.Conv2d(channels, out_channels, 1)
            self.fpn_params["out_" + name] = nn.Conv2d(
                out_channels, out_channels, 3, 1, 1
            )

    @property
    def fpn_strides(self):
        return {"p3": 8, "p4": 16, "p5": 32}

    def forward(self, images: torch.Tensor):
        feats = self.backbone(images)
        fpn_feats = {"p3": None, "p4": None, "p5": None}
        above = None
        for level in ("5", "4", "3"):
            x = self.fpn_params["lat_c" + level](feats["c" + level])
            if above is not None:
                x = x + F.interpolate(above, size=x.shape[2:], mode="nearest")
            above = x
            fpn_feats["p" + level] = self.fpn_params["out_c" + level](x)
        return fpn_feats


def get_fpn_location_coords(
    shape_per_fpn_level: Dict[str, Tuple],
    strides_per_fpn_level: Dict[str, int],
    dtype: torch.dtype = torch.float32,
    device: torch.device = "cpu",
) -> Dict[str, torch.Tensor]:
    location_coords = {level: None for level in shape_per_fpn_level}
    for level_name, feat_shape in shape_per_fpn_level.items():
        stride = strides_per_fpn_level[level_name]
        H, W = feat_shape[2], feat_shape[3]
        xs = stride * (torch.arange(W, dtype=dtype, device=device) + 0.5)
        ys = stride * (torch.arange(H, dtype=dtype, device=device) + 0.5)
        location_coords[level_name] = torch.stack(
            (xs.repeat(H), ys.repeat_interleave(W)), dim=-1
        )
    return location_coords


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float = 0.5):
    if (not boxes.numel()) or (not scores.numel()):
        return torch.zeros(0, dtype=torch.long)
    keep = []
    x1, y1, x2, y2 = boxes.unbind(1)
    area = (x2 - x1) * (y2 - y1)
    idx = torch.argsort(scores, descending=True)
    while len(idx) > 0:
        i = idx[0]
        keep.append(i.item())
        idx = idx[1:]
        w = (torch.min(x2[i], x2[idx]) - torch.max(x1[i], x1[idx])).clamp(min=0)
        h = (torch.min(y2[i], y2[idx]) - torch.max(y1[i], y1[idx])).clamp(min=0)
        inter = w * h
        iou = inter / (area[i] + area[idx] - inter)
        idx = idx[~(iou > iou_threshold)]
    return torch.tensor(keep, dtype=torch.long, device=boxes.device)


def class_spec_nms(boxes, scores, class_ids, iou_threshold=0.5):
    if boxes.numel() == 0:
        return torch.empty((0,), dtype=torch.int64, device=boxes.device)
    max_coordinate = boxes.max()
    offsets = class_ids.to(boxes) * (max_coordinate + torch.tensor(1).to(boxes))
    return nms(boxes + offsets[:, None], scores, iou_threshold)
