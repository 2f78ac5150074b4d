"""Pictures of boxes: true ones, two that overlap, and how IoU changes with a shift."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.data.voc import VOC2007DetectionTiny
from helpers.lessons.recorded import Found, recorded_class_names, recorded_picture
from helpers.show.draw import class_colour, draw_boxes, make_sheet
from helpers.show.style import (
    BLACK,
    FONT_PT,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    add_box,
    add_text,
    make_figure,
    show_image,
)

IouFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
MIN_SIDE_PX = 256
CANVAS_PX = (60, 40)  # (W, H) of the plane on which two boxes are drawn
SHIFTS_PX = 41
LABEL_PX = (43, 9)  # room for a label in draw_judged, in pixels of the picture


def draw_truth(
    dataset: VOC2007DetectionTiny, indices: Sequence[int], columns: int = 2
) -> Image.Image:
    """Items of a data set with their true boxes."""
    pictures = []
    for index in indices:
        _, image, rows = dataset[index]
        rows = rows[rows[:, 4] >= 0]
        classes = [int(number) for number in rows[:, 4]]
        names = [dataset.class_names[number] for number in classes]
        colours = [class_colour(number) for number in classes]
        pictures.append(
            draw_boxes(image, rows[:, :4], names, colours, min_side=MIN_SIDE_PX)
        )
    return make_sheet(pictures, columns)


def draw_corner_of_pixels(xml_box: Sequence[float], box: Sequence[float]) -> Figure:
    """Why XML (1, 1) is edge 0: pixels that are counted, and the edges between them.

    Args:
        xml_box: (xmin, ymin, xmax, ymax) counted from 1, the last one included.
        box: the same with continuous edges.
    """
    figure, (axes,) = make_figure(height=2.9)
    columns, rows = int(box[2]) + 2, int(box[3]) + 1
    for x in range(columns):
        for y in range(rows):
            inside = box[0] <= x < box[2] and box[1] <= y < box[3]
            face = SKY if inside else "white"
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor="0.6"))
            axes.text(
                x + 0.5,
                y + 0.5,
                f"{x + 1},{y + 1}",
                ha="center",
                va="center",
                fontsize=FONT_PT - 2,
            )
    add_box(axes, box, ORANGE)
    axes.set_xlim(-0.1, columns + 0.1)
    axes.set_ylim(rows + 0.1, -0.1)
    axes.set_aspect("equal")
    axes.set_xticks(range(columns + 1))
    axes.set_yticks(range(rows + 1))
    axes.set_title(
        f"XML counts pixels: {_numbers(xml_box)}    the edges lie at: {_numbers(box)}"
    )
    return figure


def draw_resized(dataset: VOC2007DetectionTiny, index: int) -> Figure:
    """The photograph as it is stored, and as the detector gets it; both with boxes."""
    figure, (left, right) = make_figure(1, 2, height=4.0)
    truth = dataset.ground_truth(index)
    height, width = truth.size
    show_image(left, dataset.image(index), f"stored: H {height}, W {width}")
    _, image, rows = dataset[index]
    height, width = image.shape[1:]
    scale = dataset.scale(index)
    show_image(right, image, f"resized by {scale:.3g}: H {height}, W {width}")
    for box in truth.boxes:
        add_box(left, box, ORANGE)
    for box in rows[rows[:, 4] >= 0]:
        add_box(right, box, ORANGE)
    return figure


def draw_overlap(
    first: Sequence[float], second: Sequence[float], value: float | None = None
) -> Figure:
    """Two boxes on squared paper, what both cover, and their IoU if it is given.

    Args:
        first, second: XYXY in pixels.
    """
    figure, (axes,) = make_figure(height=3.8)
    width, height = CANVAS_PX
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    axes.set_xticks(range(0, width + 1, 5))
    axes.set_yticks(range(0, height + 1, 5))
    axes.grid(color="0.85")
    axes.set_axisbelow(True)
    x1, y1 = max(first[0], second[0]), max(first[1], second[1])
    x2, y2 = min(first[2], second[2]), min(first[3], second[3])
    if x2 > x1 and y2 > y1:
        axes.add_patch(
            Rectangle((x1, y1), x2 - x1, y2 - y1, color=PURPLE, alpha=0.5, hatch="//")
        )
        axes.text(
            (x1 + x2) / 2,
            (y1 + y2) / 2,
            f"{(x2 - x1) * (y2 - y1):g}",
            ha="center",
            va="center",
            fontsize=FONT_PT + 1,
        )
    for box, colour, name in ((first, SKY, "A"), (second, ORANGE, "B")):
        add_box(axes, box, colour, name)
    title = f"A {_numbers(first)}    B {_numbers(second)}"
    axes.set_title(title if value is None else f"{title}    IoU {value:.3f}")
    return figure


def draw_iou_landscape(iou: IouFunction, box: Sequence[float]) -> Figure:
    """Your iou of a box and its copies, moved right and down by some pixels."""
    span = torch.arange(SHIFTS_PX, dtype=torch.float32) - SHIFTS_PX // 2
    shift_y, shift_x = torch.meshgrid(span, span, indexing="ij")
    shifts = torch.stack([shift_x, shift_y, shift_x, shift_y], dim=2).reshape(-1, 4)
    start = torch.tensor([list(box)], dtype=torch.float32)
    values = iou(start, start + shifts)[0].reshape(SHIFTS_PX, SHIFTS_PX)
    figure, (axes, line) = make_figure(1, 2, height=3.8)
    reach = SHIFTS_PX // 2 + 0.5
    shown = axes.imshow(
        np.asarray(values),
        extent=(-reach, reach, reach, -reach),
        cmap="viridis",
        vmin=0,
        vmax=1,
    )
    figure.colorbar(shown, ax=axes, label="IoU", shrink=0.8)
    axes.contour(span, span, values, levels=[0.5], colors="white", linewidths=2)
    axes.set_xlabel("moved right by (px)")
    axes.set_ylabel("moved down by (px)")
    axes.set_title("white line: IoU 0.5")
    middle = SHIFTS_PX // 2
    line.plot(span, values[middle], color=SKY, lw=2.5, label="moved right")
    line.plot(span, values[:, middle], color=RED, lw=2.5, ls="--", label="moved down")
    line.axhline(0.5, color=BLACK, lw=1, ls=":")
    line.set_xlabel("moved by (px)")
    line.set_ylabel("IoU")
    line.legend(frameon=False, fontsize=FONT_PT - 1, loc="upper right")
    line.set_ylim(0, 1.15)
    return figure


def draw_judged(
    iou: IouFunction, found: Found, truth: torch.Tensor, most: int = 6
) -> Figure:
    """The best detections with the IoU of the true box that fits; 0.5 is the border.

    Args:
        truth: (M, 4) XYXY in pixels of the picture.
    """
    figure, (axes,) = make_figure(height=4.2)
    show_image(axes, recorded_picture(found.image_id), "dashed: the truth")
    for box in truth:
        add_box(axes, box, "white", linestyle="--", linewidth=1.5)
    boxes = torch.tensor(found.boxes, dtype=truth.dtype).reshape(-1, 4)
    best = iou(boxes, truth).amax(dim=1).tolist()
    names = recorded_class_names()
    corners = _label_corners(boxes[:most].tolist())
    for index in reversed(range(len(corners))):
        colour = GREEN if best[index] >= 0.5 else RED
        add_box(axes, boxes[index], colour, linestyle="-")
        label = f"{names[found.classes[index]]}: IoU {best[index]:.2f}"
        add_text(axes, *corners[index], label, colour)
    return figure


def _label_corners(boxes: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Where the label of each box begins, so that none hides another one."""
    corners: list[tuple[float, float]] = []
    for x1, y1, *_ in boxes:
        y = y1 + 1
        while any(
            abs(x1 + 1 - x) < LABEL_PX[0] and abs(y - other) < LABEL_PX[1]
            for x, other in corners
        ):
            y += LABEL_PX[1]
        corners.append((x1 + 1, y))
    return corners


def _numbers(box: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box) + ")"
