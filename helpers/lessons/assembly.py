"""Pictures of notebook 7: the parts of FCOS, its targets, its normalizer."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from helpers.show.draw import class_colour
from helpers.show.style import (
    BLACK,
    BLUE,
    FONT_PT,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SKY,
    add_box,
    make_figure,
    show_image,
)

STRIDES = {"p3": 8, "p4": 16, "p5": 32}
NORMALIZER_START = 150.0

Targets = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _plate(
    axes: Axes, x: float, y: float, text: str, *, colour: str, width: float = 1.7
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            0.8,
            boxstyle="round,pad=0.05",
            facecolor=colour,
            edgecolor=BLACK,
            alpha=0.85,
        )
    )
    axes.text(
        x + width / 2, y + 0.4, text, ha="center", va="center", fontsize=FONT_PT - 1
    )


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": BLACK}
    )


def draw_parts() -> Figure:
    """The parts of the detector, and what goes from one to the next."""
    figure, (axes,) = make_figure(1, 1, height=3.4)
    axes.set(xlim=(-0.2, 12.4), ylim=(-0.4, 4.2))
    axes.set_axis_off()
    _plate(axes, 0, 1.4, "images\n(B, 3, H, W)", colour="#DDDDDD")
    _plate(axes, 2.5, 1.4, "backbone\nand FPN", colour=SKY)
    for y, level in ((2.8, "p3"), (1.4, "p4"), (0, "p5")):
        _plate(
            axes, 5.0, y, f"{level}: H/{STRIDES[level]}", colour="#CFE8F7", width=1.2
        )
        _arrow(axes, (4.25, 1.8), (4.95, y + 0.4))
        _arrow(axes, (6.25, y + 0.4), (7.0, 1.8))
    _plate(axes, 7.05, 1.4, "the head\n(one for all)", colour=ORANGE)
    outputs = ((2.8, "class logits\n(B, N, K)"), (1.4, "deltas\n(B, N, 4)"))
    for y, text in (*outputs, (0, "centerness\n(B, N, 1)")):
        _plate(axes, 9.6, y, text, colour="#F8E3B6", width=1.8)
        _arrow(axes, (8.8, 1.8), (9.55, y + 0.4))
    _arrow(axes, (1.75, 1.8), (2.45, 1.8))
    for x, name in ((3.35, "self.backbone"), (7.9, "self.pred_net")):
        axes.text(x, 1.15, name, ha="center", family="monospace", fontsize=FONT_PT - 2)
    axes.text(11.5, 2.5, "training:\nlosses", fontsize=FONT_PT, color=RED)
    axes.text(11.5, 1.0, "else:\nboxes", fontsize=FONT_PT, color=GREEN)
    return figure


def split_levels(
    joined: torch.Tensor, size: tuple[int, int]
) -> dict[str, torch.Tensor]:
    """Values (N,) of all levels one after the other -> for each level a grid (h, w).

    Args:
        joined: (N,) in the order p3, p4, p5, each row by row.
        size: (H, W) of the image in pixels.
    """
    grids, start = {}, 0
    for level, stride in STRIDES.items():
        height, width = (-(-side // stride) for side in size)  # rounded up
        end = start + height * width
        grids[level] = joined[start:end].reshape(height, width)
        start = end
    return grids


def draw_targets(
    image: torch.Tensor, rows: torch.Tensor, targets: Targets, names: Sequence[str]
) -> Figure:
    """What each location of each level should say: its class, and its centerness.

    Args:
        rows: (M, 5) true boxes, may end in padding.
        targets: classes (N,), deltas (N, 4), centerness (N,) of this image.
        names: of the classes.
    """
    classes, _, centerness = targets
    size = (int(image.shape[1]), int(image.shape[2]))
    figure, panels = make_figure(2, 3, height=5.2)
    by_class, by_centre = split_levels(classes, size), split_levels(centerness, size)
    for column, (level, stride) in enumerate(STRIDES.items()):
        top, bottom = panels[column], panels[3 + column]
        number = int((by_class[level] >= 0).sum())
        show_image(top, image, f"{level}: {number} foreground", ticks=False)
        show_image(bottom, image, "centerness", ticks=False)
        for row in rows[rows[:, 4] >= 0]:
            add_box(top, row, class_colour(int(row[4])), linewidth=1.5)
        height, width = by_class[level].shape
        y, x = np.mgrid[0:height, 0:width] * stride + stride / 2
        flat = by_class[level].flatten().long().tolist()
        colours = [
            class_colour(class_id) if class_id >= 0 else "#FFFFFF" for class_id in flat
        ]
        marks = [30 if class_id >= 0 else 4 for class_id in flat]
        top.scatter(x, y, c=colours, s=marks, edgecolors="black", linewidths=0.5)
        field = np.ma.masked_less(by_centre[level].numpy(), 0)
        shown = bottom.imshow(
            field,
            extent=(0, width * stride, height * stride, 0),
            cmap="viridis",
            vmin=0,
            vmax=1,
            alpha=0.85,
        )
        bottom.set_xlim(0, size[1])
        bottom.set_ylim(size[0], 0)
    figure.colorbar(shown, ax=panels[3:], shrink=0.85)
    found = sorted({int(class_id) for class_id in classes.tolist() if class_id >= 0})
    handles = [
        Line2D([], [], color=class_colour(class_id), lw=4, label=names[class_id])
        for class_id in found
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def draw_normalizer(counts: Sequence[float], means: Sequence[float]) -> Figure:
    """Foreground locations of each batch, and the running mean behind them."""
    figure, (axes,) = make_figure(1, 1, height=2.9)
    steps = np.arange(1, len(counts) + 1)
    axes.plot(steps, counts, "o", color=ORANGE, ms=4, label="this batch, per image")
    axes.plot(steps, means, color=BLUE, lw=2.5, label="your running mean")
    axes.axhline(NORMALIZER_START, color=GREY, lw=1, ls="--")
    axes.text(len(counts), NORMALIZER_START + 3, "start", ha="right", color="#555555")
    axes.set(xlabel="batch", ylabel="foreground locations", ylim=(0, None))
    axes.legend(frameon=False, fontsize=FONT_PT - 1)
    return figure
