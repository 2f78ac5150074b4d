"""Pictures of locations: where they are, in which order, and what a swap does."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.show.style import (
    BLACK,
    FONT_PT,
    LEVEL_COLOURS,
    RED,
    YELLOW,
    add_points,
    make_figure,
    point_share,
    show_image,
)

POINT_SIZES = {"p3": 9, "p4": 26, "p5": 70}
NUMBERED = 7  # this many locations get their number
NUMBER_HALO = [patheffects.withStroke(linewidth=2.5, foreground="black")]


def draw_cells(
    shape: tuple[int, int], stride: int, cell: tuple[int, int] | None = None
) -> Figure:
    """A small map on the image's plane, with the row and the column of each cell.

    Args:
        shape: (H, W) of the map.
        stride: in pixels.
        cell: (row, column) of the cell whose point is marked; none by default.
    """
    figure, (axes,) = make_figure(height=3.2)
    height, width = shape[0] * stride, shape[1] * stride
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    axes.set_xticks(range(0, width + 1, stride))
    axes.set_yticks(range(0, height + 1, stride))
    axes.grid(color="0.5")
    axes.set_xlabel("x in pixels of the image")
    axes.set_ylabel("y in pixels")
    for row in range(shape[0]):
        for column in range(shape[1]):
            axes.text(
                column * stride + 0.4,
                row * stride + 0.4,
                f"row {row}, col {column}",
                va="top",
                fontsize=FONT_PT - 2,
            )
    if cell is not None:
        middle = (torch.tensor([[cell[1], cell[0]]]) + 0.5) * stride
        add_points(axes, middle, YELLOW, 90)
    return figure


def draw_locations(
    image: torch.Tensor,
    locations: Mapping[str, torch.Tensor],
    numbers: bool = True,
) -> Figure:
    """The locations of each level over the image; the first ones with their number.

    Args:
        image: (3, H, W), normalised.
        locations: level -> (N, 2) of (x, y) in pixels.
    """
    figure, panels = make_figure(1, len(locations), height=3.0)
    for axes, (level, points) in zip(panels, locations.items(), strict=True):
        show_image(axes, image, f"{level}: {len(points)} locations")
        size = POINT_SIZES.get(level, 26) * point_share(image)
        _add_level(axes, level, points, size, numbers)
    return figure


def _add_level(
    axes: Axes, level: str, points: torch.Tensor, size: float, numbers: bool
) -> None:
    colour = LEVEL_COLOURS.get(level, YELLOW)
    add_points(axes, points, colour, size)
    # The points of p3 lie too close for numbers.
    shown = np.asarray(points[: NUMBERED if numbers and level != "p3" else 0])
    for index, (x, y) in enumerate(shown.tolist()):
        axes.annotate(
            str(index),
            (x, y),
            xytext=(3, -3),
            textcoords="offset points",
            va="top",
            fontsize=FONT_PT - 2,
            color="white",
            path_effects=NUMBER_HALO,
            clip_on=True,
        )


def draw_swapped(image: torch.Tensor, points: torch.Tensor, name: str = "p4") -> Figure:
    """Right and swapped locations in the order of the list, as a path with an arrow.

    Args:
        image: (3, H, W), normalised.
        points: (N, 2) of (x, y), the right ones.
    """
    figure, panels = make_figure(1, 2, height=3.6)
    reach = max(image.shape[1:])
    titles = ("x first: row by row", "swapped: column by column")
    for axes, rows, title in zip(panels, (points, points.flip(1)), titles, strict=True):
        show_image(axes, image, f"{name}, {title}")
        axes.set_xlim(0, reach)
        axes.set_ylim(reach, 0)
        axes.set_facecolor("0.85")
        path = np.asarray(rows)
        inside = (path[:, 0] < image.shape[2]) & (path[:, 1] < image.shape[1])
        axes.plot(path[:, 0], path[:, 1], color=BLACK, lw=0.8, alpha=0.6)
        add_points(axes, path[inside], YELLOW, 22)
        add_points(axes, path[~inside], RED, 30, marker="X")
        add_points(axes, path[:1], "white", 90, marker="s")
        outside = int((~inside).sum())
        axes.set_xlabel(f"{outside} of {len(path)} outside of the image")
    return figure


def draw_square_is_blind(stride: int = 8, cells: int = 4) -> Figure:
    """On a square map, the right and the swapped points are the same set."""
    figure, panels = make_figure(1, 2, height=3.3)
    span = np.arange(cells) + 0.5
    across, down = np.meshgrid(span, span)
    right = np.stack([across.ravel(), down.ravel()], axis=1) * stride
    for axes, points, title in zip(
        panels, (right, right[:, ::-1]), ("right", "swapped"), strict=True
    ):
        add_points(axes, points, YELLOW, 60)
        for index, (x, y) in enumerate(points.tolist()):
            axes.annotate(
                str(index),
                (x, y),
                xytext=(5, 3),
                textcoords="offset points",
                fontsize=FONT_PT,
            )
        axes.set_xlim(0, cells * stride)
        axes.set_ylim(cells * stride, 0)
        axes.set_aspect("equal")
        axes.set_title(f"{title}: the number is the place in the list")
    return figure
