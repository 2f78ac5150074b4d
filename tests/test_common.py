"""IoU and locations of assignment/common.py against hand, slow loops, torchvision."""

import pytest
import torch
from torchvision import ops

from assignment.common import (
    get_fpn_location_coords,
    iou,
)
from tests.plain_numbers import spread_boxes


@pytest.mark.parametrize(("m", "n"), [(0, 3), (3, 0), (0, 0)])
def test_iou_without_boxes_has_the_right_shape(m, n):
    """No box on one side gives a table without rows or without columns."""
    assert iou(torch.zeros(m, 4), torch.zeros(n, 4)).shape == (m, n)


def test_iou_equals_numbers_by_hand():
    """Overlap over union, for boxes that are wider than high and higher than wide."""
    boxes1 = torch.tensor([[0.0, 0, 8, 2], [1.0, 1, 3, 11]])
    boxes2 = torch.tensor([[4.0, 1, 10, 5], [1.0, 1, 3, 11], [8.0, 0, 9, 2]])
    # box 0 and box 0: 4 x 1 shared of 16 + 24 - 4; box 1 and box 0: x does not meet
    # box 0 and box 1: 2 x 1 shared of 16 + 20 - 2; edges that only touch: 0
    expected = torch.tensor([[4 / 36, 2 / 34, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(iou(boxes1, boxes2), expected)


def test_iou_of_boxes_without_area_is_zero():
    """A line and a point have no area, so nothing may be divided by zero."""
    boxes = torch.tensor([[2.0, 3, 2, 9], [5.0, 5, 5, 5], [0.0, 0, 6, 10]])
    overlap = iou(boxes, boxes)
    assert torch.equal(overlap, torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 0, 1]]))


def test_iou_agrees_with_torchvision_in_float64():
    """60 x 50 boxes, all at once, in the dtype of the input."""
    boxes1, boxes2 = spread_boxes(60, 90, 50), spread_boxes(50, 90, 50, start=77)
    overlap = iou(boxes1, boxes2)
    assert overlap.dtype == torch.float64
    # Both round a few float64 operations; 1e-12 is far above that.
    torch.testing.assert_close(overlap, ops.box_iou(boxes1, boxes2), rtol=0, atol=1e-12)


def test_iou_leaves_its_inputs_alone():
    """The boxes are the same after the call."""
    boxes = spread_boxes(5, 40, 30)
    before = boxes.clone()
    iou(boxes, boxes)
    assert torch.equal(boxes, before)


def test_locations_are_x_then_y_in_row_order():
    """The second location lies to the right of the first: (12, 4), not (4, 12)."""
    coords = get_fpn_location_coords({"p3": (2, 64, 28, 20)}, {"p3": 8})["p3"]
    assert coords[:3].tolist() == [[4, 4], [12, 4], [20, 4]]
    assert coords[20].tolist() == [4, 12]  # the second row starts
    assert coords[-1].tolist() == [20 * 8 - 4, 28 * 8 - 4]


def test_locations_of_non_square_levels_equal_a_loop():
    """At stride * (column + 0.5) and stride * (row + 0.5), on all levels."""
    shapes = {"p3": (1, 9, 5, 7), "p4": (1, 9, 3, 4), "p5": (1, 9, 2, 1)}
    strides = {"p3": 8, "p4": 16, "p5": 32}
    coords = get_fpn_location_coords(shapes, strides)
    assert list(coords) == ["p3", "p4", "p5"]
    for level, (_, _, height, width) in shapes.items():
        stride = strides[level]
        expected = [
            [stride * (j + 0.5), stride * (i + 0.5)]
            for i in range(height)
            for j in range(width)
        ]
        assert coords[level].tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_locations_have_the_dtype_and_device_asked_for(dtype):
    """The two last arguments; "meta" is a device that every computer has."""
    shapes, strides = {"p5": (1, 1, 2, 3)}, {"p5": 32}
    assert get_fpn_location_coords(shapes, strides, dtype=dtype)["p5"].dtype == dtype
    coords = get_fpn_location_coords(shapes, strides, dtype, device="meta")["p5"]
    assert coords.device.type == "meta"
    assert coords.shape == (6, 2)
