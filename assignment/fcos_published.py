"""FCOS as published: one detector, and each version of it is a config.

All parts can be imported from here too. Source: Tian et al., "FCOS", 2019 and 2020.
"""

import torch
from torch import nn

from assignment.common import BACKGROUND, DetectorBackboneWithFPN
from assignment.fcos_deltas import fcos_make_centerness_targets
from assignment.fcos_losses import fcos_centerness_loss, fcos_classification_loss
from assignment.one_stage_detector import join_levels
from assignment.published_head import PublishedHead, add_top_levels, make_top_layers
from assignment.published_inference import (
    Found,
    boxes_of_distances,
    clip_boxes,
    decode_level,
    keep_best,
    suppress,
)
from assignment.published_losses import box_losses, divide_losses
from assignment.published_targets import (
    distances_to_sides,
    match_batch,
    published_locations,
    spread_over_levels,
)
from core.fcos_config import PRESETS, FCOSConfig

MOMENTUM = 0.9  # of the running mean of foreground locations
STRIDES = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}
# Names of the losses as Detectron2 has them; they are added up.
LOSSES = ("loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr")


class FiveLevels(DetectorBackboneWithFPN):
    """The backbone with FPN of part one, with p6 and p7 on top if they are asked for.

    Args:
        num_levels: 3 or 5.
    """

    def __init__(
        self,
        out_channels: int,
        backbone: str | nn.Module = "resnet50",
        num_levels: int = 5,
    ):
        super().__init__(out_channels, backbone)
        self.num_levels = num_levels
        if num_levels == 5:
            self.top = make_top_layers(out_channels)

    @property
    def fpn_strides(self) -> dict[str, int]:
        """Pixels between neighbouring locations of each level."""
        return dict(list(STRIDES.items())[: self.num_levels])

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of all levels, each (B, out_channels, H / stride, W / stride)."""
        features = super().forward(images)
        return add_top_levels(features, self.top) if self.num_levels == 5 else features


class PublishedFCOS(nn.Module):
    """FCOS with the choices of a config.

    Args:
        num_classes: K.
        fpn_channels: channels of the FPN's maps.
        stem_channels: output channels of each convolution of the head's stems.
        backbone: name or module, see DetectorBackboneWithFPN.
        version: the choices; one of PRESETS or of one's own.
    """

    _normalizer: torch.Tensor

    def __init__(
        self,
        num_classes: int,
        fpn_channels: int,
        stem_channels: list[int],
        backbone: str | nn.Module = "resnet50",
        version: FCOSConfig = PRESETS["course"],
    ):
        super().__init__()
        self.num_classes = num_classes
        self.version = version
        self.backbone = FiveLevels(fpn_channels, backbone, version.num_levels)
        levels = tuple(self.backbone.fpn_strides)
        self.pred_net = PublishedHead(
            num_classes, fpn_channels, stem_channels, version, levels
        )
        self.register_buffer("_normalizer", torch.tensor(version.first_divisor))

    def forward(
        self, images: torch.Tensor, gt_boxes: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The losses of a batch.

        Args:
            images: (B, 3, H, W), normalised; smaller ones padded at right and bottom.
            gt_boxes: (B, M, 5); rows of -1 are padding.

        Returns:
            {"loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr"}, scalars.
        """
        features = self.backbone(images)
        outputs = self.pred_net(features)
        locations = self.locations(features, images)
        losses = self.training_losses(locations, outputs, gt_boxes)
        weight = self.version.box_weight
        return {**losses, "loss_fcos_loc": losses["loss_fcos_loc"] * weight}

    def locations(
        self, features: dict[str, torch.Tensor], images: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The (x, y) of every location of these features, for each level (n, 2)."""
        sizes = {level: (f.shape[2], f.shape[3]) for level, f in features.items()}
        some = next(iter(features.values()))
        like = some.float() if some.dtype.itemsize < 4 else some
        size = (images.shape[2], images.shape[3])
        strides = self.backbone.fpn_strides
        return published_locations(sizes, strides, size, self.version, like)

    def training_losses(
        self,
        locations: dict[str, torch.Tensor],
        outputs: list[dict[str, torch.Tensor]],
        gt_boxes: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Exercise 11.7 (about 22 lines): the three losses of a batch, as published.

        Match; the focal loss of all locations, and box and centerness losses of
        the foreground, in the units of the config.

        Args:
            locations: for each level (n, 2).
            outputs: [class logits, distances, centerness logits] of the head.
            gt_boxes: (B, M, 5); rows of -1 are padding.

        Returns:
            {"loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr"}, scalars.
        """
        ### BEGIN SOLUTION
        version, strides = self.version, self.backbone.fpn_strides
        matched = match_batch(locations, strides, gt_boxes, version)  # (B, N, 5)
        logits, distances, ctr_logits = (
            join_levels(output, locations).to(matched.dtype) for output in outputs
        )
        is_foreground = matched[..., 4] != BACKGROUND
        points = torch.cat(list(locations.values()))
        true_px = distances_to_sides(points, matched)[is_foreground]
        stride = spread_over_levels(locations, strides).expand(is_foreground.shape)
        stride = stride[is_foreground][:, None]
        pred_unit = stride if version.unit == "stride" else 1
        loss_unit = stride if version.loss_unit == "stride" else 1
        pred_px = distances[is_foreground] * pred_unit
        centerness = fcos_make_centerness_targets(true_px)
        return divide_losses(
            fcos_classification_loss(logits, matched[..., 4]),
            box_losses(pred_px / loss_unit, true_px / loss_unit, version),
            fcos_centerness_loss(ctr_logits[..., 0][is_foreground], centerness),
            centerness,
            self.divisor(is_foreground.sum(), len(gt_boxes)),
            version.weigh_boxes,
        )
        ### END SOLUTION

    def divisor(self, num_foreground: torch.Tensor, num_images: int) -> torch.Tensor:
        """What the losses of a batch are divided by, see FCOSConfig.divide_by."""
        if self.version.divide_by == "foreground":
            return num_foreground.clamp(min=1)
        per_image = self.version.divide_by == "per_image"
        seen = num_foreground / num_images if per_image else num_foreground
        self._normalizer.mul_(MOMENTUM).add_((1 - MOMENTUM) * seen)
        return self._normalizer * (num_images if per_image else 1)

    def detect(
        self,
        images: torch.Tensor,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        image_sizes: list[tuple[int, int]] | None = None,
    ) -> list[Found]:
        """What is found in each image of a batch.

        Args:
            images: (B, 3, H, W), normalised.
            score_threshold, nms_threshold: the config's if none are given.
            image_sizes: (H, W) of each image without padding.

        Returns:
            For each image boxes (n, 4) XYXY in pixels, classes (n,), scores (n,).
        """
        version = self.version
        score_threshold = (
            version.score_threshold if score_threshold is None else score_threshold
        )
        nms_threshold = (
            version.nms_threshold if nms_threshold is None else nms_threshold
        )
        features = self.backbone(images)
        outputs = self.pred_net(features)
        locations = self.locations(features, images)
        whole = (images.shape[2], images.shape[3])
        sizes = image_sizes or [whole] * len(images)
        return [
            suppress(
                self.decode(place, size, locations, outputs, score_threshold),
                nms_threshold,
                version,
            )
            for place, size in enumerate(sizes)
        ]

    def decode(
        self,
        image: int,
        image_size: tuple[int, int],
        locations: dict[str, torch.Tensor],
        outputs: list[dict[str, torch.Tensor]],
        score_threshold: float,
    ) -> Found:
        """One image's candidates of all levels, as boxes, before NMS.

        Args:
            image: its place in the batch.
            image_size: (H, W) without padding.
            locations: for each level (n, 2).
            outputs: [class logits, distances, centerness logits] of the head.

        Returns:
            Boxes (n, 4) XYXY in pixels, classes (n,), scores (n,).
        """
        version, strides = self.version, self.backbone.fpn_strides
        found = []
        for level, points in locations.items():
            cls_logits, distances, ctr_logits = (of[level][image] for of in outputs)
            unit_px = strides[level] if version.unit == "stride" else 1
            found.append(
                decode_level(
                    points,
                    cls_logits,
                    distances * unit_px,
                    ctr_logits,
                    score_threshold,
                    version,
                )
            )
        boxes, classes, scores = (torch.cat(part) for part in zip(*found, strict=True))
        boxes = clip_boxes(boxes, image_size, version.clip_to)
        best = keep_best(scores, version.top_k if version.top_k_of == "image" else 0)
        return boxes[best], classes[best], scores[best]

    def candidates(self, images: torch.Tensor, number: int) -> list[Found]:
        """The boxes of each image's surest locations, before NMS: to look at them.

        Args:
            images: (B, 3, H, W), normalised.
            number: of locations of all levels, at most.

        Returns:
            For each image boxes (n, 4), classes (n,), class probabilities (n,).
        """
        features = self.backbone(images)
        cls_logits, distances, _ = self.pred_net(features)
        locations = self.locations(features, images)
        points = torch.cat(list(locations.values()))
        if self.version.unit == "stride":
            unit_px = spread_over_levels(locations, self.backbone.fpn_strides)[:, None]
        else:
            unit_px = torch.ones_like(points[:, :1])
        logits = join_levels(cls_logits, locations)
        boxes = join_levels(distances, locations) * unit_px  # (B, N, 4)
        found = []
        for image_logits, image_distances in zip(logits, boxes, strict=True):
            probability, classes = image_logits.sigmoid().max(dim=1)
            best = probability.topk(min(number, len(probability))).indices
            decoded = boxes_of_distances(image_distances[best], points[best])
            found.append((decoded, classes[best], probability[best]))
        return found


def torchvision_key(name: str) -> str:
    """Exercise 12.4 (about 17 lines): our name of a weight -> torchvision's.

    Weights that others trained can be used once each of our parameters knows its name
    in their file. A part of the detector is called there
    - backbone.body: our backbone.backbone;
    - backbone.fpn.inner_blocks.0.0 to 2.0: backbone.fpn_params.lateral3 to 5;
    - backbone.fpn.layer_blocks.0.0 to 2.0: backbone.fpn_params.output3 to 5;
    - backbone.fpn.extra_blocks: backbone.top;
    - head.classification_head.conv, .cls_logits: pred_net.stem_cls, .pred_cls;
    - head.regression_head.conv, .bbox_reg, .bbox_ctrness: pred_net.stem_box,
      .pred_box, .pred_ctr.
    What follows in a name stays as it is, and so does a name of no such part, such as
    _normalizer, a buffer that torchvision does not have.

    Args:
        name: of a parameter or buffer of PublishedFCOS, "pred_net.pred_cls.bias".

    Returns:
        Its name in fcos_resnet50_fpn's state dict.
    """
    ### BEGIN SOLUTION
    names = {
        "backbone.backbone.": "backbone.body.",
        "backbone.top.": "backbone.fpn.extra_blocks.",
        "pred_net.stem_cls.": "head.classification_head.conv.",
        "pred_net.stem_box.": "head.regression_head.conv.",
        "pred_net.pred_cls.": "head.classification_head.cls_logits.",
        "pred_net.pred_box.": "head.regression_head.bbox_reg.",
        "pred_net.pred_ctr.": "head.regression_head.bbox_ctrness.",
    }
    for number, level in enumerate("345"):
        blocks = "backbone.fpn.{}_blocks." + f"{number}.0."
        names[f"backbone.fpn_params.lateral{level}."] = blocks.format("inner")
        names[f"backbone.fpn_params.output{level}."] = blocks.format("layer")
    for ours, theirs in names.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name
    ### END SOLUTION
