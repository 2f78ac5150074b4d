"""How the scale of the size ranges moves foreground, and where locations lie."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from helpers.data.voc import VOC2007DetectionTiny
from helpers.lessons.five_levels import THREE, Locations, locations_of
from helpers.show.style import (
    BLACK,
    FONT_PT,
    LEVEL_COLOURS,
    ORANGE,
    add_box,
    add_points,
    make_figure,
)

LEAST_LABEL = 3.0  # a lower bar has no room for its number
Ranges = Mapping[str, tuple[float, float]]


def foreground_by_scale(
    dataset: VOC2007DetectionTiny,
    images: int,
    scales: Sequence[float],
    size_ranges: Callable[[dict[str, int], float, float], Ranges],
    parts: Sequence[Callable],
) -> dict[float, dict[str, float]]:
    """Foreground locations an image on each of three levels, for each scale.

    Args:
        size_ranges: your 10.7.
        parts: your 4.1, 4.2 and 4.3.
    """
    get_locations, distances, is_candidate = parts
    counted = {scale: dict.fromkeys(THREE, 0.0) for scale in scales}
    images = min(images, len(dataset))
    ranges = {scale: size_ranges(dict(THREE), scale, math.inf) for scale in scales}
    for index in range(images):
        _, image, rows = dataset[index]
        boxes = rows[rows[:, 4] >= 0, :4]
        if len(boxes) == 0:
            continue
        size = (image.shape[1], image.shape[2])
        points = locations_of(*size, get_locations, THREE)
        for level, centers in points.items():
            ltrb = distances(centers, boxes)
            for scale in scales:
                fits = is_candidate(ltrb, ranges[scale][level]).any(dim=1)
                counted[scale][level] += int(fits.sum()) / images
    return counted


def draw_foreground_by_scale(counted: Mapping[float, Mapping[str, float]]) -> Figure:
    """One bar for each scale, made of the foreground of the levels."""
    figure, (axes,) = make_figure(height=3.0)
    names = [f"{scale:g}" for scale in counted]
    bottom = np.zeros(len(names))
    for level in THREE:
        values = np.array([numbers[level] for numbers in counted.values()])
        bars = axes.bar(
            names,
            values,
            bottom=bottom,
            color=LEVEL_COLOURS[level],
            edgecolor=BLACK,
            label=level,
        )
        labels = [f"{value:.1f}" if value >= LEAST_LABEL else "" for value in values]
        axes.bar_label(bars, labels, label_type="center", fontsize=FONT_PT - 1)
        bottom += values
    axes.set_xlabel("scale of the size ranges")
    axes.set_ylabel("foreground locations\nan image")
    axes.legend(frameon=False, loc="upper right", fontsize=FONT_PT - 1)
    return figure


def draw_grids(
    grids: Mapping[str, Locations], size: tuple[int, int], level: str = "p7"
) -> Figure:
    """Where one level looks in each of several versions, on one padded image.

    Args:
        grids: name of a version -> level -> (N, 2) of (x, y) in pixels.
        size: (H, W) of the image in the padded one.
        level: which one is drawn.
    """
    figure, panels = make_figure(1, len(grids), height=3.6, width=10.0)
    height, width = size
    for axes, (name, levels) in zip(panels, grids.items(), strict=True):
        points = levels[level]
        axes.set_xlim(-70, width + 90)
        axes.set_ylim(height + 80, -70)
        axes.set_aspect("equal")
        add_box(axes, (0, 0, width, height), ORANGE)
        add_points(axes, points, LEVEL_COLOURS[level], 45)
        xs, ys = points[:, 0].unique(), points[:, 1].unique()
        across, down = float(xs[1] - xs[0]), float(ys[1] - ys[0])
        axes.set_title(f"{name}: {across:.0f} px across, {down:.0f} down")
        first, last = points[0].tolist(), points[-1].tolist()
        axes.set_xlabel(
            f"first ({first[0]:.0f}, {first[1]:.0f}), "
            f"last ({last[0]:.0f}, {last[1]:.0f})"
        )
    return figure
