"""Visible checks of step 5: deltas and centerness."""

from functools import partial
from typing import Any

import torch

from helpers.checks.again import expect_own_answers
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_tensor
from helpers.checks.inputs import (
    HANDOUT_BOXES,
    HANDOUT_DELTAS,
    HANDOUT_LOCATIONS,
    tensor,
    wrong_signs,
)

GET = "fcos_get_deltas_from_locations"
APPLY = "fcos_apply_deltas_to_locations"
CENTERNESS = "fcos_make_centerness_targets"
HANDOUT_CENTERNESS = [0.30860671401, 0.1666666716, -1.0]


@exercise("5.1")
def test_get_deltas_of_the_handout(student: Any) -> None:
    """The handout's three boxes and locations at stride 8."""
    right = torch.tensor(HANDOUT_DELTAS)
    expect_close(
        student.one_stage_detector.fcos_get_deltas_from_locations(
            tensor(student, HANDOUT_LOCATIONS), tensor(student, HANDOUT_BOXES), 8
        ),
        right,
        GET,
        inputs={
            "location": torch.tensor(HANDOUT_LOCATIONS),
            "box": torch.tensor(HANDOUT_BOXES)[:, :4],
            "stride": torch.tensor(8),
        },
        names="l,t,r,b",
        place="location",
        causes={
            "not divided by the stride": right * 8,
            "multiplied by the stride instead of divided": right * 64,
            "left and top have the wrong sign": right * torch.tensor([-1, -1, 1, 1]),
            "right and bottom have the wrong sign": right
            * torch.tensor([1, 1, -1, -1]),
            "all four have the wrong sign": -right,
            **wrong_signs(right),
            "the order is left, right, top, bottom": right[:, [0, 2, 1, 3]],
            "x and y are swapped in the result": right[:, [1, 0, 3, 2]],
            "right and bottom come first": right[:, [2, 3, 0, 1]],
            "all rows count as background": torch.full((3, 4), -1.0),
        },
    )
    _expect_again(
        student.one_stage_detector.fcos_get_deltas_from_locations,
        GET,
        right,
        (tensor(student, HANDOUT_LOCATIONS), tensor(student, HANDOUT_BOXES)),
        8,
    )


def _expect_again(
    call: Any, what: str, right: torch.Tensor, given: tuple[Any, ...], *rest: Any
) -> None:
    """The rows from the first to the last, then from the last to the first."""
    turned = tuple(part.flip(0) for part in given)
    expect_own_answers(
        call,
        ((*given, *rest), partial(expect_close, expected=right, what=what)),
        ((*turned, *rest), partial(expect_close, expected=right.flip(0), what=what)),
    )


@exercise("5.1")
def test_get_deltas_of_background(student: Any) -> None:
    """Background is -1 in all columns; a box may well begin at -1."""
    boxes = [
        [-1.0, -1, -1, -1, -1],
        [-1.0, -1, 20, 12, 3],
        [-1.0, 2, 15, 30, 0],
        [-30.0, -20, -10, -5, 2],  # beyond the image
    ]
    locations = [[100.0, 200], [4, 4], [12, 4], [-14, -9]]
    right = torch.tensor(
        [
            [-1.0, -1, -1, -1],
            [0.625, 0.625, 2, 1],
            [1.625, 0.25, 0.375, 3.25],
            [2.0, 1.375, 0.5, 0.5],
        ]
    )
    columns = right.clone()
    columns[1:3] = -1
    below = right.clone()
    below[3] = -1
    corner = right.clone()
    corner[1] = -1
    raw = right.clone()
    raw[0] = torch.tensor([12.625, 25.125, -12.625, -25.125])
    class_zero = right.clone()
    class_zero[2] = -1
    expect_close(
        student.one_stage_detector.fcos_get_deltas_from_locations(
            tensor(student, locations), tensor(student, boxes), 8
        ),
        right,
        f"{GET} with background",
        inputs={
            "location": torch.tensor(locations),
            "row of gt_boxes": torch.tensor(boxes),
        },
        names="l,t,r,b",
        place="location",
        causes={
            "background does not become -1": raw,
            "background is told from x1 alone; it is -1 in all columns": columns,
            "background is told from x1 and y1 alone; it is -1 in all columns": corner,
            "class 0 is taken for background": class_zero,
            "numbers below 0 are taken for background; only a whole row of -1 is": (
                below
            ),
        },
    )


@exercise("5.1")
def test_get_deltas_of_boxes_without_class(student: Any) -> None:
    """Boxes may come as (N, 4), without the class; also none at all."""
    function = student.one_stage_detector.fcos_get_deltas_from_locations
    boxes = [[-1.0, -1, -1, -1], [10.0, 0, 30, 16]]
    got = function(tensor(student, [[7.0, 9], [12, 4]]), tensor(student, boxes), 8)
    right = torch.tensor([[-1.0, -1, -1, -1], [0.25, 0.5, 2.25, 1.5]])
    expect_close(
        got, right, f"{GET} with (N, 4) boxes", names="l,t,r,b", place="location"
    )
    boxes = [[10.0, 0, 30, 16], [-9000.0, 0, 30, 16]]
    got = function(tensor(student, [[12.0, 4], [12, 4]]), tensor(student, boxes), 5)
    right = torch.tensor([[0.4, 0.8, 3.6, 2.4], [1802.4, 0.8, 3.6, 2.4]])
    expect_close(got, right, f"{GET} at stride 5", names="l,t,r,b", place="location")
    none = torch.zeros(0, 5, device=student.device)
    expect_tensor(
        function(none[:, :2], none, 8), f"{GET} without locations", shape=(0, 4)
    )


@exercise("5.2")
def test_apply_deltas_of_the_handout(student: Any) -> None:
    """The handout's deltas give its boxes back."""
    right = torch.tensor(HANDOUT_BOXES)[:, :4]
    deltas, points = torch.tensor(HANDOUT_DELTAS), torch.tensor(HANDOUT_LOCATIONS)
    twice = torch.cat((points, points), dim=1)
    expect_close(
        student.one_stage_detector.fcos_apply_deltas_to_locations(
            tensor(student, HANDOUT_DELTAS), tensor(student, HANDOUT_LOCATIONS), 8
        ),
        right,
        APPLY,
        inputs={"location": points, "deltas": deltas, "stride": torch.tensor(8)},
        names="x1,y1,x2,y2",
        place="location",
        causes={
            "not multiplied by the stride": twice + (right - twice) / 8,
            "divided by the stride instead of multiplied": twice + (right - twice) / 64,
            "all four are added; left and top must be subtracted": twice
            + (right - twice).abs(),
            "all four have the wrong sign": 2 * twice - right,
            **{
                cause: twice + offsets
                for cause, offsets in wrong_signs(right - twice).items()
            },
            "the result is (x, y, width, height)": torch.cat(
                (right[:, :2], right[:, 2:] - right[:, :2]), dim=1
            ),
            "x and y are swapped": twice + (right - twice)[:, [1, 0, 3, 2]],
        },
    )
    _expect_again(
        student.one_stage_detector.fcos_apply_deltas_to_locations,
        APPLY,
        right,
        (tensor(student, HANDOUT_DELTAS), tensor(student, HANDOUT_LOCATIONS)),
        8,
    )


@exercise("5.2")
def test_apply_deltas_that_are_negative(student: Any) -> None:
    """A negative distance counts as 0; background gives the location itself."""
    deltas = [[-1.0, -1, -1, -1], [0.5, -0.25, 2, -3]]
    locations = [[100.0, 200], [12, 4]]
    right = torch.tensor([[100.0, 200, 100, 200], [8.0, 4, 28, 4]])
    expect_close(
        student.one_stage_detector.fcos_apply_deltas_to_locations(
            tensor(student, deltas), tensor(student, locations), 8
        ),
        right,
        f"{APPLY} with negative deltas",
        inputs={"location": torch.tensor(locations), "deltas": torch.tensor(deltas)},
        names="x1,y1,x2,y2",
        place="location",
        causes={
            "negative deltas are not set to 0": torch.tensor(
                [[108.0, 208, 92, 192], [8.0, 6, 28, -20]]
            ),
            "background is decoded like a box; it is (x, y, x, y)": torch.tensor(
                [[108.0, 208, 92, 192], [8.0, 4, 28, 4]]
            ),
            "background becomes a row of -1; it is (x, y, x, y)": torch.tensor(
                [[-1.0, -1, -1, -1], [8.0, 4, 28, 4]]
            ),
            "only background is handled; any negative delta counts as 0": torch.tensor(
                [[100.0, 200, 100, 200], [8.0, 6, 28, -20]]
            ),
            "a row with any negative delta is dropped to its location": torch.tensor(
                [[100.0, 200, 100, 200], [12.0, 4, 12, 4]]
            ),
            "the sign of negative deltas is dropped": torch.tensor(
                [[92.0, 192, 108, 208], [8.0, 2, 28, 28]]
            ),
        },
    )


@exercise("5.2")
def test_apply_deltas_does_not_clip(student: Any) -> None:
    """Boxes may reach over the border here; and the deltas are not changed."""
    got, (deltas, *_) = student.after_call(
        student.one_stage_detector.fcos_apply_deltas_to_locations,
        tensor(student, [[2.0, -1, 1, 3], [0.03125, 2000, 1, 3]]),
        tensor(student, [[8.0, 8], [8, 8]]),
        5,
    )
    right = torch.tensor([[-2.0, 8, 13, 23], [7.84375, -9992, 13, 23]])
    causes = {"clipped to the image, whose size is not known here": right.clamp(min=0)}
    expect_close(
        got, right, f"{APPLY} at the border", names="x1,y1,x2,y2", causes=causes
    )
    expect_close(
        deltas,
        torch.tensor([[2.0, -1, 1, 3], [0.03125, 2000, 1, 3]]),
        f"the deltas after {APPLY}",
        causes={
            "the input was changed in place; make a new tensor": torch.tensor(
                [[2.0, 0, 1, 3], [0.03125, 2000, 1, 3]]
            )
        },
    )


@exercise("5.3")
def test_centerness_of_the_handout(student: Any) -> None:
    """The handout's numbers, background among them."""
    deltas = [*HANDOUT_DELTAS[:2], [-1.0] * 4]
    right = torch.tensor(HANDOUT_CENTERNESS)
    foreground = right.clamp(min=0)
    whole = torch.tensor([(2.5 / 9.375) ** 0.5, (0.125 / 1.125) ** 0.5, -1.0])
    expect_close(
        student.one_stage_detector.fcos_make_centerness_targets(
            tensor(student, deltas)
        ),
        right,
        CENTERNESS,
        inputs={"l,t,r,b": torch.tensor(deltas)},
        names="centerness",
        place="location",
        causes={
            "background must be -1; the bare formula gives 1": foreground
            + torch.tensor([0, 0, 1]),
            "background must be -1": foreground,
            "the square root is missing": torch.where(right < 0, right, right**2),
            "the smallest of all four over the largest of all four": whole,
            "the pairs are (l, t) and (r, b); they must be (l, r) and (t, b)": (
                torch.tensor(_wrong_pairs([0, 1], [2, 3]))
            ),
            "the pairs are (l, b) and (r, t); they must be (l, r) and (t, b)": (
                torch.tensor(_wrong_pairs([0, 3], [2, 1]))
            ),
        },
    )
    call = student.one_stage_detector.fcos_make_centerness_targets
    _expect_again(call, CENTERNESS, right, (tensor(student, deltas),))


def _wrong_pairs(first: list[int], second: list[int]) -> list[float]:
    """Centerness of the handout with other pairs than opposite sides."""
    values = []
    for row in HANDOUT_DELTAS[:2]:
        ratio = 1.0
        for pair in (first, second):
            sides = sorted(row[side] for side in pair)
            ratio *= sides[0] / sides[1]
        values.append(ratio**0.5)
    return [*values, -1.0]


@exercise("5.3")
def test_centerness_in_the_middle_and_on_an_edge(student: Any) -> None:
    """1 in the middle of a box, 0 on its edge, in any unit."""
    deltas = [
        [3.0, 7, 3, 7],
        [0, 2, 5, 2],
        [0.1, 0.3, 0.4, 0.3],
        [6, 27, 24, 3],
        [0.01, 0.7, 0.64, 0.7],
        [600, 2700, 2400, 300],
    ]
    expect_close(
        student.one_stage_detector.fcos_make_centerness_targets(
            tensor(student, deltas)
        ),
        torch.tensor([1.0, 0.0, 0.5, 1 / 6, 0.125, 1 / 6]),
        CENTERNESS,
        inputs={"l,t,r,b": torch.tensor(deltas)},
        names="centerness",
        place="location",
    )
