"""The loss of each prediction, for each location, before normalisation.

K classes. A leading "..." is any number of dimensions, usually (B, N).
"""

import torch
from torch.nn import functional as F

from assignment.common import BACKGROUND

FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0


def fcos_classification_loss(
    pred_cls_logits: torch.Tensor, gt_classes: torch.Tensor
) -> torch.Tensor:
    """Exercise 6.1 (about 10 lines): the focal loss of each location.

    K yes-or-no questions per location, with cross-entropy weighted down where the
    answer is already good: alpha_t * (1 - p_t)^gamma * CE. Background is "no" K times.
    Source: Lin et al., "Focal Loss", 2017, equations 4 and 5.

    Args:
        pred_cls_logits: (..., K) raw.
        gt_classes: (...), 0 to K-1, or BACKGROUND; int64 or float.

    Returns:
        (...): sum over the classes, not yet normalised.

    Example:
        >>> fcos_classification_loss(torch.zeros(2, 3), torch.tensor([1, -1]))
        tensor([0.3033, 0.3899])
    """
    ### BEGIN SOLUTION
    num_classes = pred_cls_logits.shape[-1]
    class_ids = torch.arange(num_classes, device=pred_cls_logits.device)
    targets = (gt_classes[..., None] == class_ids).to(pred_cls_logits)  # (..., K)
    cross_entropy = F.binary_cross_entropy_with_logits(
        pred_cls_logits, targets, reduction="none"
    )
    probability = pred_cls_logits.sigmoid()
    p_wrong = torch.where(targets == 1, 1 - probability, probability)
    alpha_t = torch.where(targets == 1, FOCAL_ALPHA, 1 - FOCAL_ALPHA)
    return (alpha_t * p_wrong**FOCAL_GAMMA * cross_entropy).sum(dim=-1)
    ### END SOLUTION


def fcos_box_loss(
    pred_boxreg_deltas: torch.Tensor, gt_deltas: torch.Tensor
) -> torch.Tensor:
    """Exercise 6.2 (about 3 lines): the L1 loss of each location's box.

    0.25 * (|l| + |t| + |r| + |b|) of the differences, 0 for background.

    Args:
        pred_boxreg_deltas: (..., 4).
        gt_deltas: (..., 4); all -1 for background.

    Returns:
        (...), not yet normalised.
    """
    ### BEGIN SOLUTION
    difference = (pred_boxreg_deltas - gt_deltas).abs().sum(dim=-1)
    is_background = (gt_deltas == BACKGROUND).all(dim=-1)
    return torch.where(is_background, 0.0, 0.25 * difference)
    ### END SOLUTION


def fcos_centerness_loss(
    pred_ctr_logits: torch.Tensor, gt_centerness: torch.Tensor
) -> torch.Tensor:
    """Exercise 6.3 (about 4 lines): the cross-entropy of each location's centerness.

    Binary cross-entropy against a target between 0 and 1, 0 for background.
    Source: Tian et al., "FCOS", 2019, section 3.3.

    Args:
        pred_ctr_logits: (...), raw.
        gt_centerness: (...), in [0, 1]; -1 for background.

    Returns:
        (...), not yet normalised.
    """
    ### BEGIN SOLUTION
    cross_entropy = F.binary_cross_entropy_with_logits(
        pred_ctr_logits, gt_centerness, reduction="none"
    )
    return torch.where(gt_centerness < 0, 0.0, cross_entropy)
    ### END SOLUTION
