"""Predictions for inference as published, without exact ties.

All are drawn again until no decision hangs on the last digits: the results of a float32
implementation and of the float64 loops must agree.
"""

import itertools
import math
from collections.abc import Sequence

import torch

from grader_tests.oracles import slow
from grader_tests.oracles.plain_detect import plain_iou
from grader_tests.oracles.plain_inference import (
    Choices,
    Level,
    Row,
    plain_candidates,
    plain_decode,
)

Reference = dict[str, torch.Tensor]
MARGIN = 1e-4  # of scores and probabilities from their thresholds
OVERLAP_MARGIN = 2e-5  # of IoUs from theirs: four times what float32 rounds away
GAP = 1e-6  # between two scores
TRIES = 400
NUM_CLASSES = 3
SCORE_THRESHOLDS = (0.05, 0.1, 0.2, 0.3)
NMS_THRESHOLDS = (0.6, 0.5)
PADDED = (64, 96)  # (H, W) of a batch in pixels
IMAGE_SIZES = ((64, 70), (50, 96))  # (H, W) of its images
STRIDES = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}
FROM_EDGE = 3.0  # pixels between a location of the batch and an image's edge, at least
LEVEL_SIZE = (6, 9)  # (H, W) of a map whose stride is 8
ALL = Choices(top_k=0)


def points_of(height: int, width: int, stride: int) -> torch.Tensor:
    """(height * width, 2) of (x, y), row by row, in the middle of their cells."""
    rows = [
        (stride * (j + 0.5), stride * (i + 0.5))
        for i in range(height)
        for j in range(width)
    ]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)


def _level(generator: torch.Generator, points: torch.Tensor, stride: int) -> Level:
    """Some distances below 0, and many that leave the image."""
    number = len(points)
    drawn = (
        slow.random(generator, number, NUM_CLASSES, low=-5, high=2.5),
        slow.random(generator, number, 4, low=-0.4, high=3) * stride,
        slow.random(generator, number, 1, low=-3, high=2),
    )
    return Level(*(values.float() for values in (points, *drawn)))


def _is_clear(level: Level) -> bool:
    """No score or probability is near a threshold, and no two scores are equal."""
    found = plain_candidates(level.cls_logits, level.ctr_logits, -1.0, ALL)
    scores = sorted(score for _, _, score in found)
    if min((b - a for a, b in itertools.pairwise(scores)), default=1.0) < GAP:
        return False
    likely = level.cls_logits.double().sigmoid().flatten().tolist()
    near = (
        abs(value - threshold)
        for value in (*scores, *likely)
        for threshold in SCORE_THRESHOLDS
    )
    return min(near) > MARGIN


def is_apart(rows: Sequence[Row]) -> bool:
    """No IoU within a class is near a threshold, and no two scores are equal."""
    scores = sorted(row[5] for row in rows)
    if min((b - a for a, b in itertools.pairwise(scores)), default=1.0) < GAP:
        return False
    overlaps = [
        plain_iou(a[:4], b[:4])
        for a, b in itertools.combinations(rows, 2)
        if a[4] == b[4]
    ]
    near = (
        abs(overlap - threshold) for overlap in overlaps for threshold in NMS_THRESHOLDS
    )
    return min(near, default=math.inf) > OVERLAP_MARGIN


def _one_level(generator: torch.Generator) -> Reference:
    for _ in range(TRIES):
        level = _level(generator, points_of(*LEVEL_SIZE, 8), 8)
        if _is_clear(level):
            return level._asdict()
    raise RuntimeError("no level without ties was found")


def _found(generator: torch.Generator, count: int) -> Reference:
    """Boxes that crowd an image of 60 x 40 pixels, in no order."""
    for _ in range(TRIES):
        boxes = slow.random_boxes(generator, count, 60, 40)
        boxes = (boxes + slow.random(generator, count, 4, high=0.05)).float()
        share = torch.randperm(count, generator=generator)
        scores = ((share + 1.0) / (count + 1)).float()
        classes = torch.randint(NUM_CLASSES, (count,), generator=generator)
        rows = [
            (*box, class_id, score)
            for box, class_id, score in zip(
                boxes.tolist(), classes.tolist(), scores.tolist(), strict=True
            )
        ]
        if is_apart(rows):
            return {"boxes": boxes, "classes": classes, "scores": scores}
    raise RuntimeError("no boxes without ties were found")


def _points(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """As many as each level of the batch has, inside of all its images."""
    ends = [min(size[side] for size in IMAGE_SIZES) - FROM_EDGE for side in (1, 0)]
    room = torch.tensor(ends, dtype=torch.float64) - FROM_EDGE
    drawn = {}
    for name, stride in STRIDES.items():
        number = math.prod(math.ceil(side / stride) for side in PADDED)
        drawn[name] = (FROM_EDGE + slow.random(generator, number, 2) * room).float()
    return drawn


def _image(
    generator: torch.Generator, points: dict[str, torch.Tensor], size: tuple[int, int]
) -> dict[str, Level]:
    """Five levels of an image of the batch.

    Each box has some area: what NMS makes of 0 / 0 depends on how a comparison is
    written.
    """
    for _ in range(TRIES):
        levels = {}
        for name, stride in STRIDES.items():
            level = _level(generator, points[name], stride)
            level.distances[:, 2:].clamp_(min=FROM_EDGE)
            levels[name] = level
        if all(map(_is_clear, levels.values())) and all(
            is_apart(plain_decode(levels, size, SCORE_THRESHOLDS[0], ALL, inset=inset))
            for inset in (0.0, 1.0)
        ):
            return levels
    raise RuntimeError("no image without ties was found")


def make(generator: torch.Generator) -> Reference:
    """Everything of this step, as "function.case.name"."""
    made = {}
    for case in ("wide", "other"):
        for name, tensor in _one_level(generator).items():
            made[f"level.{case}.{name}"] = tensor
    for case, count in (("some", 40), ("crowd", 120)):
        for name, tensor in _found(generator, count).items():
            made[f"found.{case}.{name}"] = tensor
    points = _points(generator)
    for number, size in enumerate(IMAGE_SIZES):
        for level, parts in _image(generator, points, size).items():
            for name, tensor in parts._asdict().items():
                made[f"batch.image{number}.{name}-{level}"] = tensor.clone()
    return made
