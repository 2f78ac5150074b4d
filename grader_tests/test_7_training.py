"""Step 7: the losses that FCOS returns while it trains, and their gradients."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from grader_tests.detector_parts import (
    GT_BOXES,
    LOSSES,
    NORMALIZER_START,
    NUM_CLASSES,
    PADDING,
    Predictions,
    batch_losses,
    batch_targets,
    check_losses,
    constant_head,
    join,
    losses_of,
    make_fcos,
    make_images,
    method,
    predict,
    updated_normalizer,
)
from grader_tests.oracles.plain_losses import smooth_l1
from grader_tests.oracles.plain_targets import STRIDES, Targets
from grader_tests.references import load_cases
from grader_tests.tools import expect_inputs_kept, give
from helpers.checks.expect import expect_close, expect_runs, expect_true
from helpers.checks.student import Student

Losses = dict[str, torch.Tensor]
CLASS_0_LOST = "class 0 is taken for background"
DETACHED = "the predictions are detached"
# Float32 sums of some hundred numbers, against float64
NEAR = 1e-4


def _mistakes(
    predictions: Predictions, targets: Targets, swapped: Targets | None
) -> dict[str, Callable[[], Losses]]:
    """Known mistake -> the three losses that it gives.

    Args:
        predictions: of the head.
        targets: the right ones.
        swapped: the targets of locations with x and y swapped.
    """
    classes = targets.classes
    batch, locations = classes.shape
    foreground = int((classes >= 0).sum())
    after = updated_normalizer(classes)

    def other(**mistake: Any) -> Callable[[], Losses]:
        return lambda: batch_losses(predictions, targets, **mistake)

    return {
        "the normalizer is updated after it divides": other(
            normalizer=NORMALIZER_START
        ),
        "the normalizer counts foreground per batch, not per image": other(
            normalizer=0.9 * NORMALIZER_START + 0.1 * foreground
        ),
        "divided by the foreground of the batch, not by the normalizer": other(
            normalizer=max(foreground, 1) / batch
        ),
        "not divided by the number of images": other(normalizer=after / batch),
        "a mean over the locations, which is divided again": other(
            normalizer=after * batch * locations
        ),
        "not divided by the normalizer": other(normalizer=1.0),
        CLASS_0_LOST: other(lowest_class=1),
        "background locations are counted": other(
            box={"counts_background": True}, ctr={"background_target": -1.0}
        ),
        "background gets the target 0": other(ctr={"background_target": 0.0}),
        "background asks for the last class": other(cls={"background_asks": -1}),
        "background locations are left out": other(cls={"counts_background": False}),
        "alpha and 1 - alpha are swapped": other(cls={"alpha": 0.75}),
        "the factor (1 - p)^gamma is forgotten": other(cls={"gamma": 0.0}),
        "0.25 is forgotten": other(box={"factor": 1.0}),
        "smooth L1 instead of L1": other(box={"distance": smooth_l1}),
        "x and y of the locations are swapped": lambda: batch_losses(
            predictions, swapped or targets
        ),
    }


def _one_of(losses: Callable[[], Losses], name: str) -> Callable[[], torch.Tensor]:
    return lambda: losses()[name]


def _expect_loss(
    name: str,
    losses: Losses,
    predictions: Predictions,
    targets: Targets,
    swapped: Targets | None = None,
) -> None:
    mistakes = _mistakes(predictions, targets, swapped)
    expect_close(
        losses[name],
        batch_losses(predictions, targets)[name],
        name,
        causes={cause: _one_of(wrong, name) for cause, wrong in mistakes.items()},
        atol=0,
        rtol=NEAR,
        check_dtype=False,
    )


def _check_of_a_batch(student: Student, name: str) -> None:
    """One loss, worked out from what the student's head predicts for the batch."""
    fcos, images = make_fcos(student), make_images(student)
    predictions = predict(fcos, images)
    losses = losses_of(fcos, images, GT_BOXES)
    swapped = batch_targets(GT_BOXES, swapped=True)
    _expect_loss(name, losses, predictions, batch_targets(GT_BOXES), swapped)


def test_loss_cls_of_a_batch(student: Student) -> None:
    """Focal loss of all locations of two images / (normalizer * B)."""
    _check_of_a_batch(student, "loss_cls")


def test_loss_box_of_a_batch(student: Student) -> None:
    """0.25 * L1 of the foreground of two images / (normalizer * B)."""
    _check_of_a_batch(student, "loss_box")


def test_loss_ctr_of_a_batch(student: Student) -> None:
    """Cross-entropy of the foreground's centerness / (normalizer * B)."""
    _check_of_a_batch(student, "loss_ctr")


def test_losses_of_an_image_of_odd_size(student: Student) -> None:
    """70 x 101 pixels, where no stride fits."""
    height, width = 70, 101
    fcos, images = make_fcos(student), make_images(student, height, width)
    predictions = predict(fcos, images)
    losses = losses_of(fcos, images, GT_BOXES)
    targets = batch_targets(GT_BOXES, height, width)
    swapped = batch_targets(GT_BOXES, height, width, swapped=True)
    for name in LOSSES:
        _expect_loss(name, losses, predictions, targets, swapped)


def test_first_losses_of_constant_answers(student: Student) -> None:
    """All outputs 0: p = 0.5 everywhere, so the losses follow from the targets."""
    fcos, images = make_fcos(student), make_images(student)
    zeros = {"pred_cls": [0.0] * NUM_CLASSES, "pred_box": [0.0] * 4, "pred_ctr": [0.0]}
    constant_head(student, fcos, zeros)
    losses = losses_of(fcos, images, GT_BOXES)
    classes, deltas, _ = batch_targets(GT_BOXES)
    is_foreground = classes >= 0
    foreground, locations = int(is_foreground.sum()), classes.numel()
    yes, no = 0.0625 * math.log(2), 0.1875 * math.log(2)
    sums = {
        "loss_cls": NUM_CLASSES * no * locations + (yes - no) * foreground,
        "loss_box": float(deltas[is_foreground].sum()) / 4,
        "loss_ctr": math.log(2) * foreground,
    }
    divisor = 2 * updated_normalizer(classes)
    for name, total in sums.items():
        wrong = {
            "the normalizer is updated after it divides": 2 * NORMALIZER_START,
            "not divided by the number of images": divisor / 2,
        }
        expect_close(
            losses[name],
            torch.tensor(total / divisor),
            f"{name} of zero outputs",
            causes={c: torch.tensor(total / d) for c, d in wrong.items()},
            atol=0,
            rtol=NEAR,
            check_dtype=False,
        )


def test_second_losses_follow_the_normalizer(student: Student) -> None:
    """The same batch again: the same sums, divided by a smaller normalizer."""
    fcos, images = make_fcos(student), make_images(student)
    first = losses_of(fcos, images, GT_BOXES)
    second = losses_of(fcos, images, GT_BOXES)
    classes = batch_targets(GT_BOXES).classes
    before = updated_normalizer(classes)
    after = updated_normalizer(classes, before)
    for name in LOSSES:
        expect_close(
            second[name],
            first[name].double() * before / after,
            f"{name} of the same batch again",
            causes={
                "the normalizer is updated after it divides": first[name].double()
                * NORMALIZER_START
                / before,
                "the normalizer stays as it is": first[name],
            },
            atol=0,
            rtol=NEAR,
            check_dtype=False,
        )


def test_training_losses_equal_a_slow_loop(student: Student) -> None:
    """Given predictions for three images: the three losses and the new normalizer."""
    cases = load_cases("step7", "training_losses")
    targets = load_cases("step7", "make_targets")
    fcos = student.make_detector(4, 8, [8])
    losses = check_losses(
        method(fcos, "training_losses")(
            {level: give(student, targets["locations"][level]) for level in STRIDES},
            [
                {level: give(student, cases[name][level]) for level in STRIDES}
                for name in ("cls", "box", "ctr")
            ],
            give(student, targets["batch"]["gt_boxes"]),
        )
    )
    raw: Predictions = [cases[name] for name in ("cls", "box", "ctr")]
    made = targets["batch"]
    right = Targets(made["classes"], made["deltas"], made["centerness"])
    for name in LOSSES:
        _expect_loss(name, losses, raw, right)


def test_losses_without_any_box(student: Student) -> None:
    """Two images of background: classes learn, box and centerness are exactly 0."""
    fcos, images = make_fcos(student), make_images(student)
    none = torch.full((2, 3, 5), -1.0)
    predictions = predict(fcos, images)
    with expect_runs("FCOS without any box", "a batch without any box crashes"):
        losses = losses_of(fcos, images, none)
    targets = batch_targets(none)
    for name in ("loss_box", "loss_ctr"):
        expect_true(
            float(losses[name]) == 0,
            name,
            f"is {float(losses[name]):.6g} for a batch without any box, not 0",
            "background locations are counted",
        )
    _expect_loss("loss_cls", losses, predictions, targets)


def test_gradients_without_any_box_are_finite(student: Student) -> None:
    """Background alone still teaches the classes to say "no", and nothing is NaN."""
    fcos, images = make_fcos(student), make_images(student)
    none = torch.full((2, 3, 5), -1.0, device=student.device)
    _, _, gradients = student.gradients(fcos, images, none, module=fcos.pred_net)
    for name, gradient in gradients.items():
        expect_true(
            gradient is None or bool(gradient.isfinite().all()),
            f"gradient of {name}",
            "is not finite for a batch without any box",
            "0 / 0 or the root of 0 in a branch that is not chosen",
        )
    bias = gradients["pred_cls.bias"]
    expect_true(
        bias is not None and bool(bias.any()),
        "gradient of pred_cls.bias",
        "is 0 for a batch without any box",
        "background locations are left out",
    )


def test_padding_rows_do_not_change_the_losses(student: Student) -> None:
    """The same boxes with more rows of -1 in front and behind."""
    images = make_images(student)
    losses = []
    padding = torch.tensor(PADDING).expand(2, 3, 5)
    for gt_boxes in (GT_BOXES, torch.cat((padding, GT_BOXES, padding), dim=1)):
        losses.append(losses_of(make_fcos(student), images, gt_boxes))
    for name in LOSSES:
        expect_close(losses[1][name], losses[0][name], f"{name} with padding")


def _constant_answers(student: Student) -> Any:
    """A detector that answers the same everywhere, whatever the image."""
    fcos = make_fcos(student)
    answers = {
        "pred_cls": [0.5, -1.0, 0.25],
        "pred_box": [1.0, 0.5, 2.0, 1.5],
        "pred_ctr": [0.75],
    }
    constant_head(student, fcos, answers)
    return fcos


def test_losses_of_a_batch_are_those_of_its_single_images(student: Student) -> None:
    """Sum of a batch = sum of its images; the normalizer is worked out of it."""
    images = make_images(student)
    # Two equal images are a batch of one image, with batch norm as well.
    sums = dict.fromkeys(LOSSES, 0.0)
    for number in (0, 1):
        boxes = GT_BOXES[[number, number]]
        losses = losses_of(_constant_answers(student), images, boxes)
        normalizer = updated_normalizer(batch_targets(boxes).classes)
        for name in LOSSES:
            sums[name] += float(losses[name]) * normalizer
    together = losses_of(_constant_answers(student), images, GT_BOXES)
    normalizer = updated_normalizer(batch_targets(GT_BOXES).classes)
    for name in LOSSES:
        expect_close(
            together[name],
            torch.tensor(sums[name] / normalizer / 2),
            f"{name} of a batch of two",
            atol=0,
            rtol=NEAR,
            check_dtype=False,
        )


def _bias_gradients(predictions: Predictions, targets: Targets) -> Losses:
    """Gradient of the three losses' sum in the biases of the three predictors."""
    classes, deltas, centerness = targets
    is_foreground = classes >= 0
    logits, boxes, quality = (join(each).requires_grad_() for each in predictions)
    one_hot = F.one_hot(classes.long() + 1, logits.shape[-1] + 1)[..., 1:].double()
    total = (
        sigmoid_focal_loss(logits, one_hot).sum()
        + 0.25 * (boxes - deltas)[is_foreground].abs().sum()
        + F.binary_cross_entropy_with_logits(
            quality[..., 0][is_foreground], centerness[is_foreground], reduction="sum"
        )
    )
    divisor = len(classes) * updated_normalizer(classes)
    found = torch.autograd.grad(total / divisor, (logits, boxes, quality))
    names = ("pred_cls.bias", "pred_box.bias", "pred_ctr.bias")
    return {n: g.sum(dim=(0, 1)) for n, g in zip(names, found, strict=True)}


def test_gradients_of_the_predictors_are_right(student: Student) -> None:
    """Each loss pulls at its own predictor, as the formula says."""
    fcos, images = make_fcos(student), make_images(student)
    expected = _bias_gradients(predict(fcos, images), batch_targets(GT_BOXES))
    _, _, gradients = student.gradients(
        fcos, images, GT_BOXES.to(student.device), module=fcos.pred_net
    )
    for name, right in expected.items():
        what = f"gradient of {name}"
        expect_true(gradients[name] is not None, what, "nothing arrives", DETACHED)
        expect_close(
            gradients[name],
            right,
            what,
            causes={DETACHED: torch.zeros_like(right)},
            atol=1e-6,
            rtol=1e-3,  # float32 sums of numbers of both signs
            check_dtype=False,
        )


def test_gradients_reach_every_part(student: Student) -> None:
    """Both stems, all predictors, the pyramid and the backbone learn."""
    fcos, images = make_fcos(student), make_images(student)
    _, _, gradients = student.gradients(
        fcos, images, GT_BOXES.to(student.device), module=fcos
    )
    for part in ("pred_net.stem_cls", "pred_net.stem_box", "backbone"):
        # Biases in front of a normalisation have none, and a solution may hold more.
        weights = [
            gradient
            for name, gradient in gradients.items()
            if name.startswith(f"{part}.") and name.endswith("weight")
        ]
        arrives = [g is not None and bool(g.any()) for g in weights]
        expect_true(
            bool(arrives) and sum(arrives) >= 0.9 * len(arrives),
            f"gradients of FCOS.{part}",
            f"{sum(arrives)} of {len(arrives)} weights get one",
            DETACHED,
        )
        expect_true(
            all(bool(g.isfinite().all()) for g in weights if g is not None),
            f"gradients of FCOS.{part}",
            "not finite",
        )


def test_training_leaves_its_inputs_alone(student: Student) -> None:
    """Images and boxes are the same after a step."""
    fcos, images = make_fcos(student), make_images(student)
    gt_boxes = GT_BOXES.to(student.device)
    expect_inputs_kept(student, "FCOS in training", fcos, images, gt_boxes)


def test_some_steps_of_training_lower_the_losses(student: Student) -> None:
    """Twelve steps on one batch: the sum that the normalizer divides falls."""
    fcos = make_fcos(student)
    history = student.train(
        fcos, make_images(student), GT_BOXES.to(student.device), 12, 3e-3
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
        DETACHED,
    )
