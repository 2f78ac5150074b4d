"""Inputs and expected values for the losses: torchvision and slow loops."""

import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from grader_tests.oracles.plain_losses import box_loss, centerness_loss, class_loss

Reference = dict[str, torch.Tensor]


def _uniform(
    generator: torch.Generator, *shape: int, low: float, high: float
) -> torch.Tensor:
    numbers = torch.rand(shape, generator=generator, dtype=torch.float64)
    return low + (high - low) * numbers


def _one_hot(classes: torch.Tensor, count: int) -> torch.Tensor:
    """(..., count), rows of 0 for background."""
    return F.one_hot(classes + 1, count + 1)[..., 1:].double()


def _classification(generator: torch.Generator) -> Reference:
    reference = {}
    for case, shape, count in (("batch", (2, 7), 5), ("many", (2000,), 10)):
        logits = _uniform(generator, *shape, count, low=-6, high=6)
        number = torch.arange(shape[0] * (shape[1:] or (1,))[0])
        classes = ((number * 5) % (count + 1) - 1).reshape(shape)
        focal = sigmoid_focal_loss(logits, _one_hot(classes, count)).sum(dim=-1)
        if case == "batch":
            torch.testing.assert_close(focal, class_loss(logits, classes))
        name = f"fcos_classification_loss.{case}"
        reference[f"{name}.logits"] = logits
        reference[f"{name}.classes"] = classes
        reference[f"{name}.expected"] = focal

    logits = _uniform(generator, 6, 4, low=-3, high=3).requires_grad_()
    classes = torch.tensor([2, -1, 0, 3, -1, 1])
    focal = sigmoid_focal_loss(logits, _one_hot(classes, 4)).sum()
    name = "fcos_classification_loss.gradient"
    reference[f"{name}.logits"] = logits.detach()
    reference[f"{name}.classes"] = classes
    reference[f"{name}.expected"] = torch.autograd.grad(focal, logits)[0]
    return reference


def _box(generator: torch.Generator) -> Reference:
    # Differences on both sides of 1, where the smooth L1 loss bends.
    deltas = _uniform(generator, 2, 6, 4, low=-1, high=4)
    targets = _uniform(generator, 2, 6, 4, low=0.1, high=4)
    targets[0, 1] = targets[1, 0] = targets[1, 5] = -1
    return {
        "fcos_box_loss.batch.deltas": deltas,
        "fcos_box_loss.batch.targets": targets,
        "fcos_box_loss.batch.expected": box_loss(deltas, targets),
    }


def _centerness(generator: torch.Generator) -> Reference:
    logits = _uniform(generator, 2, 6, low=-4, high=4)
    targets = _uniform(generator, 2, 6, low=0.05, high=1)
    targets[0, 2] = targets[1, 1] = targets[1, 4] = -1
    return {
        "fcos_centerness_loss.batch.logits": logits,
        "fcos_centerness_loss.batch.targets": targets,
        "fcos_centerness_loss.batch.expected": centerness_loss(logits, targets),
    }


def _by_hand(generator: torch.Generator) -> Reference:
    """One predicted box and its target, in eighths."""
    deltas = (_uniform(generator, 1, 4, low=0, high=8) * 8).round() / 8
    targets = (_uniform(generator, 1, 4, low=1, high=8) * 8).round() / 8
    return {
        "fcos_box_loss.hand.deltas": deltas,
        "fcos_box_loss.hand.targets": targets,
        "fcos_box_loss.hand.expected": box_loss(deltas, targets),
    }


def make(generator: torch.Generator) -> Reference:
    """Everything of this step, as "function.case.name"."""
    return {
        **_classification(generator),
        **_box(generator),
        **_centerness(generator),
        **_by_hand(generator),
    }
