"""Step 11: from the losses of locations to those of a batch."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from grader_tests.oracles.plain_training import (
    LOSSES,
)
from grader_tests.targets_parts import expect_losses, stacked
from grader_tests.tools import expect_dtype, expect_inputs_kept, give, spread
from helpers.checks import answers
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_true,
)
from helpers.checks.student import Student

DIVIDE = "divide_losses"
NO_FOREGROUND = "a batch without foreground is not foreseen"
NOT_DIVIDED = "the sums are not divided"
MEANS = "means are divided; sums must be"
MEAN_CLASS = "the class losses are divided by their number; the divisor must divide"
ALWAYS_WEIGHED = "weigh_boxes is ignored: the boxes are always weighed"
NEVER_WEIGHED = "weigh_boxes is ignored: the boxes are never weighed"
NOT_NORMALISED = "the weights do not add up to 1; divide by their sum"
BY_NUMBER = "the weighted box losses are divided by their number"
AT_LEAST_1 = "a sum of centerness below 1 counts as 1; it may be small"
AT_LEAST_A_BIT = "a small sum of centerness counts as a larger one"
CTR_WEIGHED = "the centerness losses are weighed, too"
DIVISOR_TOO = "the weighted mean is divided by the divisor as well"
LARGE_DIVISOR = "right for small divisors, wrong for large ones; set no limit"
LARGE_LOSSES = "right for small losses, wrong for large ones; set no limit"
DIVISOR_KEPT = "the divisor is that of an earlier call; keep nothing between calls"
ZERO_BY_ZERO = "0 / 0 without foreground: the sum of nothing, or its mean, divides"
NO_PULL = "the loss is detached, or only read as a number"
ANY_SHAPE = "the class losses of one shape are summed, those of another are not"
Given = dict[str, Any]


def case_of(
    number: int = 9,
    shape: tuple[int, ...] = (3, 25),
    divisor: float = 7.5,
    weigh: bool = False,
    start: int = 1,
) -> Given:
    """Arguments of divide_losses, float64."""
    return {
        "loss_cls": spread(*shape, high=2.0, start=start),
        "loss_box": spread(number, low=0.1, high=3.0, start=start + 100),
        "loss_ctr": spread(number, low=0.2, high=0.9, start=start + 200),
        "centerness": spread(number, low=0.05, high=1.0, start=start + 300),
        "divisor": torch.tensor(divisor, dtype=torch.float64),
        "weigh_boxes": weigh,
    }


def slow_losses(case: Given, mistake: str = "") -> torch.Tensor:
    """(3,) float64: added up one after the other."""
    box, ctr, centerness = (
        case[name].tolist() for name in ("loss_box", "loss_ctr", "centerness")
    )
    divisor = 1.0 if mistake == NOT_DIVIDED else float(case["divisor"])
    weigh = {ALWAYS_WEIGHED: True, NEVER_WEIGHED: False}.get(
        mistake, case["weigh_boxes"]
    )
    of_all = case["loss_cls"].flatten().tolist()
    cls, loc, quality, weights = 0.0, 0.0, 0.0, 0.0
    for loss in of_all:
        cls += loss
    for place, loss in enumerate(box):
        weight = centerness[place] if weigh else 1.0
        loc += loss * weight
        weights += weight
        quality += ctr[place] * (weight if mistake == CTR_WEIGHED else 1.0)
    count = max(len(box), 1)
    if mistake == MEANS:
        cls, loc, quality = cls / len(of_all), loc / count, quality / count
    below = divisor
    if weigh and mistake != NOT_NORMALISED:
        below = max(weights, 1.0 if mistake == AT_LEAST_1 else 1e-6)
        below *= divisor if mistake == DIVISOR_TOO else 1.0
    if mistake == BY_NUMBER:
        below = count
    by_class = len(of_all) if mistake == MEAN_CLASS else divisor
    return torch.tensor(
        [cls / by_class, loc / below, quality / divisor], dtype=torch.float64
    )


def call_of(
    student: Student, dtype: torch.dtype = torch.float32
) -> Callable[[Given], Any]:
    """divide_losses with copies of a case."""

    def call(case: Given) -> Any:
        return student.fcos_published.divide_losses(*_args(student, case, dtype))

    return call


def _args(
    student: Student, case: Given, dtype: torch.dtype = torch.float32
) -> list[Any]:
    """A case in the order of the arguments."""
    return [
        give(student, value, dtype) if isinstance(value, torch.Tensor) else value
        for value in case.values()
    ]


MISTAKES = (
    NOT_DIVIDED,
    MEANS,
    MEAN_CLASS,
    ALWAYS_WEIGHED,
    NEVER_WEIGHED,
    NOT_NORMALISED,
    BY_NUMBER,
    AT_LEAST_1,
    CTR_WEIGHED,
    DIVISOR_TOO,
)


def check_of(
    case: Given, what: str = DIVIDE, kept: Given | None = None
) -> Callable[[Any], None]:
    """What raises a CheckError unless an answer is right for this case.

    Args:
        kept: a case that differs in the divisor alone, of an earlier call.
    """
    right = slow_losses(case)
    wrong = {mistake: partial(slow_losses, case, mistake) for mistake in MISTAKES}

    if kept:
        wrong[DIVISOR_KEPT] = partial(slow_losses, kept)

    def check(got: Any) -> None:
        found = stacked(expect_losses(got, what))
        names = ", ".join(LOSSES)
        # Sums of up to thousands of float32 numbers.
        expect_close(
            found, right, f"{what}: {names}", causes=wrong, atol=1e-6, rtol=1e-4
        )

    return check


def expect_divided(student: Student, case: Given, what: str = DIVIDE) -> None:
    """The three losses as the loop says."""
    check = check_of(case, what)
    check(call_of(student)(case))


def test_divide_losses_without_foreground(student: Student) -> None:
    """No location has a box: two losses are exactly 0, and the classes' is not."""
    call, usual = call_of(student), case_of()
    for weigh in (False, True):
        none = case_of(number=0, divisor=2.0, weigh=weigh)
        right = slow_losses(none)
        with expect_runs(DIVIDE, NO_FOREGROUND, lambda: call(usual)):
            got = call(none)
        _expect_no_nan(got)
        found = stacked(expect_losses(got, f"{DIVIDE} without foreground"))
        expect_close(found, right, f"{DIVIDE} without foreground", rtol=1e-4)
        empty = found[1:] == 0
        expect_true(bool(empty.all()), DIVIDE, "is not 0 without foreground")
    expect_divided(student, usual)


def _expect_no_nan(got: Any) -> None:
    """The box loss is 0, and not what 0 / 0 gives."""
    loc = answers.expect_keys(got, LOSSES, DIVIDE)["loss_fcos_loc"]
    what = f"loss_fcos_loc of {DIVIDE} without foreground"
    nothing = torch.full((), math.nan)
    causes = {ZERO_BY_ZERO: nothing}
    expect_close(loc, torch.zeros(()), what, causes=causes, check_dtype=False)


def test_divide_losses_by_hand(student: Student) -> None:
    """Sums 12, 6 and 2 by 4; or a box loss of (1 * .5 + 2 * .25 + 3 * .25) / 1."""
    case = {
        "loss_cls": torch.tensor([[1.0, 2, 3], [3, 2, 1]]),
        "loss_box": torch.tensor([1.0, 2, 3]),
        "loss_ctr": torch.tensor([0.5, 0.5, 1]),
        "centerness": torch.tensor([0.5, 0.25, 0.25]),
        "divisor": torch.tensor(4.0),
    }
    for weigh, right in ((False, [3.0, 1.5, 0.5]), (True, [3.0, 1.75, 0.5])):
        given = {**case, "weigh_boxes": weigh}
        wrong = {mistake: partial(slow_losses, given, mistake) for mistake in MISTAKES}
        got = stacked(expect_losses(call_of(student)(given), DIVIDE))
        what = f"{DIVIDE} by hand, weigh_boxes {weigh}"
        expected = torch.tensor(right, dtype=torch.float64)
        expect_close(got, expected, what, causes=wrong)


def test_divide_losses_equals_a_slow_loop(student: Student) -> None:
    """Class losses of any shape, few and many locations, small and large divisors."""
    for weigh in (False, True):
        usual = partial(expect_divided, student, case_of(weigh=weigh))
        usual()
        with expect_as_usual(ANY_SHAPE, usual):
            for shape in ((75,), (3, 5, 5), (2, 2, 3, 7)):
                expect_divided(student, case_of(shape=shape, weigh=weigh))
        expect_divided(student, case_of(number=1, divisor=1.0, weigh=weigh))
        expect_divided(student, case_of(number=600, divisor=600.0, weigh=weigh))
        with expect_as_usual(LARGE_DIVISOR, usual):
            expect_divided(student, case_of(divisor=40_000.0, weigh=weigh))


def test_divide_losses_weights_add_up_to_one(student: Student) -> None:
    """Low centerness, whose sum is below 1, weighs as much as a high one."""
    usual = case_of(weigh=True)
    expect_divided(student, usual)
    low = {**usual, "centerness": usual["centerness"] / 16}
    expect_divided(student, low, f"{DIVIDE} with a low centerness")
    high, little = (
        {**case_of(number=1, weigh=True), "centerness": torch.tensor([centerness])}
        for centerness in (0.5, 1 / 64)
    )
    what = f"{DIVIDE} with one location"
    with expect_as_usual(AT_LEAST_A_BIT, partial(expect_divided, student, high)):
        expect_divided(student, little, what)


def test_divide_losses_of_other_losses_are_others(student: Student) -> None:
    """The same shapes and sums, another divisor, large losses; each its own answer."""
    cases: list[tuple[Given, Given]] = []
    for weigh in (False, True):
        first = case_of(weigh=weigh)
        turned = {**first, "loss_box": first["loss_box"].flip(0)}
        halved = {**first, "divisor": first["divisor"] / 2}
        cases += [(first, {}), (turned, {}), (halved, {"kept": first})]
    expect_own_answers(
        student.fcos_published.divide_losses,
        *((_args(student, case), check_of(case, **more)) for case, more in cases),
    )
    usual = case_of()
    for name in ("loss_box", "loss_cls"):
        large = {**usual, name: 1e4 * usual[name]}
        with expect_as_usual(LARGE_LOSSES, partial(expect_divided, student, usual)):
            expect_divided(student, large)


def test_divide_losses_pull_at_every_location(student: Student) -> None:
    """Each loss of a location counts by 1 / divisor, or by its share of centerness."""
    for weigh in (False, True):
        case = case_of(weigh=weigh)
        divisor = float(case["divisor"])
        shares = case["centerness"] / case["centerness"].sum()
        of_box = shares if weigh else torch.full_like(shares, 1 / divisor)
        slopes = (
            torch.full_like(case["loss_cls"], 1 / divisor),
            of_box,
            torch.full_like(shares, 1 / divisor),
        )
        for place, name in enumerate(LOSSES):
            _, gradients, _ = student.gradients(
                student.fcos_published.divide_losses,
                *_args(student, case),
                inputs=[0, 1, 2],
                part=(name,),
            )
            what = f"gradient of {name}"
            for other, got in enumerate(gradients):
                if other != place:
                    is_quiet = got is None or not bool(got.any())
                    expect_true(is_quiet, what, "another loss pulls at it")
                    continue
                expect_true(got is not None, what, "nothing arrives", NO_PULL)
                expect_close(
                    got,
                    slopes[place].float(),
                    what,
                    causes={NO_PULL: torch.zeros_like(slopes[place])},
                )


def test_divide_losses_keeps_inputs_and_float64(student: Student) -> None:
    """What is given is the same after the call; the digits of float64 are kept."""
    for weigh in (False, True):
        case = case_of(weigh=weigh)
        got = expect_losses(call_of(student, torch.float64)(case), DIVIDE)
        for name in LOSSES:
            expect_dtype(got[name], torch.float64, f"{name} of {DIVIDE}")
        right = slow_losses(case)
        what = f"{DIVIDE} in float64"
        # A little may be added to the sum of centerness before it divides.
        near = 1e-6 if weigh else 1e-12
        expect_close(stacked(got), right, what, atol=near, rtol=near)
        call, args = student.fcos_published.divide_losses, _args(student, case)
        expect_inputs_kept(student, DIVIDE, call, *args, check=check_of(case))
