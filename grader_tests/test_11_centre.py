"""Step 11: centre sampling."""

from functools import partial

import torch

from grader_tests.oracles.plain_matching import (
    CIRCLE,
    CORNER,
    FIRST_IMAGE,
    ONE_IS_ENOUGH,
    RADIUS_LET_IN,
    SWAPPED,
    is_near,
)
from grader_tests.references import load_cases
from grader_tests.tools import expect_inputs_kept, give, spread, spread_boxes
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_tensor,
)

NEAR = "is_near_centre"
NO_BOXES = "an image without boxes is not foreseen"
ONE_RADIUS = "one radius for all locations; each has that of its level"
HALF = "half of the radius counts; the square reaches as far to each side"
ALSO_INSIDE = "whether the location lies inside the box is asked here, too"
BOXES_FIRST = "boxes come before locations"
BEYOND = "boxes beyond the left or upper edge of the image are cut off; keep them"
A_FEW_ONLY = "right for a few boxes, wrong for the same among hundreds; set no limit"
FRONT = "right for a batch of images, wrong for one image without a batch"
WHOLE_RADIUS = "the radius is rounded to whole pixels"
WHOLE_DIFFERENCE = "the difference is rounded to whole pixels"
TO_FLOAT32 = "the digits that float64 has beyond those of float32 are lost"
NUMBERS = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def near(student, points, boxes, radius, dtype=torch.float32):
    """Call 11.1."""
    call = student.fcos_published.is_near_centre
    return call(*(give(student, part, dtype) for part in (points, boxes, radius)))


def slow_near(points, boxes, radius, mistake: str = "") -> torch.Tensor:
    """(..., N, M) by the definition."""
    count, images = boxes.shape[-2], boxes.reshape(-1, *boxes.shape[-2:])
    reaches = radius[:1].expand(len(points)) if mistake == ONE_RADIUS else radius
    table = []
    for image in images.tolist():
        image = images[0].tolist() if mistake == FIRST_IMAGE else image
        for point, reach in zip(points.tolist(), reaches.tolist(), strict=True):
            for box in image:
                x, y = point
                is_in = box[0] < x < box[2] and box[1] < y < box[3]
                own = reach / 2 if mistake == HALF else reach
                found = is_near(point, box, own, mistake)
                table.append(found and (is_in or mistake != ALSO_INSIDE))
    shape = (*boxes.shape[:-2], len(points), count)
    return torch.tensor(table, dtype=torch.bool).reshape(shape)


def stored() -> tuple[NUMBERS, torch.Tensor]:
    """Locations of two levels, boxes of three images, radii; and the answer."""
    case = load_cases("step11", NEAR)["batch"]
    return (case["locations"], case["boxes"], case["radius"]), case["expected"]


def expect_near(student, points, boxes, radius, what: str = NEAR, mistakes=()) -> None:
    """Compare with the definition."""
    expected = slow_near(points, boxes, radius)
    shape = tuple(expected.shape)
    got = near(student, points, boxes, radius)
    turned = (*shape[:-2], shape[-1], shape[-2])
    shape_causes = {BOXES_FIRST: turned} if turned != shape else {}
    expect_tensor(got, what, shape=shape, shape_causes=shape_causes)
    expect_close(
        got,
        expected,
        what,
        causes={
            mistake: partial(slow_near, points, boxes, radius, mistake)
            for mistake in mistakes
        },
    )


def test_near_centre_without_boxes(student):
    """No box at all, of one image and of three: nothing is near; then boxes again."""
    (points, boxes, radius), expected = stored()
    for front in ((), (3,)):
        with expect_runs(NEAR, NO_BOXES, lambda: near(student, points, boxes, radius)):
            got = near(student, points, torch.zeros(*front, 0, 4), radius)
        expect_tensor(got, NEAR, shape=(*front, len(points), 0), dtype=torch.bool)
    expect_close(near(student, points, boxes, radius), expected, NEAR)


def test_near_centre_of_three_images(student):
    """Two levels, three images, boxes of all shapes: as a loop says."""
    given, _ = stored()
    expect_near(
        student,
        *given,
        mistakes=(
            CIRCLE,
            CORNER,
            FIRST_IMAGE,
            ONE_IS_ENOUGH,
            RADIUS_LET_IN,
            SWAPPED,
            ONE_RADIUS,
            ALSO_INSIDE,
        ),
    )


def test_near_centre_is_a_square(student):
    """Along the diagonal the square reaches further than a circle would."""
    box = torch.tensor([[4.0, 2.0, 26.0, 12.0]])  # centre (15, 7)
    offsets = [
        [11.0, 11],
        [-11, 11],
        [11.5, -9],
        [3, -11.75],
        [7, -3],
        [13, 2],
        [-2, -13],
    ]
    points = torch.tensor(offsets) + torch.tensor([15.0, 7.0])
    radius = torch.full((len(points),), 12.0)
    got = near(student, points, box, radius)
    expected = torch.tensor([[True]] * 5 + [[False]] * 2)
    causes = {
        mistake: partial(slow_near, points, box, radius, mistake)
        for mistake in (CIRCLE, ONE_IS_ENOUGH, CORNER, SWAPPED, ALSO_INSIDE, HALF)
    }
    expect_close(got, expected, f"{NEAR} on the diagonal", causes=causes)


def test_near_centre_leaves_out_the_radius_itself(student):
    """As far away as the radius is too far; a bit less is near, in float64 too."""
    box = torch.tensor([[10.0, 20.0, 40.0, 28.0]])  # centre (25, 24)
    apart = [[12.0, 0], [-12, 3], [0, 12], [5, -12], [11.875, 0], [13, 2], [-3, 14]]
    points = torch.tensor(apart) + torch.tensor([25.0, 24.0])
    radius = torch.full((len(points),), 12.0)
    expect_near(student, points, box, radius, mistakes=(RADIUS_LET_IN, CIRCLE))
    apart = [[12.25, 0], [0, -12.375], [12.75, 3], [-12.5, 2]]
    points = torch.tensor(apart) + torch.tensor([25.0, 24.0])
    got = near(student, points, box, torch.full((4,), 12.5))
    causes = {
        WHOLE_RADIUS: torch.tensor([[False]] * 4),
        WHOLE_DIFFERENCE: torch.tensor([[True]] * 4),
    }
    expected = torch.tensor([[True], [True], [False], [False]])
    expect_close(got, expected, f"{NEAR} within 12.5 pixels", causes=causes)
    little = 1e-10
    points = torch.tensor([[25.0, 24.0]], dtype=torch.float64).repeat(4, 1)
    offsets = [12 - little, 12 + little, -12 + little, -12.0]
    points[:, 0] += torch.tensor(offsets, dtype=torch.float64)
    got = near(student, points, box, torch.full((4,), 12.0), torch.float64)
    expected = torch.tensor([[True], [False], [True], [False]])
    whole = {TO_FLOAT32: torch.tensor([[False]] * 4)}
    expect_close(got, expected, f"{NEAR} in float64", causes=whole)


def test_near_centre_of_other_boxes_is_another(student):
    """As many boxes and locations as before, with the same sums; other radii."""
    (points, boxes, radius), _ = stored()
    moved = boxes.clone()
    moved[:, 0, [0, 2]] += 16
    moved[:, 1, [0, 2]] -= 16

    def case(*given):
        check = partial(
            expect_close,
            expected=slow_near(*given),
            what=NEAR,
            causes={ONE_RADIUS: partial(slow_near, *given, ONE_RADIUS)},
        )
        return tuple(give(student, part) for part in given), check

    expect_own_answers(
        student.fcos_published.is_near_centre,
        case(points, boxes, radius),
        case(points, moved, radius),
        case(points.flip(0), moved, radius),
        case(points, boxes, radius.flip(0)),
        case(points, boxes.flip(0), 1.5 * radius),
    )


def test_near_centre_of_any_boxes(student):
    """Hundreds of boxes, boxes far beyond the image, one image without a batch."""
    points = (spread(30, 2) * torch.tensor([600, 400])).round()
    radius = torch.tensor([12.0, 48.0, 192.0]).repeat(10).double()
    boxes = (8 * spread_boxes(300, 640, 480)).round() / 8
    few = partial(expect_near, student, points, boxes[:20], radius)

    def parts() -> None:
        for part in boxes.split(60):
            expect_near(student, points, part, radius)

    three = partial(expect_near, student, points, boxes[None, :20], radius)
    with expect_as_usual(FRONT, three):
        few()
    with expect_as_usual(A_FEW_ONLY, parts):
        expect_near(student, points, boxes, radius)
    away = boxes[:20] - 420.0
    with expect_as_usual(BEYOND, few):
        expect_near(student, points - 420.0, away, radius)
    expect_near(student, points[:1], boxes[None, None, :1], radius[:1])
    expect_near(student, points * 64, boxes[:20] * 64, radius * 64)


def test_near_centre_leaves_its_inputs_alone(student):
    """Locations, boxes and radii are the same after the call."""
    given, expected = stored()
    check = partial(expect_close, expected=expected, what=NEAR)
    call = student.fcos_published.is_near_centre
    tensors = (give(student, part) for part in given)
    expect_inputs_kept(student, NEAR, call, *tensors, check=check)
