"""A known example: 7 images, 15 true boxes, 24 detections, and their published APs.

Source of the boxes: R. Padilla, github.com/rafaelpadilla/Object-Detection-Metrics (MIT
licence), folders groundtruths and detections; of the APs: the tests of its successor,
github.com/rafaelpadilla/review_object_detection_metrics, tests/test_case_1.py. There
the last pixel is part of a box (plus_one).
"""

import numpy as np

from helpers.evaluation.types import Detections, GroundTruth

# Each row: image, left, top, width, height.
TRUE_ROWS = np.array(
    [
        (1, 25, 16, 38, 56),
        (1, 129, 123, 41, 62),
        (2, 123, 11, 43, 55),
        (2, 38, 132, 59, 45),
        (3, 16, 14, 35, 48),
        (3, 123, 30, 49, 44),
        (3, 99, 139, 47, 47),
        (4, 53, 42, 40, 52),
        (4, 154, 43, 31, 34),
        (5, 59, 31, 44, 51),
        (5, 48, 128, 34, 52),
        (6, 36, 89, 52, 76),
        (6, 62, 58, 44, 67),
        (7, 28, 31, 55, 63),
        (7, 58, 67, 50, 58),
    ],
    dtype=np.float64,
)
# Each row: image, score, left, top, width, height.
FOUND_ROWS = np.array(
    [
        (1, 0.88, 5, 67, 31, 48),
        (1, 0.70, 119, 111, 40, 67),
        (1, 0.80, 124, 9, 49, 67),
        (2, 0.71, 64, 111, 64, 58),
        (2, 0.54, 26, 140, 60, 47),
        (2, 0.74, 19, 18, 43, 35),
        (3, 0.18, 109, 15, 77, 39),
        (3, 0.67, 86, 63, 46, 45),
        (3, 0.38, 160, 62, 36, 53),
        (3, 0.91, 105, 131, 47, 47),
        (3, 0.44, 18, 148, 40, 44),
        (4, 0.35, 83, 28, 28, 26),
        (4, 0.78, 28, 68, 42, 67),
        (4, 0.45, 87, 89, 25, 39),
        (4, 0.14, 10, 155, 60, 26),
        (5, 0.62, 50, 38, 28, 46),
        (5, 0.44, 95, 11, 53, 28),
        (5, 0.95, 29, 131, 72, 29),
        (5, 0.23, 29, 163, 72, 29),
        (6, 0.45, 43, 48, 74, 38),
        (6, 0.84, 17, 155, 29, 35),
        (6, 0.43, 95, 110, 25, 42),
        (7, 0.48, 16, 20, 101, 88),
        (7, 0.95, 33, 116, 37, 49),
    ]
)
IMAGES = range(1, 8)

# AP by IoU threshold, to the published ten decimals.
PUBLISHED_AREA = {0.1: 0.3371980676, 0.3: 0.2456866804, 0.5: 0.0222222222, 0.75: 0.0}
PUBLISHED_11 = {0.1: 0.3333333333, 0.3: 0.2683982683, 0.5: 0.0303030303, 0.75: 0.0}


def _xyxy(rows: np.ndarray) -> np.ndarray:
    return np.concatenate((rows[:, :2], rows[:, :2] + rows[:, 2:]), axis=1)


def _truth(image: int) -> GroundTruth:
    rows = TRUE_ROWS[TRUE_ROWS[:, 0] == image]
    none = np.zeros(len(rows), dtype=bool)
    return GroundTruth(
        str(image), _xyxy(rows[:, 1:]), none.astype(np.int64), none, (200, 200)
    )


def _found(image: int) -> Detections:
    rows = FOUND_ROWS[FOUND_ROWS[:, 0] == image]
    classes = np.zeros(len(rows), dtype=np.int64)
    return Detections(str(image), _xyxy(rows[:, 2:]), rows[:, 1], classes)


TRUTHS = [_truth(image) for image in IMAGES]
DETECTIONS = [_found(image) for image in IMAGES]
