"""Pictures of notebook 11: losses of the overlap, their gradients, and who counts.

P locations; boxes are given by their distances l, t, r, b from a location inside, or as
XYXY where a location is not inside.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torchvision.ops import box_iou, generalized_box_iou

from helpers.show.style import (
    BLACK,
    BLUE,
    FONT_PT,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    YOURS,
    add_box,
    add_points,
    make_figure,
    show_image,
)

Loss = Callable[..., torch.Tensor]
ERROR = 6.0  # pixels by which a box is moved in x and in y
LARGEST_OF_P3 = 64.0  # the largest distance that belongs to p3; twice as much on p4
TRUE_LTRB = (3.0, 2.0, 5.0, 4.0)  # strides; a box of 8 x 6
FLAT_LTRB, HIGH_LTRB = (3.0, 1.0, 3.0, 1.0), (1.0, 3.0, 1.0, 3.0)
HULL_LTRB = (3.0, 3.0, 3.0, 3.0)  # of these two
SIDES = "ltrb"


def draw_against_size() -> Figure:
    """The same error in pixels on boxes of many sizes: L1, L2, two losses of IoU."""
    side = torch.linspace(16, 400, 385)
    true = torch.stack((0 * side, 0 * side, side, 0.75 * side), dim=1)
    overlap = torch.stack(
        [
            box_iou(box[None], box[None] + ERROR)[0, 0]
            for box in true  # the diagonal of a large table
        ]
    )
    stride = 8 * 2 ** torch.ceil(torch.log2(side / 2 / LARGEST_OF_P3)).clamp(min=0)
    figure, (left, right) = make_figure(1, 2, height=3.1)
    left.set(xlim=(-14, 154), ylim=(96, -18), aspect="equal", xticks=[], yticks=[])
    left.set_facecolor("#EEEEEE")
    for corner, width in ((0, 20), (44, 96)):
        box = torch.tensor([corner, 0.0, corner + width, 0.75 * width])
        add_box(left, box, ORANGE)
        add_box(left, box + ERROR, YOURS, linestyle="--")
    left.set_title("6 pixels to the right, 6 down", fontsize=FONT_PT)
    right.plot(side, ERROR / stride, color=BLUE, lw=2.3, label="L1, in strides")
    squared = (ERROR / stride) ** 2
    right.plot(side, squared, "-.", color=GREY, lw=2.3, label="L2, in strides")
    right.plot(side, 1 - overlap, "--", color=ORANGE, lw=2.3, label="1 - IoU")
    right.plot(side, -overlap.log(), ":", color=GREEN, lw=2.3, label="-ln IoU")
    right.set(xlabel="width of the box in pixels", ylabel="loss", ylim=(0, 1.5))
    right.legend(frameon=False, fontsize=FONT_PT - 1)
    return figure


def _xyxy(ltrb: Sequence[float], point: tuple[float, float] = (0, 0)) -> list[float]:
    """The box around a point."""
    (x, y), (left, top, right, bottom) = point, ltrb
    return [x - left, y - top, x + right, y + bottom]


def draw_overlap(
    overlap: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    image: torch.Tensor,
    point: tuple[float, float],
    true: Sequence[float],
    predicted: Sequence[float],
) -> Figure:
    """Two boxes around a location, and what your function says of them.

    Args:
        overlap: your overlap_of_distances.
        image: (3, H, W), normalised.
        point: (x, y) of the location.
        true, predicted: l, t, r, b in pixels.
    """
    intersection, union = overlap(torch.tensor([predicted]), torch.tensor([true]))
    shared, both = float(intersection[0]), float(union[0])
    figure, (axes,) = make_figure(height=3.8)
    show_image(axes, image, ticks=False)
    add_box(axes, _xyxy(true, point), ORANGE)
    add_box(axes, _xyxy(predicted, point), YOURS, linestyle="--")
    # Each arrow ends at the side that it meets first.
    steps = ((-1, 0), (0, -1), (1, 0), (0, 1))
    for (right, down), *lengths in zip(steps, true, predicted, strict=True):
        reach = sorted(lengths)[0]
        end = (point[0] + right * reach, point[1] + down * reach)
        arrow = {"arrowstyle": "->", "color": "white", "lw": 2.5}
        axes.annotate("", xy=end, xytext=point, arrowprops=arrow)
    add_points(axes, np.array([point]), YELLOW, 80)
    axes.set_title(
        f"intersection {shared:g}, union {both:g}: IoU {shared / both:.2f}",
        fontsize=FONT_PT,
    )
    return figure


def _slopes(loss: Loss, along: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """A loss at some places, and how it changes there.

    Args:
        loss: places (N,) -> losses (N,).
        along: the places.
    """
    places = along.clone().requires_grad_()
    values = loss(places)
    (slope,) = torch.autograd.grad(values.sum(), places)
    return values.detach().numpy(), slope.numpy()


def draw_pulls(iou_loss: Loss) -> Figure:
    """Losses and gradients of a box that is too small, and of one that leaves.

    Args:
        iou_loss: yours, of 11.4.
    """
    figure, panels = make_figure(2, 2, height=5.8)
    _draw_shrunk(panels[:2], iou_loss)
    _draw_moved(panels[2:])
    for axes in panels:
        axes.axhline(0, color=GREY, linewidth=1)
    for axes in panels[::2]:
        axes.set_ylabel("loss")
        axes.legend(frameon=False, fontsize=FONT_PT - 1)
    return figure


def _draw_shrunk(panels: Sequence[Axes], iou_loss: Loss) -> None:
    """A box around the right location, of other sizes."""
    left, right = panels
    true = torch.tensor([TRUE_LTRB])
    factor = torch.linspace(0.02, 2, 397)
    kinds: tuple[tuple[str, str, str, dict], ...] = (
        ("-ln IoU", BLUE, "-", {}),
        ("-ln IoU, plus = 1", RED, ":", {"plus": 1.0}),
        ("1 - IoU", ORANGE, "--", {"linear": True}),
    )
    for name, colour, line, choices in kinds:

        def loss(size: torch.Tensor, choices: dict = choices) -> torch.Tensor:
            boxes = size[:, None] * true
            return iou_loss(boxes, true.expand_as(boxes), **choices)

        values, slope = _slopes(loss, factor)
        left.plot(factor, values, line, color=colour, lw=2.3, label=name)
        right.plot(factor, slope, line, color=colour, lw=2.3)
    left.set_ylim(0, 6)
    right.set(ylabel="gradient", ylim=(-12, 3))
    for axes in panels:
        axes.axvline(1, color=GREY, linewidth=1)
        axes.set_xlabel("size of the box, in sizes of the true one")


def _draw_moved(panels: Sequence[Axes]) -> None:
    """A box that slides out of the true one, which is 60 pixels wide."""
    left, right = panels
    true = torch.tensor([[0.0, 0.0, 60.0, 40.0]])
    shift = torch.linspace(0.5, 120, 240)
    step = torch.tensor([1.0, 0.0, 1.0, 0.0])
    kinds: tuple[tuple[str, str, str, Loss], ...] = (
        ("-ln IoU", BLUE, "-", lambda boxes: -box_iou(true, boxes)[0].log()),
        ("1 - IoU", ORANGE, "--", lambda boxes: 1 - box_iou(true, boxes)[0]),
        (
            "1 - GIoU",
            GREEN,
            ":",
            lambda boxes: 1 - generalized_box_iou(true, boxes)[0],
        ),
    )
    for name, colour, line, of_boxes in kinds:

        def loss(by: torch.Tensor, of_boxes: Loss = of_boxes) -> torch.Tensor:
            return of_boxes(true + by[:, None] * step)

        values, slope = _slopes(loss, shift)
        left.plot(shift, values, line, color=colour, lw=2.3, label=name)
        right.plot(shift, slope, line, color=colour, lw=2.3)
    left.set_ylim(0, 3)
    right.set(ylabel="gradient, for one pixel", ylim=(-0.005, 0.08))
    for axes in panels:
        axes.axvline(60, color=GREY, linewidth=1)
        axes.set_xlabel("moved to the right by, in pixels")


def draw_crossed(iou_loss: Loss, giou_loss: Loss) -> Figure:
    """Two boxes that cross, and how hard two losses pull at the four sides.

    Args:
        iou_loss, giou_loss: yours, of 11.4 and 11.5.
    """
    figure, (left, right) = make_figure(1, 2, height=3.3)
    true, predicted = torch.tensor([FLAT_LTRB]), torch.tensor([HIGH_LTRB])
    left.set(xlim=(-4, 4), ylim=(3.6, -3.6), aspect="equal", xticks=[], yticks=[])
    x1, y1, x2, y2 = _xyxy(HULL_LTRB)
    hatched = Rectangle((x1, y1), x2 - x1, y2 - y1, hatch="//", fill=False, ec=GREY)
    left.add_patch(hatched)
    for box, colour in ((FLAT_LTRB, ORANGE), (HIGH_LTRB, YOURS)):
        a, b, c, d = _xyxy(box)
        left.add_patch(Rectangle((a, b), c - a, d - b, color="white"))
        add_box(left, (a, b, c, d), colour, linestyle="-" if colour == ORANGE else "--")
    add_points(left, np.zeros((1, 2)), YELLOW, 60)
    left.set_title("true (orange), predicted (blue)", fontsize=FONT_PT)
    kinds = (
        ("1 - IoU", ORANGE, lambda box: iou_loss(box, true, linear=True)),
        ("1 - GIoU", GREEN, lambda box: giou_loss(box, true)),
    )
    for place, (name, colour, loss) in enumerate(kinds):
        values, pull = _slopes(loss, predicted)
        at = np.arange(4) + 0.38 * (place - 0.5)
        label = f"{name}: {float(values[0]):.3f}"
        right.bar(at, pull[0], 0.38, color=colour, edgecolor=BLACK, label=label)
    right.axhline(0, color=BLACK, linewidth=1)
    right.set_xticks(range(4), list(SIDES))
    right.set(ylabel="gradient", ylim=(-0.2, 0.17))
    right.legend(frameon=False, fontsize=FONT_PT - 1, loc="upper center", ncols=2)
    return figure
