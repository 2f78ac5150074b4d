import torch


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """4 TB of numbers."""
    return torch.zeros(10**12)


def fcos_centerness_loss(pred_ctr_logits, gt_centerness):
    """Nothing is returned."""
    pred_ctr_logits.sigmoid()
