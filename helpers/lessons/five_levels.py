"""What five levels take that three cannot."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.data.voc import VOC2007DetectionTiny
from helpers.show.style import (
    BLUE,
    FONT_PT,
    LEVEL_COLOURS,
    RED,
    add_box,
    make_figure,
    show_image,
)

THREE = {"p3": 8, "p4": 16, "p5": 32}
FIVE = THREE | {"p6": 64, "p7": 128}
# Strides that the largest distance of a level's own sizes may have.
MOST_STRIDES = 8
Locations = dict[str, torch.Tensor]
GetLocations = Callable[..., Locations]
Ranges = Mapping[str, tuple[float, float]]
GetRanges = Callable[[dict[str, int]], Ranges]


def level_sizes(height: int, width: int) -> dict[str, tuple[int, int]]:
    """(H, W) of p3 to p7 for an image of this size; a rest counts as a whole cell."""
    return {
        level: (-(-height // stride), -(-width // stride))
        for level, stride in FIVE.items()
    }


def locations_of(
    height: int,
    width: int,
    get_locations: GetLocations,
    strides: Mapping[str, int] = FIVE,
) -> Locations:
    """The locations of some levels for an image of this size, from your 4.1."""
    sizes = level_sizes(height, width)
    shapes = {level: (1, 1, *sizes[level]) for level in strides}
    return get_locations(shapes, dict(strides))


def level_of(reach_px: float, ranges: Ranges) -> str:
    """The level whose range holds a distance in pixels."""
    return next(level for level, (_, high) in ranges.items() if reach_px <= high)


def reach_of(box: torch.Tensor) -> float:
    """From the middle of a box to its farther edges, in pixels."""
    x1, y1, x2, y2 = box[:4].tolist()
    return max(x2 - x1, y2 - y1) / 2


def draw_levels_at_work(
    image: torch.Tensor, rows: torch.Tensor, get_ranges: GetRanges
) -> Figure:
    """The level that takes each box at its middle: of three levels, and of five.

    Args:
        image: (3, H, W), normalised.
        rows: (M, 5) of its true boxes.
        get_ranges: fcos_size_range_per_level of part one.
    """
    figure, panels = make_figure(1, 2, height=3.6, width=10.0)
    for axes, strides in zip(panels, (THREE, FIVE), strict=True):
        ranges = get_ranges(dict(strides))
        show_image(axes, image, f"{len(strides)} levels", ticks=False)
        for box in rows[rows[:, 4] >= 0]:
            level = level_of(reach_of(box), ranges)
            reach = reach_of(box) / strides[level]
            add_box(axes, box, LEVEL_COLOURS[level], f"{level}: {reach:.1f} strides")
    return figure


def add_thin_box(axes: Axes, box: torch.Tensor, colour: str) -> None:
    """A box without the dark edge, where many lie close to each other."""
    x1, y1, x2, y2 = box[:4].tolist()
    frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, lw=1.2, edgecolor=colour)
    axes.add_patch(frame)


def reaches_in_strides(
    dataset: VOC2007DetectionTiny,
    images: int,
    zoom: float,
    strides: Mapping[str, int],
    get_ranges: GetRanges,
) -> dict[str, list[float]]:
    """For each level, how far the edges of its boxes are from their middle, in strides.

    Args:
        zoom: by how much larger the pictures are than the data set gives them.
        get_ranges: fcos_size_range_per_level of part one.
    """
    ranges = get_ranges(dict(strides))
    found: dict[str, list[float]] = {level: [] for level in strides}
    for index in range(min(images, len(dataset))):
        _, _, rows = dataset[index]
        for box in rows[rows[:, 4] >= 0]:
            level = level_of(zoom * reach_of(box), ranges)
            found[level].append(zoom * reach_of(box) / strides[level])
    return found


def share_beyond(reaches: Mapping[str, list[float]]) -> float:
    """Of 100 objects, how many reach farther than 8 strides from their middle."""
    every = [reach for own in reaches.values() for reach in own]
    return 100 * sum(reach > MOST_STRIDES for reach in every) / max(1, len(every))


def draw_reaches(*panels_of: Mapping[str, list[float]]) -> Figure:
    """How far objects reach from their middle, in strides of their level."""
    figure, panels = make_figure(1, len(panels_of), height=3.0)
    every = [reach for panel in panels_of for own in panel.values() for reach in own]
    bins = [float(edge) for edge in range(math.ceil(max(every)) + 1)]
    for axes, reaches in zip(panels, panels_of, strict=True):
        axes.hist(
            list(reaches.values()),
            bins=bins,
            stacked=True,
            color=[LEVEL_COLOURS[level] for level in reaches],
            label=list(reaches),
        )
        axes.axvspan(MOST_STRIDES, bins[-1], color=RED, alpha=0.12)
        axes.set_xlabel("from the middle to the farther edge, in strides")
        axes.set_ylabel("objects")
        far = share_beyond(reaches)
        axes.set_title(f"{len(reaches)} levels: {far:.0f} of 100 beyond {MOST_STRIDES}")
        axes.legend(frameon=False, fontsize=FONT_PT - 1, loc="upper right")
    return figure


@torch.no_grad()
def draw_five_maps(image: torch.Tensor, features: Mapping[str, torch.Tensor]) -> Figure:
    """The image and how strongly each cell of each level answers.

    Args:
        image: (3, H, W), normalised.
        features: level -> (1, C, h, w).
    """
    figure, panels = make_figure(2, 3, height=4.4)
    height, width = image.shape[1:]
    show_image(panels[0], image, f"image ({height}, {width})", ticks=False)
    for axes, (level, values) in zip(panels[1:], features.items(), strict=True):
        strength = values[0].abs().mean(dim=0)
        rows, columns = strength.shape
        axes.imshow(np.asarray(strength), cmap="magma", extent=(0, width, height, 0))
        axes.set_title(f"{level}: ({rows}, {columns}), {rows * columns:,} locations")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


@torch.no_grad()
def draw_what_relu_takes(p6: torch.Tensor) -> Figure:
    """The numbers of p6, and one of its channels before and behind a ReLU.

    Args:
        p6: (1, C, h, w).
    """
    figure, (left, middle, right) = make_figure(1, 3, height=2.9, width=10.0)
    numbers = p6.flatten().numpy()
    reach = float(np.quantile(np.abs(numbers), 0.998))
    halves = [numbers[numbers < 0], numbers[numbers >= 0]]
    left.hist(halves, bins=60, range=(-reach, reach), stacked=True, color=[RED, BLUE])
    share = float((p6 < 0).float().mean())
    left.set_title(f"all of p6: {share:.0%} are below 0")
    left.set_xlabel("value")
    # The channel whose two signs are most even has most to lose.
    even = (p6[0] < 0).float().mean(dim=(1, 2)).sub(0.5).abs().argmin()
    channel = p6[0, even]
    most = float(channel.abs().max())
    titles = ("one channel of p6", "the same behind the ReLU")
    for axes, values, title in zip(
        (middle, right), (channel, channel.clamp(min=0)), titles, strict=True
    ):
        shown = axes.imshow(np.asarray(values), cmap="RdBu", vmin=-most, vmax=most)
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(shown, ax=[middle, right], shrink=0.8)
    return figure
