import torch


def fcos_box_loss(pred_boxreg_deltas, gt_deltas)
    return (pred_boxreg_deltas - gt_deltas).abs()
