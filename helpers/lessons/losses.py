"""Pictures of notebook 6: what each loss punishes, and how much of it there is.

Boxes are XYXY in pixels of the image.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torchvision.ops import box_iou, generalized_box_iou

from helpers.show.style import (
    BLACK,
    BLUE,
    FONT_PT,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SKY,
    YOURS,
    add_box,
    add_points,
    make_figure,
    show_image,
)

PRIOR = 0.01  # first class probability everywhere; its logit is the bias of pred_cls
STRIDE = 8
SMALLEST_LABELLED = 0.03  # share of a bar that has room for its number
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def paint_classes(
    rows: torch.Tensor, size: tuple[int, int], stride: int = STRIDE
) -> torch.Tensor:
    """The class at the middle of each cell, read from boxes painted on the image.

    Large boxes are painted first, so that small ones lie on top. There is one level
    only, without size ranges.

    Args:
        rows: (M, 5) true boxes, may end in padding.
        size: (H, W) of the image in pixels.

    Returns:
        (H / stride, W / stride) int64; -1 where no box is.
    """
    painted = torch.full(size, -1)
    real = [row for row in rows.tolist() if row[4] >= 0]
    real.sort(key=lambda row: (row[2] - row[0]) * (row[3] - row[1]), reverse=True)
    for x1, y1, x2, y2, class_id in real:
        painted[round(y1) : round(y2), round(x1) : round(x2)] = int(class_id)
    return painted[stride // 2 :: stride, stride // 2 :: stride]


def _cell_middles(is_shown: torch.Tensor) -> np.ndarray:
    """(x, y) of the marked cells of a (H, W) grid."""
    row, column = torch.nonzero(is_shown, as_tuple=True)
    return np.stack((column, row), axis=1) * STRIDE + STRIDE / 2


def draw_imbalance(image: torch.Tensor, rows: torch.Tensor) -> Figure:
    """Foreground and background cells of one image, and how many there are."""
    figure, (axes, bars) = make_figure(1, 2, height=3.4)
    height, width = image.shape[1:]
    is_object = paint_classes(rows, (height, width)) >= 0
    show_image(axes, image, "a location every 8 pixels", ticks=False)
    add_points(axes, _cell_middles(~is_object), colour=BLACK, size=5)
    add_points(axes, _cell_middles(is_object), colour=ORANGE, size=22)
    numbers = [int((~is_object).sum()), int(is_object.sum())]
    shown = bars.barh(["background", "in a box"], numbers, color=[GREY, ORANGE])
    bars.bar_label(shown, padding=3)
    bars.set_xlim(0, 1.15 * max(numbers))
    bars.set_xlabel("locations")
    return figure


def draw_focal() -> Figure:
    """Loss of one answer over the probability that it gave to the truth."""
    figure, (axes,) = make_figure(1, 1, height=3.2, width=7)
    probability = np.linspace(0.01, 1, 300)
    curves = ((0, BLACK, "-"), (1, SKY, "--"), (2, BLUE, "-"), (5, GREEN, ":"))
    for gamma, colour, line in curves:
        name = "gamma 0: cross-entropy" if gamma == 0 else f"gamma {gamma}"
        axes.plot(
            probability,
            -((1 - probability) ** gamma) * np.log(probability),
            line,
            color=colour,
            lw=2.3,
            label=name,
        )
    axes.axvspan(0.6, 1, color=GREY, alpha=0.2)
    axes.text(0.8, 3.6, "easy: already right", ha="center", fontsize=FONT_PT - 1)
    axes.set(xlabel="probability of the true answer", ylabel="loss", ylim=(0, 4.5))
    axes.legend(frameon=False, fontsize=FONT_PT - 1, loc=(0.2, 0.62))
    return figure


def draw_shares(image: torch.Tensor, rows: torch.Tensor, num_classes: int) -> Figure:
    """Who makes up the class loss of one image, with and without focus.

    Every yes-or-no question is answered with 0.05, and a true class with 0.4: what a
    network might say early in training.
    """
    height, width = image.shape[1:]
    is_object = paint_classes(rows, (height, width)) >= 0
    questions = num_classes * is_object.numel()
    number = {"objects": int(is_object.sum())}
    number["all other answers"] = questions - number["objects"]
    truth = {"objects": 0.4, "all other answers": 0.95}
    figure, (axes,) = make_figure(1, 1, height=2.4)
    for place, (name, gamma) in enumerate((("cross-entropy", 0), ("gamma 2", 2))):
        loss = {
            who: number[who] * (1 - probability) ** gamma * -math.log(probability)
            for who, probability in truth.items()
        }
        start = 0.0
        for who, colour in (("objects", ORANGE), ("all other answers", GREY)):
            share = loss[who] / sum(loss.values())
            axes.barh(name, share, left=start, color=colour, edgecolor=BLACK)
            if share > SMALLEST_LABELLED:
                axes.text(start + share / 2, place, f"{share:.0%}", ha="center")
            start += share
    axes.set(xlim=(0, 1), xlabel="share of the class loss of this image")
    handles = [axes.patches[0], axes.patches[1]]
    axes.legend(
        handles,
        [f"{number[who]} {who}" for who in truth],
        ncols=2,
        frameon=False,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
    )
    axes.invert_yaxis()
    return figure


def draw_class_losses(
    image: torch.Tensor, rows: torch.Tensor, num_classes: int, loss: Loss
) -> Figure:
    """Your class loss at each location: at the start, and with better answers."""
    figure, panels = make_figure(1, 2, height=3.4)
    height, width = image.shape[1:]
    classes = paint_classes(rows, (height, width))
    start = torch.full((*classes.shape, num_classes), math.log(PRIOR / (1 - PRIOR)))
    right = torch.arange(num_classes) == classes[..., None]
    better = torch.where(right, 0.4, start)  # the logit 0.4 is a probability of 0.6
    for axes, logits, name in zip(
        panels, (start, better), ("everywhere 0.01", "true class 0.6"), strict=True
    ):
        values = loss(logits, classes)
        show_image(axes, image, f"{name}: sum {float(values.sum()):.1f}", ticks=False)
        area = (0, classes.shape[1] * STRIDE, classes.shape[0] * STRIDE, 0)
        shown = axes.imshow(
            values.numpy(), extent=area, cmap="viridis", vmin=0, vmax=1.2, alpha=0.6
        )
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
    figure.colorbar(shown, ax=panels, label="loss of a location", shrink=0.85)
    return figure


def _boxes_for(shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A true box (1, 4), and copies (N, 4) moved to the right."""
    true = torch.tensor([[0.0, 0.0, 60.0, 40.0]])
    step = torch.tensor([1.0, 0.0, 1.0, 0.0])
    return true, true + shift[:, None] * step


def draw_box_losses(l1: Loss) -> Figure:
    """Four losses of a box that slides away; L1 is yours."""
    figure, (left, right) = make_figure(1, 2, height=3.2)
    shift = torch.linspace(0, 120, 121)
    true, moved = _boxes_for(shift)
    # The same boxes as deltas at stride 8, from the middle of the true one.
    sign = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    middle = torch.tensor([30.0, 20.0, 30.0, 20.0])
    target = ((true - middle) * sign / STRIDE).expand(len(shift), 4)
    predicted = (moved - middle) * sign / STRIDE
    squares = 0.25 * (predicted - target).square().sum(dim=1)
    left.plot(shift, l1(predicted, target), color=YOURS, lw=2.5, label="L1 (yours)")
    left.plot(shift, squares, "--", color=RED, lw=2.5, label="L2")
    left.set(ylim=(0, 30), ylabel="loss of the deltas")
    overlap, general = box_iou(true, moved)[0], generalized_box_iou(true, moved)[0]
    right.plot(shift, 1 - overlap, color=ORANGE, lw=2.5, label="1 - IoU")
    right.plot(shift, 1 - general, "--", color=GREEN, lw=2.5, label="1 - GIoU")
    right.set(ylim=(0, 2), ylabel="loss of the box")
    for axes in (left, right):
        axes.axvline(60, color=GREY, linewidth=1)
        axes.set_xlabel("moved to the right by, in pixels")
        axes.legend(frameon=False, fontsize=FONT_PT - 1, loc="upper left")
    return figure


def _draw_pair(axes: Axes, true: torch.Tensor, moved: torch.Tensor) -> None:
    axes.set(xlim=(-12, 132), ylim=(92, -12), xticks=[], yticks=[], aspect="equal")
    axes.set_facecolor("#EEEEEE")
    add_box(axes, true, ORANGE)
    add_box(axes, moved, YOURS, linestyle="--")


def draw_scale(l1: Loss) -> Figure:
    """The same error in pixels on a small and on a large box."""
    figure, panels = make_figure(1, 2, height=2.6)
    for axes, (width, height) in zip(panels, ((18, 12), (120, 80)), strict=True):
        true = torch.tensor([[0.0, 0.0, width, height]])
        moved = true + 6.0
        half = torch.tensor([[width, height, width, height]]) / 2 / STRIDE
        error = torch.tensor([[-6.0, -6.0, 6.0, 6.0]]) / STRIDE
        value, overlap = l1(half + error, half)[0], box_iou(true, moved)[0, 0]
        _draw_pair(axes, true[0], moved[0])
        axes.set_title(f"L1 {float(value):.2f}   1 - IoU {1 - float(overlap):.2f}")
    return figure


def draw_soft_targets(loss: Loss) -> Figure:
    """Your centerness loss over what is predicted, for three targets."""
    figure, (axes,) = make_figure(1, 1, height=3.2, width=7)
    probability = torch.linspace(0.01, 0.99, 197)
    lines = ((0.25, ORANGE, "--"), (0.6, BLUE, "-"), (1.0, GREEN, ":"))
    for target, colour, line in lines:
        values = loss(torch.logit(probability), torch.full_like(probability, target))
        lowest = int(values.argmin())
        axes.plot(
            probability, values, line, color=colour, lw=2.5, label=f"target {target}"
        )
        axes.plot(
            probability[lowest],
            values[lowest],
            "o",
            color=colour,
            markeredgecolor=BLACK,
        )
    axes.set(xlabel="predicted centerness", ylabel="loss", ylim=(0, 2.5))
    axes.legend(frameon=False, fontsize=FONT_PT - 1, loc="upper center")
    return figure
