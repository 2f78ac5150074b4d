"""FCOS, a one-stage detector without anchors: head, targets, losses, detector.

Points are (x, y), sizes are (H, W). B images, N locations, M true boxes, K classes. A
true box is a row (x1, y1, x2, y2, class); background and padding are rows of -1.
Source of the whole file: Tian et al., "FCOS", 2019.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from assignment.common import (
    DetectorBackboneWithFPN,
    class_spec_nms,
    get_fpn_location_coords,
)

BACKGROUND = -1
PRIOR_PROBABILITY = 0.01  # what the untrained head should answer everywhere
FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0
NORMALIZER_START = 150.0  # foreground locations an image, before any was seen
NORMALIZER_MOMENTUM = 0.9


def hello_one_stage_detector() -> None:
    """Show that this file can be imported."""
    print("Hello from one_stage_detector.py!")


class FCOSPredictionNetwork(nn.Module):
    """The head: class, box and centerness at each location, shared by all levels.

    Args:
        num_classes: K.
        in_channels: channels of the FPN's maps.
        stem_channels: output channels of each convolution of the two stems.
    """

    def __init__(self, num_classes: int, in_channels: int, stem_channels: list[int]):
        """Exercise 3.1 (about 20 lines): the layers of the head.

        Two stems, `stem_cls` and `stem_box`: for each entry of stem_channels a 3x3
        convolution with padding 1, then ReLU. Three predictors, 3x3 with padding 1:
        `pred_cls` (K channels) on the class stem, `pred_box` (4) and `pred_ctr` (1) on
        the box stem. All weights are drawn from N(0, 0.01) and biases are 0, except
        `pred_cls.bias` = -ln((1 - p) / p) with p = PRIOR_PROBABILITY, so that training
        starts from "nearly all is background" (Lin et al., "Focal Loss", section 4.1).
        Source: Tian et al., "FCOS", 2019, section 3.1 and figure 2.
        """
        super().__init__()
        ### BEGIN SOLUTION
        stem_cls: list[nn.Module] = []
        stem_box: list[nn.Module] = []
        channels = in_channels
        for width in stem_channels:
            stem_cls += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            stem_box += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        self.stem_cls = nn.Sequential(*stem_cls)
        self.stem_box = nn.Sequential(*stem_box)
        self.pred_cls = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.pred_box = nn.Conv2d(channels, 4, 3, padding=1)
        self.pred_ctr = nn.Conv2d(channels, 1, 3, padding=1)
        prior_odds = (1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, mean=0.0, std=0.01)
            elif name == "pred_cls.bias":
                nn.init.constant_(parameter, -math.log(prior_odds))
            else:
                nn.init.zeros_(parameter)
        ### END SOLUTION

    def forward(
        self, feats_per_fpn_level: dict[str, torch.Tensor]
    ) -> list[dict[str, torch.Tensor]]:
        """Exercise 3.2 (about 12 lines): predictions at every location of every level.

        Flatten each map row by row: (B, C, H, W) -> (B, H * W, C). A bare reshape would
        mix channels and places. No sigmoid here: all outputs are raw.

        Args:
            feats_per_fpn_level: {"p3", "p4", "p5"} of (B, in_channels, H, W).

        Returns:
            [class logits, box deltas, centerness logits], three dicts with the keys of
            the input, of (B, H * W, K), (B, H * W, 4) and (B, H * W, 1).
        """
        ### BEGIN SOLUTION
        class_logits, boxreg_deltas, centerness_logits = {}, {}, {}
        for level, features in feats_per_fpn_level.items():
            class_features = self.stem_cls(features)
            box_features = self.stem_box(features)
            # (B, C, H, W) -> (B, C, H * W) -> (B, H * W, C)
            class_logits[level] = self.pred_cls(class_features).flatten(2).mT
            boxreg_deltas[level] = self.pred_box(box_features).flatten(2).mT
            centerness_logits[level] = self.pred_ctr(box_features).flatten(2).mT
        return [class_logits, boxreg_deltas, centerness_logits]
        ### END SOLUTION


def fcos_size_range_per_level(
    strides_per_fpn_level: dict[str, int],
) -> dict[str, tuple[float, float]]:
    """Which boxes each level is responsible for, by max(l, t, r, b) in pixels.

    From 4 x stride to 8 x stride; the finest level starts at 0 and the coarsest has no
    end: (0, 64), (64, 128), (128, inf) for strides 8, 16, 32.
    Source: Tian et al., "FCOS", 2019, section 3.2.

    Example:
        >>> fcos_size_range_per_level({"p3": 8, "p4": 16, "p5": 32})
        {'p3': (0.0, 64.0), 'p4': (64.0, 128.0), 'p5': (128.0, inf)}
    """
    finest = min(strides_per_fpn_level.values())
    coarsest = max(strides_per_fpn_level.values())
    return {
        level: (
            0.0 if stride == finest else stride * 4.0,
            math.inf if stride == coarsest else stride * 8.0,
        )
        for level, stride in strides_per_fpn_level.items()
    }


def fcos_distances_to_edges(
    locations: torch.Tensor, boxes_xyxy: torch.Tensor
) -> torch.Tensor:
    """Exercise 4.2 (about 5 lines): distances from each location to each box's edges.

    A distance is negative when the location lies beyond that edge.
    Source: Tian et al., "FCOS", 2019, equation 1.

    Args:
        locations: (N, 2) of (x, y) in pixels.
        boxes_xyxy: (M, 4) in pixels.

    Returns:
        (N, M, 4): left, top, right, bottom in pixels.

    Example:
        >>> location, box = torch.tensor([[12.0, 4]]), torch.tensor([[10.0, 0, 30, 16]])
        >>> fcos_distances_to_edges(location, box).tolist()
        [[[2.0, 4.0, 18.0, 12.0]]]
    """
    ### BEGIN SOLUTION
    left_top = locations[:, None, :] - boxes_xyxy[None, :, :2]  # (N, M, 2)
    right_bottom = boxes_xyxy[None, :, 2:4] - locations[:, None, :]  # (N, M, 2)
    return torch.cat((left_top, right_bottom), dim=2)
    ### END SOLUTION


def fcos_is_candidate(
    ltrb_px: torch.Tensor, size_range_px: tuple[float, float]
) -> torch.Tensor:
    """Exercise 4.3 (about 4 lines): which boxes may a location be responsible for?

    The location must lie strictly inside the box, and the largest of its four distances
    must lie in the level's range: low < max(l, t, r, b) <= high. With the equal sign on
    one side only, a distance of exactly 64 or 128 belongs to one level, not to none.
    Source: Tian et al., "FCOS", 2019, section 3.2.

    Args:
        ltrb_px: (N, M, 4) distances in pixels.
        size_range_px: (low, high) of the level.

    Returns:
        (N, M) bool.
    """
    ### BEGIN SOLUTION
    low, high = size_range_px
    is_inside = ltrb_px.amin(dim=2) > 0
    largest = ltrb_px.amax(dim=2)
    return is_inside & (largest > low) & (largest <= high)
    ### END SOLUTION


def fcos_pick_smallest_box(
    is_candidate: torch.Tensor, areas: torch.Tensor
) -> torch.Tensor:
    """Exercise 4.4 (about 5 lines): one box a location, the smallest of its candidates.

    Of boxes with the same area the one with the lowest index wins.
    Source: Tian et al., "FCOS", 2019, section 3.1 ("ambiguous samples").

    Args:
        is_candidate: (N, M) bool, M at least 1.
        areas: (M,) areas of the boxes.

    Returns:
        (N,) int64: index of the box, or BACKGROUND where there is no candidate.
    """
    ### BEGIN SOLUTION
    # No candidate costs infinity; argmin returns the first of equal values.
    cost = torch.where(is_candidate, areas[None, :], math.inf)  # (N, M)
    smallest = cost.argmin(dim=1)
    has_candidate = is_candidate.any(dim=1)
    return torch.where(has_candidate, smallest, BACKGROUND)
    ### END SOLUTION


def fcos_match_locations_to_gt(
    locations_per_fpn_level: dict[str, torch.Tensor],
    strides_per_fpn_level: dict[str, int],
    gt_boxes: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Exercise 4.5 (about 15 lines): a true box, or background, for every location.

    Put 4.2, 4.3 and 4.4 together, for one image. Rows of gt_boxes whose class is
    BACKGROUND are padding and match nothing; an image may have no true box at all.
    Source: Tian et al., "FCOS", 2019, sections 3.1 and 3.2.

    Args:
        locations_per_fpn_level: for each level (N, 2) of (x, y) in pixels.
        strides_per_fpn_level: stride of each level in pixels.
        gt_boxes: (M, 5) rows (x1, y1, x2, y2, class), boxes in pixels.

    Returns:
        For each level (N, 5): the matched row of gt_boxes, all -1 for background.
    """
    ### BEGIN SOLUTION
    valid_boxes = gt_boxes[gt_boxes[:, 4] != BACKGROUND]
    size_ranges = fcos_size_range_per_level(strides_per_fpn_level)
    sides = valid_boxes[:, 2:4] - valid_boxes[:, :2]
    areas = sides[:, 0] * sides[:, 1]
    # One more row, so that index -1 (BACKGROUND) reads a row of -1.
    background_row = gt_boxes.new_full((1, 5), BACKGROUND)
    rows = torch.cat((valid_boxes, background_row))
    matched = {}
    for level, locations in locations_per_fpn_level.items():
        if len(valid_boxes) == 0:
            matched[level] = background_row.expand(len(locations), 5).clone()
            continue
        ltrb_px = fcos_distances_to_edges(locations, valid_boxes)
        is_candidate = fcos_is_candidate(ltrb_px, size_ranges[level])
        matched[level] = rows[fcos_pick_smallest_box(is_candidate, areas)]
    return matched
    ### END SOLUTION


def fcos_get_deltas_from_locations(
    locations: torch.Tensor, gt_boxes: torch.Tensor, stride: int
) -> torch.Tensor:
    """Exercise 5.1 (about 6 lines): what the box predictor should answer.

    Distances to the four edges of the matched box, in units of the stride, so that all
    levels predict numbers of one size.
    Source: Tian et al., "FCOS", 2019, equation 1.

    Args:
        locations: (N, 2) of (x, y) in pixels.
        gt_boxes: (N, 4) or (N, 5): the matched box of each location, -1 for background.
        stride: of this level in pixels.

    Returns:
        (N, 4): left, top, right, bottom divided by the stride; all -1 for background.

    Example:
        >>> box = torch.tensor([[10.0, 0.0, 30.0, 16.0]])
        >>> fcos_get_deltas_from_locations(torch.tensor([[12.0, 4.0]]), box, stride=8)
        tensor([[0.2500, 0.5000, 2.2500, 1.5000]])
    """
    ### BEGIN SOLUTION
    left_top = locations - gt_boxes[:, :2]
    right_bottom = gt_boxes[:, 2:4] - locations
    deltas = torch.cat((left_top, right_bottom), dim=1) / stride
    is_background = (gt_boxes == BACKGROUND).all(dim=1)
    return torch.where(is_background[:, None], BACKGROUND, deltas)
    ### END SOLUTION


def fcos_apply_deltas_to_locations(
    deltas: torch.Tensor, locations: torch.Tensor, stride: int
) -> torch.Tensor:
    """Exercise 5.2 (about 5 lines): from predicted deltas back to boxes; inverts 5.1.

    A negative distance makes no sense, so it counts as 0. The boxes are not clipped to
    the image here.

    Args:
        deltas: (N, 4): left, top, right, bottom in units of the stride.
        locations: (N, 2) of (x, y) in pixels.
        stride: of this level in pixels.

    Returns:
        (N, 4) XYXY in pixels. Background deltas (all -1) give (x, y, x, y).

    Example:
        >>> deltas = torch.tensor([[0.25, 0.5, 2.25, 1.5]])
        >>> location = torch.tensor([[12.0, 4.0]])
        >>> fcos_apply_deltas_to_locations(deltas, location, stride=8)
        tensor([[10.,  0., 30., 16.]])
    """
    ### BEGIN SOLUTION
    ltrb_px = deltas.clamp(min=0) * stride
    left_top = locations - ltrb_px[:, :2]
    right_bottom = locations + ltrb_px[:, 2:]
    return torch.cat((left_top, right_bottom), dim=1)
    ### END SOLUTION


def fcos_make_centerness_targets(deltas: torch.Tensor) -> torch.Tensor:
    """Exercise 5.3 (about 7 lines): how central is each location in its box?

    sqrt(min(l, r) * min(t, b) / (max(l, r) * max(t, b))): 1 in the middle, towards 0 at
    the edges. The root makes it fall slowly. A ratio, so the stride cancels.
    Source: Tian et al., "FCOS", 2019, equation 3.

    Args:
        deltas: (N, 4): left, top, right, bottom in any one unit; all -1 for background.

    Returns:
        (N,) in [0, 1]; -1 for background.

    Example:
        >>> fcos_make_centerness_targets(torch.tensor([[1.0, 3.0, 4.0, 3.0]]))
        tensor([0.5000])
    """
    ### BEGIN SOLUTION
    left_right, top_bottom = deltas[:, [0, 2]], deltas[:, [1, 3]]
    smaller = left_right.amin(dim=1) * top_bottom.amin(dim=1)
    larger = left_right.amax(dim=1) * top_bottom.amax(dim=1)
    ratio = torch.where(larger > 0, smaller / larger, 0.0).clamp(min=0)
    is_background = (deltas == BACKGROUND).all(dim=1)
    return torch.where(is_background, BACKGROUND, ratio.sqrt())
    ### END SOLUTION


def fcos_classification_loss(
    pred_cls_logits: torch.Tensor, gt_classes: torch.Tensor
) -> torch.Tensor:
    """Exercise 6.1 (about 10 lines): the focal loss of each location.

    K yes-or-no questions a location, with cross-entropy weighted down where the answer
    is already good: alpha_t * (1 - p_t)^gamma * CE. Background is "no" K times.
    Source: Lin et al., "Focal Loss", 2017, equations 4 and 5.

    Args:
        pred_cls_logits: (..., K) raw.
        gt_classes: (...), 0 to K-1, or BACKGROUND; int64 or float.

    Returns:
        (...): sum over the classes, not yet normalised.

    Example:
        >>> fcos_classification_loss(torch.zeros(2, 3), torch.tensor([1, -1]))
        tensor([0.3033, 0.3899])
    """
    ### BEGIN SOLUTION
    num_classes = pred_cls_logits.shape[-1]
    class_ids = torch.arange(num_classes, device=pred_cls_logits.device)
    targets = (gt_classes[..., None] == class_ids).to(pred_cls_logits)  # (..., K)
    cross_entropy = F.binary_cross_entropy_with_logits(
        pred_cls_logits, targets, reduction="none"
    )
    probability = pred_cls_logits.sigmoid()
    p_wrong = torch.where(targets == 1, 1 - probability, probability)
    alpha_t = torch.where(targets == 1, FOCAL_ALPHA, 1 - FOCAL_ALPHA)
    return (alpha_t * p_wrong**FOCAL_GAMMA * cross_entropy).sum(dim=-1)
    ### END SOLUTION


def fcos_box_loss(
    pred_boxreg_deltas: torch.Tensor, gt_deltas: torch.Tensor
) -> torch.Tensor:
    """Exercise 6.2 (about 4 lines): the L1 loss of each location's box.

    0.25 * (|l| + |t| + |r| + |b|) of the differences, 0 for background.

    Args:
        pred_boxreg_deltas: (..., 4).
        gt_deltas: (..., 4); all -1 for background.

    Returns:
        (...), not yet normalised.
    """
    ### BEGIN SOLUTION
    difference = (pred_boxreg_deltas - gt_deltas).abs().sum(dim=-1)
    is_background = (gt_deltas == BACKGROUND).all(dim=-1)
    return torch.where(is_background, 0.0, 0.25 * difference)
    ### END SOLUTION


def fcos_centerness_loss(
    pred_ctr_logits: torch.Tensor, gt_centerness: torch.Tensor
) -> torch.Tensor:
    """Exercise 6.3 (about 5 lines): the cross-entropy of each location's centerness.

    Binary cross-entropy against a target between 0 and 1, 0 for background.
    Source: Tian et al., "FCOS", 2019, section 3.3.

    Args:
        pred_ctr_logits: (...), raw.
        gt_centerness: (...), in [0, 1]; -1 for background.

    Returns:
        (...), not yet normalised.
    """
    ### BEGIN SOLUTION
    cross_entropy = F.binary_cross_entropy_with_logits(
        pred_ctr_logits, gt_centerness, reduction="none"
    )
    return torch.where(gt_centerness < 0, 0.0, cross_entropy)
    ### END SOLUTION


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
        """Exercise 7.1 (about 6 lines): the parts of the detector.

        `backbone` with FPN, `pred_net` (the head), and the running mean of foreground
        locations an image, a buffer `_normalizer` that starts at NORMALIZER_START. A
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
            test_score_thresh: see inference.
            test_nms_thresh: see inference.

        Returns:
            In training {"loss_cls", "loss_box", "loss_ctr"}, scalars; else boxes,
            classes and scores as inference returns them.
        """
        features = self.backbone(images)
        predictions = self.pred_net(features)
        locations = self.locations(features)
        if self.training:
            if gt_boxes is None:
                raise ValueError("FCOS needs gt_boxes (B, M, 5) while it trains")
            return self.training_losses(locations, predictions, gt_boxes)
        thresholds = {}
        if test_score_thresh is not None:
            thresholds["test_score_thresh"] = test_score_thresh
        if test_nms_thresh is not None:
            thresholds["test_nms_thresh"] = test_nms_thresh
        cls_logits, deltas, ctr_logits = predictions
        return self.inference(
            images, locations, cls_logits, deltas, ctr_logits, **thresholds
        )

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
        """Exercise 7.2 (about 15 lines): what each location of each image should say.

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
        """Exercise 7.3 (about 4 lines): follow the mean number of foreground locations.

        New value = 0.9 * old + 0.1 * (foreground locations of the batch / images). The
        value changes slowly, so that one odd batch does not change the losses' scale.

        Args:
            num_foreground: scalar, foreground locations in the whole batch.
            num_images: B.
        """
        ### BEGIN SOLUTION
        per_image = num_foreground / num_images
        self._normalizer.mul_(NORMALIZER_MOMENTUM)
        self._normalizer.add_((1 - NORMALIZER_MOMENTUM) * per_image)
        ### END SOLUTION

    def training_losses(
        self,
        locations: dict[str, torch.Tensor],
        predictions: list[dict[str, torch.Tensor]],
        gt_boxes: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Exercise 7.4 (about 15 lines): the three losses of a batch.

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
        # One tensor over all levels, (B, N, K), (B, N, 4), (B, N, 1).
        cls_logits, pred_deltas, ctr_logits = (
            torch.cat([output[level] for level in locations], dim=1).to(deltas.dtype)
            for output in predictions
        )
        self.update_normalizer((classes != BACKGROUND).sum(), len(gt_boxes))
        divisor = self._normalizer * len(gt_boxes)
        loss_cls = fcos_classification_loss(cls_logits, classes)
        loss_box = fcos_box_loss(pred_deltas, deltas)
        loss_ctr = fcos_centerness_loss(ctr_logits[:, :, 0], centerness)
        return {
            "loss_cls": loss_cls.sum() / divisor,
            "loss_box": loss_box.sum() / divisor,
            "loss_ctr": loss_ctr.sum() / divisor,
        }
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
        """Exercise 8.2 (about 20 lines): from raw predictions to detections, one image.

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
