"""Visible checks of step 1: boxes."""

from functools import partial
from typing import Any

import torch

from helpers.checks.again import expect_own_answers
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_tensor
from helpers.checks.inputs import tensor

# Areas 8, 8 and 6; the third touches none of the others.
MINE = [[0.0, 0, 4, 2], [1.0, 1, 3, 5], [20.0, 30, 22, 33]]
# Areas 8 and 8; the second lies below the first of MINE, and touches the second.
OTHERS = [[2.0, 0, 6, 2], [0.0, 5, 4, 7]]


@exercise("1.1")
def test_iou_by_hand(student: Any) -> None:
    """Boxes that overlap, touch, and lie apart; numbers by hand."""
    expected = torch.tensor([[4 / 12, 0], [1 / 15, 0], [0, 0]])
    # Of the last row both sides are negative, and their product is positive.
    unclamped = torch.tensor(
        [[4 / 12, -12 / 28], [1 / 15, 0.0], [392 / -378, 368 / -354]]
    )
    expect_close(
        student.common.iou(tensor(student, MINE), tensor(student, OTHERS)),
        expected,
        "iou",
        inputs={"boxes1": torch.tensor(MINE)},
        names="IoU with (2, 0, 6, 2) and (0, 5, 4, 7)",
        place="row",
        causes={
            "the intersection is not subtracted from the sum of the areas": (
                torch.tensor([[4 / 16, 0], [1 / 16, 0], [0, 0]])
            ),
            "1 is added to widths and heights": torch.tensor(
                [[9 / 21, 0], [4 / 26, 3 / 27], [0, 0]]
            ),
            "divided by the area of the first box only": torch.tensor(
                [[4 / 8, 0], [1 / 8, 0], [0, 0]]
            ),
            "widths and heights of the intersection may become negative": unclamped,
            "a width or height of the intersection may become negative": (
                unclamped * torch.tensor([[1], [1], [0]])
            ),
        },
    )


@exercise("1.1")
def test_iou_apart_in_both_directions(student: Any) -> None:
    """Two boxes that lie apart in x and in y share nothing."""
    got = student.common.iou(
        tensor(student, [[0.0, 0, 4, 2]]), tensor(student, [[10.0, 20, 12, 23]])
    )
    negative = torch.tensor([[108 / (8 + 6 - 108)]])
    expect_close(
        got,
        torch.zeros(1, 1),
        "iou of (0, 0, 4, 2) and (10, 20, 12, 23)",
        causes={
            "widths and heights of the intersection may become negative, and the "
            "product of two negative ones is positive": negative
        },
    )


@exercise("1.1")
def test_iou_is_a_table_of_all_pairs(student: Any) -> None:
    """M boxes and N boxes give M rows and N columns."""
    got = student.common.iou(tensor(student, MINE), tensor(student, OTHERS))
    expect_tensor(
        got,
        "iou of 3 and of 2 boxes",
        shape=(3, 2),
        dtype=torch.float32,
        shape_causes={
            "rows and columns are exchanged": (2, 3),
            "only boxes with the same index were compared": (2,),
        },
    )
    table = torch.tensor([[4 / 12, 0], [1 / 15, 0], [0, 0]])
    expect_own_answers(
        student.common.iou,
        *(
            (
                (tensor(student, MINE) + moved, tensor(student, boxes) + moved),
                partial(expect_close, expected=expected, what=what),
            )
            for moved, boxes, expected, what in (
                (0, OTHERS, table, "iou of 3 and of 2 boxes"),
                (0, OTHERS[::-1], table.flip(1), "iou of 2 boxes in another order"),
                (-30, OTHERS, table, "iou of boxes left of and above the image"),
            )
        ),
    )


@exercise("1.1")
def test_iou_without_any_box(student: Any) -> None:
    """No box at all is no mistake: the table has no row."""
    got = student.common.iou(
        torch.zeros(0, 4, device=student.device), tensor(student, OTHERS)
    )
    expect_tensor(got, "iou of 0 and of 2 boxes", shape=(0, 2))


@exercise("1.1")
def test_iou_of_boxes_without_area(student: Any) -> None:
    """Two boxes without any area have IoU 0, not 0 / 0."""
    flat = tensor(student, [[3.0, 4, 3, 9]])
    expect_close(
        student.common.iou(flat, flat), torch.zeros(1, 1), "iou of a box 0 wide"
    )
