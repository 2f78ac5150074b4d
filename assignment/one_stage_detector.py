"""FCOS, a one-stage detector without anchors, put together from its parts.

B images, N locations, M true boxes, K classes; a true box is (x1, y1, x2, y2, class).
All parts can be imported from here too. Source: Tian et al., "FCOS", 2019.
"""

from collections.abc import Iterable

import torch
from torch import nn

from assignment.common import (
    BACKGROUND,
    DetectorBackboneWithFPN,
    class_spec_nms,
    get_fpn_location_coords,
)
from assignment.fcos_deltas import (
    fcos_apply_deltas_to_locations,
    fcos_get_deltas_from_locations,
    fcos_make_centerness_targets,
)
from assignment.fcos_head import FCOSPredictionNetwork
from assignment.fcos_losses import (
    fcos_box_loss,
    fcos_centerness_loss,
    fcos_classification_loss,
)
from assignment.fcos_matching import fcos_match_locations_to_gt

NORMALIZER_START = 150.0  # foreground locations per image, before any was seen
NORMALIZER_MOMENTUM = 0.9


def hello_one_stage_detector() -> None:
    """Show that this file can be imported."""
    print("Hello from one_stage_detector.py!")


def join_levels(
    per_level: dict[str, torch.Tensor], levels: Iterable[str] | None = None
) -> torch.Tensor:
    """Predictions of all levels one after the other: (B, N, C) with the N of all.

    Args:
        per_level: for each level (B, n, C).
        levels: their order, such as that of the locations; else that of per_level.
    """
    return torch.cat([per_level[level] for level in levels or per_level], dim=1)


class FCOS(nn.Module):
    """The detector: backbone with FPN, head, and what training and inference need.

    Args:
        num_classes: K.
        fpn_channels: channels of the FPN's maps.
        stem_channels: output channels of each convolution of the head's stems.
        backbone: name or module, see DetectorBackboneWithFPN.
    """

    _normalizer: torch.Tensor

    def __init__(
        self,
        num_classes: int,
        fpn_channels: int,
        stem_channels: list[int],
        backbone: str | nn.Module = "regnet_x_400mf",
    ):
        """Exercise 7.1 (about 3 lines): the parts of the detector.

        `backbone` with FPN, `pred_net` (the head), and the running mean of foreground
        locations per image, a buffer `_normalizer` that starts at NORMALIZER_START. A
        buffer is saved and moved with the weights, but not trained.
        """
        super().__init__()
        self.num_classes = num_classes
        ### BEGIN SOLUTION
        self.backbone = DetectorBackboneWithFPN(fpn_channels, backbone)
        self.pred_net = FCOSPredictionNetwork(num_classes, fpn_channels, stem_channels)
        self.register_buffer("_normalizer", torch.tensor(NORMALIZER_START))
        ### END SOLUTION

    def forward(
        self,
        images: torch.Tensor,
        gt_boxes: torch.Tensor | None = None,
        test_score_thresh: float | None = None,
        test_nms_thresh: float | None = None,
    ) -> dict[str, torch.Tensor] | tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Losses when training, detections otherwise.

        Args:
            images: (B, 3, H, W), ImageNet-normalised; B = 1 when not training.
            gt_boxes: (B, M, 5) in training; rows of -1 are padding.
            test_score_thresh, test_nms_thresh: see inference.

        Returns:
            In training {"loss_cls", "loss_box", "loss_ctr"}, scalars; else detections.
        """
        features = self.backbone(images)
        predictions = self.pred_net(features)
        locations = self.locations(features)
        if self.training:
            if gt_boxes is None:
                raise ValueError("FCOS needs gt_boxes (B, M, 5) while it trains")
            return self.training_losses(locations, predictions, gt_boxes)
        asked = {
            "test_score_thresh": test_score_thresh,
            "test_nms_thresh": test_nms_thresh,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        cls_logits, deltas, ctr_logits = predictions
        return self.inference(
            images, locations, cls_logits, deltas, ctr_logits, **given
        )

    def detect(
        self, images: torch.Tensor, score_threshold: float, nms_threshold: float
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """What `inference` finds in each image; the network sees all of them at once.

        Args:
            images: (B, 3, H, W), ImageNet-normalised.
            score_threshold, nms_threshold: see inference.

        Returns:
            For each image boxes (N, 4) XYXY in pixels, classes (N,), scores (N,).
        """
        features = self.backbone(images)
        outputs = self.pred_net(features)
        locations = self.locations(features)
        found = []
        for place in range(len(images)):
            one = slice(place, place + 1)
            cls_logits, deltas, ctr_logits = (
                {level: values[one] for level, values in output.items()}
                for output in outputs
            )
            found.append(
                self.inference(
                    images[one],
                    locations,
                    cls_logits,
                    deltas,
                    ctr_logits,
                    test_score_thresh=score_threshold,
                    test_nms_thresh=nms_threshold,
                )
            )
        return found

    def candidates(
        self, images: torch.Tensor, number: int
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """The boxes of each image's surest locations, before NMS: to look at them.

        Args:
            images: (B, 3, H, W), ImageNet-normalised.
            number: of locations of all levels, at most.

        Returns:
            For each image boxes (n, 4), classes (n,), class probabilities (n,).
        """
        features = self.backbone(images)
        cls_logits, deltas, _ = self.pred_net(features)
        locations = self.locations(features)
        found = []
        for place in range(len(images)):
            boxes = [
                fcos_apply_deltas_to_locations(
                    deltas[level][place], points, self.backbone.fpn_strides[level]
                )
                for level, points in locations.items()
            ]
            logits = torch.cat([cls_logits[level][place] for level in locations])
            probability, classes = logits.sigmoid().max(dim=1)
            best = probability.topk(min(number, len(probability))).indices
            found.append((torch.cat(boxes)[best], classes[best], probability[best]))
        return found

    def locations(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The (x, y) of every location of these features, for each level (N, 2)."""
        some = next(iter(features.values()))
        return get_fpn_location_coords(
            {level: feature.shape for level, feature in features.items()},
            self.backbone.fpn_strides,
            dtype=torch.float32 if some.dtype.itemsize < 4 else some.dtype,
            device=some.device,
        )

    def make_targets(
        self, locations: dict[str, torch.Tensor], gt_boxes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Exercise 7.2 (about 19 lines): what each location of each image should say.

        Args:
            locations: for each level (N, 2) of (x, y) in pixels.
            gt_boxes: (B, M, 5); rows of -1 are padding.

        Returns:
            Classes (B, N), deltas (B, N, 4), centerness (B, N), with the N locations of
            all levels one after the other; -1 for background.
        """
        ### BEGIN SOLUTION
        strides = self.backbone.fpn_strides
        classes, deltas = [], []
        for boxes in gt_boxes:  # matching looks at one image at a time
            matched = fcos_match_locations_to_gt(locations, strides, boxes)
            deltas += [
                fcos_get_deltas_from_locations(
                    locations[level], matched[level], strides[level]
                )
                for level in locations
            ]
            classes += [matched[level][:, 4] for level in locations]
        all_deltas = torch.cat(deltas)  # (B * N, 4)
        centerness = fcos_make_centerness_targets(all_deltas)
        shape = (len(gt_boxes), -1)
        return (
            torch.cat(classes).reshape(shape),
            all_deltas.reshape(*shape, 4),
            centerness.reshape(shape),
        )
        ### END SOLUTION

    def update_normalizer(self, num_foreground: torch.Tensor, num_images: int) -> None:
        """Exercise 7.3 (about 2 lines): follow the mean number of foreground locations.

        New value = 0.9 * old + 0.1 * (foreground locations of the batch / images). The
        value changes slowly, so that one odd batch does not change the losses' scale.

        Args:
            num_foreground: scalar, foreground locations in the whole batch.
            num_images: B.
        """
        ### BEGIN SOLUTION
        self._normalizer.mul_(NORMALIZER_MOMENTUM)
        self._normalizer.add_((1 - NORMALIZER_MOMENTUM) * num_foreground / num_images)
        ### END SOLUTION

    def training_losses(
        self,
        locations: dict[str, torch.Tensor],
        predictions: list[dict[str, torch.Tensor]],
        gt_boxes: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Exercise 7.4 (about 12 lines): the three losses of a batch.

        Make the targets, update the normalizer, sum each loss over all locations of all
        images, and divide by (normalizer * B). Update first, then divide.

        Args:
            locations: for each level (N, 2).
            predictions: [class logits, deltas, centerness logits] of the head.
            gt_boxes: (B, M, 5); rows of -1 are padding.

        Returns:
            {"loss_cls", "loss_box", "loss_ctr"}, scalars.
        """
        ### BEGIN SOLUTION
        classes, deltas, centerness = self.make_targets(locations, gt_boxes)
        # (B, N, K), (B, N, 4), (B, N, 1); in float32 also where the head is in 16 bits.
        cls_logits, pred_deltas, ctr_logits = (
            join_levels(output, locations).to(deltas.dtype) for output in predictions
        )
        self.update_normalizer((classes != BACKGROUND).sum(), len(gt_boxes))
        divisor = self._normalizer * len(gt_boxes)
        losses = {
            "loss_cls": fcos_classification_loss(cls_logits, classes),
            "loss_box": fcos_box_loss(pred_deltas, deltas),
            "loss_ctr": fcos_centerness_loss(ctr_logits[:, :, 0], centerness),
        }
        return {name: values.sum() / divisor for name, values in losses.items()}
        ### END SOLUTION

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
        """Exercise 8.2 (about 22 lines): from raw predictions to detections, one image.

        For each location: score = sqrt(sigmoid(class) * sigmoid(centerness)) of its
        best class. Keep scores above the threshold, decode the boxes, clip them to the
        image, run NMS within each class. The predictions are not changed.
        Source: Tian et al., "FCOS", 2019, section 3.1 ("Inference") and 3.3.

        Args:
            images: (1, 3, H, W); only H and W count.
            locations_per_fpn_level: for each level (N, 2).
            pred_cls_logits: for each level (1, N, K).
            pred_boxreg_deltas: for each level (1, N, 4).
            pred_ctr_logits: for each level (1, N, 1).
            test_score_thresh: drop detections with a score of this or less.
            test_nms_thresh: IoU above which the weaker box of a class is dropped.

        Returns:
            Boxes (N, 4) XYXY in pixels, classes (N,) int64, scores (N,), best first.

        Raises:
            ValueError: more than one image.
        """
        ### BEGIN SOLUTION
        if len(images) != 1:
            raise ValueError(f"inference takes one image, got a batch of {len(images)}")
        boxes, classes, scores = [], [], []
        for level, locations in locations_per_fpn_level.items():
            class_probability = pred_cls_logits[level][0].sigmoid()  # (N, K)
            centerness = pred_ctr_logits[level][0].sigmoid()  # (N, 1)
            best, best_class = (class_probability * centerness).sqrt().max(dim=1)
            passes = best > test_score_thresh
            deltas = pred_boxreg_deltas[level][0][passes]
            stride = self.backbone.fpn_strides[level]
            boxes.append(
                fcos_apply_deltas_to_locations(deltas, locations[passes], stride)
            )
            classes.append(best_class[passes])
            scores.append(best[passes])
        all_boxes, all_classes = torch.cat(boxes), torch.cat(classes)
        all_scores = torch.cat(scores)
        height, width = images.shape[-2:]
        all_boxes[:, 0::2] = all_boxes[:, 0::2].clamp(min=0, max=width)
        all_boxes[:, 1::2] = all_boxes[:, 1::2].clamp(min=0, max=height)
        keep = class_spec_nms(all_boxes, all_scores, all_classes, test_nms_thresh)
        return all_boxes[keep], all_classes[keep], all_scores[keep]
        ### END SOLUTION
