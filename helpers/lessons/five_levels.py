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
    add_points,
    make_figure,
    show_image,
)

THREE = {"p3": 8, "p4": 16, "p5": 32}
FIVE = THREE | {"p6": 64, "p7": 128}
# Strides that the largest distance of a level's own sizes may have.
MOST_STRIDES = 8
POINT_SIZES = {"p3": 1, "p4": 3, "p5": 7, "p6": 18, "p7": 40}
Locations = dict[str, torch.Tensor]
GetLocations = Callable[..., Locations]
Match = Callable[[Locations, dict[str, int], torch.Tensor], Locations]
GetDeltas = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]


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


def draw_levels_at_work(
    image: torch.Tensor, rows: torch.Tensor, get_locations: GetLocations, match: Match
) -> Figure:
    """Foreground of each level on one large picture: three levels, and below five.

    Args:
        image: (3, H, W), normalised.
        rows: (M, 5) of its true boxes.
        get_locations, match: your 4.1 and 4.5.
    """
    height, width = image.shape[1:]
    figure, panels = make_figure(2, len(FIVE), height=3.9, width=11.0)
    for place, strides in enumerate((THREE, FIVE)):
        points = locations_of(height, width, get_locations, strides)
        matched = match(points, dict(strides), rows)
        own = panels[place * len(FIVE) : (place + 1) * len(FIVE)]
        for axes, level in zip(own, FIVE, strict=True):
            if level not in strides:
                axes.set_axis_off()
                continue
            is_foreground = matched[level][:, 4] >= 0
            number = int(is_foreground.sum())
            title = f"{level}: {number:,} foreground"
            show_image(axes, image, title, ticks=False)
            for box in rows[rows[:, 4] >= 0]:
                add_thin_box(axes, box, "white")
            chosen = points[level][is_foreground]
            size = POINT_SIZES[level]
            add_points(axes, chosen, LEVEL_COLOURS[level], size, linewidths=0.2)
        own[0].set_ylabel(f"{len(strides)} levels", fontsize=FONT_PT)
    return figure


def add_thin_box(axes: Axes, box: torch.Tensor, colour: str) -> None:
    """A box without the dark edge, where many lie close to each other."""
    x1, y1, x2, y2 = box[:4].tolist()
    frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, lw=1.2, edgecolor=colour)
    axes.add_patch(frame)


def sizes_in_strides(
    dataset: VOC2007DetectionTiny,
    images: int,
    zoom: float,
    strides: Mapping[str, int],
    functions: tuple[GetLocations, Match, GetDeltas],
) -> dict[str, torch.Tensor]:
    """For each level, the largest distance of every foreground location, in strides.

    Args:
        zoom: by how much larger the pictures are than the data set gives them.
        functions: your 4.1, 4.5 and 5.1.
    """
    get_locations, match, get_deltas = functions
    found: dict[str, list[torch.Tensor]] = {level: [] for level in strides}
    for index in range(min(images, len(dataset))):
        _, image, rows = dataset[index]
        rows = torch.cat((zoom * rows[:, :4], rows[:, 4:]), dim=1)
        rows = rows[rows[:, 4] >= 0]
        height, width = (round(zoom * side) for side in image.shape[1:])
        points = locations_of(height, width, get_locations, strides)
        for level, matched in match(points, dict(strides), rows).items():
            own = matched[:, 4] >= 0
            deltas = get_deltas(points[level][own], matched[own], strides[level])
            found[level].append(deltas.amax(dim=1))
    return {level: torch.cat(parts) for level, parts in found.items()}


def share_beyond(sizes: Mapping[str, torch.Tensor]) -> float:
    """Of 100 foreground locations, how many have a distance of more than 8 strides."""
    every = torch.cat(list(sizes.values()))
    return 100 * float((every > MOST_STRIDES).float().mean())


def draw_sizes_in_strides(*panels_of: Mapping[str, torch.Tensor]) -> Figure:
    """How large the largest distances are, in strides of their level."""
    figure, panels = make_figure(1, len(panels_of), height=3.0)
    top = max(float(v.max()) for sizes in panels_of for v in sizes.values() if len(v))
    bins = [float(edge) for edge in range(math.ceil(top) + 1)]
    for axes, sizes in zip(panels, panels_of, strict=True):
        axes.hist(
            # A distance of 8 strides sharp belongs to the bin below.
            [values.numpy() - 1e-4 for values in sizes.values()],
            bins=bins,
            stacked=True,
            color=[LEVEL_COLOURS[level] for level in sizes],
            label=list(sizes),
        )
        axes.axvspan(MOST_STRIDES, bins[-1], color=RED, alpha=0.12)
        axes.set_xlabel("largest distance in strides")
        axes.set_ylabel("foreground locations")
        far = share_beyond(sizes)
        axes.set_title(f"{len(sizes)} levels: {far:.0f} of 100 beyond {MOST_STRIDES}")
        axes.legend(frameon=False, fontsize=FONT_PT - 1)
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
