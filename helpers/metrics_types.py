"""What evaluation compares: detections and true boxes of one image."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Detections of one image.

    Attributes:
        boxes: (N, 4) float64, XYXY with continuous edges, pixels of the original image.
        scores: (N,) float64.
        classes: (N,) int64.
    """

    image_id: str
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class GroundTruth:
    """True boxes of one image.

    Attributes:
        boxes: (M, 4) float64, XYXY with continuous edges, pixels of the original image.
        classes: (M,) int64.
        difficult: (M,) bool; such objects count neither for nor against a detector.
        size: (H, W) of the image in pixels.
    """

    image_id: str
    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray
    size: tuple[int, int]
