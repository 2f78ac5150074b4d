"""Definitions written out as loops over Python numbers, which are float64."""

import math
from collections.abc import Sequence

import torch

Row = Sequence[float]
BACKGROUND = -1.0


def random(
    generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0
) -> torch.Tensor:
    """Float64 numbers between low and high."""
    share = torch.rand(*shape, generator=generator, dtype=torch.float64)
    return low + (high - low) * share


def random_boxes(
    generator: torch.Generator, count: int, width: float, height: float
) -> torch.Tensor:
    """(count, 4) float64 XYXY boxes in an image, of many sizes, at least 3 px.

    Coordinates are multiples of 1/8, which float32 holds exactly.
    """
    share = random(generator, count, 4)
    sides = 3 + share[:, 2:] ** 2 * (torch.tensor([width, height]) - 3)
    corner = share[:, :2] * (torch.tensor([width, height]) - sides)
    return ((torch.cat((corner, corner + sides), dim=1)) * 8).round() / 8


def iou(a: Row, b: Row) -> float:
    """Intersection over union of two XYXY boxes."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    union = area_a + area_b - width * height
    return width * height / union if union > 0 else 0.0


def iou_table(boxes1: torch.Tensor, boxes2: torch.Tensor) -> torch.Tensor:
    """(M, N) float64."""
    rows = [[iou(a, b) for b in boxes2.tolist()] for a in boxes1.tolist()]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(boxes1), len(boxes2))


def distances(point: Row, box: Row) -> list[float]:
    """Left, top, right, bottom in pixels."""
    return [point[0] - box[0], point[1] - box[1], box[2] - point[0], box[3] - point[1]]


def centerness(ltrb: Row) -> float:
    """Equation 3 of FCOS; -1 for background."""
    left, top, right, bottom = ltrb
    if all(distance == BACKGROUND for distance in ltrb):
        return BACKGROUND
    return math.sqrt(
        min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom)
    )


def match(point: Row, size_range: tuple[float, float], rows: Sequence[Row]) -> int:
    """Index of the row (x1, y1, x2, y2, class) that a location belongs to, or -1."""
    best, best_area = -1, math.inf
    for index, row in enumerate(rows):
        ltrb = distances(point, row)
        is_inside = min(ltrb) > 0
        is_of_level = size_range[0] < max(ltrb) <= size_range[1]
        area = (row[2] - row[0]) * (row[3] - row[1])
        if row[4] != BACKGROUND and is_inside and is_of_level and area < best_area:
            best, best_area = index, area
    return best


def convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """3x3 with padding 1, one output number after the other.

    Args:
        x: (B, C, H, W). weight: (D, C, 3, 3). bias: (D,). All float64.

    Returns:
        (B, D, H, W).
    """
    batch, _, height, width = x.shape
    padded = x.new_zeros(batch, x.shape[1], height + 2, width + 2)
    padded[:, :, 1:-1, 1:-1] = x
    out = x.new_zeros(batch, len(weight), height, width)
    for b in range(batch):
        for d in range(len(weight)):
            for i in range(height):
                for j in range(width):
                    window = padded[b, :, i : i + 3, j : j + 3]
                    out[b, d, i, j] = (window * weight[d]).sum() + bias[d]
    return out


def rows_of(feature_map: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, H * W, C), place by place."""
    batch, channels, height, width = feature_map.shape
    out = feature_map.new_zeros(batch, height * width, channels)
    for i in range(height):
        for j in range(width):
            out[:, i * width + j] = feature_map[:, :, i, j]
    return out
