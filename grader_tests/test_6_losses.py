"""Step 6: the losses of box and centerness, and the three together."""

import math

import torch

from grader_tests.oracles.plain_losses import (
    box_loss,
    centerness_loss,
    class_loss,
    smooth_l1,
    squared,
)
from grader_tests.references import load_cases
from grader_tests.tools import expect_inputs_kept
from helpers.checks.expect import expect_close, expect_tensor, expect_true
from helpers.checks.student import Student

FOCAL = "fcos_classification_loss"
BOX = "fcos_box_loss"
CENTERNESS = "fcos_centerness_loss"
BACKGROUND_COUNTED = "background locations are counted"


def test_box_loss_by_hand(student: Student) -> None:
    """|1 - 0| + |2 - 4| + |0 - 0.5| + |8 - 3| = 8.5, times 0.25."""
    expect_close(
        student.one_stage_detector.fcos_box_loss(
            torch.tensor([[1.0, 2.0, 0.0, 8.0]], device=student.device),
            torch.tensor([[0.0, 4.0, 0.5, 3.0]], device=student.device),
        ),
        torch.tensor([2.125]),
        BOX,
        causes={
            "0.25 is forgotten": torch.tensor([8.5]),
            "a mean over the four, and 0.25 besides": torch.tensor([2.125 / 4]),
        },
    )


def test_box_loss_equals_a_slow_loop(student: Student) -> None:
    """Two images of 6 locations with background; differences below and above 1."""
    case = load_cases("step6", BOX)["batch"]
    deltas, targets = case["deltas"], case["targets"]
    got = student.one_stage_detector.fcos_box_loss(
        deltas.to(student.device, copy=True), targets.to(student.device, copy=True)
    )
    expect_tensor(
        got,
        BOX,
        shape=(2, 6),
        shape_causes={
            "not summed over the four numbers": (2, 6, 4),
            "summed over the locations too": (),
        },
    )
    expect_close(
        got,
        case["expected"],
        BOX,
        check_dtype=False,
        causes={
            BACKGROUND_COUNTED: lambda: box_loss(
                deltas, targets, counts_background=True
            ),
            "0.25 is forgotten": lambda: box_loss(deltas, targets, factor=1),
            "a mean over the four, and 0.25 besides": lambda: box_loss(
                deltas, targets, factor=1 / 16
            ),
            "smooth L1 instead of L1": lambda: box_loss(
                deltas, targets, distance=smooth_l1
            ),
            "the square instead of L1": lambda: box_loss(
                deltas, targets, distance=squared
            ),
            "predictions below 0 are clipped": lambda: box_loss(
                deltas.clamp(min=0), targets
            ),
        },
    )


def test_box_loss_of_background_is_zero(student: Student) -> None:
    """Background has no box, so nothing may pull at its prediction."""
    deltas = torch.tensor([[[3.0, 1.0, 2.0, 5.0], [0.5, 2.5, 0.25, 1.5]]])
    targets = torch.tensor([[[-1.0] * 4, [1.0, 2.0, 1.0, 2.0]]])
    got, gradients, _ = student.gradients(
        student.one_stage_detector.fcos_box_loss,
        deltas.to(student.device, copy=True),
        targets.to(student.device, copy=True),
        inputs=[0],
    )
    expect_close(
        got,
        torch.tensor([[0.0, 0.5625]]),
        BOX,
        causes={BACKGROUND_COUNTED: torch.tensor([[3.75, 0.5625]])},
    )
    expect_true(
        gradients[0] is not None,
        BOX,
        "no gradient reaches the predicted deltas",
        "the predictions are detached",
    )
    slope = torch.tensor([-1.0, 1.0, -1.0, -1.0]) / 4
    expect_close(
        gradients[0], torch.stack((torch.zeros(4), slope))[None], f"gradient of {BOX}"
    )


def test_centerness_loss_by_hand(student: Student) -> None:
    """-t ln(p) - (1 - t) ln(1 - p) at targets 1, 0 and 0.3."""
    p = 1 / (1 + math.exp(-0.7))
    targets = torch.tensor([1.0, 0.0, 0.3], dtype=torch.float64)
    logits = torch.full((3,), 0.7, dtype=torch.float64)
    right = -targets * math.log(p) - (1 - targets) * math.log(1 - p)
    expect_close(
        student.one_stage_detector.fcos_centerness_loss(
            logits.to(student.device, copy=True), targets.to(student.device, copy=True)
        ),
        right,
        CENTERNESS,
        inputs={"target": targets},
        check_dtype=False,
        causes={
            "a target of 0 is taken for background": torch.where(
                targets > 0, right, 0.0
            ),
            "the square instead of the cross-entropy": (p - targets) ** 2,
        },
    )


def test_centerness_loss_equals_a_slow_loop(student: Student) -> None:
    """Two images of 6 locations with background."""
    case = load_cases("step6", CENTERNESS)["batch"]
    logits, targets = case["logits"], case["targets"]
    expect_close(
        student.one_stage_detector.fcos_centerness_loss(
            logits.to(student.device, copy=True), targets.to(student.device, copy=True)
        ),
        case["expected"],
        CENTERNESS,
        check_dtype=False,
        causes={
            BACKGROUND_COUNTED: lambda: centerness_loss(
                logits, targets, background_target=-1
            ),
            "background gets the target 0": lambda: centerness_loss(
                logits, targets, background_target=0
            ),
            "a sigmoid before a loss that has its own": lambda: centerness_loss(
                logits, targets, sigmoid_first=True
            ),
        },
    )


def test_centerness_loss_of_background_is_zero(student: Student) -> None:
    """A target of -1 is no target: no loss, and no gradient."""
    got, gradients, _ = student.gradients(
        student.one_stage_detector.fcos_centerness_loss,
        torch.tensor([[5.0, -5.0, 0.0]], device=student.device),
        torch.tensor([[-1.0, -1.0, 0.75]], device=student.device),
        inputs=[0],
    )
    expect_close(got, torch.tensor([[0.0, 0.0, math.log(2)]]), CENTERNESS)
    expect_true(
        gradients[0] is not None,
        CENTERNESS,
        "no gradient reaches the centerness logits",
        "the predictions are detached",
    )
    # p - target
    expect_close(
        gradients[0], torch.tensor([[0.0, 0.0, -0.25]]), f"gradient of {CENTERNESS}"
    )


def test_centerness_loss_of_extreme_logits_is_finite(student: Student) -> None:
    """Logits of +-1000 are wrong by 1000, not by infinity or NaN."""
    got = student.one_stage_detector.fcos_centerness_loss(
        torch.tensor([1000.0, -1000.0, 1000.0], device=student.device),
        torch.tensor([0.5, 0.25, 1.0], device=student.device),
    )
    expect_close(
        got,
        torch.tensor([500.0, 250.0, 0.0]),
        CENTERNESS,
        causes={
            "the logarithm of a probability is cut off": torch.tensor([50.0, 25.0, 0.0])
        },
    )


def test_losses_of_an_image_without_boxes(student: Student) -> None:
    """Only background: no box loss, no centerness loss, and classes that learn "no"."""
    names = student.one_stage_detector
    device = student.device
    background = torch.full((1, 4), -1.0, device=device)
    boxes = names.fcos_box_loss(
        torch.ones(1, 4, 4, device=device), torch.full((1, 4, 4), -1.0, device=device)
    )
    expect_close(boxes, torch.zeros(1, 4), BOX)
    centerness = names.fcos_centerness_loss(torch.ones(1, 4, device=device), background)
    expect_close(centerness, torch.zeros(1, 4), CENTERNESS)
    logits = torch.ones(1, 4, 2)
    expect_close(
        names.fcos_classification_loss(logits.to(device, copy=True), background),
        class_loss(logits, torch.full((1, 4), -1)).float(),
        FOCAL,
        causes={"background locations are left out": torch.zeros(1, 4)},
    )


def test_losses_leave_their_inputs_alone(student: Student) -> None:
    """Neither predictions nor targets change."""
    logits, classes = torch.ones(3, 2), torch.tensor([-1, 0, 1])
    deltas = torch.tensor([[-1.0] * 4, [1.0, 2.0, 3.0, 4.0], [2.0] * 4])
    centerness = torch.tensor([-1.0, 0.5, 1.0])
    names, device = student.one_stage_detector, student.device
    for what, call, *given in (
        (FOCAL, names.fcos_classification_loss, logits, classes),
        (BOX, names.fcos_box_loss, deltas + 1, deltas),
        (CENTERNESS, names.fcos_centerness_loss, logits[:, 0], centerness),
    ):
        expect_inputs_kept(
            student, what, call, *(tensor.to(device) for tensor in given)
        )
