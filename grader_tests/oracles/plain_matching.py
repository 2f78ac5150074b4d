"""Targets of FCOS as published: one location and one box at a time.

Everything is a loop over Python's float64. `mistake` is the known mistake to make, one
of MATCHING; "" is the right way.
Source: Tian et al., "FCOS", 2019, section 3.1, and 2020, section 3.1.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from core.fcos_config import FCOSConfig

BACKGROUND_ROW = [-1.0] * 5
STRIDES = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}
Levels = Mapping[str, torch.Tensor]
Row = Sequence[float]

# What known mistakes of matching do; tests say them as they stand here.
ON_EDGE = "a location on the edge of a box counts as inside"
RADIUS_IN_PX = "the radius is not multiplied by the stride of the level"
ONE_STRIDE = "the stride of the first level is taken for all"
CIRCLE = "a circle around the centre; it is a square"
RADIUS_LET_IN = "a location as far away as the radius is let in; < is asked, not <="
NEAR_ALONE = "near the centre is enough; it must lie inside the box, too"
NO_RADIUS = "centre_radius is ignored"
FIXED_RADIUS = "centre_radius is ignored: it is always 1.5"
RADIUS_OF_ONE = "centre_radius is ignored: the radius is always one stride"
ALWAYS_RADIUS = "a centre_radius of 0 is the whole box, not an empty square"
CORNER = "the distance is to the upper left corner, not to the centre"
ONE_IS_ENOUGH = "x or y is near enough; both must be"
SWAPPED = "x and y of the locations are swapped"
CLASS_ZERO = "class 0 is taken for background"
LARGEST_BOX = "the largest box is taken, not the smallest"
LAST_OF_EQUAL = "of boxes with the same area the first wins, not the last"
FIRST_BOX = "the first candidate is taken, not the smallest"
FIRST_IMAGE = "the boxes of the first image are taken for all"
NO_SCALE = "range_scale is ignored"
SCALE_ON_LAST = "the limit of the coarsest level is scaled; last_limit stays as it is"
NO_LAST_LIMIT = "last_limit is ignored"
NO_RANGE = "the size range of the level is ignored"
LONGER_SIDE = (
    "the longer side of the box is held against the range; the largest distance must be"
)
CENTRE_OF_ANY = "what is near the centre of one box is taken to be near all"
OTHER_ENDS = {
    ends: f'range_ends is ignored: it is always "{ends}"'
    for ends in ("high", "both", "none")
}
OTHER_SMALLEST = {
    smallest: f'smallest is ignored: it is always "{smallest}"'
    for smallest in ("area", "1e8 - area")
}
MATCHING = (
    ON_EDGE,
    RADIUS_IN_PX,
    ONE_STRIDE,
    CIRCLE,
    RADIUS_LET_IN,
    NEAR_ALONE,
    NO_RADIUS,
    ALWAYS_RADIUS,
    CORNER,
    ONE_IS_ENOUGH,
    SWAPPED,
    CLASS_ZERO,
    LARGEST_BOX,
    LAST_OF_EQUAL,
    FIRST_BOX,
    FIRST_IMAGE,
    NO_SCALE,
    SCALE_ON_LAST,
    NO_LAST_LIMIT,
    NO_RANGE,
    LONGER_SIDE,
    FIXED_RADIUS,
    RADIUS_OF_ONE,
    CENTRE_OF_ANY,
    *OTHER_ENDS.values(),
    *OTHER_SMALLEST.values(),
)


class Level(NamedTuple):
    """What is known of a location's level, in pixels."""

    stride: float
    low: float
    high: float


def is_near(point: Row, box: Row, radius: float, mistake: str = "") -> bool:
    """Whether a location is near the centre of a box."""
    x, y = point[::-1] if mistake == SWAPPED else point
    centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    if mistake == CORNER:
        centre = [box[0], box[1]]
    across, down = abs(x - centre[0]), abs(y - centre[1])
    if mistake == CIRCLE:
        return math.hypot(across, down) < radius
    if mistake == RADIUS_LET_IN:
        return max(across, down) <= radius
    if mistake == ONE_IS_ENOUGH:
        return min(across, down) < radius
    return max(across, down) < radius


def size_limits(
    strides: Mapping[str, int], config: FCOSConfig, mistake: str = ""
) -> dict[str, Level]:
    """The range of each level."""
    scale = 1.0 if mistake == NO_SCALE else config.range_scale
    last = math.inf if mistake == NO_LAST_LIMIT else config.last_limit
    last *= scale if mistake == SCALE_ON_LAST else 1.0
    ordered = sorted(strides, key=strides.__getitem__)
    return {
        level: Level(
            stride,
            0.0 if level == ordered[0] else 4.0 * stride * scale,
            last if level == ordered[-1] else 8.0 * stride * scale,
        )
        for level, stride in strides.items()
    }


def match(
    point: Row,
    level: Level,
    rows: Sequence[Row],
    config: FCOSConfig,
    *,
    exact: bool = False,
    mistake: str = "",
) -> Row:
    """The row (x1, y1, x2, y2, class) that a location belongs to, or BACKGROUND_ROW.

    Args:
        exact: the numbers are float64, where 1e8 - area loses no digit that matters.
    """
    best: Row = BACKGROUND_ROW
    best_cost = math.inf
    x, y = point[::-1] if mistake == SWAPPED else point
    fixed = {FIXED_RADIUS: 1.5, RADIUS_OF_ONE: 1.0}
    radius = fixed.get(mistake, config.centre_radius)
    radius *= 1 if mistake == RADIUS_IN_PX else level.stride
    asks_centre = config.centre_radius > 0 or mistake == ALWAYS_RADIUS
    asks_centre = asks_centre and mistake != NO_RADIUS
    boxes = [row for row in rows if row[4] > (0 if mistake == CLASS_ZERO else -1)]
    near_any = mistake == CENTRE_OF_ANY and any(
        is_near(point, row, radius) for row in boxes
    )
    for row in boxes:
        ltrb = [x - row[0], y - row[1], row[2] - x, row[3] - y]
        nearest, largest = min(ltrb), max(ltrb)
        is_in = nearest >= 0 if mistake == ON_EDGE else nearest > 0
        is_in = is_in or (mistake == NEAR_ALONE and config.centre_radius > 0)
        if asks_centre:
            is_in = is_in and (near_any or is_near(point, row, radius, mistake))
        longer = max(row[2] - row[0], row[3] - row[1])
        size = longer if mistake == LONGER_SIDE else largest
        fits = _fits(size, level, config.range_ends, mistake)
        area = (row[2] - row[0]) * (row[3] - row[1])
        cost = _cost(area, config.smallest, exact, mistake)
        is_less = cost <= best_cost if mistake == LAST_OF_EQUAL else cost < best_cost
        is_first = mistake != FIRST_BOX or best is BACKGROUND_ROW
        if is_in and fits and is_less and is_first:
            best, best_cost = row, cost
    return best


def _fits(largest: float, level: Level, ends: str, mistake: str) -> bool:
    """Whether the size of a box belongs to the level."""
    for other, said in OTHER_ENDS.items():
        ends = other if mistake == said else ends
    above = largest >= level.low if ends == "both" else largest > level.low
    below = largest < level.high if ends == "none" else largest <= level.high
    return mistake == NO_RANGE or (above and below)


def _cost(area: float, smallest: str, exact: bool, mistake: str) -> float:
    """What the box to take has least of."""
    for other, said in OTHER_SMALLEST.items():
        smallest = other if mistake == said else smallest
    if mistake == LARGEST_BOX:
        return -area
    if smallest == "area":
        return area
    value = 1e8 - area
    return -(value if exact else struct.unpack("f", struct.pack("f", value))[0])


def matches(
    locations: Levels,
    strides: Mapping[str, int],
    gt_boxes: torch.Tensor,
    config: FCOSConfig,
    *,
    exact: bool = False,
    mistake: str = "",
) -> torch.Tensor:
    """(B, N, 5) float64: the matched row of each location of each image."""
    limits = size_limits(strides, config, mistake)
    first = limits[next(iter(locations))].stride
    found = []
    images = gt_boxes.double().tolist()
    for rows in images:
        rows = images[0] if mistake == FIRST_IMAGE else rows
        for level, points in locations.items():
            limit = limits[level]
            limit = limit._replace(stride=first) if mistake == ONE_STRIDE else limit
            found += [
                match(point, limit, rows, config, exact=exact, mistake=mistake)
                for point in points.double().tolist()
            ]
    count = sum(map(len, locations.values()))
    shape = (len(gt_boxes), count, 5)
    return torch.tensor(found, dtype=torch.float64).reshape(shape)
