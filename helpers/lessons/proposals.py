"""Boxes that nobody has to propose, and what one location cannot say."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from torchvision.ops import box_iou

from helpers.lessons.five_levels import (
    FIVE,
    Locations,
    add_thin_box,
    level_sizes,
    locations_of,
)
from helpers.show.style import (
    BLUE,
    GREY,
    ORANGE,
    YELLOW,
    add_box,
    add_points,
    add_text,
    make_figure,
    show_image,
)

# Lin et al., "Focal Loss", 2017, section 4: sides of 4 strides times these, each in
# three shapes (height over width).
SIDES_IN_STRIDES = (4.0, 4.0 * 2 ** (1 / 3), 4.0 * 2 ** (2 / 3))
SHAPES = (0.5, 1.0, 2.0)
ANCHORS = len(SIDES_IN_STRIDES) * len(SHAPES)
POSITIVE_IOU = 0.5  # of an anchor with a true box
# A drawn rider on a drawn horse, pixels of a picture of 640 x 480.
SCENE = (480, 640)
HORSE, RIDER = (90.0, 150.0, 550.0, 460.0), (240.0, 30.0, 400.0, 370.0)


def anchors_at(points: torch.Tensor, stride: int) -> torch.Tensor:
    """RetinaNet's boxes of a level: (N * 9, 4) XYXY in pixels."""
    halves = torch.tensor(
        [
            (side * stride / shape**0.5 / 2, side * stride * shape**0.5 / 2)
            for side in SIDES_IN_STRIDES
            for shape in SHAPES
        ]
    )
    low, high = points[:, None] - halves, points[:, None] + halves
    return torch.cat((low, high), dim=2).reshape(-1, 4)


def count_locations(height: int, width: int) -> int:
    """Of p3 to p7 for an image of this size."""
    return sum(rows * columns for rows, columns in level_sizes(height, width).values())


def count_anchors(height: int, width: int) -> int:
    """Boxes that RetinaNet proposes for an image of this size."""
    return ANCHORS * count_locations(height, width)


def count_positive(points: Locations, rows: torch.Tensor) -> int:
    """Of these anchors, how many overlap a true box by at least half (IoU)."""
    boxes = rows[rows[:, 4] >= 0, :4]
    anchors = [anchors_at(own, FIVE[level]) for level, own in points.items()]
    best = box_iou(torch.cat(anchors), boxes).amax(dim=1)
    return int((best >= POSITIVE_IOU).sum())


def draw_proposals(
    image: torch.Tensor,
    rows: torch.Tensor,
    get_locations: Callable[..., Locations],
    level: str = "p6",
) -> Figure:
    """One location of a level: nine proposed boxes, or four distances.

    Args:
        image: (3, H, W), normalised.
        rows: (M, 5) of its true boxes; the first one is looked at.
        get_locations: your 4.1.
    """
    size = (image.shape[1], image.shape[2])
    points = locations_of(*size, get_locations)
    box = rows[0, :4]
    middle = (box[:2] + box[2:]) / 2
    point = points[level][(points[level] - middle).abs().amax(dim=1).argmin()]
    figure, (left, right) = make_figure(1, 2, height=3.8)
    show_image(left, image, ticks=False)
    for anchor in anchors_at(point[None], FIVE[level]):
        add_thin_box(left, anchor, "white")
    everywhere = count_anchors(*size)
    positive = count_positive(points, rows)
    left.set_title(f"anchors: {ANCHORS} here, {everywhere:,} in all")
    left.set_xlabel(f"{positive:,} of them overlap an object by half")
    show_image(right, image, ticks=False)
    add_box(right, box, ORANGE, linewidth=1.5)
    x, y = point.tolist()
    x1, y1, x2, y2 = box.tolist()
    for end in ((x1, y), (x, y1), (x2, y), (x, y2)):
        arrow = {"arrowstyle": "->", "color": "white", "lw": 2}
        right.annotate("", xy=end, xytext=(x, y), arrowprops=arrow)
    number = count_locations(*size)
    right.set_title(f"FCOS: 4 distances here, {number:,} boxes in all")
    for axes in (left, right):
        add_points(axes, point[None], YELLOW, 60)
    return figure


def draw_rider(
    parts: Sequence[Callable],
    ranges: Mapping[str, tuple[float, float]],
    levels: tuple[str, str] = ("p5", "p6"),
) -> Figure:
    """A rider on a horse: which locations of two levels fit both, and who wins.

    Args:
        parts: your 4.1, 4.2 and 4.3.
        ranges: of your 10.7.
    """
    get_locations, distances, is_candidate = parts
    points = locations_of(*SCENE, get_locations)
    boxes = torch.tensor([HORSE, RIDER])
    figure, panels = make_figure(1, 3, height=3.3, width=11.0)
    for axes in panels:
        axes.set_xlim(0, SCENE[1])
        axes.set_ylim(SCENE[0], 0)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        _draw_scene(axes)
    first, *others = panels
    first.set_title("two objects, two boxes")
    add_text(first, HORSE[0] + 6, HORSE[3] - 40, "horse", BLUE)
    add_text(first, RIDER[0] + 6, RIDER[1] + 6, "rider", ORANGE)
    for axes, level in zip(others, levels, strict=True):
        fits = is_candidate(distances(points[level], boxes), ranges[level])
        _draw_winners(axes, level, points[level], fits)
    return figure


def _draw_winners(
    axes: Axes, level: str, points: torch.Tensor, fits: torch.Tensor
) -> None:
    """Locations that fit horse, rider or both, (N, 2) bool; the smaller box wins."""
    horse, rider = fits.T
    both = horse & rider
    groups = (
        (~horse & ~rider, GREY, "o", 8),
        (horse & ~both, BLUE, "o", 40),
        (rider & ~both, ORANGE, "o", 40),
        (both, ORANGE, "X", 75),
    )
    for chosen, colour, marker, size in groups:
        add_points(axes, points[chosen], colour, size, marker=marker)
    axes.set_title(f"{level}: {int(both.sum())} locations fit both")
    left = int((horse & ~both).sum())
    axes.set_xlabel(f"{int(rider.sum())} say rider, {left} say horse")


def _draw_scene(axes: Axes) -> None:
    """Both bodies as plain shapes, and their boxes."""
    horse = [
        (90, 250), (130, 205), (165, 155), (185, 190), (200, 240), (450, 240),
        (520, 260), (550, 360), (525, 330), (505, 300), (500, 460), (470, 460),
        (455, 345), (260, 350), (250, 460), (220, 460), (205, 330), (175, 270),
        (115, 285),
    ]  # fmt: skip
    rider = [
        (290, 120), (345, 120), (360, 190), (345, 240), (400, 270), (385, 370),
        (345, 365), (350, 300), (295, 290), (285, 240), (240, 215), (245, 195),
    ]  # fmt: skip
    axes.add_patch(Polygon(horse, facecolor="0.72", edgecolor="0.4"))
    axes.add_patch(Polygon(rider, facecolor="0.5", edgecolor="0.3"))
    head = np.linspace(0, 2 * np.pi, 30)
    ring = np.stack((318 + 32 * np.cos(head), 76 + 46 * np.sin(head)), axis=1)
    axes.add_patch(Polygon(ring, facecolor="0.5", edgecolor="0.3"))
    add_box(axes, HORSE, BLUE, linewidth=1.5)
    add_box(axes, RIDER, ORANGE, linewidth=1.5)
