"""What a norm sees, how numbers fade from layer to layer, and what exp does."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from helpers.show.style import (
    BLACK,
    BLUE,
    FONT_PT,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    make_figure,
)

DRAWN_POINTS = 400
MOST_TURNS = 8
LEAST_LABEL = 0.5  # a line that ends below is told by its number
NORM_COLOURS = {"batch norm": RED, "group norm": BLUE}
WAY_COLOURS = {"raw": GREY, "relu": BLUE, "exp": ORANGE}
START_COLOURS = (RED, BLUE, ORANGE, GREEN, PURPLE)
HALF_TYPES = {torch.float16: ORANGE, torch.bfloat16: SKY}
Norms = Mapping[str, nn.Module]


def make_norms(channels: int, groups: int) -> dict[str, nn.Module]:
    """A batch norm and a group norm as they are in training, before any step."""
    return {
        "batch norm": nn.BatchNorm2d(channels).train(),
        "group norm": nn.GroupNorm(groups, channels).train(),
    }


@torch.no_grad()
def norm_changes(maps: torch.Tensor, norms: Norms, size: int) -> dict[str, float]:
    """How much an image's numbers move when the others of its batch change.

    Args:
        maps: (B, C, h, w) of at least 2 * size - 1 images; some are looked at in turn.
        size: of the batch.

    Returns:
        Name of the norm -> mean absolute change, where the deviation is 1.
    """
    moved = dict.fromkeys(norms, 0.0)
    turns = range(0, len(maps), max(1, len(maps) // MOST_TURNS))
    for first in turns:
        turned = maps.roll(-first, dims=0)
        other = torch.cat((turned[:1], turned[size : 2 * size - 1]))
        for name, norm in norms.items():
            change = norm(turned[:size])[0] - norm(other)[0]
            moved[name] += float(change.abs().mean()) / len(turns)
    return moved


@torch.no_grad()
def draw_norms(maps: torch.Tensor, norms: Norms) -> Figure:
    """An image's numbers in two batches of two; and how much they move, by batch size.

    Args:
        maps: (B, C, h, w); the first image is looked at.
    """
    figure, panels = make_figure(1, 3, height=3.2, width=10.0)
    places = np.linspace(0, maps[0].numel() - 1, DRAWN_POINTS).astype(int)
    for axes, (name, norm) in zip(panels, norms.items(), strict=False):
        beside_b, beside_c = (
            norm(torch.stack((maps[0], maps[other])))[0].flatten().numpy()[places]
            for other in (1, 2)
        )
        axes.scatter(beside_b, beside_c, s=8, color=NORM_COLOURS[name])
        ends = [float(beside_b.min()), float(beside_b.max())]
        axes.plot(ends, ends, color=BLACK, lw=1)
        axes.set_title(f"{name}: image A")
        axes.set_xlabel("beside image B")
        axes.set_ylabel("beside image C")
    sizes = [size for size in (2, 4, 8, 16) if 2 * size - 1 <= len(maps)]
    for name, colour in NORM_COLOURS.items():
        moved = [norm_changes(maps, norms, size)[name] for size in sizes]
        panels[2].plot(sizes, moved, "o-", color=colour, label=name)
    panels[2].set_xscale("log", base=2)
    panels[2].set_xticks(sizes, [str(size) for size in sizes])
    panels[2].set_xlabel("images in a batch")
    panels[2].set_ylabel("mean change of A")
    panels[2].legend(frameon=False, fontsize=FONT_PT - 1)
    return figure


@torch.no_grad()
def deviations(stem: nn.Sequential, maps: torch.Tensor) -> list[float]:
    """The standard deviation of what goes in, and of what leaves each convolution.

    Behind a norm it would be 1 by definition; so what a norm makes of a convolution's
    answer takes its place.
    """
    values = maps
    found = [float(values.std())]
    for part in stem:
        values = part(values)
        if isinstance(part, nn.Conv2d):
            found.append(float(values.std()))
        elif isinstance(part, nn.GroupNorm):
            found[-1] = float(values.std())
    return found


def draw_deviations(measured: Mapping[str, list[float]]) -> Figure:
    """One line for each start: the deviation behind each layer, on a log scale.

    Args:
        measured: name of a start -> numbers of deviations().
    """
    figure, (axes,) = make_figure(height=3.4)
    lines = zip(measured.items(), START_COLOURS, strict=False)
    for number, ((name, values), colour) in enumerate(lines):
        line = "o--" if number > 1 else "o-"
        axes.plot(range(len(values)), values, line, color=colour, label=name, lw=2)
        if values[-1] < LEAST_LABEL:
            axes.annotate(
                f"{values[-1]:.2g}",
                (len(values) - 1, values[-1]),
                xytext=(8, -4),
                textcoords="offset points",
                fontsize=FONT_PT - 1,
            )
    most = max(map(len, measured.values()))
    axes.set_yscale("log")
    axes.set_xticks(range(most), ["map", *map(str, range(1, most))])
    axes.set_xlabel("behind convolution")
    axes.set_ylabel("standard deviation")
    axes.legend(frameon=False, fontsize=FONT_PT - 1)
    return figure


def draw_outputs(
    distances_of_output: Callable[[torch.Tensor, float, str], torch.Tensor],
) -> Figure:
    """Distances and their slopes for each way; and what half precision makes of exp.

    Args:
        distances_of_output: your 10.5.
    """
    figure, (left, middle, right) = make_figure(1, 3, height=3.3, width=10.5)
    for way, colour in WAY_COLOURS.items():
        _draw_way(left, middle, distances_of_output, way, 1.0, colour, "-")
    _draw_way(left, middle, distances_of_output, "exp", 0.5, ORANGE, "--")
    left.set_ylabel("distance in strides")
    middle.set_ylabel("slope")
    for axes in (left, middle):
        axes.set_xlabel("output x")
        axes.set_ylim(-2.2, 8)
        axes.axhline(0, color=BLACK, lw=0.8)
    left.legend(frameon=False, fontsize=FONT_PT - 2)
    _draw_half_precision(right)
    return figure


def _draw_way(
    left: Axes,
    middle: Axes,
    function: Callable[[torch.Tensor, float, str], torch.Tensor],
    way: str,
    scale: float,
    colour: str,
    line: str,
) -> None:
    """One curve, and its slope."""
    x = torch.linspace(-3, 3, 241, requires_grad=True)
    y = function(x, scale, way)
    (slope,) = torch.autograd.grad(y.sum(), x)
    name = f"{way}, scale {scale:g}"
    shown = x.detach().numpy()
    left.plot(shown, y.detach().numpy(), line, color=colour, lw=2, label=name)
    middle.plot(shown, slope.numpy(), line, color=colour, lw=2)


def _draw_half_precision(axes: Axes) -> None:
    """How far e to the power of x is off, in percent, where it is taken in 16 bits."""
    for dtype, colour in HALF_TYPES.items():
        x = torch.linspace(0, 14, 800).to(dtype)
        coarse, exact = x.exp().double(), x.double().exp()
        off = 100 * (coarse / exact - 1).abs()
        ends = coarse.isinf()
        name = str(dtype).removeprefix("torch.")
        axes.plot(x[~ends].double(), off[~ends], ".", ms=2, color=colour, label=name)
        if bool(ends.any()):
            first = float(x[ends].double().min())
            axes.axvline(first, color=colour, lw=2)
            axes.text(
                first + 0.2, 0.45, f"infinite\nfrom {first:.1f}", fontsize=FONT_PT - 2
            )
    axes.set_xlabel("x")
    axes.set_ylabel("$e^x$ is off by, in %")
    axes.set_title("a power in 16 bits")
    axes.legend(frameon=False, fontsize=FONT_PT - 2, markerscale=5, loc="upper left")
    axes.set_ylim(0, 0.65)


def gradient_of_centerness(
    head: nn.Module, features: Mapping[str, torch.Tensor]
) -> dict[str, float]:
    """How large a gradient the centerness sends into each of the two stems."""
    logits = head(dict(features))[2]
    total = torch.stack([values.square().sum() for values in logits.values()]).sum()
    found = {}
    for stem in ("stem_cls", "stem_box"):
        weights = list(head.get_submodule(stem).parameters())
        gradients = torch.autograd.grad(
            total, weights, retain_graph=True, allow_unused=True
        )
        parts = [float(part.square().sum()) for part in gradients if part is not None]
        found[stem] = round(sum(parts) ** 0.5, 1)
    return found
