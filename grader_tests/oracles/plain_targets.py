"""What each location of an image should answer: one location and one box at a time.

Source: Tian et al., "FCOS", 2019, section 3.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch

STRIDES = {"p3": 8, "p4": 16, "p5": 32}
SIZE_RANGES_PX = {"p3": (0.0, 64.0), "p4": (64.0, 128.0), "p5": (128.0, math.inf)}


class Targets(NamedTuple):
    """Of one image, its levels one after the other.

    Attributes:
        classes: (N,), -1 for background.
        deltas: (N, 4) in strides, -1 for background.
        centerness: (N,), -1 for background.
    """

    classes: torch.Tensor
    deltas: torch.Tensor
    centerness: torch.Tensor


def level_shapes(height: int, width: int) -> dict[str, tuple[int, int]]:
    """(H, W) of the maps of an image of this size in pixels."""
    return {
        level: (math.ceil(height / stride), math.ceil(width / stride))
        for level, stride in STRIDES.items()
    }


def plain_locations(
    height: int, width: int, *, swapped: bool = False
) -> dict[str, torch.Tensor]:
    """For each level (N, 2) float64 of (x, y), row by row.

    Args:
        height, width: of the image in pixels.
        swapped: the known mistake: (y, x) in the place of (x, y).
    """
    locations = {}
    for level, (rows, columns) in level_shapes(height, width).items():
        stride = STRIDES[level]
        points = [
            (stride * (column + 0.5), stride * (row + 0.5))
            for row in range(rows)
            for column in range(columns)
        ]
        points = [(y, x) for x, y in points] if swapped else points
        locations[level] = torch.tensor(points, dtype=torch.float64)
    return locations


def _target(
    x: float, y: float, level: str, rows: list[list[float]], stride: float
) -> tuple[float, list[float], float]:
    low, high = SIZE_RANGES_PX[level]
    best_area, best = math.inf, None
    for x1, y1, x2, y2, class_id in rows:
        ltrb = [x - x1, y - y1, x2 - x, y2 - y]
        fits = min(ltrb) > 0 and low < max(ltrb) <= high
        area = (x2 - x1) * (y2 - y1)
        if class_id >= 0 and fits and area < best_area:
            best_area, best = area, (class_id, ltrb)
    if best is None:
        return -1.0, [-1.0] * 4, -1.0
    left, top, right, bottom = best[1]
    ratio = min(left, right) * min(top, bottom)
    ratio /= max(left, right) * max(top, bottom)
    return best[0], [distance / stride for distance in best[1]], math.sqrt(ratio)


def plain_targets(
    locations: Mapping[str, torch.Tensor],
    gt_boxes: torch.Tensor,
    *,
    stride_of_all: float | None = None,
) -> Targets:
    """The targets of one image, in float64.

    Args:
        locations: for each level (N, 2).
        gt_boxes: (M, 5), rows of -1 are padding.
        stride_of_all: a known mistake: one stride for the deltas of all levels.
    """
    rows = gt_boxes.double().tolist()
    found = [
        _target(x, y, level, rows, stride_of_all or STRIDES[level])
        for level in STRIDES
        if level in locations
        for x, y in locations[level].double().tolist()
    ]
    classes, deltas, centerness = zip(*found, strict=True)
    return Targets(
        torch.tensor(classes, dtype=torch.float64),
        torch.tensor(deltas, dtype=torch.float64),
        torch.tensor(centerness, dtype=torch.float64),
    )


def stack_targets(per_image: list[Targets]) -> Targets:
    """Targets of a batch: (B, N), (B, N, 4), (B, N)."""
    return Targets(*(torch.stack(parts) for parts in zip(*per_image, strict=True)))
