"""Pictures of notebook 8: many boxes for one object, and how one of them is kept."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
import torchvision
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.evaluation.voc_ap import box_iou
from helpers.lessons.predictions import Candidates
from helpers.show.draw import class_colour, draw_boxes, make_sheet
from helpers.show.style import (
    BLACK,
    BLUE,
    FONT_PT,
    GREEN,
    ORANGE,
    SKY,
    add_box,
    make_figure,
    show_image,
)

MIN_SIDE_PX = 230  # of a picture on a sheet
THREE_BOXES = ((10.0, 10.0, 50.0, 40.0), (14.0, 10.0, 54.0, 40.0), (34.0, 10, 74, 40))
THREE_SCORES = (0.9, 0.8, 0.7)

# boxes (N, 4), scores (N,), classes (N,), IoU threshold -> indices that are kept
ClassNms = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
Nms = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
Found = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _thin_box(axes: Axes, box: torch.Tensor, class_id: int) -> None:
    """A box without a dark edge, which a hundred boxes would have no room for."""
    x1, y1, x2, y2 = box.tolist()
    colour = class_colour(class_id)
    frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour)
    axes.add_patch(frame)


def draw_heap(image: torch.Tensor, found: Candidates) -> Figure:
    """All boxes before NMS, and their number for each class."""
    figure, (axes,) = make_figure(1, 1, height=3.6, width=6)
    show_image(axes, image, f"{len(found.boxes)} boxes", ticks=False)
    for box, class_id in zip(found.boxes, found.classes.tolist(), strict=True):
        _thin_box(axes, box, class_id)
    return figure


def draw_three() -> Figure:
    """Three boxes with scores, and how much each two of them overlap."""
    figure, (axes,) = make_figure(1, 1, height=2.6, width=6.5)
    boxes = np.array(THREE_BOXES)
    overlap = box_iou(boxes, boxes)
    axes.set(xlim=(0, 130), ylim=(46, 2), xticks=[], yticks=[], aspect="equal")
    axes.set_facecolor("#EEEEEE")
    for box, score, name, colour, line in zip(
        boxes, THREE_SCORES, "ABC", (BLUE, ORANGE, GREEN), ("-", "--", ":"), strict=True
    ):
        add_box(axes, box, colour, linestyle=line)
        axes.text(box[2] - 5, 44.5, name, fontsize=FONT_PT, weight="bold", color=colour)
        row = 12 + 5.5 * "ABC".index(name)
        axes.text(80, row, f"{name}: score {score}", fontsize=FONT_PT - 1)
    for row, (first, second) in zip(
        (30, 35, 40), ((0, 1), (1, 2), (0, 2)), strict=True
    ):
        text = f"IoU({'ABC'[first]}, {'ABC'[second]}) = {overlap[first, second]:.2f}"
        axes.text(80, row, text, fontsize=FONT_PT - 1)
    return figure


def _draw_kept(image: torch.Tensor, found: Candidates, kept: torch.Tensor) -> Figure:
    figure, (left, right) = make_figure(1, 2, height=3.3)
    everything = torch.arange(len(found.boxes))
    for axes, shown, word in ((left, everything, "before"), (right, kept, "after")):
        show_image(axes, image, f"{word}: {len(shown)} boxes", ticks=False)
        for index in shown.tolist():
            class_id = int(found.classes[index])
            if axes is left:
                _thin_box(axes, found.boxes[index], class_id)
            else:
                add_box(axes, found.boxes[index], class_colour(class_id))
    return figure


def make_threshold_picture(
    image: torch.Tensor, found: Candidates, nms: ClassNms
) -> Callable[..., Figure]:
    """A function draw(threshold) for a slider: your NMS at this IoU."""

    def draw(threshold: float) -> Figure:
        kept = nms(found.boxes, found.scores, found.classes, threshold)
        figure = _draw_kept(image, found, kept)
        figure.suptitle(f"IoU threshold {threshold:.2f}", fontsize=FONT_PT + 1)
        return figure

    return draw


def draw_apart(found: Candidates) -> Figure:
    """The trick of class_spec_nms: each class is moved to a place of its own."""
    figure, (axes,) = make_figure(1, 1, height=4.6)
    extent = float(found.boxes.max() - found.boxes.min()) + 1
    for box, class_id in zip(found.boxes, found.classes.tolist(), strict=True):
        _thin_box(axes, box + class_id * extent, class_id)
    end = float((found.boxes + found.classes[:, None] * extent).max()) + 10
    axes.set(xlim=(-10, end), ylim=(end, -10), xlabel="x + class · extent")
    axes.set_aspect("equal")
    axes.set_ylabel("y + class · extent")
    return figure


def compare_speed(nms: Nms, number: int = 5000) -> str:
    """Your NMS and torchvision's on the same boxes, as a table in text."""
    torch.manual_seed(0)
    boxes = (100.0 * torch.rand(number, 4)).round()
    boxes[:, 2:] += boxes[:, :2] + 1
    scores = torch.randn(number)
    lines = ["IoU   kept   yours     torchvision   kept by one only"]
    for threshold in (0.3, 0.5, 0.7):
        start = time.perf_counter()
        mine = nms(boxes, scores, threshold)
        middle = time.perf_counter()
        theirs = torchvision.ops.nms(boxes, scores, threshold)
        end = time.perf_counter()
        different = len(set(mine.tolist()) ^ set(theirs.tolist()))
        lines.append(
            f"{threshold}  {len(theirs):>5}   {middle - start:6.3f} s  "
            f"{end - middle:6.3f} s      {different}"
        )
    return "\n".join(lines)


def draw_trust(scored: np.ndarray) -> Figure:
    """How good the box of a location is, over the centerness that it predicts.

    Args:
        scored: (N, 3): class probability, centerness, IoU with the true box.
    """
    figure, (dots, bars) = make_figure(1, 2, height=3.3)
    _, centerness, overlap = scored.T
    dots.scatter(centerness, overlap, s=14, color=SKY, edgecolors=BLUE, linewidths=0.4)
    dots.set(xlim=(0, 1), ylim=(0, 1), ylabel="IoU with the true box")
    dots.set_xlabel("predicted centerness")
    edges = np.array([0.0, 0.2, 0.4, 0.6, 1.0])
    which = np.digitize(centerness, edges) - 1
    means = [float(overlap[which == number].mean()) for number in range(4)]
    names = [f"{low:.1f} to {high:.1f}" for low, high in pairwise(edges)]
    drawn = bars.bar(names, means, color=BLUE, edgecolor=BLACK)
    bars.bar_label(drawn, fmt="%.2f", padding=2)
    bars.set(ylim=(0, 1), ylabel="mean IoU", xlabel="predicted centerness")
    return figure


def draw_detections(
    image: torch.Tensor | Image.Image, found: Found, names: Sequence[str]
) -> Image.Image:
    """The image with boxes (N, 4), classes (N,) and scores (N,) on it."""
    boxes, class_ids, scores = found
    numbers = [int(class_id) for class_id in class_ids]
    return draw_boxes(
        image,
        boxes,
        [names[class_id] for class_id in numbers],
        [class_colour(class_id) for class_id in numbers],
        scores,
        min_side=MIN_SIDE_PX,
    )


def draw_sheet(pictures: Sequence[Image.Image], columns: int = 3) -> Image.Image:
    """Pictures side by side."""
    return make_sheet(list(pictures), columns)
