"""Step 12: the best candidates of a level, as boxes."""

from functools import partial
from typing import Any

import torch

from grader_tests.oracles.plain_inference import (
    DEFAULT,
    Choices,
    Level,
    plain_level,
)
from grader_tests.published_detection_parts import (
    LEVEL,
    elsewhere,
    expect_right,
    give_level,
    level_check,
    make_version,
    read_found_of,
    read_level,
    table_of,
)
from grader_tests.tools import expect_inputs_kept, spread
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import expect_as_usual, expect_equal, expect_runs
from helpers.checks.student import Student

NOTHING_PASSES = "a level where nothing passes crashes"
FEWER = "a level of fewer candidates than top_k crashes"
BEFORE = "the best are taken before the threshold; they are the best of what passes"
ZERO_LIMIT = "top_k = 0 lets none through; it is all"
ZERO = "a threshold of 0 is not taken as 0"
NOT_PASSED_ON = "candidates are those of another config than the one given"
CLIPPED = "boxes are clipped at 0; that comes later"
IN_IMAGE = "boxes end within the image, at a limit; nothing asks for one"
ONE_LOCATION = "right for several locations, wrong for a single one"


def _decode(student: Student, level: Level, threshold: float, choices: Choices) -> Any:
    version = make_version(student, choices)
    given = give_level(student, level)
    return student.fcos_published.decode_level(*given, threshold, version)


def _check(
    student: Student,
    level: Level,
    threshold: float,
    choices: Choices = DEFAULT,
    **named: Any,
) -> None:
    check = level_check(level, threshold, choices, **named)
    other = elsewhere(level)
    ask_other = None
    if other is not None:
        ask_other = partial(_decode, student, other, threshold, choices)
    expect_right(_decode(student, level, threshold, choices), check, ask_other)


def test_level_where_nothing_passes(student: Student) -> None:
    """No box (0, 4), no class, no score; of a level without locations neither."""
    level = read_level("wide")
    quiet = level._replace(cls_logits=torch.full_like(level.cls_logits, -12.0))
    none = Level(*(part[:0] for part in level))
    for choices in (Choices(), Choices(top_k=0), Choices(top_k_of="image")):
        for few in (quiet, none):
            with expect_runs(
                LEVEL, NOTHING_PASSES, lambda: _check(student, level, 0.2)
            ):
                answer = _decode(student, few, 0.2, choices)
            what = f"{LEVEL} where nothing passes"
            expect_equal(len(read_found_of(answer, what)), 0, f"boxes of {what}")
    _check(student, level, 0.2)


def test_level_by_hand(student: Student) -> None:
    """At (20, 30), 1 left, 2 up, 5 right, 11 down: (19, 28, 25, 41)."""
    level = Level(
        torch.tensor([[4.0, 12.0], [20.0, 30.0], [50.0, 10.0]]),
        torch.tensor([[-9.0, -9.0], [-9.0, 1.0], [2.0, -9.0]]),
        torch.tensor([[1.0, 1, 1, 1], [1, 2, 5, 11], [3, 0.5, 0.25, 7]]),
        torch.tensor([[3.0], [3.0], [3.0]]),
    )
    right = torch.tensor([[47.0, 9.5, 50.25, 17], [19, 28, 25, 41]])
    loop = table_of(plain_level(level, 0.3, Choices()), 6)
    expect_equal(loop[:, :4].tolist(), right.tolist(), "the slow loop")
    check = level_check(level, 0.3, Choices())
    check(_decode(student, level, 0.3, Choices()))


def test_level_equals_a_slow_loop(student: Student) -> None:
    """54 locations of three classes: all boxes, classes and scores, best first."""
    for case in ("wide", "other"):
        for threshold in (0.05, 0.2):
            _check(student, read_level(case), threshold)


def test_level_of_a_version(student: Student) -> None:
    """The candidates are those that the config asks for."""
    level = read_level("wide")
    default = {NOT_PASSED_ON: lambda: table_of(plain_level(level, 0.1, DEFAULT), 6)}
    for on in ("class", "score"):
        for many in (True, False):
            for number in (1000, 6):
                choices = Choices(threshold_on=on, multi_label=many, top_k=number)
                _check(student, level, 0.1, choices, causes=default)


def test_level_lets_the_best_through(student: Student) -> None:
    """top_k is of the candidates of the level, not of locations or of each class."""
    level = read_level("wide")
    for number in (20, 7, 1, 100_000):
        with expect_runs(
            LEVEL, FEWER, lambda: _check(student, level, 0.1, Choices(top_k=7))
        ):
            _check(student, level, 0.1, Choices(top_k=number))
    # The second location has the higher score, and p of .08, which does not pass.
    few = Level(*(part[:2] for part in level))._replace(
        cls_logits=torch.tensor([[-0.85, -9.0], [-2.44, -9.0]]),
        ctr_logits=torch.tensor([[-4.6], [4.6]]),
    )
    choices = Choices(threshold_on="class", top_k=1)
    none = {BEFORE: lambda: torch.zeros(0, 6)}
    _check(student, few, 0.1, choices, causes=none)


def test_level_without_a_limit(student: Student) -> None:
    """top_k = 0 is all; so is a top_k of the image, which comes later."""
    level = read_level("other")
    all_ = {ZERO_LIMIT: lambda: torch.zeros(0, 6)}
    _check(student, level, 0.1, Choices(top_k=20))
    _check(student, level, 0.1, Choices(top_k=0), causes=all_)
    _check(student, level, 0.1, Choices(top_k=20, top_k_of="image"))
    usual = {ZERO: lambda: table_of(plain_level(level, 0.2, DEFAULT), 6)}
    _check(student, level, 0.0, causes=usual)
    _check(student, level, 0.1, Choices(top_k=0, top_k_of="image"), causes=all_)


def test_level_is_not_clipped(student: Student) -> None:
    """Boxes reach left of 0 and as far as they like; negative distances are 0."""
    level = read_level("wide")
    far = level._replace(points=level.points * 400 - 12_000)
    clipped = {
        CLIPPED: lambda: _clamped(far, 0.0, None),
        IN_IMAGE: lambda: _clamped(far, None, 4096.0),
    }
    _check(student, far, 0.1, causes=clipped)
    small = level._replace(distances=level.distances * 0.001 - 0.0004)
    _check(student, small, 0.1)
    inside_out = level._replace(distances=-level.distances.abs())
    _check(student, inside_out, 0.1)


def _clamped(level: Level, low: float | None, high: float | None) -> torch.Tensor:
    table = table_of(plain_level(level, 0.1, Choices()), 6)
    table[:, :4] = table[:, :4].clamp(low, high)
    return table


def test_level_of_thousands_of_candidates(student: Student) -> None:
    """A thousand by default; more where that is asked; all where it is 0."""
    side, classes = 30, 4
    points = 8.0 * torch.cartesian_prod(torch.arange(side), torch.arange(side))
    number = side**2
    scores = torch.arange(number * classes) * 2579 % (number * classes)
    logits = (6 * scores / len(scores) - 2).reshape(number, classes)
    level = Level(
        points,
        logits,
        spread(number, 4, low=1, high=300, start=9).float(),
        torch.full((number, 1), 4.0),
    )
    for choices in (Choices(), Choices(top_k=1500), Choices(top_k=0)):
        _check(student, level, 0.3, choices)


def test_level_of_a_single_location(student: Student) -> None:
    """One location with one class, or with two."""
    level = read_level("wide")
    one = Level(*(part[:1] for part in level))
    for few in (one, one._replace(cls_logits=one.cls_logits[:, :1])):
        few = few._replace(cls_logits=few.cls_logits.abs())

        def usual() -> None:
            _check(student, level, 0.1)

        with (
            expect_as_usual(ONE_LOCATION, usual),
            expect_runs(LEVEL, ONE_LOCATION, usual),
        ):
            _check(student, few, 0.1)


def test_level_keeps_nothing(student: Student) -> None:
    """Each call answers its own inputs, in their dtype, and leaves them as they are."""
    level, other = read_level("wide"), read_level("other")
    other_order = Level(*(part.flip(0) for part in level))
    moved = level._replace(points=level.points.flip(0))
    choices = Choices(top_k=30)
    version = make_version(student, choices)
    call = student.fcos_published.decode_level
    cases = [
        ((*give_level(student, one), 0.1, version), level_check(one, 0.1, choices))
        for one in (level, other_order, other, moved)
    ]
    expect_own_answers(call, *cases)
    fine = Level(*(part.double() for part in level))
    answer = call(*give_level(student, fine), 0.1, version)
    level_check(fine, 0.1, choices, dtype=torch.float64)(answer)
    given = give_level(student, level)
    expect_inputs_kept(
        student,
        LEVEL,
        call,
        *given,
        0.1,
        version,
        check=level_check(level, 0.1, choices),
    )
