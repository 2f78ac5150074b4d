"""Visible checks of step 6: the three losses; numbers from a loop in float64."""

from functools import partial
from typing import Any

import torch

from helpers.checks.again import expect_own_answers
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_runs, expect_true
from helpers.checks.inputs import tensor

# Four locations as two images of two; three classes.
SIX_DIGITS = 2e-5  # the expected numbers have six
LOGITS = [[2.0, -1.0, 0.5], [-3.0, 0.25, 1.0], [-2.0, 1.5, -0.5], [0.5, -0.25, 3.0]]
CLASSES = [0, 2, -1, 1]
FOCAL = [0.300503, 0.20152, 0.904987, 2.423027]
FOCAL_CAUSES = {
    "class 0 is taken for background": [1.537611, 0.20152, 0.904987, 2.423027],
    "background is taken for the last class": [0.300503, 0.20152, 0.94866, 2.423027],
    "background is taken for class 0": [0.300503, 0.20152, 1.316154, 2.423027],
    "background gives no loss; it must: it answers no to every class": [
        0.300503,
        0.20152,
        0.0,
        2.423027,
    ],
    "alpha is missing": [0.401873, 0.283799, 1.206649, 3.404724],
    "alpha and 1 - alpha are exchanged": [0.10137, 0.082279, 0.301662, 0.981697],
    "the factor (1 - p_t)^gamma is missing": [0.997236, 0.734211, 1.726814, 3.223483],
    "this is plain cross-entropy": [1.414267, 1.187788, 2.302418, 4.848604],
    "a sigmoid is applied twice": [0.543215, 0.459601, 0.82339, 0.852782],
    "the mean over the classes is taken instead of the sum": [
        0.100168,
        0.067173,
        0.301662,
        0.807676,
    ],
}


@exercise("6.1")
def test_classification_loss_by_hand(student: Any) -> None:
    """Four locations, class 0 and background among them."""
    right = torch.tensor(FOCAL)
    call = student.one_stage_detector.fcos_classification_loss
    twenty = torch.zeros(1, 20, device=student.device)
    with expect_runs(
        "fcos_classification_loss of 3 classes",
        "the number of classes is built in; it is the last dimension of the logits",
        lambda: call(twenty, tensor(student, [2], torch.int64)),
    ):
        got = call(tensor(student, LOGITS), tensor(student, CLASSES, torch.int64))
    expect_close(
        got,
        right,
        "fcos_classification_loss",
        inputs={"logits": torch.tensor(LOGITS), "class": torch.tensor(CLASSES)},
        names="loss",
        place="location",
        causes={cause: torch.tensor(losses) for cause, losses in FOCAL_CAUSES.items()},
        atol=2e-5,  # the expected numbers have six digits
    )


@exercise("6.1")
def test_classification_loss_of_a_batch(student: Any) -> None:
    """(B, N, K) gives (B, N); classes may be floats; B or N may be 1."""
    call = student.one_stage_detector.fcos_classification_loss
    given = tensor(student, LOGITS), tensor(student, CLASSES)
    _expect_forms(call, "fcos_classification_loss", torch.tensor(FOCAL), *given)
    # Many classes, all but one of which are out of the question
    logits = torch.full((1, 300), -30.0, device=student.device)
    logits[0, 130] = 0
    got = call(logits, tensor(student, [130]))
    what = "fcos_classification_loss of 300 classes"
    expect_close(got, torch.tensor([0.043322]), what, atol=SIX_DIGITS)
    got = call(tensor(student, [[5000.0, -5000]]), tensor(student, [1]))
    what = "fcos_classification_loss of logits that are quite wrong"
    expect_close(got, torch.tensor([5000.0]), what)


def _expect_forms(call: Any, what: str, right: torch.Tensor, *given: Any) -> None:
    """Four locations as two images of two, in turn, and with sides of 1."""

    def check(form: tuple[int, ...], expected: torch.Tensor) -> Any:
        said = f"{what} of {form[0]} x {form[1]} locations"
        right_here = expected.reshape(form)
        return partial(expect_close, expected=right_here, what=said, atol=SIX_DIGITS)

    def shaped(form: tuple[int, ...], part: Any) -> Any:
        return part.reshape(*form, *part.shape[1:])

    expect_own_answers(
        call,
        ([shaped((2, 2), part) for part in given], check((2, 2), right)),
        (
            [shaped((2, 2), part.flip(0)) for part in given],
            check((2, 2), right.flip(0)),
        ),
    )
    for form in ((1, 4), (4, 1)):
        check(form, right)(call(*(shaped(form, part).clone() for part in given)))


@exercise("6.1")
def test_classification_loss_teaches(student: Any) -> None:
    """Its gradient raises the logit of the true class and lowers all others."""
    logits = tensor(student, LOGITS)
    classes = tensor(student, CLASSES, torch.int64)
    function = student.one_stage_detector.fcos_classification_loss
    _, gradients, _ = student.gradients(function, logits, classes, inputs=(0,))
    expect_true(
        gradients[0] is not None,
        "fcos_classification_loss: gradient of the logits",
        "nothing arrives at the logits",
        "the predictions are detached, or turned into numbers, on the way",
    )
    is_true = torch.tensor(CLASSES)[:, None] == torch.arange(3)
    expect_close(
        gradients[0].cpu() > 0,
        ~is_true,
        "fcos_classification_loss: which logits should become smaller",
        inputs={"class": torch.tensor(CLASSES)},
        names="smaller",
        place="location",
    )


@exercise("6.2")
def test_box_loss_by_hand(student: Any) -> None:
    """Three locations, background in the middle, one of them beginning at -1."""
    predicted = [[1.0, 2, 3, 4], [5.0, 5, 5, 5], [0.5, -0.5, 2, 1]]
    target = [[1.5, 2, 1, 8], [-1.0, -1, -1, -1], [0.25, 0.5, 2, 1]]
    right = torch.tensor([1.625, 0.0, 0.3125])
    expect_close(
        student.one_stage_detector.fcos_box_loss(
            tensor(student, predicted), tensor(student, target)
        ),
        right,
        "fcos_box_loss",
        inputs={"predicted": torch.tensor(predicted), "target": torch.tensor(target)},
        names="loss",
        place="location",
        causes={
            "the factor 0.25 is missing": right * 4,
            "0.25 is applied, and the mean taken as well": right / 4,
            "background must give 0": torch.tensor([1.625, 6.0, 0.3125]),
            "background must give 0, and the factor 0.25 is missing": torch.tensor(
                [6.5, 24.0, 1.25]
            ),
            "smooth L1 is taken instead of L1": torch.tensor([1.28125, 0.0, 0.1328125]),
            "the squared difference is taken": torch.tensor([5.0625, 0.0, 0.265625]),
            "the sign of the difference is not dropped": torch.tensor(
                [-0.625, 0, -0.1875]
            ),
        },
    )


@exercise("6.2")
def test_box_loss_of_a_batch(student: Any) -> None:
    """(B, N, 4) gives (B, N), also where B or N is 1, or a box is far off."""
    predicted = torch.ones(2, 3, 4, device=student.device)
    target = torch.arange(24.0, device=student.device).reshape(2, 3, 4)
    call = student.one_stage_detector.fcos_box_loss
    expect_close(
        call(predicted, target),
        torch.tensor([[1.0, 4.5, 8.5], [12.5, 16.5, 20.5]]),
        "fcos_box_loss of (2, 3, 4) deltas",
    )
    target = tensor(student, [[1.5, 2, 1, 8], [-1] * 4, [0.25, 0.5, 2, 1], [900] * 4])
    right = torch.tensor([2.125, 0, 0.5625, 899])
    _expect_forms(call, "fcos_box_loss", right, torch.ones_like(target), target)


@exercise("6.3")
def test_centerness_loss_by_hand(student: Any) -> None:
    """Targets between 0 and 1; background gives 0."""
    logits, target = [1.0, -2.0, 0.0, 3.0], [0.25, 0.75, -1.0, 1.0]
    causes = {
        "background must give 0": [1.063262, 1.626928, 0.693147, 0.048587],
        "a sigmoid is applied twice": [0.941281, 0.665122, 0.0, 0.326239],
        "this is the L1 loss; use cross-entropy": [0.481059, 0.630797, 0.0, 0.047426],
        "this is the squared error; use cross-entropy": [
            0.231417,
            0.397905,
            0.0,
            0.002249,
        ],
    }
    expect_close(
        student.one_stage_detector.fcos_centerness_loss(
            tensor(student, logits), tensor(student, target)
        ),
        torch.tensor([1.063262, 1.626928, 0.0, 0.048587]),
        "fcos_centerness_loss",
        inputs={"logit": torch.tensor(logits), "target": torch.tensor(target)},
        names="loss",
        place="location",
        causes={cause: torch.tensor(values) for cause, values in causes.items()},
    )


@exercise("6.3")
def test_centerness_loss_of_target_zero(student: Any) -> None:
    """A target of 0 lies on the edge of a box; it is no background."""
    target = tensor(student, [[0.0, 0.5], [-1.0, 0.0]])
    logits = tensor(student, [[0.0, 0.0], [2.0, -1.0]])
    loss, (_, target) = student.after_call(
        student.one_stage_detector.fcos_centerness_loss, logits, target
    )
    expect_close(
        loss,
        torch.tensor([[0.693147, 0.693147], [0.0, 0.313262]]),
        "fcos_centerness_loss of (2, 2) logits",
        causes={
            "a target of 0 is taken for background": torch.tensor(
                [[0.0, 0.693147], [0.0, 0.0]]
            )
        },
    )
    expect_close(
        target,
        torch.tensor([[0.0, 0.5], [-1.0, 0.0]]),
        "the targets after fcos_centerness_loss",
    )
    call = student.one_stage_detector.fcos_centerness_loss
    right = torch.tensor([0.693147, 0.693147, 0.0, 3000.0])
    given = tensor(student, [0.0, 0, 2, 4000]), tensor(student, [0.01, 0.5, -1, 0.25])
    _expect_forms(call, "fcos_centerness_loss", right, *given)
