"""Visible checks of step 10: the first weights of a stem."""

import math
from typing import Any

import torch

from helpers.checks.answers import expect_state
from helpers.checks.exercises import exercise
from helpers.checks.expect import any_of, expect_close, expect_true

START = "start_stem"
BEFORE = 7.0  # all weights and biases, before they are started


def started(student: Any, how: str, groups: int = 8) -> dict[str, torch.Tensor]:
    """32 channels to 96 and back, all weights and biases 7 before it is started."""
    stem = student.fcos_published.make_stem(32, [96, 32], groups)
    if student.device.type != "cpu":
        stem.to(str(student.device))
    sevens = {
        name: torch.full_like(old, BEFORE)
        for name, old in expect_state(stem.state_dict(), START).items()
    }
    stem.load_state_dict(sevens)
    student.fcos_published.start_stem(stem, how)
    return expect_state(stem.state_dict(), START)


def expect_deviation(weight: torch.Tensor, right: float, what: str) -> None:
    """Drawn around 0 with this deviation, and from a normal distribution."""
    cells = weight[0, 0].numel()
    ins, outs = weight.shape[1] * cells, weight.shape[0] * cells
    got = float(weight.std())
    known = {
        "0.01 is the standard deviation, not the variance": 0.1,
        "this is the start that `how` calls small": 0.01,
        "this is the start that `how` calls he": math.sqrt(2 / ins),
        "fan_out was taken, the numbers that a weight's answer goes to": math.sqrt(
            2 / outs
        ),
        "the 2 is missing, for the half that a ReLU takes": math.sqrt(1 / ins),
        "the input channels are counted, and not their 3 x 3 cells": math.sqrt(
            2 * cells / ins
        ),
        "2 / fan_in is the variance, not the deviation": 2 / ins,
        "PyTorch's own start is there": math.sqrt(1 / (3 * ins)),
    }
    # 3 % is 7 standard errors of 27,648 weights.
    causes = [said for said, value in known.items() if abs(got - value) <= 0.03 * value]
    if got == 0:
        is_left = bool((weight == BEFORE).all())
        same = "all weights are one and the same number"
        causes = ["the weights are as they were before" if is_left else same]
    expect_true(
        abs(got - right) <= 0.05 * right,
        what,
        f"expected a standard deviation of {right:.4f}, got {got:.4f}",
        any_of(causes),
    )
    expect_true(
        abs(float(weight.mean())) < 0.1 * right,
        what,
        f"expected a mean of 0, got {float(weight.mean()):.4f}",
    )
    farthest = float(weight.abs().max()) / right
    expect_true(
        farthest > 2.5,
        what,
        f"no weight is farther from 0 than {farthest:.2f} deviations",
        "weights are drawn evenly between two limits, not from a normal distribution"
        if farthest < 1.75
        else None,
    )


@exercise("10.4")
def test_start_of_small_weights(student: Any) -> None:
    """Small: all weights of the convolutions from N(0, 0.01)."""
    for groups in (8, 0):
        for name, weight in started(student, "small", groups).items():
            if weight.dim() == 4:
                expect_deviation(weight, 0.01, f"start_stem, small: {name}")


@exercise("10.4")
def test_start_as_he_proposes(student: Any) -> None:
    """As He: from N(0, sqrt(2 / fan_in)); fan_in is 9 times the input channels."""
    for name, weight in started(student, "he").items():
        if weight.dim() == 4:
            right = math.sqrt(2 / (9 * weight.shape[1]))
            what = f"start_stem, he: {name}, {weight.shape[1]} to {weight.shape[0]}"
            expect_deviation(weight, right, f"{what} channels")


@exercise("10.4")
def test_start_leaves_the_norm(student: Any) -> None:
    """Biases of convolutions become 0; group norm stays as it is."""
    for how in ("small", "he"):
        state = started(student, how)
        own = [name.removesuffix("weight") for name in state if state[name].dim() == 4]
        for name, values in state.items():
            if values.dim() == 4:
                continue
            is_bias = name.endswith("bias") and name.removesuffix("bias") in own
            causes = {
                "it was not set, and is as it was": torch.full_like(values, BEFORE)
            }
            if not is_bias:
                causes = {
                    "the norm was started anew; leave it": torch.zeros_like(values),
                    "the norm was set to 1; leave it": torch.ones_like(values),
                }
            expect_close(
                values,
                torch.full_like(values, 0.0 if is_bias else BEFORE),
                f"start_stem, {how}: {name}, which was 7"
                + ("" if is_bias else ", of the norm"),
                causes=causes,
            )
