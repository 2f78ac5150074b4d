"""Pictures of matching: distances, candidates, and the box that each location gets."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from helpers.show.draw import PALETTE
from helpers.show.style import (
    FONT_PT,
    GREY,
    ORANGE,
    YELLOW,
    add_box,
    add_points,
    add_text,
    make_figure,
    point_share,
    show_image,
)

Points = Mapping[str, torch.Tensor]
POINT_SIZES = {"p3": 16, "p4": 40, "p5": 90}
# A box of 128 x 192 pixels and a smaller one in it, for a picture of its own.
NESTED = ((20.0, 10.0, 150.0, 118.0), (60.0, 40.0, 110.0, 90.0))


def draw_distances(
    distances: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    box: Sequence[float] | torch.Tensor,
    x: float,
    y: float,
) -> Figure:
    """The four distances that your function gives for one point and one box.

    Args:
        distances: your fcos_distances_to_edges.
        box: XYXY in pixels.
        x, y: the point, in pixels.
    """
    frame = torch.as_tensor(box, dtype=torch.float32)[:4]
    values = distances(torch.tensor([[x, y]]), frame[None])[0, 0].tolist()
    figure, (axes,) = make_figure(height=4.0)
    show_image(axes, image)
    add_box(axes, frame, ORANGE)
    steps = ((-1, 0), (0, -1), (1, 0), (0, 1))
    for name, value, (right, down) in zip("ltrb", values, steps, strict=True):
        end = (x + right * value, y + down * value)
        arrow = {"arrowstyle": "->", "color": "white", "lw": 2.5}
        axes.annotate("", xy=end, xytext=(x, y), arrowprops=arrow)
        add_text(
            axes,
            (x + end[0]) / 2 + 1,
            (y + end[1]) / 2 + 1,
            f"{name} {value:g}",
            ORANGE,
        )
    add_points(axes, np.array([[x, y]]), YELLOW, 80)
    where = "inside" if min(values) > 0 else "outside: a distance is not positive"
    axes.set_title(f"({x:g}, {y:g}) is {where};  largest {max(values):g}")
    return figure


def draw_candidates(
    distances: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    is_candidate: Callable[[torch.Tensor, tuple[float, float]], torch.Tensor],
    image: torch.Tensor,
    box: torch.Tensor,
    *,
    locations: Points,
    ranges: Mapping[str, tuple[float, float]],
) -> Figure:
    """Which locations of each level may be responsible for one box.

    Args:
        distances: your fcos_distances_to_edges.
        is_candidate: your fcos_is_candidate.
        box: XYXY in pixels.
        locations: level -> (N, 2) of (x, y).
        ranges: level -> (low, high) in pixels.
    """
    figure, panels = make_figure(1, len(locations), height=3.1)
    for axes, (level, points) in zip(panels, locations.items(), strict=True):
        inside = is_candidate(distances(points, box[None, :4]), ranges[level])[:, 0]
        show_image(axes, image, ticks=False)
        add_box(axes, box, ORANGE)
        size = POINT_SIZES.get(level, 40) * point_share(image)
        add_points(axes, points[~inside], GREY, size / 4, linewidths=0)
        add_points(axes, points[inside], YELLOW, size)
        low, high = ranges[level]
        axes.set_title(
            f"{level}, {low:g} to {high:g} px: {int(inside.sum())} candidates"
        )
    return figure


def draw_nested(
    pick: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    locations: torch.Tensor,
) -> Figure:
    """Two boxes in each other: which one each location gets from your function.

    Args:
        pick: your fcos_pick_smallest_box.
        locations: (N, 2) of (x, y).
    """
    boxes = torch.tensor(NESTED)
    low, high = boxes[None, :, :2], boxes[None, :, 2:]
    inside = ((locations[:, None] > low) & (locations[:, None] < high)).all(dim=2)
    sides = boxes[:, 2:] - boxes[:, :2]
    chosen = pick(inside, sides.prod(dim=1))
    figure, (axes,) = make_figure(height=3.8)
    both = int(inside.all(dim=1).sum())
    axes.set_title(f"{both} locations lie in both boxes")
    axes.set_xlim(0, 176)
    axes.set_ylim(128, 0)
    axes.set_aspect("equal")
    add_points(axes, locations[chosen < 0], GREY, 14)
    for index, box in enumerate(NESTED):
        add_box(axes, box, PALETTE[index], "AB"[index])
        add_points(axes, locations[chosen == index], PALETTE[index], 45)
    return figure


def box_numbers(matched: torch.Tensor, gt_boxes: torch.Tensor) -> torch.Tensor:
    """Which row of gt_boxes each location got: (N,), -1 for background."""
    same = (matched[:, None] == gt_boxes[None]).all(dim=2) & (gt_boxes[:, 4] >= 0)
    return torch.where(same.any(dim=1), same.float().argmax(dim=1), -1)


def draw_matches(
    image: torch.Tensor,
    gt_boxes: torch.Tensor,
    locations: Points,
    matched: Points,
    names: Sequence[str],
) -> Figure:
    """Every location in the colour of its box, for each level; grey is background.

    Args:
        gt_boxes: (M, 5), rows of -1 are padding.
        matched: level -> (N, 5), what your function gave.
        names: of the classes.
    """
    valid = gt_boxes[gt_boxes[:, 4] >= 0]
    figure, panels = make_figure(1, len(locations), height=2.9)
    for axes, (level, points) in zip(panels, locations.items(), strict=True):
        numbers = box_numbers(matched[level], valid)
        show_image(axes, image, ticks=False)
        size = POINT_SIZES.get(level, 40) * point_share(image)
        add_points(axes, points[numbers < 0], GREY, size / 5, linewidths=0)
        for index, box in enumerate(valid):
            colour = PALETTE[index % len(PALETTE)]
            add_box(axes, box, colour, linewidth=1.5)
            add_points(axes, points[numbers == index], colour, size)
        foreground = int((numbers >= 0).sum())
        axes.set_title(f"{level}: {foreground} of {len(points)} have a box")
    handles = [
        Line2D(
            [], [], color=PALETTE[index % len(PALETTE)], lw=4, label=_name(box, names)
        )
        for index, box in enumerate(valid)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(3, len(handles)),
        frameon=False,
        fontsize=FONT_PT - 1,
    )
    return figure


def _name(box: torch.Tensor, class_names: Sequence[str]) -> str:
    longest = float((box[2:4] - box[:2]).max())
    return f"{class_names[int(box[4])]}, longer side {longest:.0f} px"


def draw_one_match(
    image: torch.Tensor,
    locations: Points,
    matched: Points,
    class_names: Sequence[str],
    *,
    level: str,
    row: int,
    column: int,
) -> Figure:
    """One location of one level, and the box that it is responsible for.

    Args:
        row, column: of the cell; taken to the last one where there are fewer.
    """
    stride = 2 ** int(level[1:])
    width = -(-image.shape[2] // stride)
    height = -(-image.shape[1] // stride)
    row, column = min(row, height - 1), min(column, width - 1)
    index = row * width + column
    point, box = locations[level][index], matched[level][index]
    figure, (axes,) = make_figure(height=3.8)
    show_image(axes, image)
    add_points(axes, locations[level], GREY, 6, linewidths=0)
    told = "background"
    if box[4] >= 0:
        told = class_names[int(box[4])]
        add_box(axes, box, ORANGE, told)
    add_points(axes, point[None], YELLOW, 90)
    axes.set_title(f"{level}, row {row}, column {column} = place {index}: {told}")
    return figure
