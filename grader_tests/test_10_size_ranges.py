"""Step 10: which sizes belong to which level, for any number of levels."""

import math
from functools import partial
from itertools import pairwise

import torch

from grader_tests.oracles.step10 import size_ranges as right_ranges
from grader_tests.tools import expect_inputs_kept, expect_keys
from helpers.checks.again import KEPT
from helpers.checks.answers import expect_parts
from helpers.checks.expect import (
    CheckError,
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_runs,
    expect_true,
)

RANGES = "size_ranges"
STRIDES = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}
THREE = {"p3": 8, "p4": 16, "p5": 32}
NAMES_BUILT_IN = "the names of the levels are built in"
LAST_SCALED = "the coarsest level ends at last_limit as it is, without the scale"
NO_SCALE = "the scale is missing"
HIGH_ONLY = "only the upper limits are scaled"
LOW_ONLY = "only the lower limits are scaled"
NO_LAST = "last_limit is not used"
ALWAYS_INF = "the coarsest level ends at infinity, whatever last_limit is"
NO_ZERO = "the finest level begins at 0"
LAST_OF_ALL = "every level ends at last_limit"
BY_PLACE = "the first and the last of the dict; finest and coarsest go by their strides"
BY_NAME = "finest and coarsest by their names; go by the strides"
TWICE = "limits of 8 and 16 strides instead of 4 and 8"
HALF = "limits of 2 and 4 strides instead of 4 and 8"
FROM_BELOW = "a level begins where a finer one ends; it begins at 4 of its own strides"
ORDER = "the levels come out in another order than that of the strides given"
THREE_ONLY = "right for p3, p4 and p5, wrong for more or fewer levels"
DIVIDED = "divided by the scale"
HIGH_FIRST = "high stands before low"
MINUS_ONE = "the finest level begins at 0, not at -1"
STRIDES_BUILT_IN = "strides of 8, 16, 32 ... are built in; take those that are given"


def wrong_ranges(strides, scale, last_limit) -> dict[str, dict]:
    """Known mistake -> the ranges that it gives."""
    levels = list(strides)
    finest, coarsest = min(strides.values()), max(strides.values())
    by_name = sorted(levels)

    def ranges(
        low_by=scale,
        high_by=scale,
        *,
        first=lambda level: strides[level] == finest,
        last=lambda level: strides[level] == coarsest,
        begin=0.0,
        end=last_limit,
        factor=1.0,
    ):
        made = {}
        for level, stride in strides.items():
            low, high = 4 * factor * stride * low_by, 8 * factor * stride * high_by
            if first(level) and begin is not None:
                low = begin
            if last(level) and end is not None:
                high = end
            made[level] = (low, high)
        return made

    right = ranges()
    in_order = sorted(levels, key=strides.__getitem__)
    before = dict(zip(in_order[1:], in_order, strict=False))
    wrong = {}
    if set(strides) <= set(STRIDES):
        usual = {level: STRIDES[level] for level in strides}
        wrong[STRIDES_BUILT_IN] = right_ranges(usual, scale, last_limit)
    return wrong | {
        HIGH_FIRST: {level: (high, low) for level, (low, high) in right.items()},
        MINUS_ONE: ranges(begin=-1.0),
        LAST_SCALED: ranges(end=last_limit * scale),
        NO_SCALE: ranges(1, 1),
        HIGH_ONLY: ranges(low_by=1),
        LOW_ONLY: ranges(high_by=1),
        DIVIDED: ranges(1 / scale, 1 / scale),
        NO_LAST: ranges(end=None),
        ALWAYS_INF: ranges(end=math.inf),
        NO_ZERO: ranges(begin=None),
        LAST_OF_ALL: {level: (low, last_limit) for level, (low, _) in right.items()},
        BY_PLACE: ranges(
            first=lambda level: level == levels[0],
            last=lambda level: level == levels[-1],
        ),
        BY_NAME: ranges(
            first=lambda level: level == by_name[0],
            last=lambda level: level == by_name[-1],
        ),
        TWICE: ranges(factor=2.0),
        HALF: ranges(factor=0.5),
        FROM_BELOW: {
            level: (right[before[level]][1] if level in before else low, high)
            for level, (low, high) in right.items()
        },
    }


def rows(ranges) -> torch.Tensor:
    """(levels, 2) float64 of (low, high)."""
    return torch.tensor(list(ranges.values()), dtype=torch.float64).reshape(-1, 2)


def expect_ranges(got, strides, scale, last_limit, expected=None) -> None:
    """(low, high) of each level, in the order of the strides."""
    expected = expected or right_ranges(strides, scale, last_limit)
    expect_keys(got, list(strides), RANGES)
    numbers = {}
    for level in strides:
        what = f"{RANGES}: {level}"
        low, high = expect_parts(got[level], ("low", "high"), what)
        for limit in (low, high):
            if isinstance(limit, bool) or not isinstance(limit, int | float):
                kind = type(limit).__name__
                raise CheckError("wrong type", what, f"expected a number, got {kind}")
        numbers[level] = (low, high)
    expect_close(
        rows(numbers),
        rows(expected),
        f"{RANGES}({strides}, {scale}, {last_limit})",
        names="low,high",
        place="level",
        causes={
            cause: rows(wrong)
            for cause, wrong in wrong_ranges(strides, scale, last_limit).items()
        },
        atol=1e-9,
        rtol=1e-6,  # limits that were worked out in float32 are right, too
    )
    expect_equal(list(got), list(strides), f"{RANGES}: order of the levels", ORDER)


def expect_asked(student, strides, scale, last_limit):
    """Call 10.7, and check the answer."""
    got = student.fcos_published.size_ranges(dict(strides), scale, last_limit)
    expect_ranges(got, strides, scale, last_limit)


def test_size_ranges_of_five_levels(student):
    """0-64-128-256-512 pixels and on without end, as published; also up to 1,000."""
    limits = [0.0, 64, 128, 256, 512, math.inf]
    for last in (1000.0, 1e8, math.inf):
        limits[-1] = last
        pairs = pairwise(limits)
        expected = dict(zip(STRIDES, pairs, strict=True))
        got = student.fcos_published.size_ranges(dict(STRIDES), 1.0, last)
        expect_ranges(got, STRIDES, 1.0, last, expected)


def test_size_ranges_are_scaled(student):
    """All limits but the first and the last: 0-32-64-128-256 at half of the sizes."""
    for scale, last in ((0.5, 1000.0), (2.0, 1e4), (0.3, 777.0), (0.5, math.inf)):
        expect_asked(student, STRIDES, scale, last)


def test_size_ranges_of_any_number_of_levels(student):
    """One level from 0 to the end, two, and seven."""
    seven = {f"p{number}": 2**number for number in range(1, 8)}
    with expect_as_usual(THREE_ONLY, lambda: expect_asked(student, THREE, 0.75, 900.0)):
        for strides in ({"p4": 16}, {"p3": 8, "p4": 16}, seven):
            with expect_runs(
                RANGES,
                THREE_ONLY,
                partial(expect_asked, student, THREE, 0.75, 900.0),
                ("KeyError", "ValueError", "IndexError"),
            ):
                got = student.fcos_published.size_ranges(dict(strides), 0.75, 900.0)
            expect_ranges(got, strides, 0.75, 900.0)


def test_size_ranges_of_levels_in_any_order(student):
    """The finest level is that of the smallest stride, wherever it stands."""
    for order in (("p5", "p3", "p7", "p6", "p4"), ("p4", "p5", "p3")):
        strides = {level: STRIDES[level] for level in order}
        expect_asked(student, strides, 1.0, 2000.0)
    expect_asked(student, {"p3": 64, "p4": 32, "p5": 16}, 0.5, math.inf)


def test_size_ranges_of_other_levels(student):
    """Other names, and strides that are not twice as large from level to level."""
    for strides in ({"fine": 6, "coarse": 20, "middle": 10}, {"b": 5, "a": 15}):
        with expect_runs(
            RANGES,
            NAMES_BUILT_IN,
            partial(student.fcos_published.size_ranges, dict(STRIDES), 1.0, 1e3),
            ("KeyError",),
        ):
            got = student.fcos_published.size_ranges(dict(strides), 1.5, 640.0)
        expect_ranges(got, strides, 1.5, 640.0)


def test_size_ranges_answer_each_call(student):
    """Other strides, scales and limits for the same levels; the dict stays as it is."""
    call = student.fcos_published.size_ranges
    # What is wrong in itself is wrong in the first call, whose answer comes back then.
    other = {level: 3 * stride for level, stride in STRIDES.items()}
    asked = (
        (other, 0.75, 1000.0),
        (STRIDES, 0.5, 1000.0),
        (STRIDES, 0.5, 2000.0),
        (STRIDES, 1.0, 1000.0),
        (other, 0.75, 1000.0),
    )
    earlier: list = []
    for strides, scale, last in asked:
        given = (dict(strides), scale, last)
        check = partial(
            expect_own_ranges, strides=strides, scale=scale, last=last, earlier=earlier
        )
        expect_inputs_kept(student, RANGES, call, *given, check=check)


def expect_own_ranges(got, strides, scale, last, earlier: list) -> None:
    """The ranges of this call, and not those of one before."""
    try:
        expect_ranges(got, strides, scale, last)
    except CheckError as error:
        if got in earlier:
            error.cause = KEPT
        raise
    expect_true(isinstance(got, dict), RANGES, "no dict")
    earlier.append(got)
