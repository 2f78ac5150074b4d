"""The whole detector in one picture, and how fast this machine is."""

import time

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrow, Rectangle

from core.backbones.tiny import TinyBackbone
from helpers.data.images import denormalize
from helpers.show.style import (
    BLACK,
    BLUE,
    FONT_PT,
    LEVEL_COLOURS,
    ORANGE,
    make_figure,
)

STRIDES = {"p3": 8, "p4": 16, "p5": 32}
TIMED_BATCH = (8, 3, 128, 160)
TIMED_RUNS = 3


def level_sizes(height: int, width: int) -> dict[str, tuple[int, int]]:
    """(H, W) of each level for an image of this size; a rest counts as a whole cell."""
    return {
        level: (-(-height // stride), -(-width // stride))
        for level, stride in STRIDES.items()
    }


def draw_pipeline(image: torch.Tensor, num_classes: int) -> Figure:
    """From the image to the boxes: what each part hands to the next, with its shape.

    Args:
        image: (3, H, W), normalised.
    """
    figure, (axes,) = make_figure(height=3.9)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 44)
    axes.set_axis_off()
    height, width = image.shape[1:]
    picture = np.asarray(denormalize(image).permute(1, 2, 0))
    axes.imshow(picture, extent=(1, 17, 16, 16 + 16 * height / width), aspect="auto")
    axes.text(1, 14, f"image\n(3, {height}, {width})", va="top", fontsize=FONT_PT)
    _arrow(axes, 18, 24, 5)
    sizes = level_sizes(height, width)
    for row, (level, (rows, columns)) in enumerate(sizes.items()):
        low = 31 - row * 14
        colour = LEVEL_COLOURS[level]
        stride = f"stride {STRIDES[level]}"
        _plate(axes, 24, low, 15, title=f"c{level[1]}", text=stride, colour=BLACK)
        _arrow(axes, 40, low + 5, 4)
        cells = f"({rows}, {columns}) cells"
        _plate(axes, 45, low, 15, title=level, text=cells, colour=colour)
        _arrow(axes, 61, low + 5, 4)
    _arrow(axes, 52.5, 13.6, 0, 2.8)
    _arrow(axes, 52.5, 27.6, 0, 2.8)
    answers = f"{num_classes} classes\n4 distances\n1 centerness"
    _plate(axes, 66, 3, 14, title="one head", text=answers, colour=BLUE, height=38)
    _arrow(axes, 81, 22, 3.5)
    count = sum(rows * columns for rows, columns in sizes.values())
    few = f"{count} of them;\nNMS keeps\na few"
    _plate(axes, 85.5, 15, 14, title="boxes", text=few, colour=ORANGE, height=15)
    for x, text in ((31.5, "backbone (2)"), (52.5, "FPN (2)"), (73, "head (3)")):
        axes.text(x, 43.6, text, ha="center", va="top", fontsize=FONT_PT)
    axes.text(92.5, 43.6, "inference (8)", ha="center", va="top", fontsize=FONT_PT)
    return figure


def _plate(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    *,
    title: str,
    text: str,
    colour: str,
    height: float = 10,
) -> None:
    axes.add_patch(Rectangle((x, y), width, height, fill=False, ec=colour, lw=2))
    middle = x + width / 2
    axes.text(
        middle,
        y + height - 0.8,
        title,
        ha="center",
        va="top",
        weight="bold",
        fontsize=FONT_PT,
    )
    axes.text(middle, y + 1, text, ha="center", va="bottom", fontsize=FONT_PT - 1.5)


def _arrow(axes: Axes, x: float, y: float, dx: float, dy: float = 0.0) -> None:
    axes.add_patch(
        FancyArrow(
            x,
            y,
            dx,
            dy,
            width=0.15,
            head_width=1.2,
            head_length=1.2,
            length_includes_head=True,
            color=BLACK,
        )
    )


def images_per_second() -> float:
    """Images of 128 x 160 that go forward and back through the light backbone."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone = TinyBackbone().to(device)
    images = torch.randn(TIMED_BATCH, device=device)
    seconds = []
    for _ in range(TIMED_RUNS + 1):
        start = time.perf_counter()
        total = torch.stack(
            [values.sum() for values in backbone(images).values()]
        ).sum()
        total.backward()
        float(total.detach())  # waits for the GPU
        seconds.append(time.perf_counter() - start)
    return TIMED_BATCH[0] / min(seconds[1:])  # the first run warms up
