"""The median shift of detected boxes against their objects."""

import math

import numpy as np
import pytest

from helpers.evaluation.box_shift import BoxShift, median_box_shift, shift_line
from helpers.evaluation.types import Detections, GroundTruth

BOXES = np.array([[10.0, 20, 50, 100], [100, 30, 180, 70], [5, 5, 25, 15]])
CLASSES = np.array([0, 1, 1])


def truth(boxes=BOXES, classes=CLASSES, difficult=None) -> GroundTruth:
    flags = np.zeros(len(boxes), bool) if difficult is None else np.array(difficult)
    return GroundTruth("a", boxes, classes, flags, (120, 200))


def found(boxes, classes=CLASSES, scores=None) -> Detections:
    values = np.linspace(0.9, 0.5, len(boxes)) if scores is None else np.array(scores)
    return Detections("a", boxes, values, classes)


def moved(right: float, down: float) -> np.ndarray:
    """The true boxes, moved by these shares of their width and height."""
    sides = BOXES[:, 2:] - BOXES[:, :2]
    return BOXES + np.tile(sides * [right, down], 2)


def test_no_image_no_box_no_detection():
    for detections, truths in (
        ([], []),
        ([], [truth()]),
        ([found(np.empty((0, 4)), CLASSES[:0])], [truth()]),
        ([found(BOXES)], [truth(np.empty((0, 4)), CLASSES[:0])]),
    ):
        shift = median_box_shift(detections, truths)
        assert shift.num_boxes == 0 and math.isnan(shift.right)
        assert "no object" in shift_line(shift)


@pytest.mark.parametrize(("right", "down"), [(0.0, 0.0), (0.2, -0.1), (-0.05, 0.3)])
def test_a_shift_is_told_by_direction(right, down):
    shift = median_box_shift([found(moved(right, down))], [truth()])
    assert shift.num_boxes == 3
    assert (shift.right, shift.down) == pytest.approx((right, down))


def test_a_box_that_is_too_large_is_not_shifted():
    grown = BOXES + np.array([-4, -2, 4, 2])
    shift = median_box_shift([found(grown)], [truth()])
    assert (shift.right, shift.down) == pytest.approx((0, 0))


def test_only_the_surest_box_of_the_right_class_that_overlaps_counts():
    """A surer box beside the object, one of another class, and a weaker better one."""
    boxes = np.array(
        [[150.0, 20, 190, 100], [10, 20, 50, 100], [14, 20, 54, 100], [10, 20, 50, 100]]
    )
    detections = found(boxes, np.array([0, 1, 0, 0]), [0.9, 0.8, 0.7, 0.1])
    shift = median_box_shift([detections], [truth(BOXES[:1], CLASSES[:1])])
    assert shift.num_boxes == 1
    assert shift.right == pytest.approx(0.1)


def test_difficult_objects_do_not_count():
    shift = median_box_shift(
        [found(moved(0.2, 0))], [truth(difficult=[True, False, True])]
    )
    assert shift.num_boxes == 1


def test_the_sentence_warns_of_a_large_shift_of_many_boxes_only():
    assert "+7.0 % of the width to the right" in shift_line(BoxShift(0.07, -0.01, 400))
    assert "-6.0 % of the height down" in shift_line(BoxShift(0.01, -0.06, 400))
    assert "check the locations" in shift_line(BoxShift(0.07, -0.01, 400))
    assert "check the locations" in shift_line(BoxShift(0.01, -0.06, 400))
    assert "check" not in shift_line(BoxShift(0.02, -0.01, 400))
    assert "check" not in shift_line(BoxShift(0.07, -0.01, 20))
