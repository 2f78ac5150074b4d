"""Matching of locations to true boxes, against a slow loop in float64."""

import math

import pytest
import torch

from assignment.common import get_fpn_location_coords
from assignment.fcos_matching import (
    fcos_distances_to_edges,
    fcos_is_candidate,
    fcos_match_locations_to_gt,
    fcos_pick_smallest_box,
    fcos_size_range_per_level,
)
from tests.plain_numbers import spread, spread_boxes

STRIDES = {"p3": 8, "p4": 16, "p5": 32}
RANGES = {"p3": (0, 64), "p4": (64, 128), "p5": (128, math.inf)}
BACKGROUND_ROW = [-1.0] * 5


def locations_of(height: int, width: int, dtype=torch.float32):
    """All locations of an image of height x width pixels."""
    shapes = {
        level: (1, 1, -(-height // stride), -(-width // stride))
        for level, stride in STRIDES.items()
    }
    return get_fpn_location_coords(shapes, STRIDES, dtype=dtype)


def slow_match(x: float, y: float, level: str, rows: list[list[float]]) -> list[float]:
    """The row that the location (x, y) belongs to; the definition, word by word."""
    best, best_area = BACKGROUND_ROW, math.inf
    low, high = RANGES[level]
    for row in rows:
        x1, y1, x2, y2, class_id = row
        if class_id == -1:
            continue
        distances = (x - x1, y - y1, x2 - x, y2 - y)
        if min(distances) <= 0 or not low < max(distances) <= high:
            continue
        area = (x2 - x1) * (y2 - y1)
        if area < best_area:  # so the first of equal areas stays
            best, best_area = row, area
    return best


def check_against_loop(locations, gt_boxes):
    """Compare every location of every level; return how many are foreground."""
    matched = fcos_match_locations_to_gt(locations, STRIDES, gt_boxes)
    assert list(matched) == list(locations)
    rows = gt_boxes.double().tolist()
    foreground = 0
    for level, points in locations.items():
        expected = [slow_match(x, y, level, rows) for x, y in points.tolist()]
        assert matched[level].double().tolist() == expected
        foreground += sum(row != BACKGROUND_ROW for row in expected)
    return foreground


@pytest.mark.parametrize("rows", [0, 4])
def test_match_of_an_image_without_boxes_is_background(rows):
    """No row at all, or padding only: every location gets a row of -1."""
    locations = locations_of(96, 160)
    gt_boxes = torch.full((rows, 5), -1.0)
    matched = fcos_match_locations_to_gt(locations, STRIDES, gt_boxes)
    for level, points in locations.items():
        assert matched[level].shape == (len(points), 5)
        assert (matched[level] == -1).all()


def test_match_of_one_box_takes_the_locations_inside_it():
    """Box (10, 2)-(30, 14) holds x = 12, 20, 28 and y = 4, 12 of stride 8."""
    matched = fcos_match_locations_to_gt(
        locations_of(32, 64), STRIDES, torch.tensor([[10.0, 2, 30, 14, 6]])
    )
    grid = matched["p3"].reshape(4, 8, 5)  # rows, columns
    inside = torch.zeros(4, 8, dtype=torch.bool)
    inside[0:2, 1:4] = True
    assert torch.equal(grid[..., 4] == 6, inside)
    assert grid[0, 1].tolist() == [10, 2, 30, 14, 6]
    assert (matched["p4"] == -1).all()
    assert (matched["p5"] == -1).all()


def test_match_of_nested_boxes_takes_the_smaller():
    """The inner box wins where both hold the location, whatever their order is."""
    inner, outer = [20.0, 10, 36, 30, 1], [4.0, 2, 62, 44, 2]
    for rows in ([inner, outer], [outer, inner]):
        locations = locations_of(48, 72)
        assert check_against_loop(locations, torch.tensor(rows)) > 10
        matched = fcos_match_locations_to_gt(locations, STRIDES, torch.tensor(rows))
        grid = matched["p3"].reshape(6, 9, 5)
        assert grid[2, 3].tolist() == inner  # location (28, 20)
        assert grid[0, 1].tolist() == outer  # location (12, 4)


def test_match_of_equal_areas_takes_the_lowest_index():
    """12 x 20 and 20 x 12 around one location: the first row wins."""
    wide, high = [10.0, 14, 30, 26, 3], [14.0, 10, 26, 30, 4]
    for rows in ([wide, high], [high, wide]):
        locations = {"p3": torch.tensor([[20.0, 20]])}
        matched = fcos_match_locations_to_gt(locations, {"p3": 8}, torch.tensor(rows))
        assert matched["p3"].tolist() == [rows[0]]


def test_match_sees_a_difference_in_area_of_one_pixel():
    """Areas are compared as they are; 1e8 minus the area loses this in float32."""
    larger, smaller = [10.0, 10, 50, 31, 3], [10.0, 10, 49, 31.5, 4]  # 840, 838.5
    gt_boxes = torch.tensor([larger, smaller])
    locations = {"p3": torch.tensor([[20.0, 20]])}
    matched = fcos_match_locations_to_gt(locations, {"p3": 8}, gt_boxes)
    assert matched["p3"].tolist() == [smaller]


@pytest.mark.parametrize(
    ("distance", "level"),
    [(64, "p3"), (64.5, "p4"), (128, "p4"), (128.5, "p5")],
)
def test_match_of_a_distance_at_the_border_of_levels_has_one_level(distance, level):
    """A distance of exactly 64 or 128 belongs to the finer level, and to it alone."""
    box = torch.tensor([[90.0, 40, 100 + distance, 60, 0]])
    locations = {name: torch.tensor([[100.0, 50]]) for name in STRIDES}
    matched = fcos_match_locations_to_gt(locations, STRIDES, box)
    assert [name for name in STRIDES if matched[name][0, 4] == 0] == [level]


def test_match_leaves_out_a_location_on_the_edge_of_the_box():
    """Strictly inside: distance 0 to an edge is background, on all four sides."""
    points = torch.tensor([[8.0, 20], [30.0, 20], [20.0, 16], [20.0, 25], [20.0, 20]])
    box = torch.tensor([[8.0, 16, 30, 25, 2]])
    matched = fcos_match_locations_to_gt({"p3": points}, {"p3": 8}, box)
    assert matched["p3"][:, 4].tolist() == [-1, -1, -1, -1, 2]


def test_match_of_a_box_on_the_border_of_the_image():
    """Boxes that touch or leave the image match as all others do."""
    boxes = torch.tensor([[0.0, 0, 20, 9, 1], [150.0, 60, 170, 96, 2]])
    assert check_against_loop(locations_of(96, 160), boxes) > 3


def test_match_ignores_padding_rows_between_boxes():
    """A row of -1 would be a box around nothing; it must not shift the indices."""
    rows = [BACKGROUND_ROW, [8.0, 8, 60, 30, 5], BACKGROUND_ROW, [30.0, 9, 50, 20, 7]]
    assert check_against_loop(locations_of(40, 72), torch.tensor(rows)) > 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_match_of_many_boxes_equals_the_slow_loop(dtype):
    """25 boxes of all sizes on an image with odd sides, 211 x 333 pixels."""
    boxes = spread_boxes(25, 333, 211).float().to(dtype)  # same numbers in both
    classes = (torch.arange(25) % 4).to(dtype)[:, None]
    gt_boxes = torch.cat((boxes, classes), dim=1)
    before = gt_boxes.clone()
    assert check_against_loop(locations_of(211, 333, dtype), gt_boxes) > 100
    assert torch.equal(gt_boxes, before)


def test_match_keeps_dtype():
    """The rows come back as they were given, float64 too."""
    gt_boxes = torch.tensor([[1.0, 2, 30, 20, 0]], dtype=torch.float64)
    locations = locations_of(32, 64, torch.float64)
    for boxes in (gt_boxes, gt_boxes[:0]):
        matched = fcos_match_locations_to_gt(locations, STRIDES, boxes)
        assert matched["p3"].dtype == torch.float64


def test_distances_to_edges_are_left_top_right_bottom():
    """Beyond an edge a distance is negative."""
    points = torch.tensor([[12.0, 4], [40.0, 4]])
    boxes = torch.tensor([[10.0, 0, 30, 16], [11.0, 1, 13, 9]])
    expected = [
        [[2, 4, 18, 12], [1, 3, 1, 5]],
        [[30, 4, -10, 12], [29, 3, -27, 5]],
    ]
    assert fcos_distances_to_edges(points, boxes).tolist() == expected
    assert fcos_distances_to_edges(points, boxes[:0]).shape == (2, 0, 4)


def test_is_candidate_needs_inside_and_range():
    """Low is left out of the range, high belongs to it."""
    ltrb = torch.tensor(
        [[[1.0, 2, 16, 3], [1.0, 2, 32, 3], [0.0, 2, 20, 3], [1.0, 2, 33, 3]]]
    )
    expected = [[False, True, False, False]]
    assert fcos_is_candidate(ltrb, (16, 32)).tolist() == expected


def test_pick_smallest_box_equals_a_loop():
    """The cheapest of the candidates, or -1 without one."""
    is_candidate = spread(40, 6, start=3) < 0.2
    areas = torch.tensor([50.0, 20, 70, 20, 90, 35])
    picked = fcos_pick_smallest_box(is_candidate, areas)
    expected = [
        min((i for i in range(6) if row[i]), key=lambda i: areas[i], default=-1)
        for row in is_candidate.tolist()
    ]
    assert picked.tolist() == expected
    assert -1 in expected
    assert picked.dtype == torch.int64


def test_size_ranges_are_open_at_both_ends():
    """The finest level starts at 0 and the coarsest has no end."""
    assert fcos_size_range_per_level(STRIDES) == RANGES
