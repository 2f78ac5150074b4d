"""Step 4: matching, from distances to the true box of each location."""

import math

import torch

from grader_tests.oracles import slow
from grader_tests.oracles.step4 import RANGES, STRIDES, locations
from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_dtype,
    expect_faster,
    expect_inputs_kept,
    expect_keys,
    give,
    seconds_of_loop,
    spread,
    spread_boxes,
)
from helpers.checks.expect import (
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
)

DISTANCES, CANDIDATE = "fcos_distances_to_edges", "fcos_is_candidate"
PICK, MATCH = "fcos_pick_smallest_box", "fcos_match_locations_to_gt"
LTRB = "l,t,r,b"
ROW = "x1,y1,x2,y2,class"
NEGATED = "left and top are negated: x - x1, not x1 - x"
ON_EDGE = "a location on the edge of a box counts as inside"
NOT_INSIDE = "locations outside of the box are let in"
LOW_LET_IN = "a distance equal to the low end of the range is let in"
HIGH_LEFT_OUT = "a distance equal to the high end of the range is left out"
NO_RANGE = "the size range of the level is ignored"
SMALLEST_SIDE = "the range is for the largest of the four distances"
LAST_OF_EQUAL = "of boxes with the same area the first wins, not the last"
LARGEST_BOX = "the largest box is taken, not the smallest"
CLOSE_AREAS = "areas that are close count as equal; compare them as they are"
NOT_A_CANDIDATE = "a box is taken that is no candidate"
NO_BACKGROUND = "a location without a candidate gets a box"
PADDING = "padding rows take part in the matching, or shift the others"
NO_BOXES = "an image without boxes is not foreseen"
EXACT_BORDER = "a distance of exactly 64 or 128 belongs to no level, or to two"
LOOP = "a Python loop over locations or boxes; compare all pairs at once"
BACKGROUND_ROW = [-1.0] * 5


# 4.2


def distances(student, points, boxes, dtype=torch.float32):
    """Call 4.2."""
    call = student.one_stage_detector.fcos_distances_to_edges
    return call(give(student, points, dtype), give(student, boxes, dtype))


def test_distances_of_all_pairs(student):
    """Left, top, right, bottom of each location to each box."""
    case = load_cases("step4", "distances")["random"]
    points, boxes, expected = case["points"], case["boxes"], case["expected"]
    causes = {
        NEGATED: expected * torch.tensor([-1.0, -1, 1, 1]),
        "right and bottom are negated: x2 - x, not x - x2": (
            expected * torch.tensor([1.0, 1, -1, -1])
        ),
        "x and y are swapped": expected[..., [1, 0, 3, 2]],
        "the order is left, right, top, bottom": expected[..., [0, 2, 1, 3]],
        "a negative distance tells that the location lies outside; keep it": (
            expected.clamp(min=0)
        ),
        "absolute values hide on which side of the edge a location lies": (
            expected.abs()
        ),
        "x is compared with the y of the box": torch.cat(
            (
                points[:, None] - boxes[None, :, [1, 0]],
                boxes[None, :, [3, 2]] - points[:, None],
            ),
            dim=2,
        ),
    }
    got = distances(student, points, boxes)
    number, count = len(points), len(boxes)
    wrong = {
        "boxes come before locations": (count, number, 4),
        "locations and boxes are compared row by row": (number, 4),
        "the four distances come first": (4, number, count),
    }
    shape = (number, count, 4)
    expect_tensor(got, DISTANCES, shape=shape, shape_causes=wrong)
    inputs = {"location": points}
    expect_close(
        got, expected.float(), DISTANCES, inputs=inputs, names=LTRB, causes=causes
    )


def test_distances_without_boxes_or_locations(student):
    """(N, 0, 4) and (0, M, 4)."""
    for number, count in ((3, 0), (0, 2), (1, 1)):
        with expect_runs(DISTANCES, NO_BOXES):
            got = distances(student, torch.zeros(number, 2), torch.zeros(count, 4))
        expect_tensor(got, DISTANCES, shape=(number, count, 4))


def test_distances_follow_float64(student):
    """2,000 locations far from the origin, where float32 has no digits."""
    points, boxes = spread(2000, 2, high=90.0) + 1e6, spread_boxes(30, 90, 60) + 1e6
    got = distances(student, points, boxes, torch.float64)
    expected = torch.cat(
        (points[:, None] - boxes[None, :, :2], boxes[None, :, 2:] - points[:, None]),
        dim=2,
    )
    expect_tensor(got, DISTANCES, shape=(2000, 30, 4))
    expect_dtype(got, torch.float64, DISTANCES)
    expect_close(got, expected, f"{DISTANCES} in float64", atol=1e-7)


def test_distances_leaves_its_inputs_alone(student):
    """Locations and boxes are the same after the call."""
    call = student.one_stage_detector.fcos_distances_to_edges
    points, boxes = give(student, spread(5, 2)), give(student, spread_boxes(3, 40, 30))
    expect_inputs_kept(student, DISTANCES, call, points, boxes)


# 4.3


def candidates(student, ltrb, size_range):
    """Call 4.3; the answer as whole numbers, so that it can be shown."""
    call = student.one_stage_detector.fcos_is_candidate
    got = call(give(student, ltrb), size_range)
    wrong = {"the four distances must become one answer": tuple(ltrb.shape)}
    shape = tuple(ltrb.shape[:2])
    got = expect_tensor(got, CANDIDATE, shape=shape, shape_causes=wrong)
    expect_equal(str(got.dtype), "torch.bool", f"{CANDIDATE}: dtype")
    return got.int()


def wrong_candidates(ltrb, size_range):
    """Known mistakes of 4.3 -> their answers."""
    low, high = size_range
    smallest, largest = ltrb.amin(dim=2), ltrb.amax(dim=2)
    is_inside, is_of_level = smallest > 0, (largest > low) & (largest <= high)
    wrong = {
        ON_EDGE: (smallest >= 0) & is_of_level,
        NOT_INSIDE: is_of_level,
        NO_RANGE: is_inside,
        LOW_LET_IN: is_inside & (largest >= low) & (largest <= high),
        HIGH_LEFT_OUT: is_inside & (largest > low) & (largest < high),
        "both ends of the range are wrong: low is left out, high belongs to it": (
            is_inside & (largest >= low) & (largest < high)
        ),
        SMALLEST_SIDE: is_inside & (smallest > low) & (smallest <= high),
        "one distance above 0 is not enough; all four must be": (
            (largest > 0) & is_of_level
        ),
        "the answer is upside down": ~(is_inside & is_of_level),
    }
    return {cause: value.int() for cause, value in wrong.items()}


def test_is_candidate_equals_a_loop(student):
    """Inside and of the level's range, for all three ranges."""
    case = load_cases("step4", "candidates")["random"]
    for level, size_range in RANGES.items():
        got = candidates(student, case["ltrb"], size_range)
        wrong = wrong_candidates(case["ltrb"], size_range)
        expect_close(got, case[level].int(), f"{CANDIDATE} on {level}", causes=wrong)


def test_is_candidate_leaves_out_the_edge(student):
    """A distance of 0 is not inside, whichever of the four it is."""
    ltrb = torch.full((1, 5, 4), 20.0)
    for side in range(4):
        ltrb[0, side, side] = 0
    got = candidates(student, ltrb, (0.0, 64.0))
    expected = torch.tensor([[0, 0, 0, 0, 1]], dtype=torch.int32)
    wrong = wrong_candidates(ltrb, (0.0, 64.0))
    expect_close(got, expected, f"{CANDIDATE} on an edge", causes=wrong)


def test_is_candidate_at_the_ends_of_the_range(student):
    """Low does not belong to the range, high does; whichever side is the largest."""
    for side in range(4):
        ltrb = torch.full((1, 4, 4), 3.0)
        ltrb[0, :, side] = torch.tensor([16.0, 16.5, 32.0, 32.5])
        got = candidates(student, ltrb, (16.0, 32.0))
        expected = torch.tensor([[0, 1, 1, 0]], dtype=torch.int32)
        wrong = wrong_candidates(ltrb, (16.0, 32.0))
        what = f"{CANDIDATE} at the ends of (16, 32)"
        expect_close(got, expected, what, inputs={LTRB: ltrb}, causes=wrong)


def test_is_candidate_without_boxes(student):
    """(N, 0) when there is no box, and no end for the coarsest level."""
    with expect_runs(CANDIDATE, NO_BOXES):
        got = candidates(student, torch.zeros(3, 0, 4), (128.0, math.inf))
    expect_equal(tuple(got.shape), (3, 0), f"{CANDIDATE} without boxes")


# 4.4


def pick(student, is_candidate, areas, dtype=torch.float32):
    """Call 4.4."""
    call = student.one_stage_detector.fcos_pick_smallest_box
    got = call(is_candidate.to(student.device), give(student, areas, dtype))
    wrong = {
        "one answer for each box instead of each location": (len(areas),),
        "a trailing dimension is kept": (len(is_candidate), 1),
    }
    got = expect_tensor(got, PICK, shape=(len(is_candidate),), shape_causes=wrong)
    expect_equal(str(got.dtype), "torch.int64", f"{PICK}: dtype")
    return got


def wrong_picks(is_candidate, areas):
    """Known mistakes of 4.4 -> their answers."""
    has_any = is_candidate.any(dim=1)
    cost = torch.where(is_candidate, areas.double(), math.inf)
    first = cost.argmin(dim=1)
    last = len(areas) - 1 - cost.flip(1).argmin(dim=1)
    largest = torch.where(is_candidate, areas.double(), -math.inf).argmax(dim=1)
    close = torch.where(is_candidate, 1e8 - areas.float(), -1.0).argmax(dim=1)
    return {
        NO_BACKGROUND: first,
        LAST_OF_EQUAL: torch.where(has_any, last, -1),
        LARGEST_BOX: torch.where(has_any, largest, -1),
        NOT_A_CANDIDATE: torch.where(has_any, areas.argmin(), -1),
        CLOSE_AREAS: torch.where(has_any, close, -1),
        "the first candidate is taken, whatever its area": torch.where(
            has_any, is_candidate.int().argmax(dim=1), -1
        ),
    }


def expect_pick(student, is_candidate, areas, expected, dtype=torch.float32) -> None:
    """Compare one table of candidates."""
    got = pick(student, is_candidate, areas, dtype)
    causes = wrong_picks(is_candidate, areas)
    inputs = {"candidates": is_candidate}
    expect_close(got, expected, PICK, inputs=inputs, place="location", causes=causes)


def test_pick_smallest_box_equals_a_loop(student):
    """The candidate with the smallest area, for forty locations."""
    case = load_cases("step4", "pick")["random"]
    expect_pick(student, case["is_candidate"], case["areas"], case["expected"])


def test_pick_smallest_box_of_no_candidate_is_background(student):
    """-1 where no box is a candidate, also when that is so everywhere."""
    is_candidate = torch.tensor([[False, False], [True, False], [False, True]])
    areas = torch.tensor([300.0, 20])
    expect_pick(student, is_candidate, areas, torch.tensor([-1, 0, 1]))
    expect_pick(student, is_candidate[:1], areas, torch.tensor([-1]))
    expect_pick(student, is_candidate[:, :1], areas[:1], torch.tensor([-1, 0, -1]))


def test_pick_smallest_box_of_equal_areas_is_the_first(student):
    """Ties go to the lowest index among the candidates."""
    areas = torch.tensor([50.0, 40, 40, 90, 40])
    is_candidate = torch.tensor(
        [[True] * 5, [True, False, True, True, True], [True, False, False, True, False]]
    )
    expect_pick(student, is_candidate, areas, torch.tensor([1, 2, 0]))


def test_pick_smallest_box_of_close_areas(student):
    """Areas that differ by one square pixel differ; 1e8 - area loses that."""
    areas = torch.tensor([5001.0, 5000, 5002])
    is_candidate = torch.tensor([[True, True, True], [True, False, True]])
    expect_pick(student, is_candidate, areas, torch.tensor([1, 0]))


def test_pick_smallest_box_of_huge_areas(student):
    """Photographs of 20,000 x 15,000 pixels have boxes above 1e8 square pixels."""
    areas = torch.tensor([2.9e8, 2.5e8, 2.7e8])
    is_candidate = torch.tensor([[True, True, True], [True, False, False]])
    got = pick(student, is_candidate, areas)
    causes = {"an area above a number such as 1e8 is lost": got}
    expect_close(got, torch.tensor([1, 0]), f"{PICK} of huge areas", causes=causes)


# 4.5


def match(student, points, rows, strides=STRIDES, dtype=torch.float32):
    """Call 4.5; points: level -> (N, 2)."""
    call = student.one_stage_detector.fcos_match_locations_to_gt
    given = {level: give(student, value, dtype) for level, value in points.items()}
    got = call(given, dict(strides), give(student, rows, dtype))
    expect_keys(got, list(points), MATCH)
    return got


def grid(height: int, width: int, strides=STRIDES) -> dict[str, torch.Tensor]:
    """All locations of an image."""
    return {
        level: locations(-(-height // stride), -(-width // stride), stride)
        for level, stride in strides.items()
    }


def slow_matches(points, rows, ranges) -> dict[str, torch.Tensor]:
    """Level -> (N, 5) by the definition."""
    listed = rows.double().tolist()
    found = {}
    for level, own in points.items():
        indices = [slow.match(p, ranges[level], listed) for p in own.tolist()]
        chosen = [listed[i] if i >= 0 else BACKGROUND_ROW for i in indices]
        found[level] = torch.tensor(chosen, dtype=torch.float64).reshape(-1, 5)
    return found


def wrong_match(points, rows, size_range, mistake: str) -> torch.Tensor:
    """(N, 5) with a known mistake."""
    low, high = size_range
    boxes = rows if mistake == "padding" else rows[rows[:, 4] != -1]
    if mistake == "class zero":
        boxes = rows[rows[:, 4] > 0]
    ltrb = torch.cat(
        (points[:, None] - boxes[None, :, :2], boxes[None, :, 2:4] - points[:, None]),
        dim=2,
    )
    smallest, largest = ltrb.amin(dim=2), ltrb.amax(dim=2)
    is_inside = smallest >= 0 if mistake == "edge" else smallest > 0
    is_of_level = (largest > low) & (largest <= high)
    if mistake == "open":
        is_of_level = (largest > low) & (largest < high)
    is_candidate = is_inside & (is_of_level | (mistake == "no range"))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    key = {"padding": NO_BACKGROUND, "largest": LARGEST_BOX, "last": LAST_OF_EQUAL}
    if mistake == "sides":
        areas = (boxes[:, 2:4] - boxes[:, :2]).sum(dim=1)
    picks = wrong_picks(is_candidate, areas)
    has_any = is_candidate.any(dim=1)
    plain = torch.where(has_any, picks[NO_BACKGROUND], -1)
    picked = picks[key[mistake]] if mistake in ("largest", "last") else plain
    source = rows if mistake == "shifted" else boxes
    background = torch.full((1, 5), -1.0, dtype=rows.dtype)
    found = torch.cat((source, background))[torch.where(has_any, picked, len(source))]
    return found[:, :5]


MATCH_MISTAKES = {
    NO_RANGE: "no range",
    LARGEST_BOX: "largest",
    LAST_OF_EQUAL: "last",
    ON_EDGE: "edge",
    EXACT_BORDER: "open",
    PADDING: "shifted",
    "class 0 is taken for background": "class zero",
    "the smallest box is that of the smallest area, not of the shortest sides": "sides",
}


def expect_match(student, points, rows, expected=None, strides=STRIDES, ranges=RANGES):
    """Compare all levels; by default with the definition."""
    expected = expected or slow_matches(points, rows, ranges)
    with expect_runs(MATCH, NO_BOXES if bool((rows == -1).all()) else None):
        got = match(student, points, rows, strides)
    for level, own in points.items():
        causes = {}
        if len(rows) and not bool((rows == -1).all()):
            causes = {
                cause: wrong_match(own, rows.double(), ranges[level], mistake)
                for cause, mistake in MATCH_MISTAKES.items()
                if mistake != "class zero" or bool((rows[:, 4] > 0).any())
            }
        expect_close(
            got[level],
            expected[level].float(),
            f"{MATCH}: {level}",
            inputs={"location": own},
            names=ROW,
            place="location",
            causes=causes,
        )


def test_match_of_many_boxes(student):
    """All locations of a 211 x 333 image, with boxes of all sizes and padding."""
    cases = load_cases("step4", "match")
    points, rows = cases["points"], cases["random"]["rows"]
    expect_match(student, points, rows, cases["expected"])


def test_match_of_an_image_without_boxes(student):
    """No row at all, or padding only: every location gets a row of -1."""
    for count in (0, 1, 4):
        rows = torch.full((count, 5), -1.0)
        expect_match(student, grid(64, 96), rows)


def test_match_of_one_box(student):
    """Box (10, 2)-(30, 14) holds x = 12, 20, 28 and y = 4, 12 of stride 8."""
    expected = {
        level: torch.full((len(points), 5), -1.0)
        for level, points in grid(32, 64).items()
    }
    for row in (0, 1):
        for column in (1, 2, 3):
            expected["p3"][row * 8 + column] = torch.tensor([10.0, 2, 30, 14, 6])
    rows = torch.tensor([[10.0, 2, 30, 14, 6]])
    expect_match(student, grid(32, 64), rows, expected)


def test_match_of_nested_boxes_takes_the_smaller(student):
    """The inner box wins where both hold the location, in either order."""
    inner, outer = [20.0, 10, 36, 30, 1], [4.0, 2, 62, 44, 2]
    for rows in ([inner, outer], [outer, inner]):
        expect_match(student, grid(48, 72), torch.tensor(rows))


def test_match_of_equal_areas_takes_the_first(student):
    """12 x 20 and 20 x 12 around one location: the first row wins."""
    wide, high = [10.0, 14, 30, 26, 3], [14.0, 10, 26, 30, 4]
    for rows in ([wide, high], [high, wide]):
        points = {"p3": torch.tensor([[20.0, 20], [28, 20], [20, 12]])}
        points |= {"p4": torch.zeros(1, 2), "p5": torch.zeros(1, 2)}
        expect_match(student, points, torch.tensor(rows))


def test_match_of_close_areas(student):
    """Areas of 840 and 838.5 square pixels differ; 1e8 - area loses that."""
    larger, smaller = [10.0, 10, 50, 31, 3], [10.0, 10, 49, 31.5, 4]
    points = {level: torch.tensor([[20.0, 20]]) for level in STRIDES}
    rows = torch.tensor([larger, smaller])
    got = match(student, points, rows)["p3"]
    causes = {CLOSE_AREAS: rows[:1]}
    expect_close(got, rows[1:], f"{MATCH}: close areas", names=ROW, causes=causes)


def test_match_at_the_border_of_two_levels(student):
    """A distance of exactly 64 or 128 belongs to the finer level, and to it alone."""
    borders = {64.0: "p3", 64.5: "p4", 128.0: "p4", 128.5: "p5"}
    for distance, level in borders.items():
        rows = torch.tensor([[90.0, 40, 100 + distance, 60, 0]])
        points = {name: torch.tensor([[100.0, 50]]) for name in STRIDES}
        got = match(student, points, rows)
        found = [name for name in STRIDES if float(got[name][0, 4]) == 0]
        what = f"{MATCH}: levels of a largest distance of {distance}"
        expect_equal(found, [level], what, EXACT_BORDER)


def test_match_leaves_out_the_edge_of_a_box(student):
    """Strictly inside: distance 0 to any of the four edges is background."""
    points = torch.tensor([[8.0, 20], [30, 20], [20, 16], [20, 25], [20, 20]])
    rows = torch.tensor([[8.0, 16, 30, 25, 2]])
    far = torch.tensor([[500.0, 500]])
    expect_match(student, {"p3": points, "p4": far, "p5": far}, rows)


def test_match_of_boxes_on_the_border_of_the_image(student):
    """Boxes that touch or leave the image match as all others do."""
    rows = torch.tensor(
        [[0.0, 0, 20, 9, 1], [150, 60, 170, 96, 2], [-9, 40, 21, 70, 0]]
    )
    expect_match(student, grid(96, 160), rows)


def test_match_ignores_padding_between_boxes(student):
    """Rows of -1 in front of, between and behind boxes do not shift their indices."""
    padding = BACKGROUND_ROW
    boxes = [[8.0, 8, 60, 30, 5], [30.0, 9, 50, 20, 0]]
    rows = torch.tensor([padding, boxes[0], padding, boxes[1], padding])
    expect_match(student, grid(40, 72), rows)


def test_match_of_a_box_of_class_zero(student):
    """The first class has the number 0, which is not background."""
    rows = torch.tensor([[8.0, 8, 60, 30, 0]])
    points = grid(40, 72)
    expected = slow_matches(points, rows, RANGES)
    got = match(student, points, rows)
    cause = "class 0 is taken for background"
    wrong = {cause: torch.full_like(expected["p3"], -1.0)}
    what = f"{MATCH}: class 0"
    expect_close(got["p3"], expected["p3"].float(), what, names=ROW, causes=wrong)


def test_match_on_other_strides(student):
    """The ranges follow the strides: 4, 8, 16 have borders at 32 and 64 pixels."""
    strides = {"p3": 4, "p4": 8, "p5": 16}
    ranges = {"p3": (0.0, 32.0), "p4": (32.0, 64.0), "p5": (64.0, math.inf)}
    rows = torch.tensor(
        [[3.0, 2, 40, 31, 1], [1.0, 1, 119, 77, 2], [30.0, 9, 99, 60, 0]]
    )
    expected = slow_matches(grid(80, 120, strides), rows, ranges)
    got = match(student, grid(80, 120, strides), rows, strides)
    usual = slow_matches(grid(80, 120, strides), rows, RANGES)
    for level in strides:
        causes = {"64 and 128 pixels are built in; they are 8 strides": usual[level]}
        expect_close(
            got[level], expected[level].float(), MATCH, names=ROW, causes=causes
        )


def test_match_follows_float64(student):
    """Rows come back as they were given, digits and dtype, without boxes too."""
    third = 1 / 3
    row = torch.tensor([[1 + third, 2, 30, 20 + third, 0]], dtype=torch.float64)
    for rows in (row, row[:0]):
        got = match(student, grid(32, 64), rows, dtype=torch.float64)
        expected = slow_matches(grid(32, 64), rows, RANGES)
        for level in STRIDES:
            expect_tensor(got[level], MATCH, shape=tuple(expected[level].shape))
            expect_dtype(got[level], torch.float64, MATCH)
            expect_close(got[level], expected[level], MATCH, atol=1e-12, rtol=0)


def test_match_needs_no_python_loop(student):
    """5,040 locations and 200 boxes take less time than a loop over plain numbers."""
    points = grid(480, 640)
    boxes = spread_boxes(200, 640, 480)
    rows = torch.cat((boxes, (torch.arange(200) % 7)[:, None]), dim=1)
    some = points["p3"][::100].tolist()
    listed = rows.tolist()
    loop = seconds_of_loop(
        lambda: [slow.match(point, RANGES["p3"], listed) for point in some],
        share=len(some) / sum(len(each) for each in points.values()),
    )
    expect_faster(lambda: match(student, points, rows), loop, MATCH, LOOP)


def test_match_leaves_its_inputs_alone(student):
    """Locations and boxes are the same after the call."""
    call = student.one_stage_detector.fcos_match_locations_to_gt
    points = {level: give(student, value) for level, value in grid(40, 72).items()}
    rows = torch.tensor([BACKGROUND_ROW, [8.0, 8, 60, 30, 5]])
    given = points, dict(STRIDES), give(student, rows)
    expect_inputs_kept(student, MATCH, call, *given)
