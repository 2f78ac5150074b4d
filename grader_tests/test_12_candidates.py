"""Step 12: which location may show which class."""

import math
from functools import partial
from typing import Any

import torch

from grader_tests.oracles.plain_inference import (
    DEFAULT,
    Choices,
    Level,
    plain_candidates,
)
from grader_tests.published_detection_parts import (
    CANDIDATES,
    candidate_check,
    expect_right,
    make_version,
    read_candidates,
    read_level,
    table_of,
    turned,
)
from grader_tests.tools import expect_inputs_kept, give, spread
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_runs,
    find_cause,
)
from helpers.checks.student import Student

ON_CLASS = Choices(threshold_on="class")
NINE, TWO_THIRDS = math.log(9), math.log(2 / 3)  # sigmoids of .9 and .4
NOTHING_PASSES = "a level where nothing passes crashes"
NO_LOCATION = "a level without locations crashes"
ONE_CLASS = "right for several classes, wrong for a single one"
ONE_LOCATION = "right for several locations, wrong for a single one"
ZERO = "a threshold of 0 is not taken as 0"
OTHER_THRESHOLD = "low scores never pass, whatever the threshold is"


def _give(
    student: Student, level: Level, dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    return [give(student, part, dtype) for part in (level.cls_logits, level.ctr_logits)]


def _level(cls_logits: Any, ctr_logits: Any) -> Level:
    """A level of which only the logits count."""
    cls, ctr = torch.as_tensor(cls_logits), torch.as_tensor(ctr_logits)
    none = torch.zeros(len(cls), 4)
    return Level(none[:, :2], cls.float(), none, ctr.float().reshape(-1, 1))


def _check(
    student: Student,
    level: Level,
    threshold: float,
    choices: Choices = DEFAULT,
    **named: Any,
) -> None:
    check = candidate_check(level, threshold, choices, **named)
    version = make_version(student, choices)
    call = student.fcos_published.find_candidates
    other = turned(level)
    ask_other = None
    if other is not None:
        ask_other = partial(call, *_give(student, other), threshold, version)
    expect_right(call(*_give(student, level), threshold, version), check, ask_other)


def _check_usual(student: Student) -> None:
    _check(student, read_level("wide"), 0.2)


def _expect_nothing(
    student: Student, level: Level, choices: Choices, what: str
) -> None:
    version = make_version(student, choices)
    answer = student.fcos_published.find_candidates(
        *_give(student, level), 0.5, version
    )
    expect_equal(len(read_candidates(answer, what)), 0, f"number of {what}")


def test_candidates_where_nothing_passes(student: Student) -> None:
    """Nothing is seen: no place, no class, int64, and no score."""
    quiet = _level([[-9.0, -8.0]] * 5, [3.0] * 5)
    for choices in (Choices(), ON_CLASS, Choices(multi_label=False)):
        what = f"{CANDIDATES} where nothing is seen"
        with expect_runs(what, NOTHING_PASSES, lambda: _check_usual(student)):
            _expect_nothing(student, quiet, choices, what)
        what = f"{CANDIDATES} without locations"
        none = _level(torch.zeros(0, 2), torch.zeros(0))
        with expect_runs(what, NO_LOCATION, lambda: _check_usual(student)):
            _expect_nothing(student, none, choices, what)
    _check_usual(student)


def test_candidates_by_hand(student: Student) -> None:
    """Class probabilities .9 and .4, centerness .4 and .9: scores of .6, .4 and .9."""
    level = _level(
        [[-9.0, NINE, TWO_THIRDS], [-9.0, -9.0, -9.0], [NINE, -9.0, TWO_THIRDS]],
        [TWO_THIRDS, NINE, NINE],
    )
    version = make_version(student, Choices())
    answer = student.fcos_published.find_candidates(
        *_give(student, level), 0.3, version
    )
    right = table_of([(0, 1, 0.6), (0, 2, 0.4), (2, 0, 0.9), (2, 2, 0.6)], 3)
    loop = plain_candidates(level.cls_logits, level.ctr_logits, 0.3, Choices())
    expect_close(table_of(loop, 3), right, "the slow loop", atol=1e-6)
    candidate_check(level, 0.3, Choices())(answer)


def test_candidates_equal_a_slow_loop(student: Student) -> None:
    """54 locations of three classes, at each threshold that was published."""
    level = read_level("wide")
    for threshold in (0.2, 0.05, 0.1, 0.3):
        _check(student, level, threshold)
    _check(student, read_level("other"), 0.1)


def test_candidates_of_a_class_threshold(student: Student) -> None:
    """Where p counts, unlikely centres pass; the score is the root all the same."""
    level = read_level("wide")
    for threshold in (0.05, 0.2, 0.3):
        _check(student, level, threshold, ON_CLASS)
    # p passes where the score does not, and the score where p does not
    both = _level([[1.0, -9.0], [-1.5, -9.0]], [-4.0, 5.0])
    for choices in (ON_CLASS, Choices()):
        _check(student, both, 0.3, choices)


def test_candidates_of_the_best_class_alone(student: Student) -> None:
    """Without multi_label a location shows one class, also if two are as likely."""
    for on in ("score", "class"):
        choices = Choices(threshold_on=on, multi_label=False)
        for case in ("wide", "other"):
            _check(student, read_level(case), 0.1, choices)
    choices = Choices(multi_label=False)
    # The best one passes; an answer that looks for it among what passes is right, too
    level = _level([[1.0, 2.0, 1.5], [-9.0, -8.0, -7.0], [3.0, 2.0, 2.0]], [2.0] * 3)
    _check(student, level, 0.5, choices)
    equal = _level([[1.0, 1.0, -3.0]], [2.0])
    version = make_version(student, choices)
    answer = student.fcos_published.find_candidates(
        *_give(student, equal), 0.3, version
    )
    found = read_candidates(answer)
    what = f"{CANDIDATES}: classes of a location where two are equally likely"
    cause = (
        "both of two classes that are equally likely come out"
        if len(found) == 2
        else None
    )
    expect_equal(len(found), 1, what, cause)


def test_candidates_of_several_classes(student: Student) -> None:
    """With multi_label each class of a location that passes is a candidate."""
    level = _level([[1.0, 2.0, 1.5], [-9.0, 0.0, -7.0], [3.0, 2.0, 2.5]], [2.0] * 3)
    for on in ("score", "class"):
        _check(student, level, 0.3, Choices(threshold_on=on))


def test_candidates_at_exactly_the_threshold(student: Student) -> None:
    """What is as large as the threshold is not above it: sigmoid(0) is .5."""
    level = _level([[0.0, 1.0, -1.0], [0.5, 0.0, -1.0]], [1.0, 3.0])
    usual = _level([[-0.2, 1.0, -1.0], [0.5, -0.2, -1.0]], [1.0, 3.0])
    _check(student, usual, 0.5, ON_CLASS)
    _check(student, level, 0.5, ON_CLASS)
    # Both sigmoids are 1 in float32, whatever way the score is computed.
    sure = _level([[200.0, 1.0], [2.0, 200.0]], [200.0, 200.0])
    _check(student, sure, 1.0)
    # ... and 0 here
    _check(student, _level([[-900.0, 1.0], [2.0, -900.0]], [2.0, 3.0]), 0.0)


def test_candidates_of_a_single_class(student: Student) -> None:
    """K = 1, and a level of a single location."""
    level = read_level("wide")
    one_class = _level(level.cls_logits[:, :1], level.ctr_logits)
    two_classes = _level(level.cls_logits[:, :2], level.ctr_logits)
    one_place = _level(level.cls_logits[:1], level.ctr_logits[:1])
    for choices in (Choices(), ON_CLASS, Choices(multi_label=False)):

        def usual(choices: Choices = choices) -> None:
            _check(student, level, 0.1, choices)
            _check(student, two_classes, 0.1, choices)

        for few, cause in ((one_class, ONE_CLASS), (one_place, ONE_LOCATION)):
            with (
                expect_as_usual(cause, usual),
                expect_runs(CANDIDATES, cause, usual),
            ):
                _check(student, few, 0.05, choices)
    both = _level(torch.tensor([[2.0]]), torch.tensor([1.0]))
    with expect_as_usual(ONE_CLASS, lambda: _check(student, one_class, 0.1)):
        _check(student, both, 0.1)


def test_candidates_of_low_thresholds(student: Student) -> None:
    """A threshold of 0 lets everything through, and .001 what is hardly seen."""
    level = read_level("wide")

    def at(threshold: float) -> Any:
        return lambda: table_of(
            plain_candidates(level.cls_logits, level.ctr_logits, threshold, Choices()),
            3,
        )

    defaults = {ZERO: at(0.2), f"{ZERO}, but as .05": at(0.05)}
    _check(student, level, 0.0, causes=defaults)
    quiet = _level([[-9.0, -11.0], [-8.0, -30.0]], [-2.0, 1.0])
    _check(
        student,
        quiet,
        0.004,
        causes={OTHER_THRESHOLD: lambda: torch.zeros(0, 3)},
    )


def test_candidates_of_many_classes(student: Student) -> None:
    """300 classes at 40 locations: whatever number of them passes comes out."""
    logits = spread(40, 300, low=-3, high=3, start=11)
    level = _level(logits, spread(40, low=0, high=4, start=5))
    right = table_of(
        plain_candidates(level.cls_logits, level.ctr_logits, 0.2, Choices()), 3
    )
    version = make_version(student, Choices())
    answer = student.fcos_published.find_candidates(
        *_give(student, level), 0.2, version
    )
    got = read_candidates(answer)
    capped = {
        f"class numbers end at {most}": torch.stack(
            (right[:, 0], right[:, 1].clamp(max=most), right[:, 2]), dim=1
        )
        for most in (19, 79, 90, 127, 255)
    }
    capped["class numbers are kept in 8 bits"] = torch.stack(
        (right[:, 0], right[:, 1].to(torch.uint8).double(), right[:, 2]), dim=1
    )
    for most in (100, 1000):
        capped[f"only the first {most} come out; nothing asks for that"] = right[:most]
        best = _best(right, most)
        capped[f"only the best {most} come out; nothing asks for that"] = best
    what = f"number of {CANDIDATES} of 300 classes"
    expect_equal(len(got), len(right), what, find_cause(got, capped, 1e-4, 1e-4))
    expect_close(got, right, CANDIDATES, causes=capped, names="place,class,score")


def _best(table: torch.Tensor, number: int) -> torch.Tensor:
    """The rows of the highest scores, in the order of the table."""
    return table[table[:, 2].argsort(descending=True)[:number].sort().values]


def test_candidates_of_float64(student: Student) -> None:
    """float64 logits give float64 scores, which float32 could not tell apart."""
    level = read_level("wide")
    version = make_version(student, Choices())
    check = candidate_check(level, 0.2, Choices(), dtype=torch.float64)
    given = _give(student, level, torch.float64)
    answer = student.fcos_published.find_candidates(*given, 0.2, version)
    check(answer)
    logits = torch.tensor([[0.0, 1e-12]], dtype=torch.float64)
    given = [
        give(student, part, torch.float64) for part in (logits, logits[:, :1] + 900)
    ]
    between = 0.5**0.5 + 9e-14
    answer = student.fcos_published.find_candidates(*given, between, version)
    found = read_candidates(answer, dtype=torch.float64)
    cause = "float64 is rounded to float32" if len(found) != 1 else None
    expect_equal(
        len(found), 1, f"number of {CANDIDATES}, 9e-14 above the threshold", cause
    )


def test_candidates_keep_nothing(student: Student) -> None:
    """Each call answers its own inputs, and leaves them as they are."""
    level, other = read_level("wide"), read_level("other")
    other_order = Level(*(part.flip(0) for part in level))  # of the same sums
    version = make_version(student, Choices())
    on_class = make_version(student, ON_CLASS)
    call = student.fcos_published.find_candidates
    expect_own_answers(
        call,
        (
            (*_give(student, level), 0.2, version),
            candidate_check(level, 0.2, Choices()),
        ),
        (
            (*_give(student, other_order), 0.2, version),
            candidate_check(other_order, 0.2, Choices()),
        ),
        (
            (*_give(student, other), 0.2, version),
            candidate_check(other, 0.2, Choices()),
        ),
        (
            (*_give(student, level), 0.1, version),
            candidate_check(level, 0.1, Choices()),
        ),
        (
            (*_give(student, level), 0.2, on_class),
            candidate_check(level, 0.2, ON_CLASS),
        ),
    )
    for choices, made in ((Choices(), version), (ON_CLASS, on_class)):
        expect_inputs_kept(
            student,
            CANDIDATES,
            call,
            *_give(student, level),
            0.2,
            made,
            check=candidate_check(level, 0.2, choices),
        )
