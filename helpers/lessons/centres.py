"""Pictures of notebook 11: which locations are near the centre of a box.

Boxes are XYXY in pixels of the image; locations are (x, y).
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from helpers.show.style import (
    BLACK,
    BLUE,
    FONT_PT,
    GREEN,
    GREY,
    LEVEL_COLOURS,
    ORANGE,
    RED,
    SKY,
    YELLOW,
    add_box,
    add_points,
    make_figure,
    point_share,
    show_image,
)

Near = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Points = Mapping[str, torch.Tensor]
STRIDE = 8
RADII = (0.0, 0.5, 1.5)  # in strides; 0 is the whole box
VIEW = 16  # pixels from a location to the edge of what is shown of its surroundings
# Two boxes for a picture of their own, and the size (W, H) of its plane.
BROAD, NARROW = (20.0, 8.0, 152.0, 84.0), (81.0, 4.0, 91.0, 88.0)
PLANE = (160, 96)
SIZES = (62, 63, 64, 65, 66)  # in pixels
WHOSE = {
    "high": "low < size <= high: this course",
    "both": "low <= size <= high: the authors' code",
    "none": "low < size < high: torchvision, Detectron2",
}


def grid(size: tuple[int, int], stride: int = STRIDE) -> torch.Tensor:
    """The locations (N, 2) of one level of an image (H, W), row by row."""
    y, x = (torch.arange(stride / 2, side, stride) for side in size)
    return torch.cartesian_prod(y, x).flip(1)


def is_inside(points: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """(N, M) bool: strictly inside of each box (M, 4)."""
    low, high = boxes[None, :, :2], boxes[None, :, 2:]
    return ((points[:, None] > low) & (points[:, None] < high)).all(dim=2)


def draw_views(image: torch.Tensor, box: torch.Tensor) -> Figure:
    """What three locations of one box see around them: corner, edge and middle."""
    points = grid((image.shape[1], image.shape[2]))
    inside = points[is_inside(points, box[None, :4])[:, 0]]
    x1, y1, x2, y2 = box[:4].tolist()
    wanted = {
        "near a corner": (x1, y1),
        "near an edge": ((x1 + x2) / 2, y2),
        "in the middle": ((x1 + x2) / 2, (y1 + y2) / 2),
    }
    figure, (whole, *views) = make_figure(1, 4, height=2.7)
    show_image(whole, image, f"{len(inside)} locations of p3", ticks=False)
    add_box(whole, box, ORANGE)
    add_points(whole, inside, GREY, 8 * point_share(image))
    for axes, colour, (name, aim) in zip(
        views, (RED, SKY, GREEN), wanted.items(), strict=True
    ):
        near = (inside - torch.tensor(aim)).abs().amax(dim=1).argmin()
        x, y = inside[near].tolist()
        add_points(whole, inside[near], colour, 60)
        show_image(axes, image, name, ticks=False)
        # All of the view lies in the image.
        a, b = (
            min(max(middle, VIEW), side - VIEW)
            for middle, side in zip((x, y), image.shape[:0:-1], strict=True)
        )
        axes.set(xlim=(a - VIEW, a + VIEW), ylim=(b + VIEW, b - VIEW))
        add_points(axes, inside[near], colour, 60)
    return figure


def most_near(radius: float) -> int:
    """At most so many cells of one level are near one centre, tried out.

    Args:
        radius: in strides.
    """
    cells = torch.arange(-9, 10)
    centres = torch.linspace(0, 1, 101)
    along = ((cells - centres[:, None]).abs() < radius).sum(dim=1).max()
    return int(along) ** 2


def draw_radii(near: Near, image: torch.Tensor, boxes: torch.Tensor) -> Figure:
    """Foreground of the finest level for three radii, from your function.

    Args:
        near: your is_near_centre.
        boxes: (M, 4 or 5), without padding.
    """
    points = grid((image.shape[1], image.shape[2]))
    figure, panels = make_figure(1, len(RADII), height=3.0)
    for axes, radius in zip(panels, RADII, strict=True):
        chosen = is_inside(points, boxes[:, :4])
        if radius > 0:
            reach = torch.full((len(points),), radius * STRIDE)
            chosen &= near(points, boxes[:, :4], reach)
        is_foreground = chosen.any(dim=1)
        name = f"radius {radius:g}" if radius else "radius 0: the whole box"
        show_image(axes, image, f"{name}\n{int(is_foreground.sum())} locations")
        axes.set(xticks=[], yticks=[])
        for box in boxes:
            add_box(axes, box, ORANGE)
        size = point_share(image)
        add_points(axes, points[~is_foreground], GREY, 4 * size, linewidths=0)
        add_points(axes, points[is_foreground], YELLOW, 26 * size)
    return figure


def draw_square(near: Near, stride: int = STRIDE, radius: float = 1.5) -> Figure:
    """A square in a broad box, and one that a narrow box cuts; your function's choice.

    Args:
        near: your is_near_centre.
        stride: of the level, in pixels.
        radius: in strides.
    """
    points = grid((PLANE[1], PLANE[0]), stride)
    reach = torch.full((len(points),), radius * stride)
    figure, panels = make_figure(1, 2, height=3.3)
    for axes, corners in zip(panels, (BROAD, NARROW), strict=True):
        box = torch.tensor([corners])
        is_near = near(points, box, reach)[:, 0]
        inside = is_inside(points, box)[:, 0]
        _draw_reach(axes, box[0], radius * stride)
        add_points(axes, points[~is_near], GREY, 8, linewidths=0)
        add_points(axes, points[is_near & inside], YELLOW, 55)
        add_points(axes, points[is_near & ~inside], RED, 55, marker="X")
        outside = int((is_near & ~inside).sum())
        axes.set_title(
            f"{int(is_near.sum())} near the centre, {outside} of them outside",
            fontsize=FONT_PT,
        )
    return figure


def _draw_reach(axes: Axes, box: torch.Tensor, reach: float) -> None:
    """A box on an empty plane, with the square and the circle around its centre."""
    axes.set(xlim=(0, PLANE[0]), ylim=(PLANE[1], 0), aspect="equal")
    axes.set(xticks=[], yticks=[])
    axes.set_facecolor("#EEEEEE")
    add_box(axes, box, ORANGE)
    x, y = ((box[:2] + box[2:]) / 2).tolist()
    add_box(axes, (x - reach, y - reach, x + reach, y + reach), BLUE, linestyle="--")
    axes.add_patch(Circle((x, y), reach, fill=False, edgecolor=BLACK, linestyle=":"))


def draw_ends(
    is_in_range: Callable[[torch.Tensor, torch.Tensor, str], torch.Tensor],
) -> Figure:
    """Which level takes a box by its largest distance, for each kind of ends.

    Args:
        is_in_range: the given function.
    """
    largest = torch.tensor([[float(size)] for size in SIZES])
    figure, panels = make_figure(1, len(WHOSE), height=2.2, width=10)
    for axes, (ends, whose) in zip(panels, WHOSE.items(), strict=True):
        for row, (level, limits) in enumerate((("p3", (0, 64)), ("p4", (64, 128)))):
            ranges = torch.tensor([limits]).expand(len(SIZES), 2)
            is_taken = is_in_range(largest, ranges, ends)[:, 0].tolist()
            for size, taken in zip(SIZES, is_taken, strict=True):
                colour = LEVEL_COLOURS[level] if taken else "white"
                add_points(axes, np.array([[size, row]]), colour, 110)
        axes.set(xlim=(61.4, 66.6), ylim=(1.6, -0.6), xticks=SIZES)
        axes.set_yticks([0, 1], ["p3", "p4"])
        axes.axvline(64, color=GREY, linewidth=1, zorder=0)
        axes.set_title(f'"{ends}"\n{whose}', fontsize=FONT_PT - 2)
        axes.set_xlabel("largest distance, pixels", fontsize=FONT_PT - 1)
    return figure
