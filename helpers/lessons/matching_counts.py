"""How often a location lies in several boxes, and how many are background."""

import math
from collections.abc import Callable, Mapping

import torch

from helpers.data.voc import VOC2007DetectionTiny
from helpers.lessons.overview import level_sizes

LocationsFunction = Callable[..., dict[str, torch.Tensor]]
STRIDES = {"p3": 8, "p4": 16, "p5": 32}


def locations_of(
    image: torch.Tensor, get_locations: LocationsFunction
) -> dict[str, torch.Tensor]:
    """The locations of all levels for an image, from your function.

    Args:
        image: (3, H, W).
        get_locations: your get_fpn_location_coords.
    """
    sizes = level_sizes(*image.shape[1:])
    shapes = {level: (1, 1, *size) for level, size in sizes.items()}
    return get_locations(shapes, STRIDES)


def count_ambiguous(
    dataset: VOC2007DetectionTiny,
    images: int,
    get_locations: LocationsFunction,
    distances: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    is_candidate: Callable[[torch.Tensor, tuple[float, float]], torch.Tensor],
    *,
    ranges: Mapping[str, tuple[float, float]],
) -> dict[str, float]:
    """Of the locations in some box, the share that is in several.

    Returns:
        Without and with the size ranges of the levels.
    """
    inside_any = inside_many = chosen_any = chosen_many = 0
    for index in range(min(images, len(dataset))):
        _, image, rows = dataset[index]
        boxes = rows[rows[:, 4] >= 0, :4]
        if len(boxes) == 0:
            continue
        for level, points in locations_of(image, get_locations).items():
            ltrb = distances(points, boxes)
            inside = is_candidate(ltrb, (0.0, math.inf)).sum(dim=1)
            chosen = is_candidate(ltrb, ranges[level]).sum(dim=1)
            inside_any += int((inside > 0).sum())
            inside_many += int((inside > 1).sum())
            chosen_any += int((chosen > 0).sum())
            chosen_many += int((chosen > 1).sum())
    return {
        "every level takes every box": inside_many / max(1, inside_any),
        "each level its own sizes": chosen_many / max(1, chosen_any),
    }


def count_matches(
    dataset: VOC2007DetectionTiny,
    images: int,
    get_locations: LocationsFunction,
    match: Callable[..., dict[str, torch.Tensor]],
) -> dict[str, int]:
    """Foreground locations of each level, background, and boxes that got no location.

    Args:
        match: your fcos_match_locations_to_gt.
    """
    counts = {f"foreground of {level}": 0 for level in STRIDES}
    counts |= {"background": 0, "boxes": 0, "boxes without a location": 0}
    for index in range(min(images, len(dataset))):
        _, image, rows = dataset[index]
        matched = match(locations_of(image, get_locations), STRIDES, rows)
        everything = torch.cat(list(matched.values()))
        for level, values in matched.items():
            counts[f"foreground of {level}"] += int((values[:, 4] >= 0).sum())
        counts["background"] += int((everything[:, 4] < 0).sum())
        for box in rows[rows[:, 4] >= 0]:
            counts["boxes"] += 1
            found = bool((everything == box).all(dim=1).any())
            counts["boxes without a location"] += not found
    return counts
