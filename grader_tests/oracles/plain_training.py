"""The three losses of FCOS as published: one location at a time.

Everything is a loop over Python's float64. `mistake` is the known mistake to make, one
of TRAINING; "" is the right way.
Source: Tian et al., "FCOS", 2019, equation 2, and 2020, section 3.1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from core.fcos_config import FCOSConfig
from grader_tests.oracles.plain_losses import centerness_loss, class_loss
from grader_tests.oracles.plain_matching import MATCHING, Levels, Row, matches
from grader_tests.oracles.plain_overlaps import box_loss, ratio_of

MOMENTUM = 0.9
LOSSES = ("loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr")
# What known mistakes of a batch's losses do.
NOT_DIVIDED = "the sums are not divided"
MEAN_OF_ALL = "divided by the number of all locations"
DIVIDED_TWICE = "divided by the number of images once more"
UPDATED_AFTER = "the running mean is updated after it divides"
UPDATED_TWICE = "the running mean is updated more than once for a batch"
ALPHA_OFF = "the classes are not weighted with alpha"
SUM_NOT_WEIGHED = "the weighted box losses are divided like the others"
WEIGHED_BY_GUESS = "the boxes are weighed with the predicted centerness"
ALWAYS_WEIGHED = "weigh_boxes is ignored: the boxes are always weighed"
NEVER_WEIGHED = "weigh_boxes is ignored: the boxes are never weighed"
UNIT_TURNED = "the unit of the predictions and that of the loss are mixed up"
UNIT_IGNORED = "the unit of the predictions is ignored; they are taken for pixels"
LOSS_UNIT_IGNORED = "loss_unit is ignored; the losses are those of pixels"
TRUE_IN_PX = "the true distances stay in pixels though those predicted do not"
CENTERNESS_OF_GUESS = "centerness is worked out from the predicted distances"
LEVELS_TURNED = "the levels of the predictions are joined in another order"
ALWAYS_STRIDES = "the unit of the predictions is ignored; they are taken for strides"
ONE_UNIT = "the distances of all levels are measured in one stride"
SIGN_OF_ROOT = "the root of a negative number; all four distances are above 0"
WITH_BOX_ONLY = "only the images with a box are counted"
ROWS_COUNTED = "the rows of boxes are counted, not the images"
TURNED_TRUTH = "top and bottom of the true boxes are swapped"
FOREGROUND_OF_FIRST = "the divisor counts the foreground of the first image alone"
TRAINING = (
    NOT_DIVIDED,
    MEAN_OF_ALL,
    DIVIDED_TWICE,
    UPDATED_AFTER,
    UPDATED_TWICE,
    ALPHA_OFF,
    SUM_NOT_WEIGHED,
    WEIGHED_BY_GUESS,
    ALWAYS_WEIGHED,
    NEVER_WEIGHED,
    UNIT_TURNED,
    UNIT_IGNORED,
    LOSS_UNIT_IGNORED,
    TRUE_IN_PX,
    CENTERNESS_OF_GUESS,
    LEVELS_TURNED,
    ALWAYS_STRIDES,
    ONE_UNIT,
    SIGN_OF_ROOT,
    WITH_BOX_ONLY,
    ROWS_COUNTED,
    TURNED_TRUTH,
    FOREGROUND_OF_FIRST,
)


def centerness_of(ltrb: Row) -> float:
    """How central a location is in its box."""
    left, top, right, bottom = ltrb
    smaller = min(left, right) * min(top, bottom)
    ratio = ratio_of(smaller, max(left, right) * max(top, bottom))
    return math.sqrt(ratio) if ratio >= 0 else math.nan  # outside of the box


class Batch(NamedTuple):
    """What training_losses is given.

    Attributes:
        locations: for each level (n, 2).
        strides: of each level.
        outputs: class logits, distances, centerness logits, for each level (B, n, C).
        gt_boxes: (B, M, 5).
    """

    locations: Levels
    strides: Mapping[str, int]
    outputs: Sequence[Levels]
    gt_boxes: torch.Tensor


class Divided(NamedTuple):
    """The losses of a batch, and what they were divided by.

    Attributes:
        losses: by the names of LOSSES, float64 scalars.
        divisor: one number.
        mean: the running mean afterwards.
    """

    losses: dict[str, torch.Tensor]
    divisor: float
    mean: float


def divisor_of(
    foreground: int, images: int, mean: float, config: FCOSConfig, mistake: str = ""
) -> tuple[float, float]:
    """What the losses are divided by, and the running mean afterwards."""
    if config.divide_by == "foreground":
        return max(foreground, 1), mean
    per_image = config.divide_by == "per_image"
    seen = foreground / images if per_image else foreground
    new = MOMENTUM * mean + (1 - MOMENTUM) * seen
    if mistake == UPDATED_TWICE:
        new = MOMENTUM * new + (1 - MOMENTUM) * seen
    divides = mean if mistake == UPDATED_AFTER else new
    return divides * (images if per_image else 1), new


def training_losses(
    batch: Batch,
    config: FCOSConfig,
    mean: float | None = None,
    *,
    exact: bool = False,
    matched: torch.Tensor | None = None,
    mistake: str = "",
) -> Divided:
    """The three losses of a batch, location by location.

    Args:
        mean: the running mean before; by default the config's first_divisor.
        exact: see match.
        matched: what `matches` gives, for mistakes that are none of MATCHING.
        mistake: of one of MATCHING, TRAINING, IOU_LOSS or GIOU_LOSS.
    """
    config = _other_config(config, mistake)
    mean = config.first_divisor if mean is None else mean
    if matched is None or mistake in MATCHING:
        matched = matches(
            batch.locations,
            batch.strides,
            batch.gt_boxes,
            config,
            exact=exact,
            mistake=mistake,
        )
    order = list(batch.locations)
    joined = reversed(order) if mistake == LEVELS_TURNED else order
    names = list(joined)
    logits, distances, quality = (
        torch.cat([output[level].double() for level in names], dim=1)
        for output in batch.outputs
    )
    points = torch.cat([batch.locations[level].double() for level in order]).tolist()
    strides = [batch.strides[level] for level in order for _ in batch.locations[level]]
    if mistake == ONE_UNIT:
        strides = [min(strides)] * len(strides)
    boxes, weights = [], []
    targets = torch.full(matched.shape[:2], -1.0, dtype=torch.float64)
    for image, rows in enumerate(matched.tolist()):
        for place, row in enumerate(rows):
            if row[4] == -1:
                continue
            (x, y), stride = points[place], strides[place]
            true = [x - row[0], y - row[1], row[2] - x, row[3] - y]
            pred, true = _in_unit(
                distances[image, place].tolist(), true, stride, config, mistake
            )
            boxes.append(box_loss(pred, true, config, mistake))
            central = centerness_of(
                pred if mistake == CENTERNESS_OF_GUESS else true  # any unit
            )
            central = math.nan if mistake == SIGN_OF_ROOT else central
            targets[image, place] = central
            guess = float(quality[image, place, 0].sigmoid())
            weights.append(guess if mistake == WEIGHED_BY_GUESS else central)
    alpha = -1.0 if mistake == ALPHA_OFF else 0.25
    counted = matched[:1] if mistake == FOREGROUND_OF_FIRST else matched
    foreground = int((counted[..., 4] != -1).sum())
    images = {
        WITH_BOX_ONLY: max(int((matched[..., 4] != -1).any(dim=1).sum()), 1),
        ROWS_COUNTED: batch.gt_boxes.shape[1],
    }.get(mistake, len(matched))
    divisor, mean = divisor_of(foreground, images, mean, config, mistake)
    by = {
        NOT_DIVIDED: 1.0,
        MEAN_OF_ALL: float(matched[..., 4].numel()),
        DIVIDED_TWICE: divisor * len(matched),
    }.get(mistake, divisor)
    loc = sum(boxes) / by
    if config.weigh_boxes:
        total = sum(weights)
        loc = sum(a * b for a, b in zip(boxes, weights, strict=True))
        loc /= by if mistake == SUM_NOT_WEIGHED else max(total, 1e-6)
    losses = (
        class_loss(logits, matched[..., 4], alpha=alpha).sum() / by,
        torch.tensor(loc, dtype=torch.float64),
        centerness_loss(quality[..., 0], targets).sum() / by,
    )
    return Divided(dict(zip(LOSSES, losses, strict=True)), divisor, mean)


def _other_config(config: FCOSConfig, mistake: str) -> FCOSConfig:
    """The config that code acts on which ignores a part of it."""
    if mistake == UNIT_TURNED:
        return replace(config, unit=config.loss_unit, loss_unit=config.unit)
    changes: dict[str, dict[str, object]] = {
        ALWAYS_WEIGHED: {"weigh_boxes": True},
        NEVER_WEIGHED: {"weigh_boxes": False},
        UNIT_IGNORED: {"unit": "pixel"},
        ALWAYS_STRIDES: {"unit": "stride"},
        LOSS_UNIT_IGNORED: {"loss_unit": "pixel"},
    }
    return replace(config, **changes.get(mistake, {}))  # type: ignore[arg-type]


def _in_unit(
    pred: Row, true_px: Row, stride: float, config: FCOSConfig, mistake: str
) -> tuple[list[float], list[float]]:
    """Predicted and true distances in the unit of the loss."""
    to_px = stride if config.unit == "stride" else 1.0
    unit = stride if config.loss_unit == "stride" else 1.0
    of_true = 1.0 if mistake == TRUE_IN_PX else unit
    if mistake == TURNED_TRUTH:
        true_px = [true_px[place] for place in (0, 3, 2, 1)]
    return (
        [distance * to_px / unit for distance in pred],
        [distance / of_true for distance in true_px],
    )
