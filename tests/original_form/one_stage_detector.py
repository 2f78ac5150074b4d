# mypy: ignore-errors
# ruff: noqa
"""The second file of a solution as it is written for the original assignment."""

import math
from typing import Dict, List, Optional

import torch
from a4_helper import *
from common import *
from common import DetectorBackboneWithFPN, class_spec_nms, get_fpn_location_coords
from eecs598.utils import reset_seed
from torch import nn
from torch.nn import functional as F
from torch.utils.data._utils.collate import default_collate
from torchvision.ops import sigmoid_focal_loss

TensorDict = Dict[str, torch.Tensor]


def hello_one_stage_detector():
    print("Hello from one_stage_detector.py!")


class FCOSPredictionNetwork(nn.Module):
    def __init__(self, num_classes: int, in_channels: int, stem_channels: List[int]):
        super().__init__()
        stem_cls, stem_box = [], []
        for i, c in enumerate(stem_channels):
            prev = in_channels if i == 0 else stem_channels[i - 1]
            for stem in (stem_cls, stem_box):
                conv = nn.Conv2d(prev, c, 3, stride=1, padding=1)
                nn.init.normal_(conv.weight, 0, 0.01)
                nn.init.zeros_(conv.bias)
                stem.extend([conv, nn.ReLU()])
        self.stem_cls = nn.Sequential(*stem_cls)
        self.stem_box = nn.Sequential(*stem_box)
        self.pred_cls = nn.Conv2d(stem_channels[-1], num_classes, 3, 1, 1)
        self.pred_box = nn.Conv2d(stem_channels[-1], 4, 3, 1, 1)
        self.pred_ctr = nn.Conv2d(stem_channels[-1], 1, 3, 1, 1)
        for pred in (self.pred_cls, self.pred_box, self.pred_ctr):
            nn.init.normal_(pred.weight, 0, 0.01)
            nn.init.zeros_(pred.bias)
        nn.init.constant_(self.pred_cls.bias, -math.log(99))

    def forward(self, feats_per_fpn_level: TensorDict) -> List[TensorDict]:
        class_logits, boxreg_deltas, centerness_logits = {}, {}, {}
        for level, feat in feats_per_fpn_level.items():
            cls_feat, box_feat = self.stem_cls(feat), self.stem_box(feat)
            outs = (
                self.pred_cls(cls_feat),
                self.pred_box(box_feat),
                self.pred_ctr(box_feat),
            )
            outs = [o.permute(0, 2, 3, 1) for o in outs]
            B, H, W, _ = outs[0].shape
            class_logits[level] = outs[0].reshape(B, H * W, -1)
            boxreg_deltas[level] = outs[1].reshape(B, H * W, 4)
            centerness_logits[level] = outs[2].reshape(B, H * W, 1)
        return [class_logits, boxreg_deltas, centerness_logits]


@torch.no_grad()
def fcos_match_locations_to_gt(
    locations_per_fpn_level: TensorDict,
    strides_per_fpn_level: Dict[str, int],
    gt_boxes: torch.Tensor,
) -> TensorDict:
    matched_gt_boxes = {}
    for level_name, centers in locations_per_fpn_level.items():
        stride = strides_per_fpn_level[level_name]
        x, y = centers.unsqueeze(2).unbind(1)
        x0, y0, x1, y1 = gt_boxes[:, :4].unsqueeze(0).unbind(2)
        pairwise_dist = torch.stack([x - x0, y - y0, x1 - x, y1 - y], dim=2)
        match_matrix = pairwise_dist.min(dim=2).values > 0
        pairwise_dist = pairwise_dist.max(dim=2).values
        lower = stride * 4 if level_name != "p3" else 0
        upper = stride * 8 if level_name != "p5" else float("inf")
        match_matrix &= (pairwise_dist > lower) & (pairwise_dist < upper)
        gt_areas = (gt_boxes[:, 2] - gt_boxes[:, 0]) * (gt_boxes[:, 3] - gt_boxes[:, 1])
        match_matrix = match_matrix.to(torch.float32)
        match_matrix *= 1e8 - gt_areas[None, :]
        match_quality, matched_idxs = match_matrix.max(dim=1)
        matched_idxs[match_quality < 1e-5] = -1
        matched_boxes_this_level = gt_boxes[matched_idxs.clip(min=0)]
        matched_boxes_this_level[matched_idxs < 0, :] = -1
        matched_gt_boxes[level_name] = matched_boxes_this_level
    return matched_gt_boxes


def fcos_get_deltas_from_locations(locations, gt_boxes, stride):
    left_top = (locations - gt_boxes[:, :2]) / stride
    right_bottom = (gt_boxes[:, 2:4] - locations) / stride
    deltas = torch.cat([left_top, right_bottom], dim=1)
    deltas[gt_boxes[:, :4].sum(dim=1) == -4] = -1
    return deltas


def fcos_apply_deltas_to_locations(deltas, locations, stride):
    d = deltas.clip(min=0) * stride
    x, y = locations[:, 0], locations[:, 1]
    return torch.stack([x - d[:, 0], y - d[:, 1], x + d[:, 2], y + d[:, 3]], dim=1)


def fcos_make_centerness_targets(deltas):
    l, t, r, b = deltas.unbind(1)
    num = torch.min(l, r) * torch.min(t, b)
    den = torch.max(l, r) * torch.max(t, b)
    centerness = torch.sqrt(num / den)
    centerness[deltas.sum(dim=1) == -4] = -1
    return centerness


class FCOS(nn.Module):
    def __init__(self, num_classes: int, fpn_channels: int, stem_channels: List[int]):
        super().__init__()
        self.num_classes = num_classes
        self.backbone = DetectorBackboneWithFPN(fpn_channels)
        self.pred_net = FCOSPredictionNetwork(num_classes, fpn_channels, stem_channels)
        self._normalizer = 150

    def forward(
        self,
        images: torch.Tensor,
        gt_boxes: Optional[torch.Tensor] = None,
        test_score_thresh: Optional[float] = None,
        test_nms_thresh: Optional[float] = None,
    ):
        feats = self.backbone(images)
        pred_cls_logits, pred_boxreg_deltas, pred_ctr_logits = self.pred_net(feats)
        shapes = {k: v.shape for k, v in feats.items()}
        locations_per_fpn_level = get_fpn_location_coords(
            shapes, self.backbone.fpn_strides, device=images.device
        )
        if not self.training:
            return self.inference(
                images,
                locations_per_fpn_level,
                pred_cls_logits,
                pred_boxreg_deltas,
                pred_ctr_logits,
                test_score_thresh=test_score_thresh,
                test_nms_thresh=test_nms_thresh,
            )
        matched_gt_boxes, matched_gt_deltas = [], []
        for b in range(images.shape[0]):
            boxes = fcos_match_locations_to_gt(
                locations_per_fpn_level, self.backbone.fpn_strides, gt_boxes[b]
            )
            matched_gt_boxes.append(boxes)
            matched_gt_deltas.append(
                {
                    k: fcos_get_deltas_from_locations(
                        locations_per_fpn_level[k], boxes[k], stride
                    )
                    for k, stride in self.backbone.fpn_strides.items()
                }
            )
        matched_gt_boxes = self._cat_across_fpn_levels(
            {
                k: torch.stack([m[k] for m in matched_gt_boxes])
                for k in matched_gt_boxes[0]
            }
        )
        matched_gt_deltas = self._cat_across_fpn_levels(
            {
                k: torch.stack([m[k] for m in matched_gt_deltas])
                for k in matched_gt_deltas[0]
            }
        )
        num_pos_locations = (matched_gt_boxes[:, :, 4] != -1).sum()
        pos_loc_per_image = num_pos_locations.item() / images.shape[0]
        self._normalizer = 0.9 * self._normalizer + 0.1 * pos_loc_per_image

        pred_cls_logits = self._cat_across_fpn_levels(pred_cls_logits)
        pred_boxreg_deltas = self._cat_across_fpn_levels(pred_boxreg_deltas)
        pred_ctr_logits = self._cat_across_fpn_levels(pred_ctr_logits)
        gt_classes = matched_gt_boxes[:, :, 4].long()
        one_hot = F.one_hot(gt_classes + 1, self.num_classes + 1)[:, :, 1:]
        loss_cls = sigmoid_focal_loss(pred_cls_logits, one_hot.to(pred_cls_logits))
        loss_box = 0.25 * F.l1_loss(
            pred_boxreg_deltas, matched_gt_deltas, reduction="none"
        )
        loss_box[matched_gt_deltas < 0] *= 0.0
        gt_ctr = fcos_make_centerness_targets(matched_gt_deltas.reshape(-1, 4))
        loss_ctr = F.binary_cross_entropy_with_logits(
            pred_ctr_logits.reshape(-1), gt_ctr, reduction="none"
        )
        loss_ctr[gt_ctr < 0] *= 0.0
        denom = self._normalizer * images.shape[0]
        return {
            "loss_cls": loss_cls.sum() / denom,
            "loss_box": loss_box.sum() / denom,
            "loss_ctr": loss_ctr.sum() / denom,
        }

    @staticmethod
    def _cat_across_fpn_levels(dict_with_fpn_levels, dim: int = 1):
        return torch.cat(list(dict_with_fpn_levels.values()), dim=dim)

    def inference(
        self,
        images: torch.Tensor,
        locations_per_fpn_level: TensorDict,
        pred_cls_logits: TensorDict,
        pred_boxreg_deltas: TensorDict,
        pred_ctr_logits: TensorDict,
        test_score_thresh: float = 0.3,
        test_nms_thresh: float = 0.5,
    ):
        pred_boxes_all_levels, pred_classes_all_levels, pred_scores_all_levels = (
            [],
            [],
            [],
        )
        for level_name in locations_per_fpn_level.keys():
            level_locations = locations_per_fpn_level[level_name]
            level_cls_logits = pred_cls_logits[level_name][0]
            level_deltas = pred_boxreg_deltas[level_name][0]
            level_ctr_logits = pred_ctr_logits[level_name][0]
            level_pred_scores = torch.sqrt(
                level_cls_logits.sigmoid() * level_ctr_logits.sigmoid()
            )
            level_pred_scores, level_pred_classes = level_pred_scores.max(dim=1)
            mask = level_pred_scores > test_score_thresh
            level_pred_boxes = fcos_apply_deltas_to_locations(
                level_deltas[mask],
                level_locations[mask],
                self.backbone.fpn_strides[level_name],
            )
            H, W = images.shape[2:]
            level_pred_boxes = torch.stack(
                [
                    level_pred_boxes[:, 0].clip(0, W),
                    level_pred_boxes[:, 1].clip(0, H),
                    level_pred_boxes[:, 2].clip(0, W),
                    level_pred_boxes[:, 3].clip(0, H),
                ],
                dim=1,
            )
            pred_boxes_all_levels.append(level_pred_boxes)
            pred_classes_all_levels.append(level_pred_classes[mask])
            pred_scores_all_levels.append(level_pred_scores[mask])
        pred_boxes = torch.cat(pred_boxes_all_levels)
        pred_classes = torch.cat(pred_classes_all_levels)
        pred_scores = torch.cat(pred_scores_all_levels)
        keep = class_spec_nms(
            pred_boxes, pred_scores, pred_classes, iou_threshold=test_nms_thresh
        )
        return pred_boxes[keep], pred_classes[keep], pred_scores[keep]
