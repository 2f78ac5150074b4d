"""Visible checks of step 10: the sizes that belong to each level."""

import math
from typing import Any

from helpers.checks.answers import expect_keys, expect_parts
from helpers.checks.exercises import exercise
from helpers.checks.expect import any_of, expect_equal

FIVE = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}
Pair = tuple[float, float]


def expect_ranges(
    got: Any, right: dict[str, Pair], what: str, causes: dict[str, dict[str, Pair]]
) -> None:
    """A pair of numbers for each level; a cause must explain all of them."""
    expect_keys(got, tuple(right), f"{what}: keys of the result")
    mine = {
        level: tuple(expect_parts(got[level], ("low", "high"), f"{what}: {level}"))
        for level in right
    }
    cause = any_of(said for said, wrong in causes.items() if mine == wrong)
    for level, pair in right.items():
        expect_equal(mine[level], pair, f"{what}: {level}", cause)


@exercise("10.7")
def test_size_ranges_of_five_levels(student: Any) -> None:
    """0, 64, 128, 256, 512 pixels and no end, as published; three levels as in 4.3."""
    right = {
        "p3": (0.0, 64.0),
        "p4": (64.0, 128.0),
        "p5": (128.0, 256.0),
        "p6": (256.0, 512.0),
        "p7": (512.0, math.inf),
    }
    causes: dict[str, dict[str, Pair]] = {
        "the finest level does not begin at 0": right | {"p3": (32.0, 64.0)},
        "the coarsest level does not end at last_limit": right
        | {"p7": (512.0, 1024.0)},
        "neither does the finest level begin at 0 nor the coarsest end at last_limit": (
            right | {"p3": (32.0, 64.0), "p7": (512.0, 1024.0)}
        ),
        "p5 is taken for the coarsest, whatever levels there are": right
        | {"p5": (128.0, math.inf), "p7": (512.0, 1024.0)},
    }
    what = "size_ranges(strides 8 to 128, 1.0, inf)"
    got = student.fcos_published.size_ranges(FIVE, 1.0, math.inf)
    expect_ranges(got, right, what, causes)
    three = dict(list(FIVE.items())[:3])
    expected: dict[str, Pair] = {
        **dict(list(right.items())[:2]),
        "p5": (128.0, math.inf),
    }
    got = student.fcos_published.size_ranges(three, 1.0, math.inf)
    expect_ranges(got, expected, "size_ranges(strides 8 to 32, 1.0, inf)", {})


@exercise("10.7")
def test_size_ranges_are_scaled(student: Any) -> None:
    """A scale of 0.5 halves all limits but the first and the last."""
    right = {"p3": (0.0, 32.0), "p4": (32.0, 64.0), "p5": (64.0, 1000.0)}
    strides = {"p3": 8, "p4": 16, "p5": 32}
    causes: dict[str, dict[str, Pair]] = {
        "the last limit is multiplied by the scale, too": right | {"p5": (64.0, 500.0)},
        "the scale is not used": {
            "p3": (0.0, 64.0),
            "p4": (64.0, 128.0),
            "p5": (128.0, 1000.0),
        },
        "the lower limits are not scaled": {
            "p3": (0.0, 32.0),
            "p4": (64.0, 64.0),
            "p5": (128.0, 1000.0),
        },
        "the upper limits are not scaled": {
            "p3": (0.0, 64.0),
            "p4": (32.0, 128.0),
            "p5": (64.0, 1000.0),
        },
        "the limits are divided by the scale": {
            "p3": (0.0, 128.0),
            "p4": (128.0, 256.0),
            "p5": (256.0, 1000.0),
        },
        "last_limit is not used": right | {"p5": (64.0, math.inf)},
    }
    got = student.fcos_published.size_ranges(strides, 0.5, 1000.0)
    expect_ranges(got, right, "size_ranges(strides 8 to 32, 0.5, 1000)", causes)


@exercise("10.7")
def test_size_ranges_in_any_order(student: Any) -> None:
    """The smallest stride is the finest level, wherever it stands."""
    strides = {"p4": 16, "p5": 32, "p3": 8}
    right = {"p4": (64.0, 128.0), "p5": (128.0, 900.0), "p3": (0.0, 64.0)}
    causes: dict[str, dict[str, Pair]] = {
        "the first entry is taken for the finest level, the last for the coarsest": {
            "p4": (0.0, 128.0),
            "p5": (128.0, 256.0),
            "p3": (32.0, 900.0),
        },
    }
    what = "size_ranges(strides of p4, p5, p3 in this order, 1.0, 900)"
    got = student.fcos_published.size_ranges(strides, 1.0, 900.0)
    expect_ranges(got, right, what, causes)
    expect_equal(list(got), list(right), f"{what}: order of the levels")
    got = student.fcos_published.size_ranges({"p6": 64}, 0.5, 700.0)
    what = "size_ranges(p6 alone, 0.5, 700)"
    expect_ranges(
        got,
        {"p6": (0.0, 700.0)},
        what,
        {
            "a level that is finest and coarsest begins at 0, too": {
                "p6": (128.0, 700.0)
            },
            "a level that is finest and coarsest ends at last_limit, too": {
                "p6": (0.0, 256.0)
            },
        },
    )
