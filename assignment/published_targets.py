"""What each location of a batch should say, for all images and levels at once.

N locations of all levels one after the other, M true boxes. Points are (x, y), boxes
XYXY in pixels.
"""

import math
from collections.abc import Mapping

import torch

from assignment.common import BACKGROUND
from core.fcos_config import FCOSConfig


def published_locations(
    map_sizes: dict[str, tuple[int, int]],
    strides: dict[str, int],
    image_size: tuple[int, int],
    config: FCOSConfig,
    like: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Where each location looks: 4.1 with the config's offset and spacing.

    Args:
        map_sizes: (H, W) of each level.
        strides: of each level in pixels.
        image_size: (H, W) of the padded images.
        like: a tensor of the dtype and device to use.

    Returns:
        For each level (H * W, 2): (x, y) in pixels, flattened row by row.
    """
    locations = {}
    for level, (height, width) in map_sizes.items():
        down = across = strides[level]
        if config.spacing == "image":
            down, across = image_size[0] // height, image_size[1] // width
        offset = config.location_offset * strides[level]
        x = torch.arange(width, dtype=like.dtype, device=like.device) * across + offset
        y = torch.arange(height, dtype=like.dtype, device=like.device) * down + offset
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        locations[level] = torch.stack((grid_x, grid_y), dim=2).reshape(-1, 2)
    return locations


def size_ranges(
    strides: dict[str, int], scale: float, last_limit: float
) -> dict[str, tuple[float, float]]:
    """Exercise 10.7 (about 8 lines): sizes that belong to each of any number of levels.

    By the largest of a location's four distances, in pixels: from 4 to 8 strides, times
    the scale. The finest level begins at 0, the coarsest ends at last_limit.
    Source: Tian et al., "FCOS", 2019, section 3.2.

    Args:
        strides: of each level in pixels, in any order.
        scale: factor on all limits but the first and the last.
        last_limit: in pixels; may be infinite.

    Returns:
        For each level (low, high), in the order of the strides given.

    Example:
        >>> size_ranges({"p3": 8, "p4": 16, "p5": 32}, 0.5, float("inf"))
        {'p3': (0.0, 32.0), 'p4': (32.0, 64.0), 'p5': (64.0, inf)}
    """
    ### BEGIN SOLUTION
    finest, coarsest = min(strides.values()), max(strides.values())
    return {
        name: (
            0.0 if stride == finest else 4.0 * stride * scale,
            last_limit if stride == coarsest else 8.0 * stride * scale,
        )
        for name, stride in strides.items()
    }
    ### END SOLUTION


def distances_to_sides(points: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """How far each point is from the left, top, right and bottom side of its box.

    Args:
        points: (..., 2) of (x, y) in pixels.
        boxes: (..., 4 or 5), XYXY first; its dimensions in front fit those of points.

    Returns:
        (..., 4) in pixels; negative where the point is outside.
    """
    left_top = points - boxes[..., :2]
    right_bottom = boxes[..., 2:4] - points
    return torch.cat((left_top, right_bottom), dim=-1)


def is_near_centre(
    locations: torch.Tensor, boxes: torch.Tensor, radius: torch.Tensor
) -> torch.Tensor:
    """Exercise 11.1 (about 3 lines): centre sampling.

    A location is near the centre of a box if neither x nor y differs by as much as the
    radius: a square, not a circle.
    Source: Tian et al., "FCOS", 2020, section 3.1.

    Args:
        locations: (N, 2) of (x, y) in pixels.
        boxes: (..., M, 4) XYXY in pixels.
        radius: (N,) in pixels, of each location's level.

    Returns:
        (..., N, M) bool.
    """
    ### BEGIN SOLUTION
    centres = (boxes[..., :2] + boxes[..., 2:4]) / 2  # (..., M, 2)
    offset = (locations[:, None, :] - centres[..., None, :, :]).abs().amax(dim=-1)
    return offset < radius[:, None]
    ### END SOLUTION


def is_in_range(largest: torch.Tensor, ranges: torch.Tensor, ends: str) -> torch.Tensor:
    """Whether the size of a box belongs to the level.

    Published code differs in what happens at 64 pixels sharp: the box is for one level
    ("high": low < size <= high), for two ("both" ends belong), or for none.

    Args:
        largest: (..., N, M) largest of the four distances in pixels.
        ranges: (N, 2) of (low, high) in pixels.
        ends: "high", "both" or "none".

    Returns:
        (..., N, M) bool.
    """
    low, high = ranges[:, :1], ranges[:, 1:]
    above = largest >= low if ends == "both" else largest > low
    below = largest < high if ends == "none" else largest <= high
    return above & below


def pick_smallest(
    is_candidate: torch.Tensor, areas: torch.Tensor, smallest: str
) -> torch.Tensor:
    """One box for each location: the smallest candidate, the first of equal ones.

    Args:
        is_candidate: (..., N, M) bool, M at least 1.
        areas: (..., M) in square pixels.
        smallest: "area", or "1e8 - area" as Detectron2 and torchvision have it: the
            candidate for which this is largest. In float32 such numbers are 8 apart.

    Returns:
        (..., N) int64: index of the box, or BACKGROUND where there is no candidate.
    """
    if smallest == "area":
        cost = torch.where(is_candidate, areas[..., None, :], math.inf)
        index = cost.argmin(dim=-1)
    else:
        index = (is_candidate.float() * (1e8 - areas[..., None, :])).argmax(dim=-1)
    return torch.where(is_candidate.any(dim=-1), index, BACKGROUND)


def match_batch(
    locations: dict[str, torch.Tensor],
    strides: dict[str, int],
    gt_boxes: torch.Tensor,
    config: FCOSConfig,
) -> torch.Tensor:
    """Exercise 11.2 (about 19 lines): a true box for every location of every image.

    As 4.5, for a batch at once and with the config's choices: strictly inside the box,
    near its centre if centre_radius is above 0, its size in the level's range, and of
    several boxes the smallest.
    Source: Tian et al., "FCOS", 2019, section 3.1, and 2020, section 3.1.

    Args:
        locations: for each level (n, 2) of (x, y) in pixels.
        strides: of each level in pixels.
        gt_boxes: (B, M, 5) rows (x1, y1, x2, y2, class); rows of -1 are padding.

    Returns:
        (B, N, 5): the matched row, all -1 for background; N of all levels in a row.
    """
    ### BEGIN SOLUTION
    points = torch.cat(list(locations.values()))
    stride = spread_over_levels(locations, strides)  # (N,)
    ranges = spread_over_levels(
        locations, size_ranges(strides, config.range_scale, config.last_limit)
    )  # (N, 2)
    is_used = (gt_boxes[:, :, 4] != BACKGROUND).any(dim=0)  # the rest is padding only
    # One more row, so that index -1 (BACKGROUND) reads a row of -1.
    background_row = gt_boxes.new_full((len(gt_boxes), 1, 5), BACKGROUND)
    rows = torch.cat((gt_boxes[:, is_used], background_row), dim=1)
    boxes = rows[:, None]  # (B, 1, M, 5)
    ltrb_px = distances_to_sides(points[:, None], boxes)  # (B, N, M, 4)
    is_candidate = (ltrb_px.amin(dim=3) > 0) & (boxes[..., 4] != BACKGROUND)
    is_candidate &= is_in_range(ltrb_px.amax(dim=3), ranges, config.range_ends)
    if config.centre_radius > 0:
        radius = config.centre_radius * stride
        is_candidate &= is_near_centre(points, rows[..., :4], radius)
    sides = rows[..., 2:4] - rows[..., :2]
    index = pick_smallest(is_candidate, sides[..., 0] * sides[..., 1], config.smallest)
    index = index % rows.shape[1]  # gather takes no index below 0
    return rows.gather(1, index[..., None].expand(-1, -1, 5))
    ### END SOLUTION


def spread_over_levels(
    locations: dict[str, torch.Tensor],
    values: Mapping[str, float | tuple[float, float]],
) -> torch.Tensor:
    """The number, or numbers, of each level for every location, all levels in a row.

    Returns:
        (N,) for a number, (N, 2) for a pair of numbers.
    """
    spread = []
    for level, points in locations.items():
        value = points.new_tensor(values[level])
        spread.append(value.expand(len(points), *value.shape))
    return torch.cat(spread)
