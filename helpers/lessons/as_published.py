"""Pictures of notebook 12: which boxes pass, batches, and other people's weights."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from core.fcos_config import PRESETS
from helpers.lessons.predictions import STRIDES, stored_answers
from helpers.models.detector import LoadedDetector
from helpers.show.draw import class_colour
from helpers.show.style import (
    BLUE,
    FONT_PT,
    GREY,
    LEVEL_COLOURS,
    ORANGE,
    RED,
    add_points,
    make_figure,
    show_image,
)
from helpers.training.recipes import DetectorConfig

MULTIPLE = 32  # sides of a batch
# So that random weights find something: spread of the weights, first bias of the class.
SPREAD, CLASS_BIAS, BOX_BIAS = 0.05, -1.5, 1.4
PHOTO_SIDE = 480  # pixels of a photograph's shorter side

# Boxes (n, 4), classes (n,), scores (n,) of one image.
Found = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
# Points (N, 2), class logits (N, K), distances (N, 4) in pixels, centerness (N, 1).
Level = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def stored_levels(number: int = 0) -> dict[str, Level]:
    """What a trained detector says of a stored picture, for each level."""
    points, logits, deltas, centerness = stored_answers(number)
    return {
        level: (
            points[level],
            logits[level][0],
            deltas[level][0] * stride,
            centerness[level][0],
        )
        for level, stride in STRIDES.items()
    }


def draw_plane(levels: Mapping[str, Level], threshold: float) -> Figure:
    """Each location and class by its probability and centerness, and both borders.

    Right of the line the class probability passes; above the curve the score does.
    """
    probability = torch.cat([level[1] for level in levels.values()]).sigmoid()
    centerness = torch.cat([level[3] for level in levels.values()]).sigmoid()
    x = probability.flatten().numpy()
    y = centerness.expand_as(probability).flatten().numpy()
    figure, (axes,) = make_figure(height=4.2, width=7.0)
    right, above = x > threshold, np.sqrt(x * y) > threshold
    for chosen, colour, label in (
        (right & above, BLUE, "both"),
        (~right & above, ORANGE, "the score only"),
        (right & ~above, RED, "the class probability only"),
        (~right & ~above, GREY, "neither"),
    ):
        shown = f"{label}: {int(chosen.sum()):,}"
        axes.scatter(x[chosen], y[chosen], s=12, color=colour, label=shown)
    axes.axvline(threshold, color=RED, lw=1.5)
    curve = np.linspace(threshold**2, 1, 200)
    axes.plot(curve, threshold**2 / curve, color=ORANGE, lw=1.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="class probability p")
    axes.set_ylabel("centerness c")
    axes.legend(title=f"above {threshold:g} is", frameon=False, fontsize=FONT_PT - 2,
                loc="upper left", bbox_to_anchor=(1.0, 1.0))  # fmt: skip
    return figure


def _thin_boxes(axes: Axes, found: Found, colour: str | None = None) -> None:
    """Boxes without a dark edge, which a hundred boxes would have no room for."""
    boxes, classes, _ = found
    for (x1, y1, x2, y2), class_id in zip(
        boxes.tolist(), classes.tolist(), strict=True
    ):
        axes.add_patch(
            Rectangle(
                (x1, y1),
                x2 - x1,
                y2 - y1,
                fill=False,
                edgecolor=colour or class_colour(int(class_id)),
            )
        )


def draw_found(
    image: torch.Tensor, of_ways: Mapping[str, Found], colour: str | None = None
) -> Figure:
    """One image several times, with the boxes that each way gives.

    Args:
        of_ways: title -> boxes, classes, scores.
        colour: of all boxes; by default each class has its own.
    """
    figure, panels = make_figure(1, len(of_ways), height=2.9)
    for axes, (title, found) in zip(panels, of_ways.items(), strict=True):
        show_image(axes, image, f"{title}: {len(found[0])} boxes", ticks=False)
        _thin_boxes(axes, found, colour)
    return figure


def draw_counts(of_ways: Mapping[str, Mapping[str, int]]) -> Figure:
    """How many boxes each level gives, in several ways; each way has its own scale.

    Args:
        of_ways: name of the way -> level -> number.
    """
    figure, panels = make_figure(1, len(of_ways), height=2.4)
    for axes, (way, counts) in zip(panels, of_ways.items(), strict=True):
        colours = [LEVEL_COLOURS[level] for level in counts]
        bars = axes.bar(list(counts), list(counts.values()), color=colours)
        axes.bar_label(bars, fontsize=FONT_PT - 1)
        axes.set_title(f"{way}: {sum(counts.values())}", fontsize=FONT_PT)
        axes.set(yticks=[], ylim=(0, 1.2 * max(1, *counts.values())))
    return figure


def as_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> HTML:
    """A table; numbers with a mark between thousands."""
    lines = [f"<tr>{''.join(_cell(each, 'th') for each in head)}</tr>"]
    lines += [f"<tr>{''.join(_cell(each, 'td') for each in row)}</tr>" for row in rows]
    return HTML(f"<table>{''.join(lines)}</table>")


def _cell(value: object, kind: str) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    style = ' style="text-align:left;padding:2px 12px"'
    return f"<{kind}{style}>{html.escape(text)}</{kind}>"


def pad_batch(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """Images (3, H, W) of any sizes as one batch: 0 at the right and below."""
    height, width = (
        -(-max(image.shape[side] for image in images) // MULTIPLE) * MULTIPLE
        for side in (1, 2)
    )
    batch = images[0].new_zeros(len(images), 3, height, width)
    for place, image in enumerate(images):
        batch[place, :, : image.shape[1], : image.shape[2]] = image
    return batch


def in_padding(points: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N,) whether a location (x, y) is beyond an image of this (H, W)."""
    height, width = size
    return (points[:, 0] >= width) | (points[:, 1] >= height)


def draw_batch(
    batch: torch.Tensor, sizes: Sequence[tuple[int, int]], points: torch.Tensor
) -> Figure:
    """The images of a batch with their padding, and the locations of a level.

    Args:
        batch: (B, 3, H, W).
        sizes: (H, W) of each image without padding.
        points: (N, 2) of (x, y) in pixels.
    """
    figure, panels = make_figure(1, len(batch), height=3.2)
    for axes, image, (height, width) in zip(panels, batch, sizes, strict=True):
        show_image(axes, image, f"H = {height}, W = {width}", ticks=False)
        frame = Rectangle((0, 0), width, height, fill=False, edgecolor=ORANGE, lw=2.5)
        axes.add_patch(frame)
        outside = in_padding(points, (height, width))
        add_points(axes, points[~outside], ORANGE, size=12)
        add_points(axes, points[outside], "white", size=30, marker="X")
    return figure


def draw_grids(
    size: tuple[int, int], grids: Mapping[str, torch.Tensor], spacing: int
) -> Figure:
    """Where the locations of a coarse level look, in several versions.

    Args:
        size: (H, W) of the padded image.
        grids: name of the version -> (N, 2) of (x, y) in pixels.
        spacing: of the cells that are drawn, in pixels.
    """
    figure, panels = make_figure(1, len(grids), height=3.1)
    height, width = size
    for axes, (name, points) in zip(panels, grids.items(), strict=True):
        axes.set_title(name, fontsize=FONT_PT)
        axes.set(xlim=(-20, width + 40), ylim=(height + 120, -20), aspect="equal")
        axes.add_patch(Rectangle((0, 0), width, height, facecolor="#EEEEEE"))
        for x in range(0, width + spacing, spacing):
            axes.plot([x, x], [0, height], color=GREY, lw=0.6)
        for y in range(0, height + spacing, spacing):
            axes.plot([0, width], [y, y], color=GREY, lw=0.6)
        add_points(axes, points, BLUE, size=16)
    return figure


def show_names(ours: nn.Module, theirs: nn.Module, least: int = 3) -> HTML:
    """Names of weights side by side, in the order in which each model has them.

    Args:
        least: dimensions of the weights that are shown; convolutions have four.
    """
    columns = []
    for model in (ours, theirs):
        state = {
            name: value
            for name, value in model.state_dict().items()
            if value.dim() > least and ".layer" not in name
        }
        columns.append(
            [f"{name} {tuple(value.shape)}" for name, value in state.items()]
        )
    length = max(map(len, columns))
    padded = [column + [""] * (length - len(column)) for column in columns]
    rows = list(zip(*padded, strict=True))
    return as_table(("ours", "torchvision's"), rows)


def random_torchvision(num_classes: int, channels: int, side: int) -> nn.Module:
    """Torchvision's FCOS on a ResNet-18 in float64, with random weights that speak.

    Args:
        channels: of the FPN's maps, a multiple of 32.
        side: of the images' shorter side, so that it resizes none.
    """
    from torchvision.models import resnet18
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.fcos import FCOS
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    torch.manual_seed(0)
    backbone = BackboneWithFPN(
        resnet18(weights=None),
        {"layer2": "0", "layer3": "1", "layer4": "2"},
        [128, 256, 512],
        channels,
        LastLevelP6P7(channels, channels),
    )
    like_ours: dict[str, Any] = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    model = FCOS(backbone, num_classes, min_size=side, max_size=9999, **like_ours)
    head: Any = model.head
    for weight in head.parameters():
        if weight.dim() == 4:
            nn.init.normal_(weight, std=SPREAD)
    nn.init.constant_(head.classification_head.cls_logits.bias, CLASS_BIAS)
    nn.init.constant_(head.regression_head.bbox_reg.bias, BOX_BIAS)
    return model.double().eval()


def largest_differences(
    ours: Sequence[Found], theirs: Sequence[Mapping[str, torch.Tensor]]
) -> HTML:
    """For each image the number of detections, and how far two models are apart.

    Args:
        ours: boxes, classes, scores of each image.
        theirs: "boxes", "labels", "scores" of each image.
    """
    rows: list[list[object]] = []
    for place, (found, other) in enumerate(zip(ours, theirs, strict=True)):
        row: list[object] = [place, len(found[0]), len(other["boxes"])]
        for mine, name in zip(found, ("boxes", "labels", "scores"), strict=True):
            row.append(_apart(mine.double(), other[name].double()))
        rows.append(row)
    head = ("image", "ours", "torchvision's", "boxes differ by", "classes by")
    return as_table((*head, "scores by"), rows)


def _apart(mine: torch.Tensor, other: torch.Tensor) -> str:
    """The largest difference; a question where the numbers of detections differ."""
    if mine.shape != other.shape:
        return "?"
    return f"{float((mine - other).abs().max()):.0e}" if mine.numel() else "nothing"


def of_photographs(model: nn.Module, names: Sequence[str]) -> LoadedDetector:
    """A detector with other people's weights, ready for photographs.

    Args:
        model: in the version of torchvision.
        names: of its classes.
    """
    version = PRESETS["torchvision"]
    config = DetectorConfig(
        model="fcos_published",
        class_names=tuple(names),
        backbone="resnet50",
        image_size=PHOTO_SIDE,
        score_threshold=version.score_threshold,
        nms_threshold=version.nms_threshold,
        fcos=version,
    )
    device = next(model.parameters()).device
    return LoadedDetector(model.eval(), config.class_names, config, device)
