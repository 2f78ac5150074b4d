"""What the head says at a location, how it begins, and how its maps are flattened."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from helpers.data.images import denormalize
from helpers.show.draw import class_colour
from helpers.show.style import (
    BLACK,
    BLUE,
    FONT_PT,
    GREY,
    ORANGE,
    YELLOW,
    add_box,
    add_points,
    add_text,
    make_figure,
    show_image,
)

SMALL_SIZE = (32, 48)  # (H, W) of the image that goes through the head as it is
CROP_MARGIN = 0.15  # of the box's longer side


@torch.no_grad()
def given_pyramid(
    backbone: nn.Module, images: torch.Tensor, channels: int = 64
) -> dict[str, torch.Tensor]:
    """p3, p4 and p5 of torchvision's own FPN, so that no notebook needs another.

    Args:
        images: (B, 3, H, W), normalised.
    """
    features = backbone(images)
    widths = [features[name].shape[1] for name in ("c3", "c4", "c5")]
    torch.manual_seed(0)
    network = FeaturePyramidNetwork(widths, channels).eval()
    levels = network(OrderedDict((f"p{name[1]}", features[name]) for name in features))
    return dict(levels)


def draw_one_location(
    image: torch.Tensor,
    row: torch.Tensor,
    point_xy: tuple[float, float],
    class_names: Sequence[str],
) -> Figure:
    """What the head should say at one point: K yes or no, four distances, centerness.

    Args:
        image: (3, H, W), normalised.
        row: (x1, y1, x2, y2, class) of the box that holds the point.
    """
    figure, (left, right) = make_figure(1, 2, height=3.7)
    show_image(left, image, "one location, four distances")
    x1, y1, x2, y2 = row[:4].tolist()
    add_box(left, [x1, y1, x2, y2], ORANGE)
    x, y = point_xy
    ends = {"l": (x1, y), "t": (x, y1), "r": (x2, y), "b": (x, y2)}
    for name, (end_x, end_y) in ends.items():
        arrow = {"arrowstyle": "->", "color": "white", "lw": 2.5}
        left.annotate("", xy=(end_x, end_y), xytext=(x, y), arrowprops=arrow)
        length = abs(end_x - x) + abs(end_y - y)
        text_x = end_x + 2 if name == "l" else (x + end_x) / 2 + 1
        text_y = (y + end_y) / 2 + 1 + 2 * (name in "lr")
        add_text(left, text_x, text_y, f"{name} {length:g}", ORANGE)
    add_points(left, np.array([[x, y]]), YELLOW, 70)
    target = np.zeros(len(class_names))
    target[int(row[4])] = 1
    places = np.arange(len(class_names))
    colours = [class_colour(index) for index in range(len(class_names))]
    right.barh(places, target, color=colours, edgecolor=BLACK)
    right.set_yticks(places, class_names, fontsize=FONT_PT - (len(places) > 10) * 4)
    right.invert_yaxis()
    right.set_xlim(0, 1.1)
    right.set_title("and for each class: is it here?")
    return figure


def draw_softmax_and_sigmoid(logits: Mapping[str, float]) -> Figure:
    """The same logits as one choice between classes, and as independent answers."""
    figure, panels = make_figure(1, 2, height=2.7)
    values = torch.tensor(list(logits.values()))
    titles = ("softmax: one must win", "sigmoid: each answers for itself")
    for axes, numbers, title in zip(
        panels, (values.softmax(0), values.sigmoid()), titles, strict=True
    ):
        bars = axes.bar(list(logits), numbers.tolist(), color=BLUE, edgecolor=BLACK)
        axes.bar_label(bars, fmt="%.2f", fontsize=FONT_PT - 1)
        axes.set_ylim(0, 1.2)
        axes.set_title(f"{title}  (sum {float(numbers.sum()):.2f})")
    return figure


def draw_same_in_cells(
    image: torch.Tensor, boxes: Sequence[Any], strides: Sequence[int]
) -> Figure:
    """Objects of different sizes, each under the grid of the level that finds it.

    Args:
        boxes: one XYXY for each panel.
        strides: of the level of each panel, in pixels.
    """
    figure, panels = make_figure(1, len(boxes), height=3.4)
    for axes, box, stride in zip(panels, boxes, strides, strict=True):
        x1, y1, x2, y2 = (float(value) for value in list(box)[:4])
        show_image(axes, image)
        for x in range(0, image.shape[2] + 1, stride):
            axes.axvline(x, color="white", lw=1)
        for y in range(0, image.shape[1] + 1, stride):
            axes.axhline(y, color="white", lw=1)
        add_box(axes, box, ORANGE)
        margin = CROP_MARGIN * max(x2 - x1, y2 - y1)
        axes.set_xlim(max(0, x1 - margin), min(image.shape[2], x2 + margin))
        axes.set_ylim(min(image.shape[1], y2 + margin), max(0, y1 - margin))
        wide, high = (x2 - x1) / stride, (y2 - y1) / stride
        axes.set_title(
            f"{x2 - x1:.0f} x {y2 - y1:.0f} px, stride {stride}: "
            f"{wide:.1f} x {high:.1f} cells"
        )
    return figure


def draw_start(probabilities: torch.Tensor, background_share: float) -> Figure:
    """Class probabilities of a head before training, and what guessing costs.

    Args:
        probabilities: any shape, in [0, 1].
        background_share: of all answers, how many should be "no".
    """
    figure, (left, right) = make_figure(1, 2, height=3.0)
    left.hist(probabilities.detach().flatten().numpy(), bins=40, color=BLUE)
    left.axvline(0.01, color=ORANGE, lw=2.5, ls="--", label="0.01")
    left.set_xlabel("probability before training")
    left.set_ylabel("answers")
    left.ticklabel_format(axis="x", useOffset=False)
    left.tick_params(axis="x", labelrotation=30)
    left.legend(frameon=False, fontsize=FONT_PT - 1)
    start = np.linspace(0.002, 0.6, 300)
    cost = -background_share * np.log(1 - start)
    cost -= (1 - background_share) * np.log(start)
    right.plot(start, cost, color=BLACK, lw=2)
    for prior, colour in ((0.01, ORANGE), (0.5, GREY)):
        value = -background_share * np.log(1 - prior)
        value -= (1 - background_share) * np.log(prior)
        right.scatter([prior], [value], s=70, color=colour, edgecolors=BLACK, zorder=3)
        right.annotate(
            f"start at {prior}: {value:.3f}",
            (prior, value),
            xytext=(22, -5) if prior < 0.1 else (-120, 4),
            textcoords="offset points",
            fontsize=FONT_PT - 1,
        )
    right.set_xlabel("the same answer everywhere")
    right.set_ylabel("mean cross-entropy")
    return figure


def small_image(image: torch.Tensor) -> torch.Tensor:
    """The image as a feature map of three channels: (1, 3, 32, 48), in [0, 1]."""
    return F.interpolate(
        denormalize(image)[None], size=SMALL_SIZE, mode="bilinear", antialias=True
    )


@torch.no_grad()
def make_transparent(head: nn.Module) -> None:
    """Set the weights so that the class outputs are the input: nothing is changed."""
    stem = list(head.get_submodule("stem_cls").children())
    for module in [*stem, head.get_submodule("pred_cls")]:
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def draw_flattening(picture: torch.Tensor, flat: torch.Tensor) -> Figure:
    """A map, your flattened answers put back row by row, and what a reshape gives.

    Args:
        picture: (1, 3, H, W), what went in.
        flat: (1, H * W, 3), what your head gave.
    """
    height, width = picture.shape[-2:]
    scrambled = picture.reshape(1, height * width, 3)
    panels = {
        "into the head": picture[0].permute(1, 2, 0),
        "yours, row by row": flat[0].reshape(height, width, 3),
        "a bare reshape": scrambled[0].reshape(height, width, 3),
    }
    figure, graphs = make_figure(1, 3, height=2.6)
    for axes, (title, values) in zip(graphs, panels.items(), strict=True):
        axes.imshow(np.asarray(values.clamp(0, 1)), interpolation="nearest")
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure
