import itertools

import torch


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """A tensor that says it has 10^12 numbers, and has one."""
    return torch.zeros(1).expand(10**12)


def fcos_centerness_loss(pred_ctr_logits, gt_centerness):
    """Numbers without end."""
    return itertools.count()
