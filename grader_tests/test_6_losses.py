"""Step 6: the losses of box and centerness, and the three together."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from grader_tests.oracles.plain_losses import (
    box_loss,
    centerness_loss,
    class_loss,
    smooth_l1,
    squared,
    without_small,
)
from grader_tests.references import load_cases
from grader_tests.tools import ONLY_TWO_IN_FRONT, expect_inputs_kept
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_tensor,
    expect_true,
)
from helpers.checks.student import Student

FOCAL = "fcos_classification_loss"
BOX = "fcos_box_loss"
CENTERNESS = "fcos_centerness_loss"
BACKGROUND_COUNTED = "background locations are counted"
BACKGROUND_KEPT = (
    "which locations are background is taken from an earlier call; "
    "keep nothing between calls"
)


def _own_answers(
    call: Callable[..., Any],
    what: str,
    oracle: Callable[..., torch.Tensor],
    *cases: tuple[torch.Tensor, torch.Tensor],
    all_counted: Callable[..., torch.Tensor] | None = None,
) -> None:
    """Predictions and targets in turn: each has the loss of the slow loop.

    Args:
        all_counted: the same loop, where background locations are counted; for code
            that keeps from the first case which ones these are.
    """

    def background_kept(given: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        assert all_counted is not None
        is_background = oracle(*cases[0]) != all_counted(*cases[0])
        return torch.where(is_background, 0.0, all_counted(*given))

    def check(got: Any, given: tuple[torch.Tensor, torch.Tensor]) -> None:
        causes = {BACKGROUND_KEPT: partial(background_kept, given)}
        expect_close(
            got,
            oracle(*given),
            what,
            causes=causes if all_counted else None,
            check_dtype=False,
        )

    expect_own_answers(call, *((given, partial(check, given=given)) for given in cases))


def _in_other_forms(
    call: Callable[..., Any], what: str, expected: torch.Tensor, *given: torch.Tensor
) -> None:
    """The same 12 locations with other dimensions in front, and one alone."""
    rest = given[0].shape[2:]  # behind the two of a batch

    def check(form: tuple[int, ...]) -> None:
        got = call(*(tensor.reshape(*form, *rest) for tensor in given))
        expect_close(got, expected.reshape(form), what, check_dtype=False)

    check((1, 12))
    check((12, 1))
    with expect_as_usual(ONLY_TWO_IN_FRONT, partial(check, (2, 6))):
        check((2, 3, 2))
    check((2, 3, 1, 2))
    got = call(*(tensor[0, 0] for tensor in given))
    expect_close(got, expected[0, 0], what, check_dtype=False)


def _on_device(student: Student, function: str) -> Callable[..., Any]:
    """A loss function that is called with copies on the student's device."""

    def call(*given: torch.Tensor) -> Any:
        tensors = (tensor.to(student.device, copy=True) for tensor in given)
        return getattr(student.one_stage_detector, function)(*tensors)

    return call


def test_box_loss_by_hand(student: Student) -> None:
    """A quarter of the sum of four differences; numbers of this term."""
    case = load_cases("step6", BOX)["hand"]
    right = case["expected"].float()
    expect_close(
        _on_device(student, BOX)(case["deltas"].float(), case["targets"].float()),
        right,
        BOX,
        causes={
            "0.25 is forgotten": 4 * right,
            "a mean over the four, and 0.25 besides": right / 4,
        },
    )


def test_box_loss_equals_a_slow_loop(student: Student) -> None:
    """Two images of 6 locations with background; then other numbers and forms."""
    case = load_cases("step6", BOX)["batch"]
    deltas, targets = case["deltas"], case["targets"]
    got = student.one_stage_detector.fcos_box_loss(
        deltas.to(student.device, copy=True), targets.to(student.device, copy=True)
    )
    found = expect_tensor(
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
            "small differences become 0; L1 counts them": lambda: without_small(
                torch.where(targets < 0, 0.0, (deltas - targets).abs() / 4), found
            ),
        },
    )
    call = _on_device(student, BOX)
    _own_answers(
        call,
        BOX,
        box_loss,
        (deltas, targets),
        (deltas.flip(0, 1), targets.flip(0, 1)),
        (deltas, targets.roll(1, 1)),
        all_counted=partial(box_loss, counts_background=True),
    )
    # Three locations that are nearly right, three that are not, and three far off
    by = [[0.01, 1, 0.01, 2, 1e5, 1e5], [1, 2, 2, 0.01, 1e5, 1]]
    off = torch.tensor(by, dtype=torch.float64)[..., None] * deltas
    mixed = torch.where(targets > 0, targets + off, deltas)
    expect_close(call(mixed, targets), box_loss(mixed, targets), BOX, check_dtype=False)

    def check_moved(by: float) -> None:
        given = (
            torch.where(targets > 0, part + by, part) for part in (deltas, targets)
        )
        expect_close(call(*given), case["expected"], BOX, check_dtype=False)

    cause = "the loss changes with the size of the box, at the same differences"
    with expect_as_usual(cause, partial(check_moved, 0.0)):
        check_moved(1000.0)
    near = torch.where(targets > 0, targets + deltas / 100, deltas)
    _own_answers(
        call,
        BOX,
        box_loss,
        (deltas, targets),
        (1e5 * deltas, torch.where(targets > 0, 1000 * targets, targets)),
        (near, targets),
    )
    _in_other_forms(call, BOX, case["expected"], deltas, targets)
    times = 11_000
    # The first two images have the largest losses.
    first = 4 * deltas, targets
    given = (
        torch.cat((part, other.repeat(times, 1, 1)))
        for part, other in zip(first, (deltas, targets), strict=True)
    )
    right = torch.cat((box_loss(*first), case["expected"].repeat(times, 1)))
    what = f"{BOX} of 132,000 locations"
    expect_close(call(*given), right, what, check_dtype=False)


def _without_large(
    right: torch.Tensor, sizes: torch.Tensor, got: torch.Tensor
) -> torch.Tensor:
    """A gradient that ends above a size: the largest that still has one."""
    limit = torch.where(got != 0, sizes, 0.0).max()
    return torch.where(sizes > limit, 0.0, right)


def test_box_loss_of_background_is_zero(student: Student) -> None:
    """Background has no box, so nothing may pull at its prediction."""
    deltas = torch.tensor(
        [[[3.0, 1.0, 2.0, 5.0], [0.5, 2.5, 0.25, 1.5], [300.0, -200.0, 90.0, 0.5]]]
    )
    targets = torch.tensor([[[-1.0] * 4, [1.0, 2.0, 1.0, 2.0], [2.0, 3.0, 4.0, 1.0]]])
    got, gradients, _ = student.gradients(
        student.one_stage_detector.fcos_box_loss,
        deltas.to(student.device, copy=True),
        targets.to(student.device, copy=True),
        inputs=[0],
    )
    expect_close(
        got,
        torch.tensor([[0.0, 0.5625, 146.875]]),
        BOX,
        causes={BACKGROUND_COUNTED: torch.tensor([[3.75, 0.5625, 146.875]])},
    )
    expect_true(
        gradients[0] is not None,
        BOX,
        "no gradient reaches the predicted deltas",
        "the predictions are detached",
    )
    slopes = torch.tensor(
        [[[0.0] * 4, [-1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]]]
    )
    pulled = gradients[0].cpu()
    expect_close(
        gradients[0],
        slopes / 4,
        f"gradient of {BOX}",
        causes={
            "large differences have no gradient; L1 has the same for all": lambda: (
                _without_large(slopes / 4, (deltas - targets).abs(), pulled)
            )
        },
    )


def test_centerness_loss_by_hand(student: Student) -> None:
    """-t ln(p) - (1 - t) ln(1 - p) at targets between 0 and 1, small ones too."""
    p = 1 / (1 + math.exp(-0.7))
    targets = torch.tensor([1.0, 0.0, 0.3, 0.001, 0.03], dtype=torch.float64)
    logits = torch.full((5,), 0.7, dtype=torch.float64)
    right = -targets * math.log(p) - (1 - targets) * math.log(1 - p)
    got = _on_device(student, CENTERNESS)(logits, targets)
    found = expect_tensor(got, CENTERNESS, shape=(5,))

    def low_lost() -> torch.Tensor:
        """Targets above 0 have no loss, up to the highest of those that have none."""
        highest = torch.where(found == 0, targets, 0.0).max()
        return torch.where((targets > 0) & (targets <= highest), 0.0, right)

    expect_close(
        got,
        right,
        CENTERNESS,
        inputs={"target": targets},
        check_dtype=False,
        causes={
            "a target of 0 is taken for background": torch.where(
                targets > 0, right, 0.0
            ),
            "low targets above 0 are taken for background": low_lost,
            "the square instead of the cross-entropy": (p - targets) ** 2,
        },
    )
    _own_answers(
        _on_device(student, CENTERNESS),
        CENTERNESS,
        centerness_loss,
        (logits, targets.flip(0)),
        (logits, targets.roll(1)),
    )


def test_centerness_loss_equals_a_slow_loop(student: Student) -> None:
    """Two images of 6 locations with background; then other numbers and forms."""
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
    call = _on_device(student, CENTERNESS)
    _own_answers(
        call,
        CENTERNESS,
        centerness_loss,
        (logits, targets),
        (logits.flip(0, 1), targets.flip(0, 1)),
        (logits, targets.roll(1, 1)),
        all_counted=partial(centerness_loss, background_target=-1),
    )
    _in_other_forms(call, CENTERNESS, case["expected"], logits, targets)
    times = 11_000
    # The first two images have the largest losses.
    first = 4 * logits, targets
    given = (
        torch.cat((part, other.repeat(times, 1)))
        for part, other in zip(first, (logits, targets), strict=True)
    )
    right = torch.cat((centerness_loss(*first), case["expected"].repeat(times, 1)))
    what = f"{CENTERNESS} of 132,000 locations"
    expect_close(call(*given), right, what, check_dtype=False)


def test_centerness_loss_of_background_is_zero(student: Student) -> None:
    """A target of -1 is no target: no loss, and no gradient."""
    logits = torch.tensor([[5.0, -5.0, 0.0, 30.0, -20.0, 1.0, 9.0]])
    targets = torch.tensor([[-1.0, -1.0, 0.75, 0.25, 0.5, 0.5, 0.25]])
    got, gradients, _ = student.gradients(
        student.one_stage_detector.fcos_centerness_loss,
        logits.to(student.device, copy=True),
        targets.to(student.device, copy=True),
        inputs=[0],
    )
    of_one, of_nine = math.log(1 + math.e) - 0.5, math.log(1 + math.exp(9)) - 2.25
    right = torch.tensor([[0.0, 0.0, math.log(2), 22.5, 10.0, of_one, of_nine]])
    expect_close(got, right, CENTERNESS)
    expect_true(
        gradients[0] is not None,
        CENTERNESS,
        "no gradient reaches the centerness logits",
        "the predictions are detached",
    )
    slopes = torch.where(targets < 0, 0.0, logits.sigmoid() - targets)
    pulled = gradients[0].cpu()
    expect_close(
        gradients[0],
        slopes,
        f"gradient of {CENTERNESS}",
        causes={
            "large logits have no gradient; it is p - target for all": lambda: (
                _without_large(slopes, logits.abs(), pulled)
            )
        },
    )


def test_centerness_loss_of_extreme_logits_is_finite(student: Student) -> None:
    """Logits of +-30,000 are wrong by 30,000, not by infinity, NaN or less."""
    logits = torch.tensor([30_000.0, -30_000, 30_000, 20_000, -9_000, 1, -2, 3])
    targets = torch.tensor([0.5, 0.25, 1, 0.5, 0.75, 0.5, 0.25, 0.5])
    expect_close(
        _on_device(student, CENTERNESS)(logits, targets),
        centerness_loss(logits, targets).float(),  # 15,000, 7,500, 0, ...
        CENTERNESS,
        causes={
            "the logarithm of a probability is cut off": lambda: F.binary_cross_entropy(
                logits.sigmoid(), targets, reduction="none"
            )
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
    """Neither predictions nor targets change, and the losses are right."""
    logits, classes = torch.ones(3, 2), torch.tensor([-1, 0, 1])
    deltas = torch.tensor([[-1.0] * 4, [1.0, 2.0, 3.0, 4.0], [2.0] * 4])
    centerness = torch.tensor([-1.0, 0.5, 1.0])
    names, device = student.one_stage_detector, student.device
    for what, call, oracle, *given in (
        (FOCAL, names.fcos_classification_loss, class_loss, logits, classes),
        (BOX, names.fcos_box_loss, box_loss, deltas + 1, deltas),
        (
            CENTERNESS,
            names.fcos_centerness_loss,
            centerness_loss,
            logits[:, 0],
            centerness,
        ),
    ):
        tensors = (tensor.to(device) for tensor in given)
        right = oracle(*given)
        check = partial(expect_close, expected=right, what=what, check_dtype=False)
        expect_inputs_kept(student, what, call, *tensors, check=check)
