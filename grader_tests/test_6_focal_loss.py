"""Step 6: the loss of the class of each location, before normalisation."""

import math
from contextlib import suppress

import torch

from grader_tests.oracles.plain_losses import (
    class_loss,
)
from grader_tests.references import load_cases
from grader_tests.tools import give
from helpers.checks.expect import (
    CheckError,
    expect_close,
    expect_runs,
    expect_tensor,
    expect_true,
)
from helpers.checks.student import Student

FOCAL = "fcos_classification_loss"
CLASS_0_LOST = "class 0 is taken for background"
BUILT_IN = "the number of classes is built in; it is the last dimension of the logits"


def test_classification_loss_equals_torchvision(student: Student) -> None:
    """Two images of 7 locations with all classes and background."""
    case = load_cases("step6", FOCAL)["batch"]
    logits, classes = case["logits"], case["classes"]
    call = student.one_stage_detector.fcos_classification_loss

    classes_of_usual = give(student, torch.tensor([2]), torch.int64)

    def usual() -> None:  # VOC has 20 classes, and COCO 80
        for count in (20, 80):
            with suppress(CheckError):
                call(give(student, torch.zeros(1, count)), classes_of_usual)
                return
        raise ValueError("neither runs")

    with expect_runs(FOCAL, BUILT_IN, usual):
        got = call(
            logits.to(student.device, copy=True), classes.to(student.device, copy=True)
        )
    expect_tensor(
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
        },
    )


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


def test_classification_loss_of_extreme_logits_is_finite(student: Student) -> None:
    """Logits of +-1000 are wrong by 1000, not by infinity or NaN."""

    def loss_at(size: float) -> torch.Tensor:
        logits = torch.tensor([[size, -size]] * 3)
        got = student.one_stage_detector.fcos_classification_loss(
            logits.to(student.device, copy=True),
            torch.tensor([1, 0, -1]).to(student.device, copy=True),
        )
        return expect_tensor(got, FOCAL, shape=(3,))

    got = loss_at(1000.0)
    is_finite = bool(got.isfinite().all())
    # At 30 a probability is rounded to 1 already, while exp is far from infinity.
    cause = "exp of a large logit is infinite"
    if not is_finite and not bool(loss_at(30.0).isfinite().all()):
        cause = "the logarithm of a probability that was rounded to 0"
    expect_true(is_finite, FOCAL, "logits of +-1000 give infinity", cause)
    # 0.75 * 1000 for the wrong "yes", 0.25 * 1000 for the wrong "no"
    expect_close(
        got,
        torch.tensor([1000.0, 0.0, 750.0]),
        FOCAL,
        causes={
            "the logarithm of a probability is cut off": torch.tensor(
                [100.0, 0.0, 75.0]
            )
        },
    )


def test_classification_loss_takes_classes_as_floats(student: Student) -> None:
    """Matching gives the class as a float; the loss is the same."""
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


def test_classification_loss_has_the_gradient_of_torchvision(student: Student) -> None:
    """The factor (1 - p)^gamma takes part in the gradient."""
    case = load_cases("step6", FOCAL)["gradient"]
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
            "the factor (1 - p)^gamma is detached": lambda: _constant_weight_gradient(
                case["logits"], case["classes"]
            )
        },
    )


def _constant_weight_gradient(
    logits: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """alpha_t * p_wrong^2 * (p - target), which forgets that p_wrong moves too."""
    targets = (classes[:, None] == torch.arange(logits.shape[1])).double()
    p = logits.sigmoid()
    p_wrong = torch.where(targets == 1, 1 - p, p)
    alpha_t = torch.where(targets == 1, 0.25, 0.75)
    return alpha_t * p_wrong**2 * (p - targets)


def test_classification_loss_of_thousands_of_locations(student: Student) -> None:
    """2,000 locations and 10 classes in float32."""
    case = load_cases("step6", FOCAL)["many"]
    expect_close(
        student.one_stage_detector.fcos_classification_loss(
            case["logits"].float().to(student.device, copy=True),
            case["classes"].to(student.device, copy=True),
        ),
        case["expected"].float(),
        FOCAL,
        atol=1e-4,  # a sum of 10 float32 numbers up to 6
    )


def test_classification_loss_without_locations(student: Student) -> None:
    """No location, no loss: shape (0,)."""
    got = student.one_stage_detector.fcos_classification_loss(
        torch.zeros(0, 3, device=student.device), torch.zeros(0, device=student.device)
    )
    expect_tensor(got, FOCAL, shape=(0,))
