"""Step 5: deltas of locations in boxes."""

from functools import partial

import torch

from grader_tests.references import load_strides
from grader_tests.tools import (
    expect_dtype,
    expect_faster,
    expect_inputs_kept,
    give,
    seconds_of_loop,
    spread,
    spread_boxes,
)
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_tensor,
)
from helpers.checks.inputs import wrong_signs

GET = "fcos_get_deltas_from_locations"
LTRB = "l,t,r,b"
NOT_DIVIDED = "not divided by the stride"
NEGATED = "left and top are negated: x - x1, not x1 - x"
SOME_COLUMNS = "background is told by some of the numbers; only a whole row of -1 is"
FIFTH_COLUMN = "rows of 4 and of 5 numbers must both work"
BELOW_ZERO = "numbers below 0 are taken for background; only a whole row of -1 is"
ROWS_KEPT = "a call takes which rows were background in an earlier one; keep nothing"
MOVED = "boxes beyond the left or upper edge of the image get other deltas than others"
OUTSIDE = "a location outside of its box is taken for background"
EVEN_STRIDE = "an odd stride is taken for an even one"
EMPTY = "a level without locations is not foreseen"
MANY = 131_075  # rows: more than a table or a block of a fixed size may hold


def get_deltas(student, points, boxes, stride, dtype=torch.float32):
    """Call 5.1."""
    call = student.one_stage_detector.fcos_get_deltas_from_locations
    return call(give(student, points, dtype), give(student, boxes, dtype), stride)


def test_get_deltas_of_locations_in_boxes(student):
    """Left, top, right, bottom in strides, for several strides."""
    signs = torch.tensor([-1.0, -1, 1, 1])
    for stride, case in load_strides("step5", "deltas").items():
        expected, points, boxes = case["expected"], case["points"], case["boxes"]
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        causes = {
            NOT_DIVIDED: expected * stride,
            "multiplied by the stride, not divided": expected * stride**2,
            NEGATED: expected * signs,
            "all four signs are wrong": -expected,
            **wrong_signs(expected),
            "x and y are swapped": expected[:, [1, 0, 3, 2]],
            "the order is left, right, top, bottom": expected[:, [0, 2, 1, 3]],
            "right and bottom come before left and top": expected[:, [2, 3, 0, 1]],
            "distances to the middle of the box": torch.cat(
                (points - centres, centres - points), dim=1
            )
            / stride,
            "divided by 8 on every level": expected * stride / 8,
        }
        inputs = {"location": points, "box": boxes}
        check = partial(
            expect_close, expected=expected.float(), what=GET, inputs=inputs, names=LTRB
        )
        # The same rows from the last to the first: numbers of the same sum.
        turned = partial(expect_close, expected=expected.float().flip(0), what=GET)
        expect_own_answers(
            partial(get_deltas, student),
            ((points, boxes, stride), partial(check, causes=causes)),
            ((points.flip(0), boxes.flip(0), stride), turned),
        )


def usual_deltas(student, columns):
    """A box of 4 or 5 numbers, and background, at two locations: a usual call."""
    rows = torch.tensor([[0.0, 0, 16, 8, 0], [-1.0] * 5])[:, :columns]
    get_deltas(student, torch.tensor([[4.0, 4], [28, 4]]), rows, 8)


def test_get_deltas_reads_rows_of_five(student):
    """With a class behind the box the deltas are the same."""
    for stride, case in load_strides("step5", "deltas").items():
        classes = torch.arange(len(case["boxes"]))[:, None] % 3
        rows = torch.cat((case["boxes"], classes.double()), dim=1)
        with expect_runs(GET, FIFTH_COLUMN, lambda: usual_deltas(student, 4)):
            got = get_deltas(student, case["points"], rows, stride)
        shape = tuple(case["expected"].shape)
        expect_tensor(got, GET, shape=shape, shape_causes={FIFTH_COLUMN: (shape[0], 5)})
        inputs = {"location": case["points"], "row": rows}
        expect_close(got, case["expected"].float(), GET, inputs=inputs, names=LTRB)


def test_get_deltas_of_background_is_minus_one(student):
    """A row of -1 is no box, whether it has 4 or 5 numbers."""
    rows = torch.tensor([[-1.0] * 5, [0.0, 0, 16, 8, 0], [-1.0] * 5])
    points = torch.tensor([[20.0, 12.0], [4.0, 4.0], [28.0, 4.0]])
    expected = torch.tensor([[-1.0] * 4, [0.5, 0.5, 1.5, 0.5], [-1.0] * 4])
    bare = torch.cat((points - rows[:, :2], rows[:, 2:4] - points), dim=1) / 8
    divided = torch.where(expected == -1, -1 / 8, expected)
    causes = {
        "background rows are treated as boxes": bare,
        "background is divided by the stride": divided,
        "background is 0 instead of -1": expected.clamp(min=0),
    }
    for columns in (5, 4):
        with expect_runs(
            GET,
            FIFTH_COLUMN,
            lambda columns=columns: usual_deltas(student, 9 - columns),
        ):
            got = get_deltas(student, points, rows[:, :columns], 8)
        inputs = {"location": points, "row": rows[:, :columns]}
        expect_close(got, expected, GET, inputs=inputs, names=LTRB, causes=causes)
        got = get_deltas(student, points.roll(1, 0), rows[:, :columns].roll(1, 0), 8)
        what = f"{GET} of the same rows in turn"
        kept = torch.where(rows[:, 4:] == -1, -1.0, bare.roll(1, 0))
        causes |= {cause: wrong.roll(1, 0) for cause, wrong in causes.items()}
        expect_close(got, expected.roll(1, 0), what, causes={ROWS_KEPT: kept, **causes})


def test_get_deltas_of_boxes_with_some_minus_ones(student):
    """Boxes beyond the border may hold a -1; only a whole row of -1 is background."""
    rows = torch.tensor(
        [
            [-1.0, 2, 23, 11, 2],
            [4.0, -1, 20, 9, 0],
            [-1.0, -1, 22, 13, 1],
            [-9.0, -7, -1, 12, 3],
            [-12.0, -11, 6, -1, 3],
            [-30.0, -25, -10, -5, 2],
        ]
    )
    points = torch.tensor([[7.0, 3], [9, 4], [5, 4], [-3, 2], [2, -4], [-14, -9]])
    further = torch.tensor([64.0, 64, 64, 64, 0])
    moved = partial(expect_some_boxes, student, points + 64, rows + further)
    with expect_as_usual(MOVED, moved):
        expect_some_boxes(student, points, rows)


def expect_some_boxes(student, points, rows) -> None:
    """The deltas of six boxes, without and with a class; the last lies beyond."""
    expected = torch.cat((points - rows[:, :2], rows[:, 2:4] - points), dim=1) / 4
    for columns in (5, 4):
        usual = partial(usual_deltas, student, 9 - columns)
        with expect_runs(GET, FIFTH_COLUMN, usual):
            got = get_deltas(student, points, rows[:, :columns], 4)
        expect_tensor(got, GET, shape=(6, 4))
        # Which of them was taken for background tells the mistake.
        is_lost = (got.cpu() == -1).all(dim=1, keepdim=True)
        beyond = torch.arange(6)[:, None] == 5
        causes = {
            BELOW_ZERO: torch.where(beyond, -1.0, expected),
            SOME_COLUMNS: torch.where(is_lost, -1.0, expected),
        }
        inputs = {"location": points, "row": rows}
        expect_close(got, expected, GET, inputs=inputs, names=LTRB, causes=causes)


def test_get_deltas_are_negative_outside(student):
    """Beyond an edge the distance to it is negative; inside all four are positive."""
    boxes = torch.tensor([[10.0, 20, 30, 60]] * 3)
    points = torch.tensor([[14.0, 28], [6, 68], [34, 16]])
    expected = torch.tensor([[1.0, 2, 4, 8], [-1, 12, 6, -2], [6, -1, -1, 11]])
    got = get_deltas(student, points, boxes, 4)
    causes = {
        NEGATED: expected * torch.tensor([-1.0, -1, 1, 1]),
        **wrong_signs(expected),
        "absolute values hide on which side of the edge a location lies": (
            expected.abs()
        ),
        OUTSIDE: torch.where((expected < 0).any(dim=1, keepdim=True), -1.0, expected),
        "negative distances are set to 0": expected.clamp(min=0),
    }
    inputs = {"location": points, "box": boxes}
    expect_close(got, expected, GET, inputs=inputs, names=LTRB, causes=causes)


def test_get_deltas_of_no_and_of_one_location(student):
    """No row in, no row out; one row in, one row out."""
    for columns in (4, 5):
        with expect_runs(
            GET, EMPTY, lambda columns=columns: usual_deltas(student, columns)
        ):
            got = get_deltas(student, torch.zeros(0, 2), torch.zeros(0, columns), 8)
        expect_tensor(got, GET, shape=(0, 4))
        box = torch.tensor([[10.0, 0, 30, 16, 3]])[:, :columns]
        got = get_deltas(student, torch.tensor([[12.0, 4]]), box, 8)
        expect_close(got, torch.tensor([[0.25, 0.5, 2.25, 1.5]]), GET, names=LTRB)


def test_get_deltas_follow_float64(student):
    """Many boxes, large ones too, where float32 has no digits left; and float16."""
    boxes = spread_boxes(MANY, 60_000, 40_000) - 10_000
    points = 40_000 * spread(MANY, 2)
    expected = torch.cat((points - boxes[:, :2], boxes[:, 2:] - points), dim=1) / 5
    got = get_deltas(student, points + 1e6, boxes + 1e6, 5, torch.float64)
    value = expect_tensor(got, GET, shape=(MANY, 4))
    expect_dtype(got, torch.float64, GET)
    is_beyond = (expected < 0).any(dim=1, keepdim=True)
    is_lost = is_beyond & (value == -1).all(dim=1, keepdim=True)
    causes = {
        EVEN_STRIDE: expected * 5 / 4,
        f"{EVEN_STRIDE}, the next one": expected * 5 / 6,
        OUTSIDE: torch.where(is_lost, -1.0, expected),
    }
    # Inside of a box no distance is negative: what is cut off ends at one number.
    inside = ~is_beyond[:, 0]
    for rows in (inside, torch.ones_like(inside)):
        wrong = {cause: given[rows] for cause, given in causes.items()}
        what = f"{GET} in float64"
        expect_close(
            value[rows], expected[rows], what, names=LTRB, causes=wrong, atol=1e-7
        )
    points, boxes = torch.tensor([[12.0, 4]]), torch.tensor([[10.0, 0, 30, 16]])
    got = get_deltas(student, points, boxes, 8, torch.float16)
    expected = torch.tensor([[0.25, 0.5, 2.25, 1.5]])
    expect_close(got, expected, f"{GET} in float16", names=LTRB, check_dtype=False)
    expect_dtype(got, torch.float16, GET)


def test_get_deltas_of_thousands_of_locations(student):
    """12,000 locations take less time than a loop over plain numbers."""
    boxes = spread_boxes(12000, 600, 400)
    points = boxes[:, :2] + spread(12000, 2) * (boxes[:, 2:] - boxes[:, :2])
    expected = torch.cat((points - boxes[:, :2], boxes[:, 2:] - points), dim=1) / 8
    given = give(student, points), give(student, boxes), 8
    call = student.one_stage_detector.fcos_get_deltas_from_locations
    rows = list(zip(points.tolist(), boxes.tolist(), strict=True))

    def loop():
        for (x, y), (x1, y1, x2, y2) in rows:
            torch.tensor([(x - x1) / 8, (y - y1) / 8, (x2 - x) / 8, (y2 - y) / 8])

    cause = "a Python loop over locations; subtract all at once"
    check = partial(
        expect_close, expected=expected.float(), what=GET, names=LTRB, atol=1e-4
    )
    expect_faster(
        lambda: call(*given),
        check,
        seconds_of_loop(loop, 1.0),
        GET,
        cause,
        few=lambda: call(*(value[:4] for value in given[:2]), 8),
    )


def test_get_deltas_leaves_its_inputs_alone(student):
    """Locations and boxes are the same after the call."""
    rows = torch.tensor([[-1.0] * 5, [1.0, 2, 30, 20, 3]])
    points = torch.tensor([[4.0, 4], [12, 4]])
    call = student.one_stage_detector.fcos_get_deltas_from_locations
    expected = torch.tensor([[-1.0] * 4, [1.375, 0.25, 2.25, 2]])
    check = partial(expect_close, expected=expected, what=GET, names=LTRB)
    given = give(student, points), give(student, rows), 8
    expect_inputs_kept(student, GET, call, *given, check=check)
