"""Losses of boxes that overlap, and the three losses of a batch as published.

P foreground locations. Boxes are given by their distances left, top, right, bottom
from a location inside.
"""

import torch

from core.fcos_config import FCOSConfig


def overlap_of_distances(
    pred: torch.Tensor, true: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Exercise 11.3 (about 5 lines): intersection and union of two boxes at a location.

    Both boxes are around one location, so the smaller of two distances is that of the
    intersection: no corner is needed.
    Source: Yu et al., "UnitBox", 2016, section 3.1; Tian et al., "FCOS", 2019.

    Args:
        pred: (P, 4) left, top, right, bottom, none negative.
        true: (P, 4), same unit.

    Returns:
        Intersection (P,) and union (P,), in the square of the unit.

    Example:
        >>> pred, true = torch.tensor([[1.0, 1, 1, 1]]), torch.tensor([[1.0, 1, 3, 1]])
        >>> overlap_of_distances(pred, true)
        (tensor([4.]), tensor([8.]))
    """
    ### BEGIN SOLUTION
    pred_area = (pred[:, 0] + pred[:, 2]) * (pred[:, 1] + pred[:, 3])
    true_area = (true[:, 0] + true[:, 2]) * (true[:, 1] + true[:, 3])
    both = torch.minimum(pred, true)
    intersection = (both[:, 0] + both[:, 2]) * (both[:, 1] + both[:, 3])
    return intersection, pred_area + true_area - intersection
    ### END SOLUTION


def iou_loss(
    pred: torch.Tensor, true: torch.Tensor, linear: bool = False, plus: float = 0.0
) -> torch.Tensor:
    """Exercise 11.4 (about 3 lines): how far is the IoU from 1?

    -ln((I + plus) / (U + plus)), or 1 minus this ratio if linear. The logarithm pulls
    hardest where boxes hardly overlap; `plus`, 1 in the authors' code, keeps it finite.
    Source: Tian et al., "FCOS", 2019, section 3.1; Yu et al., "UnitBox", 2016.

    Args:
        pred, true: (P, 4) as in 11.3.
        linear: 1 - IoU instead of -ln IoU.
        plus: is added to intersection and union.

    Returns:
        (P,)
    """
    ### BEGIN SOLUTION
    intersection, union = overlap_of_distances(pred, true)
    ratio = (intersection + plus) / (union + plus)
    return 1 - ratio if linear else -ratio.log()
    ### END SOLUTION


def giou_loss(
    pred: torch.Tensor, true: torch.Tensor, plus: float = 0.0, eps: float = 1e-7
) -> torch.Tensor:
    """Exercise 11.5 (about 5 lines): 1 - GIoU, which pulls where nothing overlaps, too.

    GIoU is the IoU less the part of the smallest box around both that neither covers.
    Source: Rezatofighi et al., "Generalized IoU", 2019, algorithm 1.

    Args:
        pred, true: (P, 4) as in 11.3.
        plus: is added to intersection and union in the IoU.
        eps: is added to what is divided by, so that two empty boxes give no NaN.

    Returns:
        (P,), between 0 and 2.
    """
    ### BEGIN SOLUTION
    intersection, union = overlap_of_distances(pred, true)
    around = torch.maximum(pred, true)
    hull = (around[:, 0] + around[:, 2]) * (around[:, 1] + around[:, 3])
    ratio = (intersection + plus) / (union + plus + eps)
    return 1 - (ratio - (hull - union) / (hull + eps))
    ### END SOLUTION


def box_losses(
    pred: torch.Tensor, true: torch.Tensor, config: FCOSConfig
) -> torch.Tensor:
    """The loss of each foreground location's box, by the config's name of it.

    Args:
        pred, true: (P, 4) in the config's loss_unit.

    Returns:
        (P,), not yet weighted or divided.
    """
    if config.box_loss == "l1":
        return 0.25 * (pred - true).abs().sum(dim=1)
    if config.box_loss == "l2":
        return 0.25 * (pred - true).square().sum(dim=1)
    if config.box_loss == "giou":
        return giou_loss(pred, true, config.iou_plus, config.giou_eps)
    return iou_loss(pred, true, config.box_loss == "linear_iou", config.iou_plus)


def divide_losses(
    loss_cls: torch.Tensor,
    loss_box: torch.Tensor,
    loss_ctr: torch.Tensor,
    centerness: torch.Tensor,
    divisor: torch.Tensor,
    weigh_boxes: bool,
) -> dict[str, torch.Tensor]:
    """Exercise 11.6 (about 9 lines): the losses of a batch from those of locations.

    Sums, divided by the number of foreground locations, or a running mean of it. If the
    boxes are weighed each box loss is multiplied by the centerness of its location, and
    the sum divided by the sum of centerness: a mean whose weights add up to 1.
    Source: Tian et al., "FCOS", 2019, equation 2 with lambda = 1; 2020, section 3.1.

    Args:
        loss_cls: of any shape, of all locations.
        loss_box, loss_ctr, centerness: (P,) of the foreground; P may be 0.
        divisor: one number, at least 1.
        weigh_boxes: see above.

    Returns:
        {"loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr"}, scalars.
    """
    ### BEGIN SOLUTION
    if weigh_boxes:
        loc = (loss_box * centerness).sum() / centerness.sum().clamp(min=1e-6)
    else:
        loc = loss_box.sum() / divisor
    return {
        "loss_fcos_cls": loss_cls.sum() / divisor,
        "loss_fcos_loc": loc,
        "loss_fcos_ctr": loss_ctr.sum() / divisor,
    }
    ### END SOLUTION
