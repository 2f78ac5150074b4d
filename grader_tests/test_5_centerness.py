"""Step 5: how central a location lies in its box."""

from functools import partial

import torch

from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_dtype,
    expect_inputs_kept,
    give,
    spread,
)
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    CheckError,
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_tensor,
)

CENTERNESS = "fcos_make_centerness_targets"
LTRB = "l,t,r,b"
PLUS_ONE = "background gets the bare formula, which gives +1"
ROWS_KEPT = "a call takes which rows were background in an earlier one; keep nothing"
FEW_ROWS = "right for a few locations, wrong for the same among thousands; set no limit"
OF_LARGE = "large distances give another answer; only their ratios count"
OF_SMALL = "small distances give another answer; only their ratios count"
EMPTY = "a level without locations is not foreseen"
MANY = 131_075  # rows: more than a table or a block of a fixed size may hold


def centerness_of(student, deltas, dtype=torch.float32):
    """Call 5.3."""
    call = student.one_stage_detector.fcos_make_centerness_targets
    return call(give(student, deltas, dtype))


def wrong_centerness(deltas, *, pairs=(0, 2, 1, 3), root=True, more=0.0):
    """Equation 3 with a known mistake."""
    first, second, third, fourth = (deltas[:, pair] for pair in pairs)
    above = torch.minimum(first, second) * torch.minimum(third, fourth)
    below = torch.maximum(first, second) * torch.maximum(third, fourth)
    ratio = above / (below + more)
    return ratio.sqrt() if root else ratio


def test_centerness_equals_the_equation(student):
    """Equation 3 of the paper for forty locations."""
    case = load_cases("step5", "centerness")["random"]
    deltas, expected = case["deltas"], case["expected"]
    causes = {
        "the square root is missing": wrong_centerness(deltas, root=False),
        "left is paired with top; left and right belong together": (
            wrong_centerness(deltas, pairs=(0, 1, 2, 3))
        ),
        "left is paired with bottom; left and right belong together": (
            wrong_centerness(deltas, pairs=(0, 3, 1, 2))
        ),
        "smallest of all four over largest of all four": (
            deltas.amin(dim=1) / deltas.amax(dim=1)
        ).sqrt(),
        "smallest of all four over largest of all four, without the root": (
            deltas.amin(dim=1) / deltas.amax(dim=1)
        ),
        "the ratio is upside down": 1 / expected,
        "the two ratios are added, not multiplied": (
            deltas[:, [0, 2]].amin(1) / deltas[:, [0, 2]].amax(1)
            + deltas[:, [1, 3]].amin(1) / deltas[:, [1, 3]].amax(1)
        ).sqrt(),
    }
    kept = {"a trailing dimension is kept": (len(deltas), 1)}
    right = expected.float()

    def check(got):
        expect_tensor(got, CENTERNESS, shape=(len(deltas),), shape_causes=kept)
        expect_close(got, right, CENTERNESS, inputs={LTRB: deltas}, causes=causes)

    # The same rows from the last to the first: numbers of the same sum.
    turned = partial(expect_close, expected=right.flip(0), what=CENTERNESS)
    expect_own_answers(
        partial(centerness_of, student), ((deltas,), check), ((deltas.flip(0),), turned)
    )


def test_centerness_of_background_is_minus_one(student):
    """-1 for each row of -1, among others and alone; not the +1 of the bare formula."""
    box, background = [1.0, 3, 4, 3], [-1.0] * 4
    kept: dict[str, torch.Tensor] = {}
    for rows in (
        [background, box, background],
        [box, background, background],
        [background],
    ):
        deltas = torch.tensor(rows)
        expected = torch.tensor([0.5 if row[0] == 1 else -1.0 for row in rows])
        is_background = expected == -1
        causes = {
            PLUS_ONE: torch.where(is_background, 1.0, expected),
            "background is 0 instead of -1": torch.where(is_background, 0.0, expected),
            "background is NaN": torch.where(is_background, torch.nan, expected),
            **kept,
        }
        got = centerness_of(student, deltas)
        trailing = {"a trailing dimension is kept": (len(rows), 1)}
        expect_tensor_shape(got, (len(rows),), trailing)
        expect_close(got, expected, CENTERNESS, inputs={LTRB: deltas}, causes=causes)
        # The bare formula gives 1 for a row that the call before had none of.
        kept = {ROWS_KEPT: torch.tensor([-1.0, 1, -1])}


def expect_tensor_shape(got, shape, causes) -> None:
    """As expect_tensor, but NaN is left to the next comparison."""
    try:
        expect_tensor(got, CENTERNESS, shape=shape, shape_causes=causes)
    except CheckError as error:
        if error.category != "NaN":
            raise


def test_centerness_is_one_in_the_middle(student):
    """And 0 on an edge, in boxes that are wider than high."""
    deltas = torch.tensor([[5.0, 2, 5, 2], [0.0, 2, 10, 2], [5.0, 4, 5, 0]])
    expected = torch.tensor([1.0, 0, 0])
    got = centerness_of(student, deltas)
    # An eps under the root moves a 0 to its root.
    expect_close(got, expected, CENTERNESS, inputs={LTRB: deltas}, atol=1e-3)


def test_centerness_of_small_boxes(student):
    """A ratio is the same for small numbers: nothing may be added to a part of it."""
    deltas = spread(12, 4, low=0.03, high=0.09)
    edge = torch.tensor([[0.01, 0.8, 0.9, 0.02], [0.7, 0.015, 0.05, 0.9]]).double()
    deltas = torch.cat((deltas, edge))  # and of locations at an edge
    with expect_as_usual(OF_SMALL, partial(expect_small_boxes, student, deltas * 100)):
        expect_small_boxes(student, deltas)


def expect_small_boxes(student, deltas) -> None:
    """Equation 3, and what an eps makes of it."""
    expected = wrong_centerness(deltas)
    # Deltas of a box of 2 px at stride 32 are this small.
    causes = {
        f"a small number ({more}) is added below the line; it moves the values": (
            wrong_centerness(deltas, more=more)
        )
        for more in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
    }
    got = centerness_of(student, deltas)
    inputs = {LTRB: deltas}
    expect_close(got, expected.float(), CENTERNESS, inputs=inputs, causes=causes)


def test_centerness_of_no_location(student):
    """No row in, no number out."""
    three = torch.ones(3, 4)
    with expect_runs(CENTERNESS, EMPTY, lambda: centerness_of(student, three)):
        got = centerness_of(student, torch.zeros(0, 4))
    expect_tensor(got, CENTERNESS, shape=(0,))
    got = centerness_of(student, torch.tensor([[1.0, 3, 4, 3]]))
    expect_close(got, torch.tensor([0.5]), f"{CENTERNESS} of one location")


def test_centerness_of_thousands_of_locations_in_float64(student):
    """131,075 rows, every third of which is background; and one in float16."""
    deltas = spread(MANY, 4, low=0.05, high=900.0)
    expected = wrong_centerness(deltas)
    deltas[::3], expected[::3] = -1.0, -1.0
    got = centerness_of(student, deltas, torch.float64)
    expect_tensor(got, CENTERNESS, shape=(MANY,))
    expect_dtype(got, torch.float64, CENTERNESS)
    # A harmless eps of 1e-8 may stay.
    check = partial(expect_close, what=f"{CENTERNESS} in float64", atol=1e-6)

    def expect_parts() -> None:
        for part, right in zip(deltas.split(999), expected.split(999), strict=True):
            check(centerness_of(student, part, torch.float64), right)

    def expect_smaller() -> None:
        smaller = deltas.where(deltas == -1, deltas / 100)
        check(centerness_of(student, smaller, torch.float64), expected)

    with (
        expect_as_usual(OF_LARGE, expect_smaller),
        expect_as_usual(FEW_ROWS, expect_parts),
    ):
        check(got, expected)
    got = centerness_of(student, torch.tensor([[1.0, 3, 4, 3]]), torch.float16)
    half = f"{CENTERNESS} in float16"
    # float16 has three digits
    expect_close(got, torch.tensor([0.5]), half, atol=1e-3, check_dtype=False)
    expect_dtype(got, torch.float16, CENTERNESS)


def test_centerness_leaves_its_input_alone(student):
    """The deltas are the same after the call."""
    deltas = torch.tensor([[-1.0] * 4, [1.0, 3, 4, 3]])
    call = student.one_stage_detector.fcos_make_centerness_targets
    check = partial(expect_close, expected=torch.tensor([-1, 0.5]), what=CENTERNESS)
    expect_inputs_kept(student, CENTERNESS, call, give(student, deltas), check=check)
