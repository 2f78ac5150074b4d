"""Step 5: boxes from deltas."""

from functools import partial

import torch

from grader_tests.references import load_strides
from grader_tests.tools import (
    expect_dtype,
    expect_inputs_kept,
    give,
    spread,
)
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_close,
    expect_runs,
    expect_tensor,
)
from helpers.checks.inputs import wrong_signs

APPLY = "fcos_apply_deltas_to_locations"
NOT_MULTIPLIED = "not multiplied by the stride"
NEGATED = "left and top are negated: x - x1, not x1 - x"
NO_CLIP = "negative deltas are not set to 0"
ROWS_KEPT = "a call takes which deltas were negative in an earlier one; keep nothing"
SMALL_IS_NOTHING = "small deltas count as 0; only negative ones do"
CUT_OFF = "deltas above a limit are cut off; nothing asks for one"
EVEN_STRIDE = "an odd stride is taken for an even one"
EMPTY = "a level without locations is not foreseen"
MANY = 131_075  # rows: more than a table or a block of a fixed size may hold


def apply_deltas(student, deltas, points, stride, dtype=torch.float32):
    """Call 5.2."""
    call = student.one_stage_detector.fcos_apply_deltas_to_locations
    return call(give(student, deltas, dtype), give(student, points, dtype), stride)


def test_apply_deltas_gives_boxes(student):
    """XYXY in pixels from positive and negative deltas, for several strides."""
    signs = torch.tensor([-1.0, -1, 1, 1])
    for stride, case in load_strides("step5", "apply").items():
        deltas, points = case["deltas"], case["points"]
        here = points.repeat(1, 2)
        clipped = deltas.clamp(min=0)
        sides = clipped[:, :2] + clipped[:, 2:]
        corner = points - clipped[:, :2] * stride
        causes = {
            NO_CLIP: here + deltas * signs * stride,
            NOT_MULTIPLIED: here + clipped * signs,
            NEGATED: here + clipped * stride,
            "left and right have each other's sign": here - clipped * signs * stride,
            **{
                cause: here + wrong * stride
                for cause, wrong in wrong_signs(clipped * signs).items()
            },
            "divided by the stride, not multiplied": here + clipped * signs / stride,
            "width and height are returned, not x2 and y2": torch.cat(
                (corner, sides * stride), dim=1
            ),
            "absolute values are taken; a negative delta counts as 0": (
                here + deltas.abs() * signs * stride
            ),
            "boxes are clipped to the image; that comes later": (
                here + clipped * signs * stride
            ).clamp(min=0),
        }
        inputs = {"deltas": deltas, "location": points}
        expected = case["expected"].float()
        turned = deltas.flip(0).where(deltas >= 0, 0.0) * signs * stride
        kept = {ROWS_KEPT: points.flip(0).repeat(1, 2) + turned}
        check = partial(expect_close, what=APPLY, names="x1,y1,x2,y2")
        # The same rows from the last to the first: numbers of the same sum.
        expect_own_answers(
            partial(apply_deltas, student),
            (
                (deltas, points, stride),
                partial(check, expected=expected, inputs=inputs, causes=causes),
            ),
            (
                (deltas.flip(0), points.flip(0), stride),
                partial(check, expected=expected.flip(0), causes=kept),
            ),
        )


def test_apply_deltas_counts_negative_deltas_as_zero(student):
    """Each edge on its own: a negative distance leaves the edge at the location."""
    deltas = torch.tensor(
        [[-0.5, 1, 2, -3], [1.0, -9, -0.25, 2], [0.03125, -0.03125, 0.015625, 0.0625]]
    )
    points = torch.tensor([[40.0, 20], [40, 20], [40.25, 20.5]])
    got = apply_deltas(student, deltas, points, 8)
    expected = torch.tensor(
        [[40.0, 12, 56, 20], [32, 20, 40, 36], [40, 20.5, 40.375, 21]]
    )
    signs = torch.tensor([-8.0, -8, 8, 8])
    here = points.repeat(1, 2)

    def without_small() -> torch.Tensor:
        is_lost = (got.detach().cpu() == here) & (deltas < 0.5)
        return here + torch.where(is_lost, 0.0, deltas.clamp(min=0)) * signs

    causes = {
        SMALL_IS_NOTHING: without_small,
        NO_CLIP: points.repeat(1, 2) + deltas * signs,
        "one negative delta empties the whole box": points.repeat(1, 2),
        "absolute values are taken; a negative delta counts as 0": (
            points.repeat(1, 2) + deltas.abs() * signs
        ),
    }
    inputs = {"deltas": deltas, "location": points}
    expect_close(got, expected, APPLY, inputs=inputs, causes=causes)


def test_apply_deltas_of_background_is_a_point(student):
    """Deltas of -1 give (x, y, x, y), a box without area."""
    points = torch.tensor([[12.0, 20], [44, 4]])
    got = apply_deltas(student, torch.full((2, 4), -1.0), points, 16)
    expected = points.repeat(1, 2)
    causes = {
        NO_CLIP: expected + torch.tensor([16.0, 16, -16, -16]),
        "background becomes a row of -1": torch.full((2, 4), -1.0),
    }
    expect_close(got, expected, APPLY, inputs={"location": points}, causes=causes)


def test_apply_deltas_does_not_clip_to_the_image(student):
    """Boxes may start at negative numbers; inference clips them later."""
    deltas, points = torch.tensor([[3.0, 2, 1, 900]]), torch.tensor([[4.0, 4]])
    expected = torch.tensor([[-20.0, -12, 12, 7204]])
    cause = "boxes are clipped to the image; that comes later"
    got = apply_deltas(student, deltas, points, 8)
    wrong = {cause: expected.clamp(min=0)}
    for size in (224, 223):
        wrong[f"{cause} (and has no fixed size)"] = expected.clamp(min=0, max=size)
    expect_close(got, expected, APPLY, causes=wrong)


def test_apply_deltas_of_no_and_of_one_location(student):
    """No row in, no row out; one row in, one row out."""
    deltas, points = torch.ones(2, 4), torch.ones(2, 2)
    with expect_runs(APPLY, EMPTY, lambda: apply_deltas(student, deltas, points, 8)):
        got = apply_deltas(student, torch.zeros(0, 4), torch.zeros(0, 2), 8)
    expect_tensor(got, APPLY, shape=(0, 4))
    deltas, points = torch.tensor([[0.25, 0.5, 2.25, 1.5]]), torch.tensor([[12.0, 4]])
    got = apply_deltas(student, deltas, points, 8)
    expect_close(got, torch.tensor([[10.0, 0, 30, 16]]), APPLY)


def test_apply_deltas_follows_float64(student):
    """Many predictions, large ones too, where float32 has no digits; and float16."""
    deltas = spread(MANY, 4, high=1000.0) ** 2
    points = spread(MANY, 2, high=50.0, start=3) + 1e6
    got = apply_deltas(student, deltas, points, 5, torch.float64)
    value = expect_tensor(got, APPLY, shape=(MANY, 4))
    expect_dtype(got, torch.float64, APPLY)
    signs = torch.tensor([-5.0, -5, 5, 5])
    here = points.repeat(1, 2)
    expected = here + deltas * signs
    most = ((value - here) / signs).max()
    causes = {
        CUT_OFF: here + deltas.clamp(max=most) * signs,
        EVEN_STRIDE: here + deltas * signs * 4 / 5,
        f"{EVEN_STRIDE}, the next one": here + deltas * signs * 6 / 5,
    }
    what = f"{APPLY} in float64"
    expect_close(got, expected, what, causes=causes, atol=1e-7, rtol=0)
    deltas, points = torch.tensor([[0.25, 0.5, 2.25, 1.5]]), torch.tensor([[12.0, 4]])
    got = apply_deltas(student, deltas, points, 8, torch.float16)
    expected = torch.tensor([[10.0, 0, 30, 16]])
    expect_close(got, expected, f"{APPLY} in float16", check_dtype=False)
    expect_dtype(got, torch.float16, APPLY)


def test_apply_deltas_leaves_its_inputs_alone(student):
    """Deltas and locations are the same after the call."""
    deltas = torch.tensor([[-0.5, 1, 2, -3], [1.0, -9, -0.25, 2]])
    points = torch.tensor([[40.0, 20]] * 2)
    call = student.one_stage_detector.fcos_apply_deltas_to_locations
    given = give(student, deltas), give(student, points), 8
    expected = torch.tensor([[40.0, 12, 56, 20], [32, 20, 40, 36]])
    check = partial(expect_close, expected=expected, what=APPLY)
    expect_inputs_kept(student, APPLY, call, *given, check=check)
