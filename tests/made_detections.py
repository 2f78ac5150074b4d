"""Detections and true boxes for the tests of evaluation: by hand, or by arithmetic."""

from collections.abc import Sequence

import numpy as np

from helpers.evaluation.types import Detections, GroundTruth
from tests.plain_numbers import spread, spread_boxes

IMAGE_SIZE = (260, 340)  # (H, W)
NUM_CLASSES = 3
SHIFTS = (0.04, 0.12, 0.3)  # how far edges of detections are off, in box sides


def truth(
    image_id: str,
    boxes: Sequence[Sequence[float]] = (),
    classes: Sequence[int] | None = None,
    difficult: Sequence[bool] | None = None,
) -> GroundTruth:
    """True boxes from plain lists; class 0 and not difficult where nothing is said."""
    return GroundTruth(
        image_id,
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array([0] * len(boxes) if classes is None else classes, dtype=np.int64),
        np.array([False] * len(boxes) if difficult is None else difficult, dtype=bool),
        IMAGE_SIZE,
    )


def found(
    image_id: str,
    boxes: Sequence[Sequence[float]] = (),
    scores: Sequence[float] = (),
    classes: Sequence[int] | None = None,
) -> Detections:
    """Detections from plain lists; class 0 where nothing is said."""
    return Detections(
        image_id,
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(scores, dtype=np.float64),
        np.array([0] * len(boxes) if classes is None else classes, dtype=np.int64),
    )


def numbers(*shape: int, low: float = 0.0, high: float = 1.0, start: int = 1):
    """tests.plain_numbers.spread as a NumPy array."""
    return spread(*shape, low=low, high=high, start=start).numpy()


def made_data(num_images: int = 24) -> tuple[list[Detections], list[GroundTruth]]:
    """A data set with everything that makes evaluation hard, and no two scores alike.

    Each true box is found three times, nearly right to badly wrong, sometimes as
    another class; some detections show nothing. Every fifth object is difficult, every
    sixth image (the first of all) is without objects, and every seventh without
    detections.
    """
    height, width = IMAGE_SIZE
    detections, truths = [], []
    for image in range(num_images):
        start = 1 + 1000 * image
        count = 0 if image % 6 == 0 else 1 + image % 5
        boxes = spread_boxes(count, width, height, start).numpy()
        classes = (numbers(count, start=start + 7) * NUM_CLASSES).astype(np.int64)
        difficult = (np.arange(count) + image) % 5 == 0
        truths.append(
            GroundTruth(f"image{image}", boxes, classes, difficult, IMAGE_SIZE)
        )
        if image % 7 == 3:
            continue
        copies = len(SHIFTS)
        near = np.repeat(boxes, copies, axis=0)
        side = np.tile(near[:, 2:] - near[:, :2], 2) * np.tile(SHIFTS, count)[:, None]
        near = near + side * numbers(*near.shape, low=-1, high=1, start=start + 13)
        anywhere = spread_boxes(4, width, height, start + 500).numpy()
        own = np.concatenate((near, anywhere))
        own_classes = np.concatenate(
            (np.repeat(classes, copies), np.arange(4) % NUM_CLASSES)
        )
        strays = numbers(len(own), start=start + 17) < 0.15
        own_classes = np.where(strays, (own_classes + 1) % NUM_CLASSES, own_classes)
        scores = numbers(len(own), start=start + 29)
        detections.append(Detections(f"image{image}", own, scores, own_classes))
    return detections, truths
