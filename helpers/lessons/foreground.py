"""Notebook 11 counts foreground: two ways to match, and how many locations a level has.

M true boxes of an image, N locations of all levels.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.figure import Figure

from helpers.data.voc import VOC2007DetectionTiny
from helpers.lessons.centres import Points, grid
from helpers.lessons.overview import level_sizes
from helpers.show.style import BLACK, FONT_PT, LEVEL_COLOURS, make_figure

Batch = Callable[[torch.Tensor], torch.Tensor]


def compare_with_loop(loop: Batch, batch: Batch, boxes: torch.Tensor) -> str:
    """Whether two ways to match a batch agree, and how long each takes.

    Args:
        loop, batch: true boxes (B, M, 5) -> matched rows (B, N, 5).
        boxes: those of a batch.
    """
    rows, found = loop(boxes), batch(boxes)
    different = (
        int((rows != found).any(dim=2).sum()) if rows.shape == found.shape else "all"
    )
    took = {}
    for name, match in (("image by image", loop), ("all at once", batch)):
        tries = []
        for _ in range(5):
            start = time.perf_counter()
            match(boxes)
            tries.append(time.perf_counter() - start)
        took[name] = f"{1000 * min(tries):.1f} ms {name}"
    return f"{different} of {rows[..., 0].numel()} rows differ; " + ", ".join(
        took.values()
    )


def count_foreground(
    dataset: VOC2007DetectionTiny,
    images: int,
    match: Callable[[Points, Mapping[str, int], torch.Tensor], torch.Tensor],
    strides: Mapping[str, int],
) -> dict[str, float]:
    """Foreground locations of each level in a mean image, and boxes that got none.

    Args:
        match: locations, strides and true boxes (1, M, 5) -> matched rows (1, N, 5).
        strides: of the levels.
    """
    counts = dict.fromkeys((*strides, "boxes without a location"), 0.0)
    number = min(images, len(dataset))
    for index in range(number):
        _, image, rows = dataset[index]
        sizes = level_sizes(*image.shape[1:])
        places = {}
        for level, (height, width) in sizes.items():
            stride = strides[level]
            places[level] = grid((height * stride, width * stride), stride)
        matched = match(places, strides, rows[None])[0]
        parts = matched.split([len(points) for points in places.values()])
        for level, part in zip(places, parts, strict=True):
            counts[level] += int((part[:, 4] >= 0).sum()) / number
        for box in rows[rows[:, 4] >= 0]:
            found = bool((matched == box).all(dim=1).any())
            counts["boxes without a location"] += not found
    return counts


def draw_counts(counts: Mapping[str, Mapping[str, float]]) -> Figure:
    """Foreground locations of each level, for several choices.

    Args:
        counts: name of the choice -> what count_foreground gives.
    """
    figure, (axes,) = make_figure(height=0.6 * len(counts) + 1.2)
    for row, own in enumerate(counts.values()):
        start = 0.0
        levels: Sequence[str] = [name for name in own if name in LEVEL_COLOURS]
        for level in levels:
            colour = LEVEL_COLOURS[level]
            axes.barh(row, own[level], left=start, color=colour, edgecolor=BLACK)
            start += own[level]
        said = "  ".join(f"{level} {own[level]:.1f}" for level in levels)
        lost = int(own["boxes without a location"])
        lost_text = f"   {lost} boxes get none" if lost else ""
        axes.text(start + 0.8, row, said + lost_text, va="center", fontsize=FONT_PT - 1)
    axes.set_yticks(range(len(counts)), list(counts))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.6 * max(sum(own[n] for n in levels) for own in counts.values()))
    axes.set_xlabel("foreground locations of a mean image: p3, p4, p5")
    return figure
