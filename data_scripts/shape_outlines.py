"""The outlines of the shapes: polygons in pixels, from which boxes follow exactly.

A polygon is a list of (x, y) points. Unit outlines lie in [-1, 1] x [-1, 1], y down.
"""

import math

Point = tuple[float, float]
Polygon = list[Point]
Box = tuple[float, float, float, float]

CURVE_POINTS = 72
RING_HOLE = 0.52  # inner radius over outer radius
STAR_WAIST = 0.45
CROSS_ARM = 0.33


def _ellipse() -> Polygon:
    angles = (2 * math.pi * index / CURVE_POINTS for index in range(CURVE_POINTS))
    return [(math.cos(angle), math.sin(angle)) for angle in angles]


def _cross() -> Polygon:
    arm = CROSS_ARM
    quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    points: Polygon = []
    for _ in range(4):
        points += quarter
        quarter = [(-y, x) for x, y in quarter]  # a quarter turn
    return points


def _heart() -> Polygon:
    angles = (2 * math.pi * index / CURVE_POINTS for index in range(CURVE_POINTS))
    return [
        (
            16 * math.sin(angle) ** 3 / 16,
            -(
                13 * math.cos(angle)
                - 5 * math.cos(2 * angle)
                - 2 * math.cos(3 * angle)
                - math.cos(4 * angle)
            )
            / 16,
        )
        for angle in angles
    ]


def _star() -> Polygon:
    points = []
    for index in range(10):
        radius = STAR_WAIST if index % 2 else 1.0
        angle = math.pi * index / 5
        points.append((radius * math.sin(angle), -radius * math.cos(angle)))
    return points


UNIT_OUTLINES: dict[str, Polygon] = {
    "cross": _cross(),
    "ellipse": _ellipse(),
    "heart": _heart(),
    "rectangle": [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)],
    "ring": _ellipse(),
    "star": _star(),
    "triangle": [(0.0, -1.0), (1.0, 1.0), (-1.0, 1.0)],
}


def bounds(polygon: Polygon) -> Box:
    """Return (x1, y1, x2, y2), the smallest box around a non-empty polygon."""
    xs = [x for x, _ in polygon]
    ys = [y for _, y in polygon]
    return min(xs), min(ys), max(xs), max(ys)


def outline(name: str, ratio: float, angle: float, longer_px: float) -> Polygon:
    """Return the polygon of a class, turned and scaled, its box's corner at (0, 0).

    Args:
        name: A class of SHAPES_CLASSES.
        ratio: Height over width before turning.
        angle: Clockwise turn in radians.
        longer_px: Longer side of the resulting box, in pixels.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    turned = [
        (x * cos - ratio * y * sin, x * sin + ratio * y * cos)
        for x, y in UNIT_OUTLINES[name]
    ]
    x1, y1, x2, y2 = bounds(turned)
    scale = longer_px / max(x2 - x1, y2 - y1)
    return [((x - x1) * scale, (y - y1) * scale) for x, y in turned]


def moved(polygon: Polygon, dx: float, dy: float) -> Polygon:
    """Return the polygon shifted by (dx, dy) pixels."""
    return [(x + dx, y + dy) for x, y in polygon]


def shrunk(polygon: Polygon, factor: float) -> Polygon:
    """Return the polygon scaled about the centre of its box."""
    x1, y1, x2, y2 = bounds(polygon)
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    return [(cx + factor * (x - cx), cy + factor * (y - cy)) for x, y in polygon]


def clipped(polygon: Polygon, width: float, height: float) -> Polygon:
    """Return the part of a polygon inside the image (Sutherland-Hodgman).

    The result is empty if nothing is inside. A shape cut by the border may be narrower
    than its uncut box, so the box must come from these points.
    """
    for axis, limit, sign in (
        (0, 0.0, 1),
        (0, width, -1),
        (1, 0.0, 1),
        (1, height, -1),
    ):
        result: Polygon = []
        for start, end in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            depth_start = sign * (start[axis] - limit)  # >= 0 is inside
            depth_end = sign * (end[axis] - limit)
            if depth_start >= 0:
                result.append(start)
            if depth_start * depth_end < 0:
                part = depth_start / (depth_start - depth_end)
                x = start[0] + part * (end[0] - start[0])
                y = start[1] + part * (end[1] - start[1])
                result.append((limit, y) if axis == 0 else (x, limit))
        polygon = result
    return polygon
