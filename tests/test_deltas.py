"""Deltas, boxes and centerness: the handout's numbers and more that it cannot see."""

import math

import pytest
import torch

from assignment.one_stage_detector import (
    fcos_apply_deltas_to_locations,
    fcos_get_deltas_from_locations,
    fcos_make_centerness_targets,
)
from tests.plain_numbers import spread, spread_boxes

# The check that the original assignment prints, at stride 8.
GOLDEN_POINTS = [[30.0, 40.0], [32.0, 29.0], [125.0, 150.0]]
GOLDEN_BOXES = [[10.0, 15, 100, 115], [30.0, 20, 40, 30], [120.0, 100, 200, 200]]
GOLDEN_DELTAS = [
    [2.5, 3.125, 8.75, 9.375],
    [0.25, 1.125, 1, 0.125],
    [0.625, 6.25, 9.375, 6.25],
]


@pytest.mark.parametrize("columns", [4, 5])
def test_get_deltas_without_locations(columns):
    """No location in, no row out."""
    deltas = fcos_get_deltas_from_locations(
        torch.zeros(0, 2), torch.zeros(0, columns), stride=8
    )
    assert deltas.shape == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [4, 5])
def test_get_deltas_equals_the_golden_numbers(columns, dtype):
    """Left, top, right, bottom in strides; a fifth column (the class) is not read."""
    boxes = torch.tensor(GOLDEN_BOXES, dtype=dtype)
    boxes = torch.cat((boxes, torch.full((3, 1), 7, dtype=dtype)), dim=1)[:, :columns]
    points = torch.tensor(GOLDEN_POINTS, dtype=dtype)
    deltas = fcos_get_deltas_from_locations(points, boxes, stride=8)
    assert deltas.dtype == dtype
    assert deltas.tolist() == GOLDEN_DELTAS  # all exact in binary


def test_get_deltas_are_positive_inside_and_negative_outside():
    """A round trip with both signs wrong would pass; these signs tell."""
    box = torch.tensor([[10.0, 20, 30, 60], [10.0, 20, 30, 60]])
    points = torch.tensor([[14.0, 28.0], [6.0, 68.0]])
    deltas = fcos_get_deltas_from_locations(points, box, stride=4)
    assert deltas.tolist() == [[1, 2, 4, 8], [-1, 12, 6, -2]]


@pytest.mark.parametrize("columns", [4, 5])
def test_get_deltas_of_background_is_minus_one(columns):
    """A row of -1 is no box, so its deltas are -1 and not distances to (-1, -1)."""
    boxes = torch.tensor([[-1.0] * 5, [0.0, 0, 16, 8, 0]])[:, :columns]
    points = torch.tensor([[20.0, 12.0], [4.0, 4.0]])
    deltas = fcos_get_deltas_from_locations(points, boxes, stride=8)
    assert deltas.tolist() == [[-1, -1, -1, -1], [0.5, 0.5, 1.5, 0.5]]


def test_get_deltas_of_a_box_that_starts_at_minus_one_is_a_box():
    """Only a whole row of -1 is background; x1 = y1 = -1 alone is not."""
    deltas = fcos_get_deltas_from_locations(
        torch.tensor([[7.0, 3.0]]), torch.tensor([[-1.0, -1, 23, 11, 2]]), stride=8
    )
    assert deltas.tolist() == [[1, 0.5, 2, 1]]


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_apply_deltas_inverts_get_deltas(stride):
    """From boxes to deltas and back, for 50 boxes and a point in each."""
    boxes = spread_boxes(50, 300, 180)
    share = spread(50, 2, low=0.1, high=0.9, start=333)
    points = boxes[:, :2] + share * (boxes[:, 2:] - boxes[:, :2])
    deltas = fcos_get_deltas_from_locations(points, boxes, stride)
    restored = fcos_apply_deltas_to_locations(deltas, points, stride)
    # float64 numbers up to 300, rounded a few times
    torch.testing.assert_close(restored, boxes, rtol=0, atol=1e-12)


def test_apply_deltas_equals_the_golden_boxes():
    """The handout's deltas give its boxes back, exactly."""
    boxes = fcos_apply_deltas_to_locations(
        torch.tensor(GOLDEN_DELTAS), torch.tensor(GOLDEN_POINTS), stride=8
    )
    assert boxes.tolist() == GOLDEN_BOXES


def test_apply_deltas_counts_negative_deltas_as_zero():
    """Each edge on its own: a negative distance leaves the edge at the location."""
    deltas = torch.tensor([[-0.5, 1, 2, -3], [1.0, -9, -0.25, 2]])
    boxes = fcos_apply_deltas_to_locations(deltas, torch.tensor([[40.0, 20]] * 2), 8)
    assert boxes.tolist() == [[40, 12, 56, 20], [32, 20, 40, 36]]
    assert deltas[0, 0] == -0.5, "the input was changed in place"


def test_apply_deltas_of_background_is_a_point():
    """All -1 gives (x, y, x, y), a box without area."""
    boxes = fcos_apply_deltas_to_locations(
        torch.full((1, 4), -1.0), torch.tensor([[12.0, 20.0]]), stride=16
    )
    assert boxes.tolist() == [[12, 20, 12, 20]]


def test_apply_deltas_does_not_clip_to_the_image():
    """Boxes may start at negative numbers; inference clips them later."""
    boxes = fcos_apply_deltas_to_locations(
        torch.tensor([[3.0, 2, 1, 1]]), torch.tensor([[4.0, 4]]), stride=8
    )
    assert boxes.tolist() == [[-20, -12, 12, 12]]


def test_apply_deltas_without_locations():
    """No location, no box."""
    boxes = fcos_apply_deltas_to_locations(torch.zeros(0, 4), torch.zeros(0, 2), 8)
    assert boxes.shape == (0, 4)


def test_centerness_equals_the_golden_numbers():
    """The handout's three values; the last row is background."""
    deltas = torch.tensor([*GOLDEN_DELTAS[:2], [-1.0] * 4], dtype=torch.float64)
    expected = torch.tensor([0.30860671401, 0.1666666716, -1.0], dtype=torch.float64)
    got = fcos_make_centerness_targets(deltas)
    # the printed values come from float32, which has 7 digits
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-7)
    got32 = fcos_make_centerness_targets(deltas.float())
    torch.testing.assert_close(got32, expected.float(), rtol=0, atol=1e-7)


def test_centerness_is_one_in_the_middle_and_zero_on_an_edge():
    """The middle of a box that is wider than high, and two edges of it."""
    deltas = torch.tensor([[5.0, 2, 5, 2], [0.0, 2, 10, 2], [5.0, 4, 5, 0]])
    assert fcos_make_centerness_targets(deltas).tolist() == [1, 0, 0]


def test_centerness_equals_the_equation():
    """Equation 3 of the paper, one location at a time."""
    deltas = spread(60, 4, low=0.01, high=9)
    expected = [
        math.sqrt(min(a, c) / max(a, c) * min(b, d) / max(b, d))
        for a, b, c, d in deltas.tolist()
    ]
    got = fcos_make_centerness_targets(deltas)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


def test_centerness_needs_no_unit():
    """Pixels or strides: a ratio is the same."""
    deltas = spread(20, 4, low=0.1, high=9)
    in_pixels = fcos_make_centerness_targets(deltas * 32)
    torch.testing.assert_close(in_pixels, fcos_make_centerness_targets(deltas))


@pytest.mark.parametrize("rows", [0, 3])
def test_centerness_of_background_only(rows):
    """-1 for each location, also when there is none; not the +1 of the bare formula."""
    got = fcos_make_centerness_targets(torch.full((rows, 4), -1.0))
    assert got.tolist() == [-1.0] * rows


def test_centerness_of_a_box_without_size_is_a_number():
    """All distances 0 would be 0 / 0; a loss must never see that."""
    assert fcos_make_centerness_targets(torch.zeros(1, 4)).tolist() == [0]
