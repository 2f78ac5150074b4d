"""Pictures of notebook 5: distances to the edges, and how central a location is.

Boxes are XYXY and points (x, y), both in pixels of the image.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.evaluation.voc_ap import box_iou
from helpers.show.style import (
    BLACK,
    BLUE,
    EXPECTED,
    FONT_PT,
    GREEN,
    GREY,
    LEVEL_COLOURS,
    ORANGE,
    PURPLE,
    RED,
    YOURS,
    add_box,
    add_points,
    make_figure,
    show_image,
)

# Left, top, right, bottom; the same in every picture of the notebook.
EDGE_NAMES = ("l", "t", "r", "b")
EDGE_COLOURS = (BLUE, GREEN, RED, PURPLE)
STRIDES = {"p3": 8, "p4": 16, "p5": 32}
LABELLED_PX = 50  # in smaller boxes there is no room for numbers on the lines

GetDeltas = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
ApplyDeltas = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
Centerness = Callable[[torch.Tensor], torch.Tensor]


def largest_box(rows: torch.Tensor) -> torch.Tensor:
    """The true box (5,) with the largest area; rows (M, 5) may end in padding."""
    sides = (rows[:, 2:4] - rows[:, :2]) * (rows[:, 4:] >= 0)
    return rows[int(sides.prod(dim=1).argmax())]


def _edges_at(
    point: Sequence[float], box: Sequence[float]
) -> list[tuple[float, float]]:
    """Where the four arrows of a location end: left, top, right, bottom."""
    (x, y), (x1, y1, x2, y2) = point, box
    return [(x1, y), (x, y1), (x2, y), (x, y2)]


def _arrows(
    axes: Axes, point: Sequence[float], box: Sequence[float], texts: Sequence[str]
) -> None:
    """Four arrows from the point to the edges, each with a text in its middle."""
    for end, colour, text in zip(
        _edges_at(point, box), EDGE_COLOURS, texts, strict=False
    ):
        axes.annotate(
            "",
            xy=end,
            xytext=(point[0], point[1]),
            arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.4},
        )
        axes.text(
            (point[0] + end[0]) / 2,
            (point[1] + end[1]) / 2,
            text,
            fontsize=FONT_PT - 1,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": colour, "pad": 1.2},
        )


def draw_distances(
    image: torch.Tensor, box: torch.Tensor, points: torch.Tensor
) -> Figure:
    """The four distances of each point, in pixels, one panel per point."""
    figure, panels = make_figure(1, len(points), height=3.6)
    edges = box[:4].tolist()
    for axes, point in zip(panels, points.tolist(), strict=True):
        show_image(axes, image, f"location ({point[0]:.0f}, {point[1]:.0f})")
        add_box(axes, edges, ORANGE)
        ends = _edges_at(point, edges)
        lengths = [abs(x - point[0]) + abs(y - point[1]) for x, y in ends]
        texts = [
            f"{name} {length:.0f}"
            for name, length in zip(EDGE_NAMES, lengths, strict=True)
        ]
        _arrows(axes, point, edges, texts)
        add_points(axes, np.array([point]), size=45)
    return figure


def draw_deltas(
    image: torch.Tensor, box: torch.Tensor, points: torch.Tensor, deltas: torch.Tensor
) -> Figure:
    """The same arrows, labelled with the deltas (N, 4) that a function gave."""
    figure, panels = make_figure(1, len(points), height=3.6)
    edges = box[:4].tolist()
    for axes, point, row in zip(panels, points.tolist(), deltas.tolist(), strict=True):
        show_image(axes, image, ", ".join(f"{value:.3g}" for value in row))
        add_box(axes, edges, ORANGE)
        texts = [
            f"{name} {value:.3g}" for name, value in zip(EDGE_NAMES, row, strict=True)
        ]
        _arrows(axes, point, edges, texts)
        add_points(axes, np.array([point]), size=45)
    return figure


def draw_units(get_deltas: GetDeltas) -> Figure:
    """One object at three sizes: its l, t, r, b in pixels, and as your deltas."""
    figure, (left, right) = make_figure(1, 2, height=2.9)
    places = np.arange(4)
    for number, (level, stride) in enumerate(STRIDES.items()):
        # A box of 10 x 6 strides with the location a little left of its middle.
        box = torch.tensor([[0.0, 0.0, 10.0 * stride, 6.0 * stride]])
        point = torch.tensor([[4.0 * stride, 2.5 * stride]])
        pixels = get_deltas(point, box, 1)[0].tolist()
        deltas = get_deltas(point, box, stride)[0].tolist()
        style: dict[str, Any] = {
            "width": 0.26,
            "color": LEVEL_COLOURS[level],
            "edgecolor": BLACK,
        }
        label = f"{level}, stride {stride}"
        left.bar(places + 0.28 * (number - 1), pixels, label=label, **style)
        right.bar(places + 0.28 * (number - 1), deltas, label=label, **style)
    left.set_title("in pixels")
    right.set_title("in strides: your deltas")
    for axes in (left, right):
        axes.set_xticks(places, ["left", "top", "right", "bottom"])
    left.legend(frameon=False, fontsize=FONT_PT - 1)
    return figure


def draw_error(
    image: torch.Tensor,
    box: torch.Tensor,
    point: torch.Tensor,
    decode: tuple[GetDeltas, ApplyDeltas],
    error: float = 0.5,
) -> Figure:
    """What one and the same error of the deltas does to the box at each level."""
    get_deltas, apply_deltas = decode
    figure, panels = make_figure(1, 3, height=3.2)
    for axes, (level, stride) in zip(panels, STRIDES.items(), strict=True):
        deltas = get_deltas(point[None], box[None, :4], stride)
        wrong = apply_deltas(deltas + error, point[None], stride)[0]
        overlap = box_iou(box[None, :4].numpy(), wrong[None].numpy())[0, 0]
        show_image(axes, image, f"{level}: IoU {overlap:.2f}", ticks=False)
        axes.set_xlim(-20, image.shape[2] + 20)
        axes.set_ylim(image.shape[1] + 20, -20)
        add_box(axes, box, EXPECTED)
        add_box(axes, wrong, YOURS, linestyle="--")
        add_points(axes, point)
    return figure


def draw_positive() -> Figure:
    """Two ways from any number to a distance that is not negative."""
    figure, (axes,) = make_figure(1, 1, height=2.9, width=6.5)
    x = np.linspace(-3, 2.2, 200)
    axes.plot(x, x.clip(min=0), color=BLUE, linewidth=2.5, label="clip: max(x, 0)")
    axes.plot(x, np.exp(x), color=RED, linewidth=2.5, label="exp(x)")
    axes.plot(x, np.exp(1.3 * x), "--", color=RED, label="exp(s x), s = 1.3")
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set(xlabel="what the network says", ylabel="distance in strides", ylim=(-1, 8))
    axes.legend(frameon=False, fontsize=FONT_PT - 1, loc="upper left")
    return figure


def draw_root() -> Figure:
    """Centerness from the left to the right edge, with and without the root."""
    figure, (axes,) = make_figure(1, 1, height=2.9, width=6.5)
    place = np.linspace(0, 1, 201)
    ratio = np.minimum(place, 1 - place) / np.maximum(place, 1 - place)
    axes.plot(place, np.sqrt(ratio), color=BLUE, linewidth=2.5, label="with the root")
    axes.plot(place, ratio, "--", color=ORANGE, linewidth=2.5, label="without")
    axes.axvline(0.25, color=GREY, linewidth=1)
    axes.set(xlabel="from the left edge (0) to the right edge (1)", ylabel="centerness")
    axes.legend(frameon=False, fontsize=FONT_PT - 1)
    return figure


def _pixel_centres(height: int, width: int) -> torch.Tensor:
    """(H * W, 2) of (x, y), row by row."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return torch.from_numpy(np.stack((x.ravel(), y.ravel()), axis=1)).float()


def draw_centerness(
    image: torch.Tensor,
    boxes: torch.Tensor,
    get_deltas: GetDeltas,
    centerness: Centerness,
) -> Figure:
    """Your centerness at each pixel of each true box (M, 5), one panel per box."""
    boxes = boxes[boxes[:, 4] >= 0]
    figure, panels = make_figure(1, len(boxes), height=3.4)
    height, width = image.shape[1:]
    points = _pixel_centres(height, width)
    for axes, box in zip(panels, boxes, strict=True):
        show_image(axes, image, ticks=False)
        deltas = get_deltas(points, box[None, :4].expand(len(points), 4), 8)
        values = centerness(deltas).numpy()
        values = np.where(deltas.amin(dim=1).numpy() > 0, values, np.nan)
        field = values.reshape(height, width)
        area = (0, width, height, 0)
        shown = axes.imshow(
            field, extent=area, cmap="viridis", vmin=0, vmax=1, alpha=0.75
        )
        x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        lines = axes.contour(x, y, field, [0.25, 0.5, 0.75], colors="white")
        if float(min(box[2:4] - box[:2])) > LABELLED_PX:
            axes.clabel(lines, fontsize=FONT_PT - 2)
        add_box(axes, box, ORANGE)
    figure.colorbar(shown, ax=panels, label="centerness", shrink=0.8)
    return figure


def make_location_picture(
    image: torch.Tensor,
    box: torch.Tensor,
    functions: tuple[GetDeltas, ApplyDeltas, Centerness],
) -> Callable[..., Figure]:
    """A function draw(x, y, right) for a slider, which works with your functions.

    `x` and `y` move the location; `right` moves the right edge of a predicted box away
    from its place, in pixels.
    """
    get_deltas, apply_deltas, centerness = functions
    stride = STRIDES["p3"]

    def draw(x: float, y: float, right: float = 0.0) -> Figure:
        figure, (axes, bars) = make_figure(1, 2, height=3.6)
        point, true = torch.tensor([[float(x), float(y)]]), box[None, :4]
        deltas = get_deltas(point, true, stride)
        predicted = deltas + torch.tensor([0.0, 0.0, right / stride, 0.0])
        found = apply_deltas(predicted, point, stride)
        overlap = box_iou(true.numpy(), found.numpy())[0, 0]
        is_inside = float(deltas.min()) > 0
        value = f"{float(centerness(deltas)):.2f}" if is_inside else "none: outside"
        show_image(axes, image, f"centerness {value}   IoU {overlap:.2f}")
        add_box(axes, true[0], EXPECTED)
        add_box(axes, found[0], YOURS, linestyle="--")
        add_points(axes, point, size=45)
        names = ["left", "top", "right", "bottom"]
        bars.barh(names, predicted[0].tolist(), color=EDGE_COLOURS, edgecolor=BLACK)
        bars.axvline(0, color=BLACK, linewidth=1)
        longest = float((box[2:4] - box[:2]).max()) / stride
        bars.set(xlim=(-5, longest + 5), xlabel="predicted deltas, strides of 8 pixels")
        bars.invert_yaxis()
        return figure

    return draw
