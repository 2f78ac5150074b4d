"""Inputs and expected values for NMS and inference, without exact ties.

All inputs are drawn again until no decision hangs on the last digits: the results of a
float32 implementation and of the float64 loops must agree.
"""

import itertools
import math

import torch
from torchvision import ops

from grader_tests.oracles import slow
from grader_tests.oracles.plain_detect import (
    ACCEPTED,
    RIGHT,
    Candidate,
    How,
    Raw,
    candidates,
    plain_inference,
    plain_iou,
    plain_nms,
)
from grader_tests.oracles.plain_targets import plain_locations

Reference = dict[str, torch.Tensor]
MARGIN = 1e-4  # of IoUs and scores from each other and from their thresholds
TRIES = 200
IMAGE_SIZES = {"wide": (50, 90), "high": (101, 43)}  # (H, W) in pixels
THRESHOLDS = {"usual": (0.3, 0.5), "strict": (0.6, 0.2), "loose": (0.05, 0.8)}
NUM_CLASSES = 3
LEAST_SIDE = 1.0  # pixels of each box within the image, clipped in any accepted way
NMS_THRESHOLDS = (0.3, 0.5, 0.7)
# case -> number of boxes, width, height of the image that they crowd
NMS_CASES = {"some": (60, 60, 40), "crowd": (800, 130, 90)}


def _nearest(values: torch.Tensor, to: float) -> float:
    return float((values - to).abs().min()) if values.numel() else math.inf


def _smallest_gap(values: torch.Tensor) -> float:
    return float(values.sort().values.diff().min()) if len(values) > 1 else math.inf


def _nms_case(
    generator: torch.Generator, count: int, width: int, height: int
) -> Reference:
    for _ in range(TRIES):
        boxes = slow.random_boxes(generator, count, width, height)
        boxes = (boxes + slow.random(generator, count, 4, high=0.05)).float()
        order = torch.randperm(count, generator=generator)
        scores = (order.double() / count * 5 - 2.5).float()  # below and above 0
        overlaps = ops.box_iou(boxes.double(), boxes.double())
        # 1e-6 is 16 times what float32 rounds away of an IoU
        if min(_nearest(overlaps, level) for level in NMS_THRESHOLDS) < 1e-6:
            continue
        made = {"boxes": boxes, "scores": scores}
        for threshold in NMS_THRESHOLDS:
            kept = ops.nms(boxes, scores, threshold)
            if count <= 100:
                loop = plain_nms(boxes.tolist(), scores.tolist(), threshold)
                assert kept.tolist() == loop
            made[f"expected{round(10 * threshold)}"] = kept
        return made
    raise RuntimeError("no boxes without ties were found")


def _is_clear(raw: Raw, size: tuple[int, int]) -> bool:
    """No score, class or IoU is so near to another or to a threshold that it ties."""
    for logits in raw.cls_logits.values():
        best = logits[0].sort(dim=1, descending=True).values
        if float((best[:, 0] - best[:, 1]).min()) < MARGIN:
            return False
    for how in ACCEPTED:
        found = candidates(raw, size, how)
        scores = torch.tensor(
            [detection.score for detection in found], dtype=torch.float64
        )
        if _smallest_gap(scores) < MARGIN / 100:
            return False
        overlaps = torch.tensor(_overlaps(found), dtype=torch.float64)
        for score_threshold, nms_threshold in THRESHOLDS.values():
            near = _nearest(scores, score_threshold), _nearest(overlaps, nms_threshold)
            if min(near) < MARGIN:
                return False
    return True


def _overlaps(found: list[Candidate]) -> list[float]:
    return [
        plain_iou(a.box, b.box)
        for a, b in itertools.combinations(found, 2)
        if a.class_id == b.class_id
    ]


def _raw(generator: torch.Generator, size: tuple[int, int]) -> Raw:
    locations = plain_locations(*size)

    def draw(channels: int, low: float, high: float) -> dict[str, torch.Tensor]:
        return {
            level: slow.random(
                generator, 1, len(points), channels, low=low, high=high
            ).float()
            for level, points in locations.items()
        }

    points = {
        level: points_of_level.float() for level, points_of_level in locations.items()
    }
    # Some deltas below 0, and many that leave the image.
    raw = Raw(points, draw(NUM_CLASSES, -4, 3), draw(4, -0.4, 5), draw(1, -3, 3))
    _give_area(generator, raw, size)
    return raw


def _give_area(generator: torch.Generator, raw: Raw, size: tuple[int, int]) -> None:
    """Draw the deltas of each box without area again, until it has one.

    0 / 0 is NaN, which is not above any threshold and not below either: what NMS makes
    of boxes without area depends on how a comparison is written, so none occur.
    """
    for level, places in boxes_without_area(raw, size).items():
        for place in places:
            one = {level: raw.locations[level][place : place + 1]}
            deltas = raw.deltas[level][:, place : place + 1]
            for _ in range(TRIES):
                deltas[:] = slow.random(generator, 1, 1, 4, low=-0.4, high=5)
                part = Raw(
                    one,
                    {level: raw.cls_logits[level][:, place : place + 1]},
                    {level: deltas},
                    {level: raw.ctr_logits[level][:, place : place + 1]},
                )
                if not boxes_without_area(part, size)[level]:
                    break


def boxes_without_area(raw: Raw, size: tuple[int, int]) -> dict[str, list[int]]:
    """Level -> places of boxes that are less than a pixel wide or high.

    Args:
        raw: the predictions.
        size: (H, W) of the image in pixels, whose last pixel may be its end.
    """
    found: dict[str, list[int]] = {level: [] for level in raw.locations}
    every = iter(candidates(raw, size, How(inset=1.0)))
    for level, points in raw.locations.items():
        for place in range(len(points)):
            x1, y1, x2, y2 = next(every).box
            if min(x2 - x1, y2 - y1) < LEAST_SIDE:
                found[level].append(place)
    return found


def _inference_case(generator: torch.Generator, size: tuple[int, int]) -> Reference:
    for _ in range(TRIES):
        raw = _raw(generator, size)
        if not _is_clear(raw, size):
            continue
        made = {
            f"{part}-{level}": tensor
            for part, levels in raw._asdict().items()
            for level, tensor in levels.items()
        }
        for name, thresholds in THRESHOLDS.items():
            made[f"expected-{name}"] = plain_inference(raw, size, *thresholds, RIGHT)
        return made
    raise RuntimeError("no predictions without ties were found")


def make(generator: torch.Generator) -> Reference:
    """Everything of this step, as "function.case.name"."""
    made = {}
    for case, numbers in NMS_CASES.items():
        for name, tensor in _nms_case(generator, *numbers).items():
            made[f"nms.{case}.{name}"] = tensor
    for case, size in IMAGE_SIZES.items():
        for name, tensor in _inference_case(generator, size).items():
            made[f"inference.{case}.{name}"] = tensor
    return made
