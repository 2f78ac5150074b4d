"""The loss of each location against torchvision, numbers by hand and slow loops."""

import math

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from assignment.one_stage_detector import (
    fcos_box_loss,
    fcos_centerness_loss,
    fcos_classification_loss,
)
from tests.plain_numbers import spread

NUM_CLASSES = 5


def one_hot(classes: torch.Tensor) -> torch.Tensor:
    """Rows of 0 and one 1; background is a row of 0."""
    table = torch.zeros(*classes.shape, NUM_CLASSES, dtype=torch.float64)
    for place in torch.cartesian_prod(*(torch.arange(size) for size in classes.shape)):
        index = tuple(place.reshape(-1).tolist())
        if classes[index] >= 0:
            table[(*index, int(classes[index]))] = 1
    return table


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_classification_loss_equals_torchvision(dtype):
    """Two images of 7 locations, all classes and background; classes may be floats."""
    logits = spread(2, 7, NUM_CLASSES, low=-6, high=6)
    classes = torch.arange(14).reshape(2, 7) % 6 - 1  # -1, 0, ..., 4, -1, ...
    expected = sigmoid_focal_loss(logits, one_hot(classes)).sum(dim=-1)
    got = fcos_classification_loss(logits, classes.to(dtype))
    assert got.shape == (2, 7)
    torch.testing.assert_close(got, expected)


def test_classification_loss_of_class_zero_is_not_background():
    """Class 0 asks for a "yes" at the first logit; background asks for none."""
    logits = torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    yes, no = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    second = 0.75 * no**2 * -math.log(1 - no)
    object_loss = 0.25 * (1 - yes) ** 2 * -math.log(yes) + second
    background_loss = 0.75 * yes**2 * -math.log(1 - yes) + second
    for class_id, expected in ((0, object_loss), (-1, background_loss)):
        got = fcos_classification_loss(logits, torch.tensor([class_id]))
        assert float(got) == pytest.approx(expected, rel=1e-12)


def test_classification_loss_of_extreme_logits_is_finite():
    """Logits of +-1000 are wrong by 1000, not by infinity or nan."""
    logits = torch.tensor([[1000.0, -1000.0]])
    wrong = fcos_classification_loss(logits, torch.tensor([1]))
    assert float(wrong) == pytest.approx(750 + 250)
    right = fcos_classification_loss(logits, torch.tensor([0]))
    assert float(right) == 0


def test_classification_loss_has_the_gradient_of_torchvision():
    """The factor (1 - p)^gamma takes part in the gradient."""
    classes = torch.tensor([2, -1, 0])
    gradients = []
    for own in (True, False):
        logits = spread(3, NUM_CLASSES, low=-3, high=3).requires_grad_()
        if own:
            fcos_classification_loss(logits, classes).sum().backward()
        else:
            sigmoid_focal_loss(logits, one_hot(classes)).sum().backward()
        gradients.append(logits.grad)
    torch.testing.assert_close(*gradients)


def test_classification_loss_without_locations():
    """No location, no loss."""
    got = fcos_classification_loss(torch.zeros(0, 3), torch.zeros(0))
    assert got.shape == (0,)


def test_box_loss_is_a_quarter_of_the_sum_of_differences():
    """|1 - 0| + |2 - 4| + |0 - 0.5| + |8 - 3| = 8.5, times 0.25."""
    pred = torch.tensor([[1.0, 2, 0, 8]])
    target = torch.tensor([[0.0, 4, 0.5, 3]])
    assert fcos_box_loss(pred, target).tolist() == [2.125]


def test_box_loss_of_background_is_zero_with_zero_gradient():
    """Background has no box, so nothing may pull at its prediction."""
    pred = spread(2, 3, 4, low=-2, high=2).requires_grad_()
    target = spread(2, 3, 4, start=50)
    target[0, 1] = -1
    target[1] = -1
    loss = fcos_box_loss(pred, target)
    assert loss.shape == (2, 3)
    assert (loss == 0).tolist() == [[False, True, False], [True, True, True]]
    loss.sum().backward()
    assert pred.grad is not None
    # the absolute value has slope 1, the factor is a quarter
    expected = torch.where(target.amax(-1, keepdim=True) < 0, 0.0, 0.25)
    torch.testing.assert_close(pred.grad.abs(), expected.expand(2, 3, 4).double())


@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_centerness_loss_is_the_cross_entropy(target):
    """-t ln(p) - (1 - t) ln(1 - p), which is not 0 at a target of 0.3."""
    logit = 0.7
    p = 1 / (1 + math.exp(-logit))
    expected = -target * math.log(p) - (1 - target) * math.log(1 - p)
    logits = torch.tensor([logit], dtype=torch.float64)
    got = fcos_centerness_loss(logits, torch.tensor([target], dtype=torch.float64))
    assert float(got) == pytest.approx(expected, rel=1e-12)


def test_centerness_loss_of_background_is_zero_with_zero_gradient():
    """A target of -1 is no target."""
    logits = torch.tensor([[5.0, -5.0, 1.0]], requires_grad=True)
    loss = fcos_centerness_loss(logits, torch.tensor([[-1.0, -1.0, 0.5]]))
    assert loss[0, :2].tolist() == [0, 0]
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, :2].tolist() == [0, 0]
    assert logits.grad[0, 2] > 0


def test_losses_without_any_foreground_are_zero_but_for_the_classes():
    """Images without objects still teach the classes to answer "no"."""
    boxes = fcos_box_loss(torch.ones(1, 4, 4), torch.full((1, 4, 4), -1.0))
    centerness = fcos_centerness_loss(torch.ones(1, 4), torch.full((1, 4), -1.0))
    classes = fcos_classification_loss(torch.ones(1, 4, 2), torch.full((1, 4), -1.0))
    assert not boxes.any()
    assert not centerness.any()
    assert bool((classes > 0).all())
