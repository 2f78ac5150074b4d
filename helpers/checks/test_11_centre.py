"""Visible checks of step 11: which locations are near the centre of a box."""

from functools import partial
from typing import Any

import torch

from helpers.checks.again import expect_own_answers
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_runs, expect_tensor
from helpers.checks.inputs import tensor

# (x, y) and radius; two boxes with the centres (70, 40) and (15, 55).
NEAR = [
    [60.0, 44, 12],
    [79.0, 49, 12],
    [82.0, 40, 12],
    [70.0, 53, 12],
    [24.0, 76, 24],
    [60.0, 60, 24],
    [38.0, 72, 24],
    [88.0, 40, 12],
    [68.0, 41, 12],
    [20.0, 8, 24],
    [44.0, 26, 12],
    [17.0, 38, 12],
    [136.0, 78, 12],
]
TWO_BOXES = [[40.0, 20, 100, 60], [0.0, 10, 30, 100]]
# Who is near the first box, and who near the second.
IS_NEAR = ([0, 1, 5, 8], [4, 6])
NEAR_CAUSES = {
    "this is a circle; it is a square, x and y are judged one by one": (
        [0, 5, 8],
        [4],
    ),
    "the differences of x and y are added up; they are judged one by one": ([8], []),
    "a difference that is just the radius is too large": ([0, 1, 2, 5, 8], [4, 6]),
    "one of x and y is enough; both must be near": (
        [0, 1, 2, 3, 5, 7, 8, 11],
        [0, 1, 3, 4, 5, 6, 9, 11],
    ),
    "y is not looked at": ([0, 1, 3, 5, 8], [4, 6, 9, 11]),
    "x is not looked at": ([0, 1, 2, 5, 7, 8, 11], [0, 1, 3, 4, 5, 6]),
    "the sign of the differences is not dropped": (
        [0, 1, 5, 8, 9, 10, 11],
        [4, 6, 9, 11],
    ),
    "the upper left corner is taken for the centre": ([9, 10], [9]),
    "half the size is taken for the centre": ([9], [11]),
    "the corners are added up, and not halved": ([12], []),
    "every location takes the radius of the first": ([0, 1, 8], []),
    "the radius is halved; it is the distance from the centre, not a width": ([8], []),
    "locations outside of the box are left out; that is another condition": (
        [0, 1, 8],
        [4],
    ),
    "those that are not near are marked": (
        [2, 3, 4, 6, 7, 9, 10, 11, 12],
        [0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 12],
    ),
}


def _marked(first: list[int], second: list[int]) -> torch.Tensor:
    """(N, 2) bool: the locations of NEAR that these two lists name."""
    marked = torch.zeros(len(NEAR), 2, dtype=torch.bool)
    marked[first, 0] = True
    marked[second, 1] = True
    return marked


@exercise("11.1")
def test_near_centre_by_hand(student: Any) -> None:
    """A square around the centre; exactly the radius away is not near."""
    given = torch.tensor(NEAR)
    right = _marked(*IS_NEAR)
    got = student.fcos_published.is_near_centre(
        tensor(student, given[:, :2].tolist()),
        tensor(student, TWO_BOXES),
        tensor(student, given[:, 2].tolist()),
    )
    what = "is_near_centre of 13 locations and boxes with centres (70, 40), (15, 55)"
    swapped = {"boxes come first; locations do": (2, len(NEAR))}
    expect_tensor(got, what, shape=(len(NEAR), 2), shape_causes=swapped)
    expect_close(
        got,
        right,
        what,
        inputs={"location": given[:, :2], "radius": given[:, 2]},
        names="near the first,near the second",
        place="location",
        causes={cause: _marked(*lists) for cause, lists in NEAR_CAUSES.items()},
    )


@exercise("11.1")
def test_near_centre_of_a_batch(student: Any) -> None:
    """Boxes (B, M, 4) give (B, N, M), each image its own; no box gives no column."""
    call = student.fcos_published.is_near_centre
    points = tensor(student, [[20.0, 10], [50, 30], [90, 60]])
    radius = tensor(student, [6.0, 12, 24])
    images = [
        [[10.0, 0, 30, 24], [60, 40, 100, 80]],
        [[30.0, 20, 80, 44], [0, 0, 8, 6]],
    ]

    def plain() -> None:
        call(points, tensor(student, images[0]), radius)

    what = "is_near_centre of boxes (2, 2, 4)"
    with expect_runs(what, "boxes of several images (B, M, 4) are not foreseen", plain):
        got = call(points, tensor(student, images), radius)
    first = torch.tensor([[True, False], [False, False], [False, True]])
    second = torch.tensor([[False, False], [True, False], [False, False]])
    right = torch.stack((first, second))
    repeated = torch.stack((first, first))
    causes = {"all images take the boxes of the first": repeated}
    expect_close(got, right, what, names="near", place="image", causes=causes)
    none = torch.zeros(0, 4, device=student.device)
    got = call(points, none, radius)
    expect_tensor(got, "is_near_centre without any box", shape=(3, 0), dtype=torch.bool)


@exercise("11.1")
def test_near_centre_of_each_call(student: Any) -> None:
    """Each call answers for its own boxes and radius, fractions too."""

    def case(box: list[float], radius: float, is_near: bool) -> Any:
        what = f"is_near_centre of (20, 10), box {box}, radius {radius:g}"
        check = partial(expect_close, expected=torch.tensor([[is_near]]), what=what)
        point, given = tensor(student, [[20.0, 10]]), tensor(student, [box])
        return (point, given, tensor(student, [radius])), check

    expect_own_answers(
        student.fcos_published.is_near_centre,
        case([10.0, 0, 31, 20], 0.75, True),
        case([10.0, 0, 32, 20], 0.75, False),
        case([0.0, 0, 11, 20], 15.0, True),
        case([0.0, -99, 11, 20], 15.0, False),
        case([-500.0, -300, 500, 300], 20.5, True),
    )
