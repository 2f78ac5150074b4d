"""Visible checks of step 10: from the box predictor's output to distances."""

import math
from typing import Any

import torch

from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_true
from helpers.checks.inputs import tensor

NAME = "distances_of_output"
RAW = [[-1.0, 0.0, 0.5, 2.0], [3.0, -4.0, 1.5, -0.25]]
SCALE = 0.5
# e to the power of half of them, by hand.
POWERS = [[0.606531, 1.0, 1.284025, 2.718282], [4.481689, 0.135335, 2.117, 0.882497]]
HALVES = [[-0.5, 0.0, 0.25, 1.0], [1.5, -2.0, 0.75, -0.125]]


@exercise("10.5")
def test_distances_by_hand(student: Any) -> None:
    """Eight numbers at a scale of 0.5, in the three ways."""
    raw, half = torch.tensor(RAW), torch.tensor(HALVES)
    right = {"raw": half, "relu": half.relu(), "exp": torch.tensor(POWERS)}
    unscaled = {"raw": raw, "relu": raw.relu(), "exp": raw.exp()}
    for scale in (SCALE, tensor(student, SCALE)):
        for way, values in right.items():
            causes = {"the scale is not used": unscaled[way]}
            if way == "exp":
                causes |= {
                    "the scale multiplies the power, not the exponent": (
                        SCALE * raw.exp()
                    ),
                    "no power is taken": half,
                }
            if way == "relu":
                causes |= {
                    "negative numbers are not set to 0": half,
                    "the minus is dropped, where the number becomes 0": half.abs(),
                }
            got = student.fcos_published.distances_of_output(
                tensor(student, RAW), scale, way
            )
            what = f'{NAME}(raw, {SCALE}, "{way}")'
            expect_close(got, values, what, inputs={"raw": raw}, causes=causes)


@exercise("10.5")
def test_distances_have_a_limit(student: Any) -> None:
    """A power ends at 1,000; the other two ways have no limit."""
    far = [20.0, 5000.0, -60.0, 7.0, 6.0]
    given = torch.tensor(far)
    tops = torch.tensor([1000.0, 1000.0, 0.0, 1000.0, 403.428793])
    got = student.fcos_published.distances_of_output(tensor(student, far), 1.0, "exp")
    expect_close(
        got,
        tops,
        f'{NAME}(raw, 1, "exp") of numbers as large as 5,000',
        inputs={"raw": given},
        causes={"the power has no limit of 1,000": given.exp()},
    )
    for way, right in {"relu": given.relu(), "raw": given}.items():
        got = student.fcos_published.distances_of_output(tensor(student, far), 1.0, way)
        expect_close(
            got,
            right,
            f'{NAME}(raw, 1, "{way}") of numbers as large as 5,000',
            inputs={"raw": given},
            causes={
                "the limit is for exp alone": right.clamp(max=1000),
                "the limit of the exponent is for exp alone": right.clamp(
                    max=math.log(1000)
                ),
            },
        )


@exercise("10.5")
def test_distances_in_half_precision(student: Any) -> None:
    """Of 16 bits in, float32 out, and the power is as exact as that; others stay."""
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        given = torch.tensor(RAW, dtype=dtype)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        right = (SCALE * given.to(wide)).exp()
        coarse = (SCALE * given).exp().to(wide)
        causes = {"the power was taken in 16 bits, and made float32 afterwards": coarse}
        got = student.fcos_published.distances_of_output(
            given.to(student.device), SCALE, "exp"
        )
        what = f'{NAME}(raw of {str(dtype)[6:]}, {SCALE}, "exp")'
        expect_close(got, right, what, causes={} if wide == dtype else causes)
        for way in ("raw", "relu"):
            got = student.fcos_published.distances_of_output(
                given.to(student.device), SCALE, way
            )
            what = f'{NAME}(raw of {str(dtype)[6:]}, {SCALE}, "{way}")'
            halves = torch.tensor(HALVES, dtype=wide)
            expect_close(got, halves.relu() if way == "relu" else halves, what)


@exercise("10.5")
def test_distances_teach_the_scale(student: Any) -> None:
    """A gradient goes back to the output and to the scale; raw stays as it was."""
    given = torch.tensor(RAW)
    given[0, 1] = 0.25  # at 0 the positive part has no slope: 0 and 1 are both right
    raw, scale = tensor(student, given.tolist()), tensor(student, SCALE)
    powers = (SCALE * given).exp()
    slopes = {
        "raw": (torch.full_like(given, SCALE), given.sum()),
        "relu": (SCALE * (given > 0), (given * (given > 0)).sum()),
        "exp": (SCALE * powers, (given * powers).sum()),
    }
    for way, (of_raw, of_scale) in slopes.items():
        what = f'{NAME}(raw, scale, "{way}")'
        _, found, _ = student.gradients(
            student.fcos_published.distances_of_output,
            raw,
            scale,
            way,
            inputs=(0, 1),
        )
        for name, got, right in zip(
            ("raw", "scale"), found, (of_raw, of_scale), strict=True
        ):
            cause = "it is detached, or read as a plain number (.item(), float())"
            expect_true(
                got is not None,
                f"{what}: gradient of {name}",
                "no gradient arrives",
                cause,
            )
            expect_close(got, right, f"{what}: gradient of {name}", atol=1e-4)
    _, (after, *_) = student.after_call(
        student.fcos_published.distances_of_output, raw, scale, "relu"
    )
    expect_close(after, given, f'{NAME}(raw, scale, "relu"): raw afterwards')
