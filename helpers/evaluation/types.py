"""What evaluation compares: detections and true boxes of one image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.command import CourseError


@dataclass(frozen=True)
class Detections:
    """Detections of one image.

    Attributes:
        boxes: (N, 4) float64, XYXY with continuous edges, pixels of the original image.
        scores: (N,) float64, in any order.
        classes: (N,) int64.

    Raises:
        CourseError: a shape is wrong or a number is not finite; names the image.
    """

    image_id: str
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __post_init__(self) -> None:
        where = f"detections of image {self.image_id}"
        _check_boxes(self.boxes, where)
        _check_length(self.scores, len(self.boxes), "scores", where)
        _check_length(self.classes, len(self.boxes), "classes", where)
        if not np.isfinite(self.scores).all():
            raise CourseError(f"{where}: a score is not finite; check the detector")


@dataclass(frozen=True)
class GroundTruth:
    """True boxes of one image.

    Attributes:
        boxes: (M, 4) float64, XYXY with continuous edges, pixels of the original image.
        classes: (M,) int64.
        difficult: (M,) bool; such objects count neither for nor against a detector.
        size: (H, W) of the image in pixels.

    Raises:
        CourseError: a shape is wrong or a number is not finite; names the image.
    """

    image_id: str
    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray
    size: tuple[int, int]

    def __post_init__(self) -> None:
        where = f"true boxes of image {self.image_id}"
        _check_boxes(self.boxes, where)
        _check_length(self.classes, len(self.boxes), "classes", where)
        _check_length(self.difficult, len(self.boxes), "difficult", where)


def _check_boxes(boxes: np.ndarray, where: str) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise CourseError(f"{where}: boxes have shape {boxes.shape}; pass (N, 4)")
    if not np.isfinite(boxes).all():
        raise CourseError(f"{where}: a coordinate is not finite; check the boxes")


def _check_length(values: np.ndarray, number: int, name: str, where: str) -> None:
    if values.shape != (number,):
        raise CourseError(
            f"{where}: {name} have shape {values.shape} for {number} boxes; "
            f"pass ({number},)"
        )


def check_entries(
    detections: Sequence[Detections],
    ground_truths: Sequence[GroundTruth],
    num_classes: int,
) -> None:
    """What can be compared: one entry per image, all images and classes known.

    Raises:
        CourseError: an image twice, detections of an image without ground truth, or a
            class number that no class has.
    """
    known = {entry.image_id for entry in ground_truths}
    by_image = {entry.image_id for entry in detections}
    if len(known) != len(ground_truths) or len(by_image) != len(detections):
        raise CourseError("an image is listed twice; give one entry per image")
    if foreign := sorted(by_image - known):
        raise CourseError(
            f"there are detections for image {foreign[0]!r}, which is not in the "
            "ground truth; evaluate on the images that were detected"
        )
    entries: list[Detections | GroundTruth] = [*ground_truths, *detections]
    for entry in entries:
        wrong = entry.classes[(entry.classes < 0) | (entry.classes >= num_classes)]
        if len(wrong):
            raise CourseError(
                f"image {entry.image_id!r} has the class number {wrong[0]}, but there "
                f"are {num_classes} classes, from 0; give the class list that fits"
            )
