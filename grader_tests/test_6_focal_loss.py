"""Step 6: the loss of the class of each location, before normalisation."""

import math
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torchvision import ops

from grader_tests.oracles.plain_losses import class_loss, without_small
from grader_tests.references import load_cases
from grader_tests.tools import ONLY_TWO_IN_FRONT, give, spread
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    CheckError,
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_tensor,
    expect_true,
)
from helpers.checks.student import Student

FOCAL = "fcos_classification_loss"
CLASSES_KEPT = "the classes are those of an earlier call; keep nothing between calls"
CLASS_0_LOST = "class 0 is taken for background"
LOG_CUT_OFF = "the logarithm of a probability is cut off"
BUILT_IN = "the number of classes is built in; it is the last dimension of the logits"


def _loss(student: Student, logits: torch.Tensor, classes: torch.Tensor) -> Any:
    """Call 6.1 with copies on the student's device."""
    return student.one_stage_detector.fcos_classification_loss(
        logits.to(student.device, copy=True), classes.to(student.device, copy=True)
    )


def _own_answers(
    student: Student, expected: torch.Tensor, *cases: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Logits and classes in turn; `expected` is of the first, the rest of the loop."""

    def check(
        got: Any, right: torch.Tensor, given: tuple[torch.Tensor, torch.Tensor]
    ) -> None:
        causes = {CLASSES_KEPT: partial(class_loss, given[0], cases[0][1])}
        # With the same logits this is the whole earlier answer.
        is_other = not torch.equal(given[0], cases[0][0])
        causes = causes if is_other else {}
        expect_close(got, right, FOCAL, causes=causes, check_dtype=False)

    rights = [expected, *(class_loss(*given) for given in cases[1:])]
    expect_own_answers(
        partial(_loss, student),
        *(
            (given, partial(check, right=right, given=given))
            for given, right in zip(cases, rights, strict=True)
        ),
    )


def _of_each_class(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The losses of a table of yes and no, (..., K), before they are summed."""
    return ops.sigmoid_focal_loss(logits, targets.to(logits), 0.25, 2)


def test_classification_loss_equals_torchvision(student: Student) -> None:
    """Two images of 7 locations with all classes and background; then other forms."""
    case = load_cases("step6", FOCAL)["batch"]
    logits, classes = case["logits"], case["classes"]
    classes_of_usual = give(student, torch.tensor([2]), torch.int64)

    def usual() -> None:  # VOC has 20 classes, and COCO 80
        for count in (20, 80):
            with suppress(CheckError):
                _loss(student, give(student, torch.zeros(1, count)), classes_of_usual)
                return
        raise ValueError("neither runs")

    with expect_runs(FOCAL, BUILT_IN, usual):
        got = _loss(student, logits, classes)
    found = expect_tensor(
        got,
        FOCAL,
        shape=(2, 7),
        shape_causes={
            "not summed over the classes": (2, 7, 5),
            "summed over the locations too": (),
        },
    )
    expect_close(
        got,
        case["expected"],
        FOCAL,
        check_dtype=False,
        causes={
            CLASS_0_LOST: lambda: class_loss(logits, classes, lowest_class=1),
            "background asks for the last class": lambda: class_loss(
                logits, classes, background_asks=-1
            ),
            "background asks for class 0": lambda: class_loss(
                logits, classes, background_asks=0
            ),
            "background locations are left out": lambda: class_loss(
                logits, classes, counts_background=False
            ),
            "alpha and 1 - alpha are swapped": lambda: class_loss(
                logits, classes, alpha=0.75
            ),
            "alpha is forgotten": lambda: class_loss(logits, classes, alpha=-1),
            "the factor (1 - p)^gamma is forgotten": lambda: class_loss(
                logits, classes, gamma=0
            ),
            "a sigmoid is applied twice": lambda: class_loss(
                logits, classes, sigmoid_first=True
            ),
            "gamma is 1 instead of 2": lambda: class_loss(logits, classes, gamma=1),
            "the mean over the classes instead of their sum": lambda: class_loss(
                logits, classes, mean=True
            ),
            "small losses of a class become 0; all are summed": lambda: without_small(
                _of_each_class(logits, classes[..., None] == torch.arange(5)), found
            ),
        },
    )
    _own_answers(
        student,
        case["expected"],
        (logits, classes),
        (logits.flip(0, 1), classes.flip(0, 1)),
        (logits, classes.roll(1, 1)),
    )
    right = case["expected"]

    def check(count: int, form: tuple[int, ...]) -> None:
        """The first locations of each image in another form."""
        some = logits[:, :count].reshape(*form, 5), classes[:, :count].reshape(form)
        here = right[:, :count].reshape(form)
        expect_close(_loss(student, *some), here, FOCAL, check_dtype=False)

    for form in ((1, 14), (14, 1), (14,)):
        check(7, form)
    with expect_as_usual(ONLY_TWO_IN_FRONT, partial(check, 6, (2, 6))):
        check(6, (2, 3, 2))
    check(7, (2, 1, 7, 1))
    got = _loss(student, logits[0, 0], classes[0, 0])
    expect_close(got, right[0, 0], f"{FOCAL} of (K,) logits", check_dtype=False)


def test_classification_loss_by_hand(student: Student) -> None:
    """All logits 0: p = 0.5, so alpha_t * 0.25 * ln 2 for each class."""
    yes, no = 0.0625 * math.log(2), 0.1875 * math.log(2)
    classes = torch.tensor([0, -1, 2])
    expect_close(
        student.one_stage_detector.fcos_classification_loss(
            torch.zeros(3, 3, device=student.device),
            classes.to(student.device, copy=True),
        ),
        torch.tensor([yes + 2 * no, 3 * no, yes + 2 * no]),
        FOCAL,
        inputs={"class": classes},
        causes={
            CLASS_0_LOST: torch.tensor([3 * no, 3 * no, yes + 2 * no]),
            "background asks for a class": torch.tensor([yes + 2 * no] * 3),
        },
    )
    expected = torch.tensor([3 * no, yes + 2 * no, yes + 2 * no])
    _own_answers(
        student,
        expected,
        (torch.zeros(3, 3), classes.roll(-1)),
        (torch.zeros(3, 3), classes.roll(1)),
    )


def test_classification_loss_of_a_single_class(student: Student) -> None:
    """With K = 1 there are only class 0 and background."""
    logits = torch.tensor([[1.5], [1.5]], dtype=torch.float64)
    classes = torch.tensor([0, -1])
    expect_close(
        student.one_stage_detector.fcos_classification_loss(
            logits.to(student.device, copy=True), classes.to(student.device, copy=True)
        ),
        class_loss(logits, classes),
        FOCAL,
        check_dtype=False,
        causes={CLASS_0_LOST: lambda: class_loss(logits, classes, lowest_class=1)},
    )
    alone = logits[:1, None], classes[:1, None]  # (1, 1, 1) and (1, 1)
    expect_close(_loss(student, *alone), class_loss(*alone), FOCAL, check_dtype=False)


def test_classification_loss_of_extreme_logits_is_finite(student: Student) -> None:
    """Logits of +-30,000 are wrong by 30,000, not by infinity, NaN or less."""

    def loss_at(size: float) -> torch.Tensor:
        logits = torch.tensor([[size, -size]] * 3)
        got = _loss(student, logits, torch.tensor([1, 0, -1]))
        return expect_tensor(got, FOCAL, shape=(3,))

    got = loss_at(30_000.0)
    is_finite = bool(got.isfinite().all())
    # At 30 a probability is rounded to 1 already, while exp is far from infinity.
    cause = "exp of a large logit is infinite"
    if not is_finite and not bool(loss_at(30.0).isfinite().all()):
        cause = "the logarithm of a probability that was rounded to 0"
    expect_true(is_finite, FOCAL, "logits of +-30,000 give infinity", cause)
    # One class too much of background, more and more
    sizes = torch.tensor([30_000.0, 20_000, 10_000, 7_000, 5, 3, 2, 1])
    logits = torch.stack((sizes, torch.full((8,), -30.0)), dim=1)
    right = class_loss(logits, torch.full((8,), -1)).float()
    expect_close(
        _loss(student, logits, torch.full((8,), -1)),
        right,
        FOCAL,
        causes={LOG_CUT_OFF: torch.where(sizes > 100, 75.0, right)},
    )
    # 0.75 * 30,000 for the wrong "yes", 0.25 * 30,000 for the wrong "no"
    expect_close(
        got,
        torch.tensor([30_000.0, 0.0, 22_500.0]),
        FOCAL,
        causes={LOG_CUT_OFF: torch.tensor([100.0, 0.0, 75.0])},
    )


def test_classification_loss_takes_classes_as_floats(student: Student) -> None:
    """Matching gives the class as a float; the loss is the same, of 2,100 too."""
    case = load_cases("step6", FOCAL)["batch"]
    expect_close(
        student.one_stage_detector.fcos_classification_loss(
            case["logits"].to(student.device, copy=True),
            case["classes"].double().to(student.device, copy=True),
        ),
        case["expected"],
        FOCAL,
        check_dtype=False,
    )
    # Numbers that 8 bits, or the digits of float16, do not hold
    logits = spread(4, 2100, low=-3, high=3)
    numbers = torch.arange(2100)

    def check(*classes: int) -> None:
        asked = torch.tensor(classes)

        def in_bits(kind: torch.dtype) -> torch.Tensor:
            targets = asked[:, None] == numbers.to(kind)
            return _of_each_class(logits, targets).sum(dim=-1)

        causes = {
            f"class numbers are kept in 8 bits, as {str(kind)[6:]}": partial(
                in_bits, kind
            )
            for kind in (torch.int8, torch.uint8)
        }
        expect_close(
            _loss(student, logits, asked.double()),
            class_loss(logits, asked),
            f"{FOCAL} of 2,100 classes",
            causes=causes,
            check_dtype=False,
        )

    cause = "large class numbers are rounded or lost, small ones are right"
    with expect_as_usual(cause, partial(check, 9, 1, -1, 3)):
        check(2097, 130, -1, 300)


def test_classification_loss_has_the_gradient_of_torchvision(student: Student) -> None:
    """The factor (1 - p)^gamma takes part in the gradient, in a batch too."""
    case = load_cases("step6", FOCAL)["gradient"]
    for form in ((6,), (2, 3)):
        _expect_gradient(
            student,
            {
                "logits": case["logits"].reshape(*form, 4),
                "classes": case["classes"].reshape(form),
                "expected": case["expected"].reshape(*form, 4),
            },
        )


def _expect_gradient(student: Student, case: dict[str, torch.Tensor]) -> None:
    _, gradients, _ = student.gradients(
        student.one_stage_detector.fcos_classification_loss,
        case["logits"].to(student.device, copy=True),
        case["classes"].to(student.device, copy=True),
        inputs=[0],
    )
    expect_true(
        gradients[0] is not None,
        FOCAL,
        "no gradient reaches the logits",
        "the predictions are detached",
    )
    expect_close(
        gradients[0],
        case["expected"],
        f"gradient of {FOCAL}",
        check_dtype=False,
        causes={
            "background has no gradient; it answers no to every class": torch.where(
                case["classes"][..., None] < 0, 0.0, case["expected"]
            ),
            "the factor (1 - p)^gamma is detached": lambda: _constant_weight_gradient(
                case["logits"], case["classes"]
            ),
        },
    )


def _constant_weight_gradient(
    logits: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """alpha_t * p_wrong^2 * (p - target), which forgets that p_wrong moves too."""
    targets = (classes[..., None] == torch.arange(logits.shape[-1])).double()
    p = logits.sigmoid()
    p_wrong = torch.where(targets == 1, 1 - p, p)
    alpha_t = torch.where(targets == 1, 0.25, 0.75)
    return alpha_t * p_wrong**2 * (p - targets)


def test_classification_loss_of_thousands_of_locations(student: Student) -> None:
    """132,000 locations, which repeat after 2,000, and 10 classes in float32."""
    case = load_cases("step6", FOCAL)["many"]
    times = 66
    expect_close(
        student.one_stage_detector.fcos_classification_loss(
            case["logits"].float().repeat(times, 1).to(student.device),
            case["classes"].repeat(times).to(student.device),
        ),
        case["expected"].float().repeat(times),
        FOCAL,
        atol=1e-4,  # a sum of 10 float32 numbers up to 6
    )


def test_classification_loss_without_locations(student: Student) -> None:
    """No location, no loss: shape (0,); one location, one loss."""
    got = student.one_stage_detector.fcos_classification_loss(
        torch.zeros(0, 3, device=student.device), torch.zeros(0, device=student.device)
    )
    expect_tensor(got, FOCAL, shape=(0,))
    logits, classes = spread(1, 3, low=-2), torch.tensor([2])
    what = f"{FOCAL} of one location"
    right = class_loss(logits, classes)
    expect_close(_loss(student, logits, classes), right, what, check_dtype=False)
