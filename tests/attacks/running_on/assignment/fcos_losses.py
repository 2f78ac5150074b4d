import torch

LINE = "x" * 1000


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """Print without end."""
    while True:
        print(LINE)


def fcos_centerness_loss(pred_ctr_logits, gt_centerness):
    """Deeper and deeper."""
    return fcos_centerness_loss(pred_ctr_logits + 1, gt_centerness)
