"""Which true box, if any, is each location responsible for?

Points are (x, y). N locations, M true boxes. A true box is a row (x1, y1, x2, y2,
class); background and padding are rows of -1.
Source: Tian et al., "FCOS", 2019, sections 3.1 and 3.2.
"""

import math

import torch

from assignment.common import BACKGROUND


def fcos_size_range_per_level(
    strides_per_fpn_level: dict[str, int],
) -> dict[str, tuple[float, float]]:
    """Which boxes each level is responsible for, by max(l, t, r, b) in pixels.

    From 4 x stride to 8 x stride; the finest level starts at 0 and the coarsest has no
    end: (0, 64), (64, 128), (128, inf) for strides 8, 16, 32.
    Source: Tian et al., "FCOS", 2019, section 3.2.

    Example:
        >>> fcos_size_range_per_level({"p3": 8, "p4": 16, "p5": 32})
        {'p3': (0.0, 64.0), 'p4': (64.0, 128.0), 'p5': (128.0, inf)}
    """
    finest = min(strides_per_fpn_level.values())
    coarsest = max(strides_per_fpn_level.values())
    return {
        level: (
            0.0 if stride == finest else stride * 4.0,
            math.inf if stride == coarsest else stride * 8.0,
        )
        for level, stride in strides_per_fpn_level.items()
    }


def fcos_distances_to_edges(
    locations: torch.Tensor, boxes_xyxy: torch.Tensor
) -> torch.Tensor:
    """Exercise 4.2 (about 3 lines): distances from each location to each box's edges.

    A distance is negative when the location lies beyond that edge.
    Source: Tian et al., "FCOS", 2019, equation 1.

    Args:
        locations: (N, 2) of (x, y) in pixels.
        boxes_xyxy: (M, 4) in pixels.

    Returns:
        (N, M, 4): left, top, right, bottom in pixels.

    Example:
        >>> location, box = torch.tensor([[12.0, 4]]), torch.tensor([[10.0, 0, 30, 16]])
        >>> fcos_distances_to_edges(location, box).tolist()
        [[[2.0, 4.0, 18.0, 12.0]]]
    """
    ### BEGIN SOLUTION
    left_top = locations[:, None, :] - boxes_xyxy[None, :, :2]  # (N, M, 2)
    right_bottom = boxes_xyxy[None, :, 2:4] - locations[:, None, :]  # (N, M, 2)
    return torch.cat((left_top, right_bottom), dim=2)
    ### END SOLUTION


def fcos_is_candidate(
    ltrb_px: torch.Tensor, size_range_px: tuple[float, float]
) -> torch.Tensor:
    """Exercise 4.3 (about 4 lines): which boxes may a location be responsible for?

    The location must lie strictly inside the box, and the largest of its four distances
    must lie in the level's range: low < max(l, t, r, b) <= high. With the equal sign on
    one side only, a distance of exactly 64 or 128 belongs to one level, not to none.
    Source: Tian et al., "FCOS", 2019, section 3.2.

    Args:
        ltrb_px: (N, M, 4) distances in pixels.
        size_range_px: (low, high) of the level.

    Returns:
        (N, M) bool.
    """
    ### BEGIN SOLUTION
    low, high = size_range_px
    is_inside = ltrb_px.amin(dim=2) > 0
    largest = ltrb_px.amax(dim=2)
    return is_inside & (largest > low) & (largest <= high)
    ### END SOLUTION


def fcos_pick_smallest_box(
    is_candidate: torch.Tensor, areas: torch.Tensor
) -> torch.Tensor:
    """Exercise 4.4 (about 4 lines): one box per location, the smallest candidate.

    Of boxes with the same area the one with the lowest index wins.
    Source: Tian et al., "FCOS", 2019, section 3.1 ("ambiguous samples").

    Args:
        is_candidate: (N, M) bool, M at least 1.
        areas: (M,) areas of the boxes.

    Returns:
        (N,) int64: index of the box, or BACKGROUND where there is no candidate.
    """
    ### BEGIN SOLUTION
    # No candidate costs infinity; argmin returns the first of equal values.
    cost = torch.where(is_candidate, areas[None, :], math.inf)  # (N, M)
    smallest = cost.argmin(dim=1)
    has_candidate = is_candidate.any(dim=1)
    return torch.where(has_candidate, smallest, BACKGROUND)
    ### END SOLUTION


def fcos_match_locations_to_gt(
    locations_per_fpn_level: dict[str, torch.Tensor],
    strides_per_fpn_level: dict[str, int],
    gt_boxes: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Exercise 4.5 (about 15 lines): a true box, or background, for every location.

    Put 4.2, 4.3 and 4.4 together, for one image. Rows of gt_boxes whose class is
    BACKGROUND are padding and match nothing; an image may have no true box at all.
    Source: Tian et al., "FCOS", 2019, sections 3.1 and 3.2.

    Args:
        locations_per_fpn_level: for each level (N, 2) of (x, y) in pixels.
        strides_per_fpn_level: stride of each level in pixels.
        gt_boxes: (M, 5) rows (x1, y1, x2, y2, class), boxes in pixels.

    Returns:
        For each level (N, 5): the matched row of gt_boxes, all -1 for background.
    """
    ### BEGIN SOLUTION
    valid_boxes = gt_boxes[gt_boxes[:, 4] != BACKGROUND]
    size_ranges = fcos_size_range_per_level(strides_per_fpn_level)
    sides = valid_boxes[:, 2:4] - valid_boxes[:, :2]
    areas = sides[:, 0] * sides[:, 1]
    # One more row, so that index -1 (BACKGROUND) reads a row of -1.
    background_row = gt_boxes.new_full((1, 5), BACKGROUND)
    rows = torch.cat((valid_boxes, background_row))
    matched = {}
    for level, locations in locations_per_fpn_level.items():
        if len(valid_boxes) == 0:
            matched[level] = background_row.expand(len(locations), 5).clone()
            continue
        ltrb_px = fcos_distances_to_edges(locations, valid_boxes[:, :4])
        is_candidate = fcos_is_candidate(ltrb_px, size_ranges[level])
        matched[level] = rows[fcos_pick_smallest_box(is_candidate, areas)]
    return matched
    ### END SOLUTION
