"""Visible checks of step 4: where locations are, and how far from the edges."""

from functools import partial
from typing import Any

import torch

from helpers.checks.again import expect_own_answers
from helpers.checks.answers import expect_keys
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_tensor
from helpers.checks.inputs import STRIDES, tensor, wrong_signs

# H = 2, W = 3, stride 8.
TWO_BY_THREE = [[4.0, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
BY_COLUMN = [[4.0, 4], [4, 12], [12, 4], [12, 12], [20, 4], [20, 12]]
NO_HALF = [[0.0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]]
HALF_A_PIXEL = [
    [0.5, 0.5],
    [8.5, 0.5],
    [16.5, 0.5],
    [0.5, 8.5],
    [8.5, 8.5],
    [16.5, 8.5],
]


@exercise("4.1")
def test_location_coords_of_two_rows_and_three_columns(student: Any) -> None:
    """A map with H = 2 and W = 3: x runs first, then y."""
    got = student.common.get_fpn_location_coords({"p3": (1, 64, 2, 3)}, {"p3": 8})
    expect_keys(got, ("p3",), "get_fpn_location_coords: keys of the result")
    right = torch.tensor(TWO_BY_THREE)
    what = "get_fpn_location_coords of H = 2, W = 3, stride 8"
    expect_tensor(
        got["p3"],
        what,
        shape=(6, 2),
        shape_causes={
            "the grid is not flattened": (2, 3, 2),
            "the batch is still there": (1, 6, 2),
            "H is used for the width": (4, 2),
            "W is used for the height": (9, 2),
        },
    )
    expect_close(
        got["p3"],
        right,
        what,
        inputs={"row": torch.arange(6) // 3, "column": torch.arange(6) % 3},
        names="x,y",
        place="location",
        causes={
            "x and y are swapped": right.flip(1),
            "the grid is flattened column by column; index = row * W + column": (
                torch.tensor(BY_COLUMN)
            ),
            "the half step to the middle of the cell is missing": torch.tensor(NO_HALF),
            "0.5 is added in pixels, not in steps of the stride": torch.tensor(
                HALF_A_PIXEL
            ),
            "not multiplied by the stride": right / 8,
        },
        check_dtype=False,  # whole numbers may stay integers, as in hidden tests
    )


@exercise("4.1")
def test_location_coords_of_three_levels(student: Any) -> None:
    """The handout's first five locations of each level, in the right order."""
    shapes = {"p3": (2, 64, 20, 36), "p4": (2, 64, 10, 18), "p5": (2, 64, 5, 9)}
    got = student.common.get_fpn_location_coords(shapes, STRIDES)
    expect_keys(got, shapes, "get_fpn_location_coords: its keys")
    first = {
        "p3": [[4.0, 4], [12, 4], [20, 4], [28, 4], [36, 4]],
        "p4": [[8.0, 8], [24, 8], [40, 8], [56, 8], [72, 8]],
        "p5": [[16.0, 16], [48, 16], [80, 16], [112, 16], [144, 16]],
    }
    for level, rows in first.items():
        what = f"get_fpn_location_coords: first five and last locations of {level}"
        height, width = shapes[level][2:]
        all_of_level = expect_tensor(got[level], what, shape=(height * width, 2))
        last = torch.tensor([[288.0, 160.0]]) - STRIDES[level] / 2
        right = torch.cat((torch.tensor(rows), last))
        by_column = torch.cat((torch.tensor(rows).flip(1), last))
        of_p3 = torch.tensor([*first["p3"], [8 * width - 4.0, 8 * height - 4.0]])
        expect_close(
            all_of_level[[0, 1, 2, 3, 4, -1]],
            right,
            what,
            names="x,y",
            place="location",
            causes={
                "x and y are swapped (as in the handout)": right.flip(1),
                "the grid is flattened column by column": by_column,
                "every level takes the stride of p3": of_p3,
            },
            check_dtype=False,  # whole numbers may stay integers, as in hidden tests
        )


@exercise("4.1")
def test_location_coords_have_the_asked_dtype(student: Any) -> None:
    """The result has the dtype that was asked for."""
    got = student.common.get_fpn_location_coords(
        {"p4": (1, 8, 3, 2)}, {"p4": 10}, dtype=torch.float64, device=student.device
    )
    right = [[5.0, 5], [15, 5], [5, 15], [15, 15], [5, 25], [15, 25]]
    expect_close(
        got["p4"],
        torch.tensor(right, dtype=torch.float64),
        "get_fpn_location_coords of H = 3, W = 2, stride 10, dtype float64",
        names="x,y",
        place="location",
    )


@exercise("4.1")
def test_location_coords_of_each_call(student: Any) -> None:
    """Another stride, another size: each call answers for its own."""

    def case(height: int, width: int, stride: int, last: list[float]) -> Any:
        def check(got: Any) -> None:
            expect_keys(got, ("p3",), "get_fpn_location_coords: keys of the result")
            what = (
                f"get_fpn_location_coords: last of {height} x {width}, stride {stride}"
            )
            rows = expect_tensor(got["p3"], what, shape=(height * width, 2))
            expect_close(rows[-1], torch.tensor(last), what, names="x,y")

        return ({"p3": (1, 64, height, width)}, {"p3": stride}), check

    expect_own_answers(
        student.common.get_fpn_location_coords,
        # Not the usual stride first: what is built in is not taken for what is kept.
        case(2, 3, 5, [12.5, 7.5]),
        case(2, 3, 8, [20.0, 12.0]),
        case(1, 6, 8, [44.0, 4.0]),
        case(1, 1, 8, [4.0, 4.0]),
    )


@exercise("4.2")
def test_distances_by_hand(student: Any) -> None:
    """Two locations and three boxes; one location lies outside of a box."""
    locations = [[12.0, 4], [20, 30]]
    boxes = [[10.0, 0, 30, 16], [5, 6, 50, 90], [12, 20, 13, 60]]
    first = [[2.0, 4, 18, 12], [7, -2, 38, 86], [0, -16, 1, 56]]
    second = [[10.0, 30, 10, -14], [15, 24, 30, 60], [8, 10, -7, 30]]
    right = torch.tensor([first, second])
    what = "fcos_distances_to_edges of 2 locations and 3 boxes"
    got = student.one_stage_detector.fcos_distances_to_edges(
        tensor(student, locations), tensor(student, boxes)
    )
    expect_tensor(
        got,
        what,
        shape=(2, 3, 4),
        shape_causes={
            "locations come first, then boxes": (3, 2, 4),
            "all pairs must be there, in three dimensions": (6, 4),
        },
    )
    expect_close(
        got,
        right,
        what,
        inputs={"location": torch.tensor(locations)},
        names="l,t,r,b",
        place="location and box",
        causes={
            "left and top have the wrong sign": right * torch.tensor([-1, -1, 1, 1]),
            "all four have the wrong sign": -right,
            **wrong_signs(right),
            "the order is left, right, top, bottom": right[:, :, [0, 2, 1, 3]],
            "the order is top, left, bottom, right": right[:, :, [1, 0, 3, 2]],
            "negative distances are cut off or made positive": right.clamp(min=0),
            "the sign is lost; outside of the box it must be negative": right.abs(),
        },
    )


@exercise("4.2")
def test_distances_without_any_box(student: Any) -> None:
    """No box gives (N, 0, 4)."""
    got = student.one_stage_detector.fcos_distances_to_edges(
        tensor(student, [[12.0, 4], [20, 30]]), torch.zeros(0, 4, device=student.device)
    )
    expect_tensor(
        got, "fcos_distances_to_edges of 2 locations, no box", shape=(2, 0, 4)
    )


@exercise("4.2")
def test_distances_of_each_call(student: Any) -> None:
    """The location and the box of this call, also left of and above the image."""

    def case(moved: float, box: list[float], expected: list[float]) -> Any:
        location = tensor(student, [[12.0 + moved, 4.0]])
        what = f"fcos_distances_to_edges of ({12 + moved:g}, 4) and {box}"
        right = torch.tensor([[expected]])
        check = partial(expect_close, expected=right, what=what, names="l,t,r,b")
        return (location, tensor(student, [box])), check

    expect_own_answers(
        student.one_stage_detector.fcos_distances_to_edges,
        case(0, [10.0, 0, 30, 16], [2.0, 4, 18, 12]),
        case(0, [-30.0, -10, 30, 16], [42.0, 14, 18, 12]),
        case(8, [10.0, 0, 30, 16], [10.0, 4, 10, 12]),
    )
