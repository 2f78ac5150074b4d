"""One look for all pictures of the notebooks; boxes XYXY in pixels of the image."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from core.course import read_registry
from helpers.show.draw import to_picture

# Okabe and Ito's colours, which colour-blind people can tell apart.
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, RED, PURPLE, BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"
GREY = "#999999"
# The levels of all detectors, the finest first.
LEVELS = dict.fromkeys(
    level
    for detector in read_registry().detectors.values()
    for level in detector.strides
)
LEVEL_COLOURS = dict(zip(LEVELS, cycle((ORANGE, SKY, GREEN, PURPLE, YELLOW))))
# What is yours and what is expected, in every picture that compares them.
YOURS, EXPECTED = BLUE, ORANGE

WIDTH_IN = 9.0
SMALL_SIDE_PX = 128  # images of this shorter side have points of full size
DPI = 96
FONT_PT = 11
BOX_LINE = 2.5
HALO = [patheffects.withStroke(linewidth=4.5, foreground="black")]


def make_figure(
    rows: int = 1, columns: int = 1, height: float = 3.4, width: float = WIDTH_IN
) -> tuple[Figure, list[Axes]]:
    """A figure that is not shown by itself, and its axes row by row.

    Args:
        height: of the whole figure in inches.
        width: of the whole figure in inches.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    flat = list(grid.flat)
    for axes in flat:
        axes.tick_params(labelsize=FONT_PT - 2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(FONT_PT)
        axes.xaxis.label.set_fontsize(FONT_PT)
        axes.yaxis.label.set_fontsize(FONT_PT)
    return figure, flat


def show_image(
    axes: Axes, image: Image.Image | torch.Tensor, title: str = "", ticks: bool = True
) -> None:
    """Draw an image so that its edges are 0, W and 0, H, with y downwards.

    Args:
        image: PIL, or (3, H, W) float and ImageNet-normalised.
    """
    picture = to_picture(image)
    width, height = picture.size
    axes.imshow(
        np.asarray(picture), extent=(0, width, height, 0), interpolation="nearest"
    )
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_title(title, fontsize=FONT_PT)
    if not ticks:
        axes.set_xticks([])
        axes.set_yticks([])


def add_box(
    axes: Axes,
    box: Sequence[float] | torch.Tensor | np.ndarray,
    colour: str = ORANGE,
    label: str = "",
    **line: Any,
) -> None:
    """A box with a dark edge, so that it is seen on any background."""
    x1, y1, x2, y2 = (float(value) for value in list(box)[:4])
    frame = Rectangle(
        (x1, y1),
        x2 - x1,
        y2 - y1,
        **{"fill": False, "edgecolor": colour, "linewidth": BOX_LINE, **line},
    )
    frame.set_path_effects([*HALO, patheffects.Normal()])
    axes.add_patch(frame)
    if label:
        add_text(axes, x1 + 1, y1 + 1, label, colour)


def add_text(axes: Axes, x: float, y: float, text: str, colour: str = BLACK) -> None:
    """A text on a white plate whose top left corner is (x, y)."""
    axes.text(
        x,
        y,
        text,
        fontsize=FONT_PT - 1,
        va="top",
        ha="left",
        color="black",
        clip_on=True,
        bbox={"facecolor": "white", "edgecolor": colour, "pad": 1.5, "linewidth": 1.5},
    )


def add_points(
    axes: Axes,
    points_xy: torch.Tensor | np.ndarray,
    colour: str = YELLOW,
    size: float = 18,
    **marks: Any,
) -> None:
    """Points (N, 2) of (x, y) with a dark edge."""
    rows = np.asarray(points_xy, dtype=np.float64).reshape(-1, 2)
    axes.scatter(
        rows[:, 0],
        rows[:, 1],
        s=size,
        color=colour,
        **{"edgecolors": "black", "linewidths": 0.7, "zorder": 3, **marks},
    )


def point_share(image: torch.Tensor) -> float:
    """By how much points must shrink on a large image, so that they stay apart."""
    return min(1.0, (SMALL_SIDE_PX / min(image.shape[-2:])) ** 2)
