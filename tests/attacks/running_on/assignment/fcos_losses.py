import time

import torch


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """Sleep without end."""
    while True:
        time.sleep(1)


def fcos_centerness_loss(pred_ctr_logits, gt_centerness):
    """Deeper and deeper."""
    return fcos_centerness_loss(pred_ctr_logits + 1, gt_centerness)
