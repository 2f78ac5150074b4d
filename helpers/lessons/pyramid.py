"""What backbone and FPN make of a real image: maps, what they look at, differences."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from core.backbones.build import build_backbone
from core.command import CourseError
from helpers.show.style import (
    FONT_PT,
    LEVEL_COLOURS,
    RED,
    add_points,
    make_figure,
    show_image,
)

LEVELS = ("3", "4", "5")
SEEN_SHARE = 0.05  # of the largest gradient: less than this is not shown as seen
UPSAMPLE_SIZES = ((2, 3), (3, 5))  # (H, W) of the small and of the large example


def load_backbone() -> nn.Module:
    """The backbone of the lessons: with ImageNet weights where their package is.

    Without it, the light backbone with random weights: pictures are less telling.
    """
    try:
        backbone = build_backbone("efficientnet_lite0")
    except CourseError as error:
        print(f"{error}; the pictures here use random weights")
        torch.manual_seed(0)
        backbone = build_backbone("tiny")
    return backbone.eval()


@torch.no_grad()
def draw_maps(image: torch.Tensor, maps: Mapping[str, torch.Tensor]) -> Figure:
    """The image and how strongly each cell of each map answers, all channels together.

    Args:
        image: (3, H, W), normalised.
        maps: name -> (1, C, h, w), as c3 or p3.
    """
    figure, panels = make_figure(1, len(maps) + 1, height=2.6)
    height, width = image.shape[1:]
    show_image(panels[0], image, f"image ({height}, {width})", ticks=False)
    for axes, (name, values) in zip(panels[1:], maps.items(), strict=True):
        strength = values[0].detach().abs().mean(dim=0)
        rows, columns = strength.shape
        axes.imshow(np.asarray(strength), cmap="magma", extent=(0, width, height, 0))
        axes.set_title(f"{name}: {values.shape[1]} x ({rows}, {columns})")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def seen_pixels(backbone: nn.Module, image: torch.Tensor, name: str) -> torch.Tensor:
    """How much each pixel moves the middle cell of a map: (H, W), largest 1."""
    pixels = image[None].clone().requires_grad_()
    features = backbone(pixels)[name]
    rows, columns = features.shape[-2:]
    features[0, :, rows // 2, columns // 2].pow(2).sum().backward()
    assert pixels.grad is not None
    moved = pixels.grad[0].abs().sum(dim=0)
    return moved / moved.max()


def draw_seen(backbone: nn.Module, image: torch.Tensor) -> Figure:
    """For the middle cell of each map, the pixels that it looks at."""
    figure, panels = make_figure(1, len(LEVELS), height=2.9)
    for axes, level in zip(panels, LEVELS, strict=True):
        moved = seen_pixels(backbone, image, f"c{level}")
        share = float((moved > SEEN_SHARE).float().mean())
        show_image(axes, image, ticks=False)
        axes.imshow(
            np.asarray(moved.sqrt()),
            extent=(0, image.shape[2], image.shape[1], 0),
            cmap="magma",
            alpha=0.8,
        )
        axes.set_title(f"one cell of c{level} looks at {share:.0%}")
    return figure


def draw_upsampling(upsample: Callable[[torch.Tensor], torch.Tensor]) -> Figure:
    """A small map and what nearest-neighbour upsampling to an odd size makes of it."""
    figure, panels = make_figure(1, 2, height=2.8)
    rows, columns = UPSAMPLE_SIZES[0]
    small = torch.arange(rows * columns, dtype=torch.float32).reshape(
        1, 1, rows, columns
    )
    for axes, values in zip(panels, (small, upsample(small)), strict=True):
        numbers = values[0, 0]
        height, width = numbers.shape
        axes.imshow(np.asarray(numbers), cmap="cividis", vmin=0, vmax=8)
        for row in range(height):
            for column in range(width):
                axes.text(
                    column,
                    row,
                    f"{numbers[row, column]:.0f}",
                    ha="center",
                    va="center",
                    color="white",
                    fontsize=FONT_PT + 1,
                )
        axes.set_title(f"({height}, {width})")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def upsample_example(small: torch.Tensor) -> torch.Tensor:
    """The small example at its odd size; of a built-in, not of the exercise."""
    return F.interpolate(small, size=UPSAMPLE_SIZES[1], mode="nearest")


@torch.no_grad()
def draw_influence(
    merge: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    features: dict[str, torch.Tensor],
) -> Figure:
    """Change one cell of c5, and show which cells of p3, p4 and p5 notice.

    Args:
        merge: your merge_levels.
        features: c3, c4, c5 of one image.
    """
    changed = dict(features)
    rows, columns = features["c5"].shape[-2:]
    changed["c5"] = features["c5"].clone()
    changed["c5"][:, :, rows // 2, columns // 2] += 1.0
    before, after = merge(features), merge(changed)
    figure, panels = make_figure(1, len(before), height=2.9)
    for axes, level in zip(panels, before, strict=True):
        noticed = (after[level] - before[level]).abs().sum(dim=1)[0]
        height, width = noticed.shape
        axes.imshow(np.asarray(noticed), cmap="magma", extent=(0, width, height, 0))
        cells = int((noticed > 0).sum())
        axes.set_title(f"{level}: {cells} of {height * width} cells notice")
        axes.title.set_color("black")
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set(visible=True, color=LEVEL_COLOURS.get(level, RED), linewidth=3)
    return figure


def draw_strides(image: torch.Tensor) -> Figure:
    """The image under the grids of the three levels; a cell is stride x stride."""
    figure, panels = make_figure(1, len(LEVELS), height=2.9)
    height, width = image.shape[1:]
    for axes, level in zip(panels, LEVELS, strict=True):
        stride = 2 ** int(level)
        show_image(axes, image, ticks=False)
        for x in range(stride, width, stride):
            axes.axvline(x, color="white", lw=0.7)
        for y in range(stride, height, stride):
            axes.axhline(y, color="white", lw=0.7)
        middle = [[stride * 1.5, stride * 0.5]]
        add_points(axes, np.array(middle), LEVEL_COLOURS[f"p{level}"], 30)
        rows, columns = -(-height // stride), -(-width // stride)
        axes.set_title(f"stride {stride}: ({rows}, {columns})")
    return figure
