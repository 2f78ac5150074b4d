"""What evaluation compares: detections and true boxes of one image."""

from dataclasses import dataclass

import numpy as np

from data_scripts.command import CourseError


def _check(owner: str, image_id: str, boxes: np.ndarray, **others: np.ndarray) -> None:
    """Boxes are (N, 4), all else (N,), and no number is nan or infinite."""
    where = f"{owner} of image {image_id!r}"
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise CourseError(
            f"{where}: boxes have the shape {boxes.shape}, not (N, 4); "
            "give rows of x1, y1, x2, y2"
        )
    for name, values in others.items():
        if values.shape != (len(boxes),):
            raise CourseError(
                f"{where}: {name} has the shape {values.shape} beside {len(boxes)} "
                f"boxes; give one of the {name} a box, shape ({len(boxes)},)"
            )
    for name, values in {"boxes": boxes, **others}.items():
        if not np.isfinite(values).all():
            raise CourseError(
                f"{where}: {name} holds nan or infinity; look for the division or the "
                "exponential that made it"
            )


@dataclass(frozen=True)
class Detections:
    """Detections of one image.

    Attributes:
        boxes: (N, 4) float64, XYXY with continuous edges, pixels of the original image.
        scores: (N,) float64.
        classes: (N,) int64.

    Raises:
        CourseError: the shapes do not fit, or a number is nan or infinite.
    """

    image_id: str
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __post_init__(self) -> None:
        others = {"scores": self.scores, "classes": self.classes}
        _check("detections", self.image_id, self.boxes, **others)


@dataclass(frozen=True)
class GroundTruth:
    """True boxes of one image.

    Attributes:
        boxes: (M, 4) float64, XYXY with continuous edges, pixels of the original image.
        classes: (M,) int64.
        difficult: (M,) bool; such objects count neither for nor against a detector.
        size: (H, W) of the image in pixels.

    Raises:
        CourseError: the shapes do not fit, or a number is nan or infinite.
    """

    image_id: str
    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray
    size: tuple[int, int]

    def __post_init__(self) -> None:
        others = {"classes": self.classes, "difficult": self.difficult}
        _check("true boxes", self.image_id, self.boxes, **others)
