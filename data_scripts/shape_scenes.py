"""Where the shapes lie: image size, classes, polygons and boxes, from random numbers.

Only `Random.random()` is used: Python promises the same numbers for the same seed in
every version, so the annotations are the same everywhere, byte for byte.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from data_scripts.shape_outlines import Box, Polygon, bounds, clipped, moved, outline
from data_scripts.voc_format import SHAPES_CLASSES

T = TypeVar("T")

# (width, height) and how often; the shorter side is always 128.
IMAGE_SIZES = ((160, 128), (128, 160), (176, 128), (192, 128), (128, 192), (144, 128))
SQUARE_SIZE = (128, 128)
SQUARE_SHARE = 0.04
EMPTY_SHARE = 0.05
# How often an image has 1, 2, 3, 4 and 5 objects.
COUNT_SHARES = (0.22, 0.30, 0.25, 0.15, 0.08)

SIDE_RANGE_PX = (24.0, 120.0)  # longer side; log-uniform, so small ones are common
BIG_SIDE_RANGE_PX = (132.0, 172.0)  # reaches the range of level p5
BIG_IMAGE_SIDE_PX = 176
BIG_SHARE = 0.15  # of the images that are long enough
RATIO_RANGE = (0.65, 0.95)  # shorter over longer side
MAX_ANGLE = math.radians(18)
MARGIN_PX = 2.0

BORDER_SHARE = 0.15
OUTSIDE_RANGE = (0.10, 0.30)  # part of the side beyond the border
DIFFICULT_SHARE = 0.03
DIFFICULT_OUTSIDE_RANGE = (0.60, 0.75)
MAX_COVERED = 0.30  # part of a box that later objects may cover
PLACE_TRIES = 25


@dataclass(frozen=True)
class PlacedShape:
    """One object of a scene.

    Attributes:
        name: Class name.
        polygon: Uncut outline in pixels, continuous edges; may pass the border.
        box: (x1, y1, x2, y2) of the visible polygon on the pixel grid (whole numbers).
        faint: Drawn with little contrast.
        difficult: Faint or mostly outside; ignored in evaluation.
        truncated: Cut by the border.
    """

    name: str
    polygon: Polygon
    box: Box
    faint: bool
    difficult: bool
    truncated: bool


@dataclass(frozen=True)
class Scene:
    """An image to paint: size in pixels; later shapes lie on top of earlier ones."""

    width: int
    height: int
    shapes: tuple[PlacedShape, ...]


def uniform(rng: Random, low: float, high: float) -> float:
    """Return a number in [low, high)."""
    return low + (high - low) * rng.random()


def choose(rng: Random, items: Sequence[T]) -> T:
    """Return one of the items, each equally likely."""
    return items[int(rng.random() * len(items))]


def _choose_count(rng: Random) -> int:
    if rng.random() < EMPTY_SHARE:
        return 0
    draw = rng.random()
    for count, share in enumerate(COUNT_SHARES, start=1):
        draw -= share
        if draw < 0:
            return count
    return len(COUNT_SHARES)


def _draw_outline(
    rng: Random, width: int, height: int, big: bool
) -> tuple[str, Polygon]:
    """Return a class and its polygon at the origin, small enough for the image."""
    name = choose(rng, SHAPES_CLASSES)
    ratio = uniform(rng, *RATIO_RANGE)
    angle = uniform(rng, -MAX_ANGLE, MAX_ANGLE)
    upright = height > width if big else rng.random() < 0.5
    low, high = BIG_SIDE_RANGE_PX if big else SIDE_RANGE_PX
    longer = low * (high / low) ** rng.random()
    polygon = outline(name, 1 / ratio if upright else ratio, angle, longer)
    _, _, w, h = bounds(polygon)
    fit = min(1.0, (width - 2 * MARGIN_PX) / w, (height - 2 * MARGIN_PX) / h)
    return name, [(x * fit, y * fit) for x, y in polygon]


def _place(
    rng: Random, polygon: Polygon, size: tuple[int, int], outside: float
) -> Polygon:
    """Move a polygon into the image, or past one border by a part of its side."""
    corner = [0.0, 0.0]
    sides = bounds(polygon)[2:]
    for axis in (0, 1):
        room = size[axis] - sides[axis] - MARGIN_PX
        corner[axis] = uniform(rng, MARGIN_PX, max(room, MARGIN_PX))
    axis = choose(rng, (0, 1))
    at_start = rng.random() < 0.5
    if outside > 0:
        beyond = outside * sides[axis]
        corner[axis] = -beyond if at_start else size[axis] - sides[axis] + beyond
    return moved(polygon, corner[0], corner[1])


def _pixel_box(polygon: Polygon) -> Box:
    """Return the smallest box of whole pixels around a polygon."""
    x1, y1, x2, y2 = bounds(polygon)
    return math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)


def _covered(box: Box, others: Sequence[Box]) -> float:
    """Return the sum of the parts of `box` that the other boxes cover."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    total = 0.0
    for other in others:
        w = min(box[2], other[2]) - max(box[0], other[0])
        h = min(box[3], other[3]) - max(box[1], other[1])
        total += max(w, 0.0) * max(h, 0.0) / area
    return total


def _all_recognisable(boxes: Sequence[Box]) -> bool:
    """Return True if later boxes cover no earlier one by more than MAX_COVERED."""
    return all(
        _covered(box, boxes[index + 1 :]) <= MAX_COVERED
        for index, box in enumerate(boxes)
    )


def _draw_shape(rng: Random, width: int, height: int, big: bool) -> PlacedShape:
    name, polygon = _draw_outline(rng, width, height, big)
    draw, kind = rng.random(), rng.random()
    difficult = draw < DIFFICULT_SHARE and not big
    faint = difficult and kind < 0.5
    outside = 0.0
    if difficult and not faint:
        outside = uniform(rng, *DIFFICULT_OUTSIDE_RANGE)
    elif not faint and draw > 1 - BORDER_SHARE:
        outside = uniform(rng, *OUTSIDE_RANGE)
    polygon = _place(rng, polygon, (width, height), outside)
    box = _pixel_box(clipped(polygon, width, height))
    return PlacedShape(
        name=name,
        polygon=polygon,
        box=box,
        faint=faint,
        difficult=difficult,
        truncated=outside > 0,
    )


def draw_scene(rng: Random) -> Scene:
    """Lay out one image; an object that finds no free place is left out."""
    width, height = choose(rng, IMAGE_SIZES)
    if rng.random() < SQUARE_SHARE:
        width, height = SQUARE_SIZE
    count = _choose_count(rng)
    room_for_big = max(width, height) >= BIG_IMAGE_SIDE_PX
    has_big = rng.random() < BIG_SHARE and room_for_big
    shapes: list[PlacedShape] = []
    for index in range(count):
        for _ in range(PLACE_TRIES):
            shape = _draw_shape(rng, width, height, big=has_big and index == 0)
            if _all_recognisable([item.box for item in [*shapes, shape]]):
                shapes.append(shape)
                break
    return Scene(width, height, tuple(shapes))
