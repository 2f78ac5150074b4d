"""Pictures of notebook 11: who counts how much in the losses, and what is left of them.

P foreground locations.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.lessons.centres import grid, is_inside
from helpers.show.style import (
    BLUE,
    FONT_PT,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    add_box,
    add_points,
    make_figure,
    show_image,
)


def draw_weights(
    centerness: Callable[[torch.Tensor], torch.Tensor],
    distances: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    box: torch.Tensor,
) -> Figure:
    """What each location of one box has to say in the mean of the box losses.

    Args:
        centerness: your fcos_make_centerness_targets, of 5.3.
        distances: the given distances_to_sides.
        box: XYXY in pixels.
    """
    points = grid((image.shape[1], image.shape[2]))
    points = points[is_inside(points, box[None, :4])[:, 0]]
    weights = centerness(distances(points, box))
    figure, panels = make_figure(1, 2, height=3.6)
    kinds = {"not weighed": torch.ones_like(weights), "weighed": weights}
    for axes, (name, own) in zip(panels, kinds.items(), strict=True):
        share = own / own.sum()
        show_image(axes, image, ticks=False)
        add_box(axes, box, ORANGE)
        for point, part in zip(points, share.tolist(), strict=True):
            add_points(axes, point[None], YELLOW, 5000 * part)
        low, high = float(share.min()), float(share.max())
        said = (
            f"each {high:.1%}" if name == "not weighed" else f"{low:.1%} to {high:.1%}"
        )
        axes.set_title(f"{name}: {said} of the box loss", fontsize=FONT_PT)
    return figure


def draw_divisors(
    counts: Sequence[int], divisors: Mapping[str, Sequence[float]]
) -> Figure:
    """Foreground locations of some batches, and what their losses are divided by.

    Args:
        counts: of each batch.
        divisors: name -> one number for each batch.
    """
    figure, (axes,) = make_figure(height=3.0)
    batches = range(1, len(counts) + 1)
    axes.plot(batches, counts, "o", color=GREY, label="foreground of the batch")
    lines = zip(divisors.items(), (BLUE, RED, GREEN), ("-", "--", ":"), strict=False)
    for (name, values), colour, line in lines:
        axes.plot(batches, values, line, color=colour, lw=2.3, label=name)
    axes.set(xlabel="batch", ylabel="locations", xticks=batches[4::5])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=FONT_PT - 1)
    return figure


def draw_floor(
    targets: Mapping[str, torch.Tensor], floors: Mapping[str, float]
) -> Figure:
    """Centerness targets of the data, and the loss that is left at each of them.

    Args:
        targets: name -> (P,) in [0, 1].
        floors: name -> the mean of what is left.
    """
    figure, panels = make_figure(1, len(targets), height=3.0)
    truth = torch.linspace(0.001, 0.999, 200)
    floor = -(truth * truth.log() + (1 - truth) * (1 - truth).log())
    for axes, (name, own) in zip(panels, targets.items(), strict=True):
        axes.hist(own.numpy(), bins=20, range=(0, 1), color=GREY, density=True)
        _draw_right(axes, truth, floor)
        axes.set(xlabel="centerness target", xlim=(0, 1), yticks=[])
        axes.set_title(f"{name}: the floor is {floors[name]:.3f}", fontsize=FONT_PT)
    return figure


def _draw_right(axes: Axes, truth: torch.Tensor, floor: torch.Tensor) -> None:
    """A curve with an axis of its own on the right."""
    other = axes.twinx()
    other.plot(truth, floor, color=RED, lw=2.3)
    other.set_ylim(0, 0.75)
    other.set_ylabel("least loss", color=RED, fontsize=FONT_PT - 1)
