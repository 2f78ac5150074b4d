"""Step 1: intersection over union."""

from functools import partial

import torch
from torchvision import ops

from grader_tests.oracles import slow
from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_dtype,
    expect_faster,
    expect_inputs_kept,
    give,
    seconds_of_loop,
    spread_boxes,
)
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_tensor,
)

PAIR = ("boxes1", "boxes2")
MANY = 100  # boxes that are right; then it is the length of the list that matters
PIXEL_MORE = "adds 1 to widths and heights; box edges are continuous here"
NOT_CLAMPED = "the width and height of an overlap that does not exist must be 0"
PAIRED = "boxes are compared row by row, not each with each"
WITHOUT_AREA = "0 is divided by 0 where two boxes have no area"
BELOW_ONE = "a union below 1 is taken for 1"
LOOP = "a Python loop over boxes; compare all pairs at once"
CUT_TO_WHOLE = "areas are cut to whole numbers; keep their fractions"
LAST_LOST = "the last boxes of a long list are left out: IoU 0 with all others"
LARGE = "large boxes get other numbers than small ones of the same proportions"
TINY = "tiny boxes get other numbers than large ones of the same proportions"
SIGN_LOST = "coordinates below 0 lose their sign; boxes may reach beyond the image"
CUT_AT_ZERO = "boxes are cut off at 0; they may reach beyond the image"
AREAS_KEPT = "the areas of the second list are those of an earlier call"


def wrong_iou(
    boxes1: torch.Tensor,
    boxes2: torch.Tensor,
    *,
    more: float = 0.0,
    is_clamped: bool = True,
    below: str = "union",
    has_sizes: bool = False,
    is_whole: bool = False,
) -> torch.Tensor:
    """IoU with a known mistake: one of the arguments is not its default."""
    if has_sizes:  # XYWH is read where XYXY stands
        boxes1 = torch.cat((boxes1[:, :2], boxes1[:, :2] + boxes1[:, 2:]), dim=1)
        boxes2 = torch.cat((boxes2[:, :2], boxes2[:, :2] + boxes2[:, 2:]), dim=1)
    area1 = (boxes1[:, 2:] - boxes1[:, :2] + more).prod(dim=1)[:, None]
    area2 = (boxes2[:, 2:] - boxes2[:, :2] + more).prod(dim=1)[None]
    area1, area2 = (area1.floor(), area2.floor()) if is_whole else (area1, area2)
    sides = torch.minimum(boxes1[:, None, 2:], boxes2[None, :, 2:]) + more
    sides = sides - torch.maximum(boxes1[:, None, :2], boxes2[None, :, :2])
    shared = (sides.clamp(min=0) if is_clamped else sides).prod(dim=2)
    bottom = {
        "union": area1 + area2 - shared,
        "sum": area1 + area2,
        "smaller": torch.minimum(area1, area2),
        "larger": torch.maximum(area1, area2),
        "first": area1.expand_as(shared),
    }
    return shared / bottom[below]


def check_table(boxes1, boxes2, **close):
    """A check of the answer for these boxes, by the definition."""
    expected = slow.iou_table(boxes1, boxes2).float()
    return partial(expect_close, expected=expected, what="iou", **close)


def expect_right(student) -> None:
    """The stored table of one box and six others: more than a shape or a dtype."""
    case = load_cases("step1", "iou")["one"]
    boxes1, boxes2 = case["boxes1"], case["boxes2"]
    got = student.common.iou(give(student, boxes1), give(student, boxes2))
    inputs = {"box": boxes1}
    expect_close(got, case["expected"].float(), "iou of one box", inputs=inputs)


def test_iou_of_all_pairs(student):
    """Each box of the first list meets each box of the second."""
    for case in load_cases("step1", "iou").values():
        boxes1, boxes2 = case["boxes1"], case["boxes2"]
        causes = {
            PIXEL_MORE: wrong_iou(boxes1, boxes2, more=1.0),
            NOT_CLAMPED: wrong_iou(boxes1, boxes2, is_clamped=False),
            "divided by both areas together; the overlap counts twice there": (
                wrong_iou(boxes1, boxes2, below="sum")
            ),
            "divided by the smaller area": wrong_iou(boxes1, boxes2, below="smaller"),
            "divided by the larger area": wrong_iou(boxes1, boxes2, below="larger"),
            "divided by the first area": wrong_iou(boxes1, boxes2, below="first"),
            "the third and fourth number are read as width and height": (
                wrong_iou(boxes1, boxes2, has_sizes=True)
            ),
            CUT_TO_WHOLE: wrong_iou(boxes1, boxes2, is_whole=True),
        }
        got = student.common.iou(give(student, boxes1), give(student, boxes2))
        shape = (len(boxes1), len(boxes2))
        turned = {"rows and columns are swapped": shape[::-1], PAIRED: shape[:1]}
        expect_tensor(got, "iou", shape=shape, shape_causes=turned)
        inputs = {"box": boxes1}
        expect_close(got, case["expected"].float(), "iou", inputs=inputs, causes=causes)


def test_iou_of_boxes_that_lie_apart_is_zero(student):
    """Two gaps, to the side and below, do not make an overlap."""
    boxes1 = torch.tensor([[0.0, 0, 4, 3]])
    boxes2 = torch.tensor([[9.0, 8, 15, 20], [9.0, 1, 15, 2], [1.0, 8, 3, 9]])
    for first, second in ((boxes1, boxes2), (boxes1 + 30, boxes2)):
        got = student.common.iou(give(student, first), give(student, second))
        causes = {NOT_CLAMPED: wrong_iou(first, second, is_clamped=False)}
        expect_close(got, torch.zeros(1, 3), "iou of boxes apart", causes=causes)
    expect_right(student)


def test_iou_of_boxes_that_touch_is_zero(student):
    """A common edge or corner has no area."""
    boxes1 = torch.tensor([[2.0, 3, 8, 7]])
    boxes2 = torch.tensor([[8.0, 3, 9, 7], [2.0, 7, 8, 12], [0.0, 1, 2, 3]])
    got = student.common.iou(give(student, boxes1), give(student, boxes2))
    causes = {PIXEL_MORE: wrong_iou(boxes1, boxes2, more=1.0)}
    expect_close(got, torch.zeros(1, 3), "iou of boxes that touch", causes=causes)
    expect_right(student)


def test_iou_of_a_box_within_another_is_the_ratio_of_areas(student):
    """The overlap is the inner box, the union the outer one; in either order."""
    inner, outer = torch.tensor([[3.0, 2, 5, 7]]), torch.tensor([[1.0, 1, 9, 11]])
    for first, second in ((inner, outer), (outer, inner)):
        got = student.common.iou(give(student, first), give(student, second))
        causes = {
            PIXEL_MORE: wrong_iou(first, second, more=1.0),
            "divided by the first area": wrong_iou(first, second, below="first"),
        }
        if first is outer:  # the call before had it as second, too
            causes[AREAS_KEPT] = torch.tensor([[10 / (80 + 80 - 10)]])
        expected = torch.tensor([[10 / 80]])
        expect_close(got, expected, "iou of nested boxes", causes=causes)


def test_iou_without_boxes(student):
    """No box on one side gives a table without rows or without columns."""
    one = give(student, torch.tensor([[0.0, 0, 8, 3]]))
    for rows, columns in ((0, 3), (2, 0), (0, 0)):
        with expect_runs(
            "iou without boxes",
            "a list without boxes is not foreseen",
            lambda: student.common.iou(one, one),
        ):
            got = student.common.iou(
                give(student, torch.zeros(rows, 4)),
                give(student, torch.zeros(columns, 4)),
            )
        expect_tensor(got, "iou without boxes", shape=(rows, columns))
    expect_right(student)


def test_iou_of_boxes_without_area_is_zero(student):
    """A line and a point overlap nothing, themselves included."""
    boxes = torch.tensor([[2.0, 3, 2, 9], [5.0, 5, 5, 5], [0.0, 0, 6, 10]])
    got = student.common.iou(give(student, boxes), give(student, boxes))
    expected = torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 0, 1]])
    causes = {WITHOUT_AREA: wrong_iou(boxes, boxes)}
    expect_close(got, expected, "iou of boxes without area", causes=causes)


def test_iou_of_boxes_smaller_than_a_pixel(student):
    """Lengths of any size, anywhere: shares of the image, large maps, left of x = 0."""
    boxes1 = torch.tensor([[0.0, 0.125, 0.5, 0.375], [0.25, 0.25, 0.375, 0.75]])
    boxes2 = torch.tensor([[0.25, 0.125, 0.75, 0.375], [0.25, 0.25, 0.375, 0.75]])
    got = student.common.iou(give(student, boxes1), give(student, boxes2))
    expected = torch.tensor([[1 / 3, 1 / 11], [1 / 11, 1.0]])
    areas = torch.tensor([[1 / 16, 1 / 64], [1 / 64, 1 / 16]])
    causes = {
        PIXEL_MORE: wrong_iou(boxes1, boxes2, more=1.0),
        BELOW_ONE: areas,
        f"{BELOW_ONE}, or gives 0": torch.zeros(2, 2),
    }
    what, inputs = "iou of small boxes", {"box": boxes1}
    expect_close(got, expected, what, inputs=inputs, causes=causes)
    case = load_cases("step1", "iou")["random"]
    # Neither another unit nor another place changes how much two boxes agree; powers
    # of two change no digit. A tiny number below the line may stay.

    def check(unit: float, moved: float = 0.0) -> None:
        pair = [(case[name] + moved) * unit for name in PAIR]
        causes = {
            SIGN_LOST: wrong_iou(*(boxes.abs() for boxes in pair)),
            CUT_AT_ZERO: wrong_iou(
                *(boxes.clamp(min=0) for boxes in pair)
            ).nan_to_num(),
        }
        table = student.common.iou(*(give(student, boxes) for boxes in pair))
        right, what = case["expected"].float(), "iou of boxes anywhere"
        expect_close(table, right, what, causes=causes, atol=1e-3)

    with expect_as_usual(LARGE, partial(check, 1)):
        check(2**14)
    with expect_as_usual(TINY, partial(check, 1)):
        check(2**-10)
    check(1, moved=-20)  # some lie across 0
    check(1, moved=-40)


def test_iou_follows_float64(student):
    """The dtype is that of the boxes; far from the origin float32 has no digits."""
    case = load_cases("step1", "iou")["random"]
    half = torch.float16
    got = student.common.iou(*(give(student, case[name], half) for name in PAIR))
    expect_dtype(got, half, "iou in float16")
    # float16 has three digits, of which a difference of areas loses one.
    expected = case["expected"].to(half)
    expect_close(got, expected, "iou in float16", atol=0.01, rtol=0.01)
    boxes1 = spread_boxes(4, 30, 20) + 1e6
    boxes2 = spread_boxes(3, 30, 20, start=50) + 1e6
    got = student.common.iou(
        give(student, boxes1, torch.float64), give(student, boxes2, torch.float64)
    )
    expect_tensor(got, "iou in float64", shape=(4, 3))
    expect_dtype(got, torch.float64, "iou in float64")
    # float64 has about 1e-9 px there; a tiny number below the line may stay.
    expected = slow.iou_table(boxes1, boxes2)
    rough = ops.box_iou(boxes1.float(), boxes2.float())
    causes = {"computed in float32 and turned into float64 afterwards": rough}
    expect_close(got, expected, "iou in float64", causes=causes, atol=1e-6)


def test_iou_of_thousands_of_boxes(student):
    """5,000 boxes and 40 others, in either order, and one box alone."""
    many, few = spread_boxes(5000, 333, 211), spread_boxes(40, 333, 211, start=9)
    for boxes1, boxes2 in ((many, few), (few, many), (many[:1], few)):
        got = student.common.iou(give(student, boxes1), give(student, boxes2))
        expected = ops.box_iou(boxes1, boxes2).float()
        what, inputs = "iou of 5,000 boxes", {"box": boxes1}
        causes = {LAST_LOST: partial(without_last, got, expected)}
        expect_close(got, expected, what, inputs=inputs, causes=causes)


def without_last(got: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """The right table, with 0 from the first box of the long list that is wrong."""
    table = expected.clone()
    wrong = ~torch.isclose(got.detach().cpu(), expected, atol=1e-5)
    side = int(len(expected) < expected.shape[1])  # that of the long list
    right = wrong.any(dim=1 - side).logical_not().cumprod(dim=0).sum()
    table.narrow(side, int(right), expected.shape[side] - int(right)).zero_()
    return table if right >= MANY else torch.full_like(table, torch.inf)


def test_iou_needs_no_python_loop(student):
    """40,000 pairs take less time than a loop over plain numbers, and are right."""
    boxes = give(student, spread_boxes(200, 333, 211))
    rows = boxes.tolist()
    loop = seconds_of_loop(
        lambda: [slow.iou(a, b) for a in rows[:50] for b in rows], share=0.25
    )
    check = partial(expect_close, expected=ops.box_iou(boxes, boxes), what="iou")
    iou = student.common.iou
    expect_faster(
        partial(iou, boxes, boxes),
        check,
        loop,
        "iou",
        LOOP,
        few=partial(iou, boxes[:4], boxes[:4]),
    )


def test_iou_leaves_its_inputs_alone(student):
    """The boxes are the same after the call."""
    boxes1 = give(student, spread_boxes(5, 40, 30))
    boxes2 = give(student, spread_boxes(3, 40, 30, start=70))
    check = check_table(boxes1, boxes2)
    expect_inputs_kept(student, "iou", student.common.iou, boxes1, boxes2, check=check)


def test_iou_of_other_boxes_is_another_table(student):
    """As many boxes as in the call before, with the same sum, in another order."""
    case = load_cases("step1", "iou")["random"]
    boxes1, boxes2 = case["boxes1"], case["boxes2"]
    expect_own_answers(
        student.common.iou,
        *(
            ((give(student, first), give(student, second)), check_table(first, second))
            for first, second in (
                (boxes1, boxes2),
                (boxes1.flip(0), boxes2.roll(2, dims=0)),
                (boxes1[:5], boxes1[:5]),
                (boxes1[:5], boxes2),
            )
        ),
    )
