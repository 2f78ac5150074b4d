"""FCOS with what the field has learned since: GIoU, centre sampling, exp, group norm.

Every part can be switched off in helpers.training.recipes.DetectorConfig; with all of
them off this is the plain FCOS of assignment/one_stage_detector.py. Reading this file
is not needed for any exercise.
"""

import math

import torch
from torch import nn
from torchvision.ops import batched_nms, generalized_box_iou_loss

from assignment.common import BACKGROUND
from assignment.fcos_deltas import fcos_make_centerness_targets
from assignment.fcos_head import FCOSPredictionNetwork
from assignment.fcos_losses import fcos_centerness_loss, fcos_classification_loss
from assignment.fcos_matching import fcos_size_range_per_level
from assignment.one_stage_detector import FCOS, join_levels
from helpers.training.recipes import GROUPS, DetectorConfig

MAX_EXPONENT = math.log(1000.0)  # a box of 1,000 strides is larger than any image
MAX_CANDIDATES = 1000  # boxes of an image that go into NMS
MAX_DETECTIONS = 100  # boxes of an image that come out, as COCO counts them


class ImprovedHead(FCOSPredictionNetwork):
    """The shared head with group norm in the stems and exp on the deltas.

    Args:
        levels: names of the FPN's levels, each gets a scale of its own (FCOS, 2019,
            section 3.2: exp(s_i * x)).
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        config: DetectorConfig,
        levels: tuple[str, ...],
    ):
        super().__init__(num_classes, in_channels, list(config.stem_channels))
        self.exp_deltas = config.exp_deltas
        self.relu_deltas = config.giou and not config.exp_deltas
        self.scales = nn.ParameterDict({level: torch.ones(()) for level in levels})
        self.stem_cls = _normalised_stem(self.stem_cls, config.head_norm)
        self.stem_box = _normalised_stem(self.stem_box, config.head_norm)

    def forward(
        self, feats_per_fpn_level: dict[str, torch.Tensor]
    ) -> list[dict[str, torch.Tensor]]:
        """As FCOSPredictionNetwork.forward; the deltas are positive with exp.

        Without it, those for the GIoU loss are cut off at 0, as in torchvision's FCOS:
        a box whose right edge is left of its left edge has no area.
        """
        cls_logits, deltas, ctr_logits = super().forward(feats_per_fpn_level)
        if self.exp_deltas:
            deltas = {
                level: (raw.float() * self.scales[level]).clamp(max=MAX_EXPONENT).exp()
                for level, raw in deltas.items()
            }
        elif self.relu_deltas:
            deltas = {level: raw.relu() for level, raw in deltas.items()}
        return [cls_logits, deltas, ctr_logits]


def _normalised_stem(stem: nn.Sequential, norm: str) -> nn.Sequential:
    """The stem's convolutions with He initialisation, and norm before each ReLU."""
    layers: list[nn.Module] = []
    for layer in stem:
        if not isinstance(layer, nn.Conv2d):
            continue
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layers.append(layer)
        if norm == "group":
            layers.append(nn.GroupNorm(GROUPS, layer.out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class ImprovedFCOS(FCOS):
    """FCOS whose matching, losses and inference follow a DetectorConfig."""

    def __init__(self, config: DetectorConfig, backbone: str | nn.Module):
        super().__init__(
            len(config.class_names),
            config.fpn_channels,
            list(config.stem_channels),
            backbone,
        )
        self.config = config
        levels = tuple(self.backbone.fpn_strides)
        self.pred_net = ImprovedHead(
            len(config.class_names), config.fpn_channels, config, levels
        )

    def make_targets(
        self, locations: dict[str, torch.Tensor], gt_boxes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As FCOS.make_targets, for all images at once and with centre sampling."""
        points, strides, ranges = self._flatten_levels(locations)
        if gt_boxes.shape[1] == 0:  # not even padding
            gt_boxes = gt_boxes.new_full((len(gt_boxes), 1, 5), float(BACKGROUND))
        num_boxes = int((gt_boxes[:, :, 4] != BACKGROUND).sum(dim=1).max())
        boxes = gt_boxes[:, None, : max(num_boxes, 1), :]  # (B, 1, M, 5)
        left_top = points[None, :, None, :] - boxes[..., :2]
        right_bottom = boxes[..., 2:4] - points[None, :, None, :]
        ltrb = torch.cat((left_top, right_bottom), dim=3)  # (B, N, M, 4) in pixels
        largest = ltrb.amax(dim=3)
        is_candidate = (largest > ranges[:, :1]) & (largest <= ranges[:, 1:])
        is_candidate &= (ltrb.amin(dim=3) > 0) & (boxes[..., 4] != BACKGROUND)
        if self.config.centre_radius > 0:
            centres = (boxes[..., :2] + boxes[..., 2:4]) / 2
            offset = (points[None, :, None, :] - centres).abs().amax(dim=3)
            is_candidate &= offset < self.config.centre_radius * strides[:, None]
        area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
        cost, chosen = torch.where(is_candidate, area, math.inf).min(dim=2)  # (B, N)
        is_background = cost.isinf()
        index = chosen[:, :, None, None].expand(-1, -1, 1, 4)
        deltas = ltrb.gather(2, index)[:, :, 0] / strides[None, :, None]
        deltas = torch.where(is_background[:, :, None], float(BACKGROUND), deltas)
        classes = gt_boxes[:, :, 4].gather(1, chosen)
        classes = torch.where(is_background, float(BACKGROUND), classes)
        centerness = fcos_make_centerness_targets(deltas.reshape(-1, 4))
        return classes, deltas, centerness.reshape(classes.shape)

    def _flatten_levels(
        self, locations: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Points (N, 2), strides (N,) and size ranges (N, 2) of all levels in a row."""
        stride_of = self.backbone.fpn_strides
        size_ranges = fcos_size_range_per_level(stride_of)
        points = torch.cat(list(locations.values()))
        strides = torch.cat(
            [
                xy.new_full((len(xy),), stride_of[level])
                for level, xy in locations.items()
            ]
        )
        ranges = torch.cat(
            [
                xy.new_tensor(size_ranges[level]).expand(len(xy), 2)
                for level, xy in locations.items()
            ]
        )
        return points, strides, ranges * self.config.size_range_scale

    def training_losses(
        self,
        locations: dict[str, torch.Tensor],
        predictions: list[dict[str, torch.Tensor]],
        gt_boxes: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """The three losses; with GIoU, the box loss is weighted by centerness.

        Source: Tian et al., "FCOS", 2020 (journal version), section 3.
        """
        if not self.config.giou:
            return super().training_losses(locations, predictions, gt_boxes)
        classes, true_deltas, centerness = self.make_targets(locations, gt_boxes)
        logits, deltas, ctr_logits = (
            join_levels(prediction).float() for prediction in predictions
        )
        is_foreground = classes != BACKGROUND
        self.update_normalizer(is_foreground.sum(), len(gt_boxes))
        num_foreground = is_foreground.sum().clamp(min=1)
        weight = centerness[is_foreground]
        giou = ltrb_giou_loss(deltas[is_foreground], true_deltas[is_foreground])
        loss_ctr = fcos_centerness_loss(ctr_logits[..., 0][is_foreground], weight)
        return {
            "loss_cls": fcos_classification_loss(logits, classes).sum()
            / num_foreground,
            "loss_box": (giou * weight).sum() / weight.sum().clamp(min=1e-6),
            "loss_ctr": loss_ctr.sum() / num_foreground,
        }

    def inference(
        self,
        images: torch.Tensor,
        locations_per_fpn_level: dict[str, torch.Tensor],
        pred_cls_logits: dict[str, torch.Tensor],
        pred_boxreg_deltas: dict[str, torch.Tensor],
        pred_ctr_logits: dict[str, torch.Tensor],
        test_score_thresh: float = 0.3,
        test_nms_thresh: float = 0.5,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As FCOS.inference, but a location may detect several classes."""
        if not self.config.multi_label:
            return super().inference(
                images,
                locations_per_fpn_level,
                pred_cls_logits,
                pred_boxreg_deltas,
                pred_ctr_logits,
                test_score_thresh=test_score_thresh,
                test_nms_thresh=test_nms_thresh,
            )
        points, strides, _ = self._flatten_levels(locations_per_fpn_level)
        levels = list(locations_per_fpn_level)
        probability = torch.cat(
            [pred_cls_logits[level][0] for level in levels]
        ).sigmoid()
        centerness = torch.cat(
            [pred_ctr_logits[level][0] for level in levels]
        ).sigmoid()
        deltas = torch.cat([pred_boxreg_deltas[level][0] for level in levels])
        score = (probability * centerness).sqrt()  # (N, K)
        place, class_id = torch.nonzero(score > test_score_thresh, as_tuple=True)
        best = score[place, class_id].topk(min(MAX_CANDIDATES, len(place))).indices
        place, class_id = place[best], class_id[best]
        ltrb = deltas[place].clamp(min=0) * strides[place, None]
        boxes = torch.cat(
            (points[place] - ltrb[:, :2], points[place] + ltrb[:, 2:]), dim=1
        )
        far_corner = boxes.new_tensor([images.shape[3], images.shape[2]])  # (W, H)
        boxes = torch.minimum(boxes.clamp(min=0), far_corner.repeat(2))
        scores = score[place, class_id]
        keep = batched_nms(boxes, scores, class_id, test_nms_thresh)[:MAX_DETECTIONS]
        return boxes[keep], class_id[keep], scores[keep]


def ltrb_giou_loss(pred_deltas: torch.Tensor, gt_deltas: torch.Tensor) -> torch.Tensor:
    """1 - GIoU of boxes given by their distances from a common point.

    Source: Rezatofighi et al., "Generalized Intersection over Union", 2019.

    Args:
        pred_deltas: (P, 4) left, top, right, bottom.
        gt_deltas: (P, 4), same unit.

    Returns:
        (P,), between 0 and 2.
    """
    sign = pred_deltas.new_tensor([-1.0, -1.0, 1.0, 1.0])  # the point is the origin
    return generalized_box_iou_loss(pred_deltas * sign, gt_deltas * sign)
