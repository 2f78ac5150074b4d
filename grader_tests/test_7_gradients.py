"""Step 7: what the losses of FCOS pull at, and that training helps."""

from typing import Any

import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from grader_tests.detector_parts import (
    GT_BOXES,
    LOSSES,
    NORMALIZER_START,
    Predictions,
    batch_targets,
    check_losses,
    join,
    make_fcos,
    make_images,
    predict,
    updated_normalizer,
)
from grader_tests.oracles.plain_targets import STRIDES, Targets
from grader_tests.tools import expect_inputs_kept, give
from grader_tests.training_mistakes import expect_loss
from helpers.checks.expect import expect_close, expect_true
from helpers.checks.student import Student

DETACHED = "the predictions are detached"
CUT_OFF = "it is detached, or what it answers is not used"
UNCHOSEN = "0 / 0 or the root of 0 in a branch that is not chosen"
LEFT_OUT = "background locations are left out"
PREDICTORS = tuple(f"pred_net.pred_{name}.weight" for name in ("cls", "box", "ctr"))


def test_gradients_without_any_box_are_finite(student: Student) -> None:
    """Background alone still teaches the classes to say "no", and nothing is NaN."""
    fcos, images = make_fcos(student), make_images(student)
    none = torch.full((2, 3, 5), -1.0, device=student.device)
    losses, _, gradients = student.gradients(fcos, images, none, module=fcos.pred_net)
    losses = check_losses(losses)
    for name, gradient in gradients.items():
        expect_true(
            gradient is None or bool(gradient.isfinite().all()),
            f"gradient of {name}",
            "is not finite for a batch without any box",
            UNCHOSEN
            if all(bool(loss.isfinite()) for loss in losses.values())
            else None,
        )
    what, bias = "gradient of pred_cls.bias", gradients["pred_cls.bias"]
    expect_true(bias is not None, what, "nothing arrives", DETACHED)
    expect_true(
        bias is not None and bool(bias.any()),
        what,
        "is 0 for a batch without any box",
        LEFT_OUT if float(losses["loss_cls"]) == 0 else None,
    )


def _bias_gradients(
    predictions: Predictions,
    targets: Targets,
    normalizer: float,
    detached: str | None = None,
) -> dict[str, torch.Tensor]:
    """Gradient of each loss in the bias of its predictor.

    Args:
        detached: a level that pulls at nothing.
    """
    classes, deltas, centerness = targets
    is_foreground = classes >= 0
    logits, boxes, quality = (join(levels).requires_grad_() for levels in predictions)
    one_hot = F.one_hot(classes.long() + 1, logits.shape[-1] + 1)[..., 1:].double()
    total = (
        sigmoid_focal_loss(logits, one_hot).sum()
        + 0.25 * (boxes - deltas)[is_foreground].abs().sum()
        + F.binary_cross_entropy_with_logits(
            quality[..., 0][is_foreground], centerness[is_foreground], reduction="sum"
        )
    )
    divisor = len(classes) * normalizer
    found = torch.autograd.grad(total / divisor, (logits, boxes, quality))
    names = ("pred_cls.bias", "pred_box.bias", "pred_ctr.bias")
    pulls = torch.cat(
        [
            torch.full((predictions[0][level].shape[1], 1), float(level != detached))
            for level in STRIDES
        ]
    )
    return {
        name: (gradient * pulls).sum(dim=(0, 1))
        for name, gradient in zip(names, found, strict=True)
    }


def test_gradients_of_the_predictors_are_right(student: Student) -> None:
    """Each loss alone pulls at its own predictor, as the formula says."""
    fcos, images = make_fcos(student), make_images(student)
    predictions, targets = predict(fcos, images), batch_targets(GT_BOXES)
    divisor = NORMALIZER_START

    def detached_levels(name: str) -> dict[str, torch.Tensor]:
        return {
            f"the predictions of {level} are detached": _bias_gradients(
                predictions, targets, divisor, level
            )[name]
            for level in STRIDES
        }

    for loss in LOSSES:
        divisor = updated_normalizer(targets.classes, divisor)
        _, _, gradients = student.gradients(
            fcos, images, give(student, GT_BOXES), module=fcos.pred_net, part=(loss,)
        )
        for name, right in _bias_gradients(predictions, targets, divisor).items():
            what, got = f"gradient of {name} from {loss}", gradients[name]
            if name[5:8] != loss[5:8]:
                is_quiet = got is None or not bool(got.any())
                expect_true(is_quiet, what, "another loss pulls at it")
                continue
            expect_true(got is not None, what, "nothing arrives", DETACHED)
            expect_close(
                got,
                right,
                what,
                causes={DETACHED: torch.zeros_like(right), **detached_levels(name)},
                atol=1e-6,
                rtol=1e-3,  # float32 sums of numbers of both signs
                check_dtype=False,
            )


def test_gradients_reach_every_part(student: Student) -> None:
    """Both stems, all predictors, the pyramid and the backbone learn."""
    fcos, images = make_fcos(student), make_images(student)
    _, _, gradients = student.gradients(
        fcos, images, give(student, GT_BOXES), module=fcos
    )
    for part in ("pred_net.stem_cls", "pred_net.stem_box", "backbone"):
        # Biases in front of a normalisation have none, and a solution may hold more.
        weights = [
            gradient
            for name, gradient in gradients.items()
            if name.startswith(f"{part}.") and name.endswith("weight")
        ]
        arrives = [
            gradient is not None and bool(gradient.any()) for gradient in weights
        ]
        cause = None if any(arrives) else CUT_OFF
        if all(gradients.get(name) is None for name in PREDICTORS):
            cause = DETACHED
        expect_true(
            bool(arrives) and sum(arrives) >= 0.9 * len(arrives),
            f"gradients of FCOS.{part}",
            f"{sum(arrives)} of {len(arrives)} weights get one",
            cause,
        )
        expect_true(
            all(
                bool(gradient.isfinite().all())
                for gradient in weights
                if gradient is not None
            ),
            f"gradients of FCOS.{part}",
            "not finite",
        )


def test_training_leaves_its_inputs_alone(student: Student) -> None:
    """Images and boxes are the same after a step, and the losses are right."""
    fcos, images = make_fcos(student), make_images(student)
    gt_boxes = give(student, GT_BOXES)
    predictions = predict(fcos, make_images(student))
    targets = batch_targets(GT_BOXES)

    def check(answer: Any) -> None:
        for name in LOSSES:
            expect_loss(name, check_losses(answer), predictions, targets)

    what = "FCOS in training"
    expect_inputs_kept(student, what, fcos, images, gt_boxes, check=check)


def test_some_steps_of_training_lower_the_losses(student: Student) -> None:
    """Twelve steps on one batch: the sum that the normalizer divides falls."""
    fcos = make_fcos(student)
    history = student.train(
        fcos, make_images(student), give(student, GT_BOXES), 12, 3e-3
    )
    classes = batch_targets(GT_BOXES).classes
    normalizer, totals = NORMALIZER_START, []
    for losses in history:
        normalizer = updated_normalizer(classes, normalizer)
        totals.append(sum(losses.values()) * normalizer)
    expect_true(
        totals[-1] < 0.8 * totals[0],
        "FCOS in training",
        "the losses do not fall in 12 steps on one batch",
    )
