"""The benchmark that judges in the original's way: which true boxes it looks at."""

import numpy as np
import pytest

from benchmarks.original_evaluation import square_truth, without_difficult
from helpers.evaluation.types import GroundTruth


def truth(boxes: list, difficult: list[bool], size: tuple[int, int]) -> GroundTruth:
    return GroundTruth(
        image_id="made",
        boxes=np.array(boxes, dtype=float).reshape(-1, 4),
        classes=np.arange(len(boxes)),
        difficult=np.array(difficult, dtype=bool),
        size=size,
    )


def test_boxes_are_cut_to_the_centre_square_of_a_wide_photograph():
    wide = truth(
        [[0, 0, 30, 50], [40, 10, 70, 20], [90, 0, 100, 9]], [False] * 3, (50, 100)
    )
    square = square_truth(wide, side=100)  # x from 25 to 75, twice as large
    assert square.boxes.tolist() == [[0, 0, 10, 100], [30, 20, 90, 40]]
    assert square.classes.tolist() == [0, 1]
    assert square.size == (100, 100)


def test_boxes_are_cut_to_the_centre_square_of_a_high_photograph():
    high = truth([[0, 0, 10, 30], [2, 60, 6, 90]], [True, False], (80, 40))
    square = square_truth(high, side=20)  # y from 20 to 60, half as large
    assert square.boxes.tolist() == [[0, 0, 5, 5]]
    assert square.difficult.tolist() == [True]


@pytest.mark.parametrize("size", [(50, 100), (80, 40), (30, 30)])
def test_a_photograph_without_boxes(size):
    empty = truth([], [], size)
    assert square_truth(empty, side=20).boxes.shape == (0, 4)
    assert without_difficult(empty).boxes.shape == (0, 4)


def test_difficult_objects_are_left_out():
    some = truth([[0, 0, 4, 9], [1, 2, 3, 9]], [True, False], (10, 12))
    easy = without_difficult(some)
    assert easy.classes.tolist() == [1]
    assert easy.difficult.tolist() == [False]
