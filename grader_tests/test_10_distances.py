"""Step 10: what the box predictor's numbers stand for."""

import math
from functools import partial

import torch

from grader_tests.oracles.step10 import LARGEST
from grader_tests.oracles.step10 import distances as right_distances
from grader_tests.tools import (
    expect_dtype,
    expect_inputs_kept,
    give,
    named_if_random,
    spread,
)
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import expect_close, expect_runs, expect_tensor, expect_true

DISTANCES = "distances_of_output"
OUTPUTS = ("raw", "relu", "exp")
NO_SCALE = "the scale is missing"
SCALE_AFTER = "the scale is applied behind the exponential; it is exp(scale * x)"
ADDED = "the scale is added; it is a factor"
NO_CAP = "the power has no limit; it is at most 1,000"
CAP_ON_EXPONENT = "the exponent is at most 1,000; the power is"
CAP_ON_RAW = "the output is cut before the scale; the power is at most 1,000"
CAP_BEFORE_SCALE = "the limit of 1,000 is for the power before the scale"
CAP_EVERYWHERE = "only powers have a limit of 1,000"
RAW_POSITIVE = '"raw" is the output as it is, times the scale'
RELU_ONLY_RAW = '"relu" is the positive part'
NO_POWER = '"exp" is e to the power of it'
ONE_LESS = "e^x - 1 instead of e^x"
TWO = "2 to the power of it, instead of e"
SOFTPLUS = "ln(1 + e^x) instead of e^x"
ONLY_INFINITY = "only what is infinite becomes 1,000; so does all above 1,000"
SIGN = "the sign of the scale is lost"
WITHOUT_ANY = "it crashes where there are no outputs, and nowhere else"
PLAIN_NUMBER = "right for a scale that is a tensor, and it crashes for a plain number"
HALF = "computed in 16 bits; take float32 at least before the power"
SINGLE = "computed in float32, which is too coarse for float64"
DETACHED_SCALE = "no gradient arrives at the scale, which is learned"
DETACHED_RAW = "no gradient arrives at the output"
OVERFLOW = (
    "the power overflows before it is cut, and its gradient is 0 * inf, NaN; cut the "
    "exponent instead"
)


def wrong_distances(raw, scale: float, how: str) -> dict[str, torch.Tensor]:
    """Known mistake -> what it gives, in float64."""
    x = raw.double()
    scaled = x * scale
    after = {"raw": lambda y: y, "relu": torch.relu, "exp": capped}
    wrong = {
        NO_SCALE: after[how](x),
        ADDED: after[how](x + scale),
        SIGN: after[how](x * abs(scale)),
    }
    if how != "exp":
        wrong[CAP_EVERYWHERE] = after[how](scaled).clamp(max=LARGEST)
    if how == "raw":
        wrong[RAW_POSITIVE] = scaled.relu()
        wrong[f"{RAW_POSITIVE}; no power"] = capped(scaled)
    if how == "relu":
        wrong[RELU_ONLY_RAW] = scaled
        wrong[f"{RELU_ONLY_RAW}, not the absolute value"] = scaled.abs()
        wrong[f"{RELU_ONLY_RAW}, no power"] = capped(scaled)
        wrong["the scale is applied behind the ReLU"] = x.relu() * scale
    if how == "exp":
        limit = math.log(LARGEST)
        wrong |= {
            SCALE_AFTER: capped(x) * scale,
            f"{SCALE_AFTER}, and cut": (x.exp() * scale).clamp(max=LARGEST),
            NO_CAP: scaled.exp(),
            ONLY_INFINITY: scaled.exp().float().nan_to_num(posinf=LARGEST),
            CAP_ON_EXPONENT: scaled.clamp(max=LARGEST).exp(),
            CAP_ON_RAW: (x.clamp(max=limit) * scale).exp(),
            f"{CAP_ON_RAW}; the output at 1,000": (x.clamp(max=LARGEST) * scale).exp(),
            NO_POWER: scaled,
            f"{NO_POWER}, no positive part": scaled.relu(),
            ONE_LESS: capped(scaled) - 1,
            TWO: torch.exp2(scaled).clamp(max=LARGEST),
            SOFTPLUS: torch.nn.functional.softplus(scaled),
        }
    # A power of a float32 is infinite where one of float64 is not yet.
    dtype = torch.promote_types(raw.dtype, torch.float32)
    return {cause: numbers.to(dtype) for cause, numbers in wrong.items()}


def capped(exponent: torch.Tensor) -> torch.Tensor:
    """The power, at most 1,000."""
    return exponent.exp().clamp(max=LARGEST)


def expect_distances(got, raw, scale: float, how: str, rtol: float = 1e-5) -> None:
    """The distances of these outputs, of the right shape and dtype.

    Args:
        raw: as it was given, on the CPU, with its dtype.
    """
    what = f"{DISTANCES}, {how!r}"
    expect_tensor(got, what, shape=tuple(raw.shape))
    dtype = torch.promote_types(raw.dtype, torch.float32)
    expect_dtype(got, dtype, what)
    right = right_distances(raw, scale, how)
    expect_close(
        got,
        right.to(dtype),
        what,
        inputs={"output": raw} if raw.dim() else {},
        causes=wrong_distances(raw, scale, how),
        atol=1e-6 * rtol / 1e-5,
        rtol=rtol,
    )


def ask(student, raw, scale, how: str):
    """Call 10.5 with a scale that is a tensor or a plain number."""
    scale = give(student, scale, scale.dtype) if torch.is_tensor(scale) else scale
    given = give(student, raw, raw.dtype)
    return student.fcos_published.distances_of_output(given, scale, how)


def check(student, raw, scale, how: str, rtol: float = 1e-5) -> None:
    """Call 10.5, and look at what comes back."""
    got = ask(student, raw, scale, how)
    expect_distances(got, raw, float(scale), how, rtol)


def test_distances_of_output_by_hand(student):
    """Outputs of -2, 0, 1, 3 at a scale of 1/2: raw, positive part, power."""
    raw = torch.tensor([[-2.0, 0.0, 1.0, 3.0]])
    by_hand = {
        "raw": [[-1.0, 0.0, 0.5, 1.5]],
        "relu": [[0.0, 0.0, 0.5, 1.5]],
        "exp": [[0.367879, 1.0, 1.648721, 4.481689]],
    }
    for how, numbers in by_hand.items():
        got = ask(student, raw, torch.tensor(0.5), how)
        expected = torch.tensor(numbers)
        causes = wrong_distances(raw, 0.5, how)
        what = f"{DISTANCES}, {how!r}"
        again = (give(student, raw), give(student, torch.tensor(0.5)), how)
        with named_if_random(student.fcos_published.distances_of_output, *again):
            expect_close(got, expected, what, names="l,t,r,b", causes=causes, atol=2e-6)


def test_distances_of_output_of_any_shape(student):
    """Rows of a batch, whole maps, none, one number; scales of both signs, and 1.0."""
    scales = (torch.tensor(1.7), 0.6, torch.tensor(-0.8), 1.0)
    shapes = ((2, 9, 4), (2, 4, 3, 5), (7,), (1, 1, 4), (2, 3, 1, 2, 2), ())
    for place, shape in enumerate(shapes):
        raw = spread(*shape or (1,), low=-3.0, high=4.0, start=5 * place + 1).float()
        raw, scale = raw.reshape(shape), scales[place % len(scales)]
        for how in OUTPUTS:
            if torch.is_tensor(scale):
                check(student, raw, scale, how)
                continue
            with expect_runs(
                f"{DISTANCES}, {how!r}, for a scale that is a plain number",
                PLAIN_NUMBER,
                partial(check, student, raw, torch.tensor(scale), how),
                ("AttributeError", "TypeError"),
            ):
                check(student, raw, scale, how)
    none = torch.zeros(0, 4)
    for how in OUTPUTS:
        with expect_runs(
            f"{DISTANCES}, {how!r}, of no output",
            WITHOUT_ANY,
            partial(check, student, torch.ones(3, 4), torch.tensor(1.7), how),
        ):
            check(student, none, torch.tensor(1.7), how)


def test_distances_of_output_at_most_1000(student):
    """Only powers have this limit: 999 stays, outputs of a million give 1,000."""
    edge = math.log(999.0)
    wild = [edge, -edge, 6.95, 8.0, 90.0, 1e3, 2e3, 1e6, -1e6, -90.0, 4.0, 5.5, 6.2]
    for number, scale in enumerate((1.0, torch.tensor(0.5), torch.tensor(3.0))):
        # Of another shape and sum each time: what is kept is not taken for no scale.
        raw = torch.tensor([*wild, *range(number + 1)])
        for how in OUTPUTS:
            check(student, raw, scale, how)


def test_distances_of_output_in_half_precision(student):
    """float16 and bfloat16 give float32, worked out in float32; float64 stays."""
    for rows, dtype in ((5, torch.float16), (6, torch.bfloat16)):
        raw = spread(rows, 4, low=-4.0, high=5.0).to(dtype)
        for how in OUTPUTS:
            scale = torch.tensor(1.3)
            got = ask(student, raw, scale, how)
            name = str(dtype).removeprefix("torch.")
            expect_half(got, raw, float(scale), f"{DISTANCES} of {name}, {how!r}", how)
    for how in OUTPUTS:  # at 1.0 raw numbers stay as they are, and their dtype does not
        raw = spread(4, 4, low=-4.0, high=5.0).to(torch.float16)
        what = f"{DISTANCES} of float16, {how!r}, at a scale of 1.0"
        expect_half(ask(student, raw, 1.0, how), raw, 1.0, what, how)
    raw = spread(7, 4, low=-4.0, high=5.0)
    scale = torch.tensor(1.3, dtype=torch.float64)
    for how in OUTPUTS:
        what = f"{DISTANCES} of float64, {how!r}"
        got = expect_tensor(ask(student, raw, scale, how), what, shape=(7, 4))
        expect_dtype(got, torch.float64, what)
        right = right_distances(raw, float(scale), how)
        single = right_distances(raw.float(), float(scale), how)
        is_single = torch.allclose(got, single, rtol=2e-6, atol=1e-6)
        causes = {SINGLE: got} if is_single else None
        expect_close(got, right, what, causes=causes, atol=1e-12, rtol=1e-12)


def expect_half(got, raw, scale: float, what: str, how: str) -> None:
    """float32 numbers from 16 bits, and not those that 16 bits would have given."""
    value = expect_tensor(got, what, shape=tuple(raw.shape))
    expect_dtype(got, torch.float32, what)
    right = right_distances(raw, scale, how)
    close = partial(torch.allclose, value.double(), right)
    causes = wrong_distances(raw, scale, how)
    if close(rtol=0.1, atol=1e-3) and not close(rtol=1e-5, atol=1e-6):
        causes = {HALF: value}
    expect_close(got, right.float(), what, causes=causes, atol=1e-6)


def test_distances_of_output_send_gradients_back(student):
    """To the output, and to the scale: both are learned."""
    raw = spread(3, 4, low=-2.0, high=2.5).float()
    scale = torch.tensor(0.75)
    for how in OUTPUTS:
        answer, gradients, _ = student.gradients(
            student.fcos_published.distances_of_output,
            *(give(student, raw), give(student, scale), how),
            inputs=(0, 1),
        )
        expect_distances(answer, raw, 0.75, how)
        slopes = right_distances(raw, 0.75, how)
        if how != "exp":
            slopes = ((raw > 0) | (how == "raw")).double()
        expected = (slopes * 0.75, (slopes * raw).sum())
        for got, right, cause, name in zip(
            gradients,
            expected,
            (DETACHED_RAW, DETACHED_SCALE),
            ("output", "scale"),
            strict=True,
        ):
            what = f"{DISTANCES}, {how!r}: gradient of the {name}"
            expect_true(got is not None, what, "there is none", cause)
            none = {cause: torch.zeros_like(right)}
            expect_close(got, right.float(), what, causes=none, atol=1e-4)


def test_distances_of_output_learn_from_wild_outputs(student):
    """Outputs beyond all limits: 1,000, and gradients that are numbers."""
    raw = torch.tensor([[50.0, 120.0, -200.0, 2.0], [1e4, -1e4, 89.0, 7.0]])
    for how in OUTPUTS:
        answer, gradients, _ = student.gradients(
            student.fcos_published.distances_of_output,
            *(give(student, raw), give(student, torch.tensor(1.5)), how),
            inputs=(0, 1),
        )
        expect_distances(answer, raw, 1.5, how)
        for got, cause in zip(gradients, (DETACHED_RAW, DETACHED_SCALE), strict=True):
            what = f"{DISTANCES}, {how!r}: gradient for outputs of 120"
            expect_true(got is not None, what, "there is none", cause)
            is_number = bool(got.isfinite().all())
            cause = OVERFLOW if how == "exp" else None
            expect_true(is_number, what, "it is no number", cause)


def test_distances_of_output_answer_each_call(student):
    """Outputs of the same shape and sum; other scales; they stay as they are."""
    raw = (spread(6, 4, low=-3.0, high=3.0) * 8).round().float() / 8
    call = student.fcos_published.distances_of_output
    for how in OUTPUTS:
        cases = [
            (
                (give(student, numbers), give(student, torch.tensor(scale)), how),
                partial(expect_distances, raw=numbers, scale=scale, how=how),
            )
            for numbers, scale in ((raw, 0.5), (raw.flip(0), 0.5), (raw, 2.0))
        ]
        expect_own_answers(call, *cases)
        for scale in (0.5, 1.0):
            expect_inputs_kept(
                *(student, DISTANCES, call),
                *(give(student, raw), give(student, torch.tensor(scale)), how),
                check=partial(expect_distances, raw=raw, scale=scale, how=how),
            )
