"""Geometry of the demo page: boxes over pictures and loss curves, for inline SVG."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.evaluation.types import Detections, GroundTruth

# Labels are in pixels of the picture; the template's font has a size of 7.5.
LABEL_HEIGHT_PX = 9.0
LABEL_BASELINE_PX = 6.8
CHARACTER_WIDTH_PX = 4.55  # the font is monospaced
LABEL_PADDING_PX = 2.0
CHART_WIDTH, CHART_HEIGHT = 320, 180
CHART_LEFT, CHART_RIGHT, CHART_TOP, CHART_BOTTOM = 36, 310, 10, 156
NICE_STEPS = (1, 2, 5, 10)
TICKS = 4


@dataclass(frozen=True)
class DrawnBox:
    """A box and its label in pixels of the picture, origin at the top left corner."""

    x: float
    y: float
    width: float
    height: float
    label: str
    class_index: int
    label_x: float
    label_y: float
    label_width: float


@dataclass(frozen=True)
class DrawnPicture:
    """A picture of the page: the JPEG as data URI, found and true boxes above it."""

    title: str
    data_uri: str
    width: int
    height: int
    found: tuple[DrawnBox, ...]
    true: tuple[DrawnBox, ...]


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where on the page, and what is written there."""

    place: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One loss over the iterations, ready for an SVG polyline."""

    title: str
    points: str
    last_value: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def draw_picture(
    path: Path,
    detections: Detections,
    truth: GroundTruth,
    class_names: Sequence[str],
    least_score: float,
) -> DrawnPicture:
    """A picture with the detections of at least this score and all true boxes.

    Args:
        path: JPEG file, whose size is truth.size.
        class_names: name of each class index.
        least_score: detections below it are not drawn.
    """
    height, width = truth.size
    found = [
        _draw_box(box, f"{class_names[index]} {score:.2f}", int(index), truth.size)
        for box, score, index in zip(
            detections.boxes, detections.scores, detections.classes, strict=True
        )
        if score >= least_score
    ]
    true = [
        _draw_box(
            box,
            f"{class_names[index]}, difficult" if difficult else class_names[index],
            int(index),
            truth.size,
        )
        for box, index, difficult in zip(
            truth.boxes, truth.classes, truth.difficult, strict=True
        )
    ]
    encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    return DrawnPicture(
        title=truth.image_id,
        data_uri=f"data:image/jpeg;base64,{encoded}",
        width=width,
        height=height,
        found=tuple(found),
        true=tuple(true),
    )


def _draw_box(
    box: Sequence[float], label: str, class_index: int, size: tuple[int, int]
) -> DrawnBox:
    """Put the label above the box, or inside where the picture ends."""
    x1, y1, x2, y2 = (float(value) for value in box)
    label_width = len(label) * CHARACTER_WIDTH_PX + 2 * LABEL_PADDING_PX
    _, picture_width = size
    return DrawnBox(
        x=x1,
        y=y1,
        width=x2 - x1,
        height=y2 - y1,
        label=label,
        class_index=class_index,
        label_x=max(0.0, min(x1, picture_width - label_width)),
        label_y=y1 - LABEL_HEIGHT_PX if y1 >= LABEL_HEIGHT_PX else max(0.0, y1),
        label_width=label_width,
    )


def draw_curve(title: str, iterations: Sequence[int], values: Sequence[float]) -> Curve:
    """A loss curve from 0 to its largest value; no entry gives an empty one."""
    x_step = nice_step(max(iterations, default=1), TICKS)
    y_step = nice_step(max(values, default=1.0), TICKS)
    x_end = max(iterations, default=1)
    y_end = y_step * math.ceil(max(values, default=1.0) / y_step)

    def place(x: float, y: float) -> tuple[float, float]:
        across = CHART_LEFT + (CHART_RIGHT - CHART_LEFT) * x / x_end
        up = CHART_BOTTOM - (CHART_BOTTOM - CHART_TOP) * y / y_end
        return round(across, 1), round(up, 1)

    points = (place(x, y) for x, y in zip(iterations, values, strict=True))
    x_marks = [x_step * index for index in range(math.floor(x_end / x_step) + 1)]
    y_marks = [y_step * index for index in range(round(y_end / y_step) + 1)]
    return Curve(
        title=title,
        points=" ".join(f"{x},{y}" for x, y in points),
        last_value=values[-1] if values else math.nan,
        x_ticks=tuple(Tick(place(x, 0)[0], f"{x:,.0f}") for x in x_marks),
        y_ticks=tuple(Tick(place(0, y)[1], f"{y:g}") for y in y_marks),
    )


def nice_step(largest: float, count: int) -> float:
    """The smallest of 1, 2, 5, 10, ... that reaches `largest` in at most `count` steps.

    Example:
        >>> nice_step(2400, 4), nice_step(0.7, 4)
        (1000.0, 0.2)
    """
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest / count))
    for factor in NICE_STEPS:
        if factor * power * count >= largest:
            return round(factor * power, 12)
    return 10 * power
