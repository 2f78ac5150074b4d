"""The drawing function of EECS 498's assignment 4."""

from collections.abc import Mapping

import torch
from IPython.display import display
from matplotlib.figure import Figure

from helpers.a4.eecs598 import reset_seed
from helpers.data.images import IMAGENET_MEAN, IMAGENET_STD
from helpers.show.draw import class_colour
from helpers.show.style import YELLOW, add_box, add_points, make_figure, show_image

__all__ = ["detection_visualizer", "reset_seed"]


def detection_visualizer(
    img: torch.Tensor,
    idx_to_class: Mapping[int, str],
    bbox: torch.Tensor | None = None,
    points: torch.Tensor | list | None = None,
) -> Figure:
    """Show an image with boxes and points.

    Args:
        img: (3, H, W), RGB in [0, 1], as that assignment's `inverse_norm` gives it.
        idx_to_class: number of a class -> its name.
        bbox: (N, 4), (N, 5) with the class, or (N, 6) with class and score.
        points: (N, 2) of (x, y), or one point.
    """
    figure, (axes,) = make_figure(height=4.0)
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    std = torch.tensor(IMAGENET_STD)[:, None, None]
    show_image(axes, (img.detach().cpu() - mean) / std)
    boxes = torch.zeros(0, 4) if bbox is None else bbox.detach().cpu()
    for row in boxes.reshape(-1, boxes.shape[-1]):
        label, colour = "", YELLOW
        if len(row) > 4:
            colour = class_colour(int(row[4]))
            label = idx_to_class[int(row[4])]
        if len(row) > 5:
            label = f"{label} {float(row[5]):.2f}"
        add_box(axes, row, colour, label)
    if points is not None:
        add_points(axes, torch.as_tensor(points).reshape(-1, 2), YELLOW)
    display(figure)
    return figure
