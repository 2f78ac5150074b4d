"""What a location should say of its box: distances to the edges, and centerness.

Source: Tian et al., "FCOS", 2019, sections 3.1 and 3.3.
"""

import torch

from assignment.common import BACKGROUND


def fcos_get_deltas_from_locations(
    locations: torch.Tensor, gt_boxes: torch.Tensor, stride: int
) -> torch.Tensor:
    """Exercise 5.1 (about 5 lines): what the box predictor should answer.

    Distances to the four edges of the matched box, in units of the stride, so that all
    levels predict numbers of one size.
    Source: Tian et al., "FCOS", 2019, equation 1.

    Args:
        locations: (N, 2) of (x, y) in pixels.
        gt_boxes: (N, 4) or (N, 5): the matched box of each location, -1 for background.
        stride: of this level in pixels.

    Returns:
        (N, 4): left, top, right, bottom divided by the stride; all -1 for background.
        The dtype is that of the input.

    Example:
        >>> box = torch.tensor([[10.0, 0.0, 30.0, 16.0]])
        >>> fcos_get_deltas_from_locations(torch.tensor([[12.0, 4.0]]), box, stride=8)
        tensor([[0.2500, 0.5000, 2.2500, 1.5000]])
    """
    ### BEGIN SOLUTION
    left_top = locations - gt_boxes[:, :2]
    right_bottom = gt_boxes[:, 2:4] - locations
    deltas = torch.cat((left_top, right_bottom), dim=1) / stride
    is_background = (gt_boxes == BACKGROUND).all(dim=1)
    return torch.where(is_background[:, None], BACKGROUND, deltas)
    ### END SOLUTION


def fcos_apply_deltas_to_locations(
    deltas: torch.Tensor, locations: torch.Tensor, stride: int
) -> torch.Tensor:
    """Exercise 5.2 (about 4 lines): from predicted deltas back to boxes; inverts 5.1.

    A negative distance makes no sense, so it counts as 0. The boxes are not clipped to
    the image here.

    Args:
        deltas: (N, 4): left, top, right, bottom in units of the stride.
        locations: (N, 2) of (x, y) in pixels.
        stride: of this level in pixels.

    Returns:
        (N, 4) XYXY in pixels, of the input's dtype. Background deltas (all -1) give
        (x, y, x, y).

    Example:
        >>> deltas = torch.tensor([[0.25, 0.5, 2.25, 1.5]])
        >>> location = torch.tensor([[12.0, 4.0]])
        >>> fcos_apply_deltas_to_locations(deltas, location, stride=8)
        tensor([[10.,  0., 30., 16.]])
    """
    ### BEGIN SOLUTION
    ltrb_px = deltas.clamp(min=0) * stride
    left_top = locations - ltrb_px[:, :2]
    right_bottom = locations + ltrb_px[:, 2:]
    return torch.cat((left_top, right_bottom), dim=1)
    ### END SOLUTION


def fcos_make_centerness_targets(deltas: torch.Tensor) -> torch.Tensor:
    """Exercise 5.3 (about 6 lines): how central is each location in its box?

    sqrt(min(l, r) * min(t, b) / (max(l, r) * max(t, b))): 1 in the middle, towards 0 at
    the edges. The root makes it fall slowly. A ratio, so the stride cancels.
    Source: Tian et al., "FCOS", 2019, equation 3.

    Args:
        deltas: (N, 4): left, top, right, bottom in any one unit, of locations inside
            their boxes; all -1 for background.

    Returns:
        (N,) in [0, 1], of the input's dtype; -1 for background.

    Example:
        >>> fcos_make_centerness_targets(torch.tensor([[1.0, 3.0, 4.0, 3.0]]))
        tensor([0.5000])
    """
    ### BEGIN SOLUTION
    left_right, top_bottom = deltas[:, [0, 2]], deltas[:, [1, 3]]
    smaller = left_right.amin(dim=1) * top_bottom.amin(dim=1)
    larger = left_right.amax(dim=1) * top_bottom.amax(dim=1)
    ratio = torch.where(larger > 0, smaller / larger, 0.0).clamp(min=0)
    is_background = (deltas == BACKGROUND).all(dim=1)
    return torch.where(is_background, BACKGROUND, ratio.sqrt())
    ### END SOLUTION
