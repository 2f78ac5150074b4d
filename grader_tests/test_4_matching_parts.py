"""Step 4: the parts of matching: distances, candidates, the smallest box."""

import math
from functools import partial

import torch

from grader_tests.matching_mistakes import (
    A_FEW_ONLY,
    BEYOND_EDGE,
    CLOSE_AREAS,
    HUGE_BOX,
    NEAR_EDGE,
    NEAR_END,
    OTHER_DISTANCES,
    TINY_AREA,
    TINY_BOX,
    TO_FLOAT32,
    wrong_candidates,
    wrong_picks,
)
from grader_tests.oracles import slow
from grader_tests.oracles.step4 import RANGES
from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_dtype,
    expect_inputs_kept,
    give,
    spread,
    spread_boxes,
)
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
)
from helpers.checks.inputs import wrong_signs

DISTANCES, CANDIDATE = "fcos_distances_to_edges", "fcos_is_candidate"
PICK, MATCH = "fcos_pick_smallest_box", "fcos_match_locations_to_gt"
LTRB = "l,t,r,b"
HUGE = "an area above a number such as 1e8 is lost"
NEGATED = "left and top are negated: x - x1, not x1 - x"
NO_BOXES = "an image without boxes is not foreseen"
FEW = 60  # boxes, of which no answer may depend on how many there are
NO_LOCATIONS = "a level without locations is not foreseen"


# 4.2


def distances(student, points, boxes, dtype=torch.float32):
    """Call 4.2."""
    call = student.one_stage_detector.fcos_distances_to_edges
    return call(give(student, points, dtype), give(student, boxes, dtype))


def slow_distances(points, boxes) -> torch.Tensor:
    """(N, M, 4) by the definition."""
    table = [[slow.distances(p, b) for b in boxes.tolist()] for p in points.tolist()]
    return torch.tensor(table, dtype=torch.float64)


def check_distances(points, boxes, **close):
    """A check of the answer for these, by the definition."""
    expected = slow_distances(points, boxes).float()
    causes = {BEYOND_EDGE: partial(slow_distances, points, boxes.clamp(min=0))}
    return partial(
        expect_close, expected=expected, what=DISTANCES, causes=causes, **close
    )


def stored_pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Nine locations and six boxes; float32 holds their differences exactly."""
    case = load_cases("step4", "distances")["random"]
    return case["points"], case["boxes"]


def test_distances_of_all_pairs(student):
    """Left, top, right, bottom of each location to each box."""
    case = load_cases("step4", "distances")["random"]
    points, boxes, expected = case["points"], case["boxes"], case["expected"]
    causes = {
        NEGATED: expected * torch.tensor([-1.0, -1, 1, 1]),
        "right and bottom are negated: x2 - x, not x - x2": (
            expected * torch.tensor([1.0, 1, -1, -1])
        ),
        **wrong_signs(expected),
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
    usual = torch.ones(3, 2), torch.ones(2, 4)
    for number, count, cause in ((3, 0, NO_BOXES), (0, 2, NO_LOCATIONS), (1, 1, None)):
        with expect_runs(DISTANCES, cause, lambda: distances(student, *usual)):
            got = distances(student, torch.zeros(number, 2), torch.zeros(count, 4))
        expect_tensor(got, DISTANCES, shape=(number, count, 4))
    check_distances(*stored_pair())(distances(student, *stored_pair()))


def test_distances_follow_float64(student):
    """The dtype is kept; far from the origin float32 has no digits."""
    points, boxes = stored_pair()
    got = distances(student, points, boxes, torch.float16)
    expected = slow_distances(points, boxes).half()
    expect_close(got, expected, f"{DISTANCES} in float16")
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
    check = check_distances(points, boxes)
    expect_inputs_kept(student, DISTANCES, call, points, boxes, check=check)


def test_distances_of_other_boxes_are_others(student):
    """In another order, another unit, left of the image, thousands of pixels apart."""
    points, boxes = stored_pair()
    cases = (
        (points, boxes),
        (points.flip(0), boxes.roll(1, dims=0)),
        (points.flip(0), boxes),
        (points / 1024, boxes / 1024),
        (points, boxes * torch.tensor([1, 1, 900, 900])),
        (points, boxes + 50_000),
        (points[:1], boxes),
        (points.repeat(600, 1), boxes[:2]),
    )
    call = student.one_stage_detector.fcos_distances_to_edges
    many = boxes.repeat(60, 1)
    check_many = check_distances(points[:2], many, atol=1e-7)
    check_last = check_distances(points[:2], many[-6:], atol=1e-7)

    def check_beyond(got) -> None:
        further = points + 60, boxes + 10
        with expect_as_usual(
            OTHER_DISTANCES,
            lambda: check_distances(*further)(distances(student, *further)),
        ):
            check_distances(points - 40, boxes - 90, atol=1e-7)(got)

    def check(got) -> None:
        with expect_as_usual(
            A_FEW_ONLY, lambda: check_last(distances(student, points[:2], many[-6:]))
        ):
            check_many(got)

    expect_own_answers(
        call,
        *(
            ((give(student, p), give(student, b)), check_distances(p, b, atol=1e-7))
            for p, b in cases
        ),
        ((give(student, points - 40), give(student, boxes - 90)), check_beyond),
        ((give(student, points[:2]), give(student, many)), check),
    )


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


def test_is_candidate_equals_a_loop(student):
    """Inside and of the level's range, for all three ranges."""
    case = load_cases("step4", "candidates")["random"]
    for level, size_range in RANGES.items():
        got = candidates(student, case["ltrb"], size_range)
        wrong = wrong_candidates(case["ltrb"], size_range)
        expect_close(got, case[level].int(), f"{CANDIDATE} on {level}", causes=wrong)


def check_candidates(ltrb, size_range, what=CANDIDATE):
    """A check of the answer for these, by the definition."""
    low, high = size_range
    rows = [
        [min(distances) > 0 and low < max(distances) <= high for distances in row]
        for row in ltrb.tolist()
    ]
    expected = torch.tensor(rows, dtype=torch.bool).reshape(ltrb.shape[:2])
    return partial(expect_close, expected=expected, what=what)


def test_is_candidate_of_other_distances_is_another(student):
    """As many locations and boxes, in another order; the distances stay as they are."""
    call = student.one_stage_detector.fcos_is_candidate
    ltrb = load_cases("step4", "candidates")["random"]["ltrb"]
    given = (ltrb, (0.0, 64.0)), (ltrb.flip(0), (0.0, 64.0)), (ltrb, (16.0, 100.0))
    many, size_range = spread(2, 1200, 4, low=-2.0, high=300.0), (64.0, 256.0)

    def expect_parts() -> None:
        for part in many.split(FEW, dim=1):
            check_candidates(part, size_range)(call(give(student, part), size_range))

    def check_many(got) -> None:
        with expect_as_usual(A_FEW_ONLY, expect_parts):
            check_candidates(many, size_range)(got)

    cases = [
        ((give(student, table), size_range), check_candidates(table, size_range))
        for table, size_range in given
    ]
    expect_own_answers(call, *cases, ((give(student, many), size_range), check_many))
    arguments, check = cases[1]
    expect_inputs_kept(student, CANDIDATE, call, *arguments, check=check)


def test_is_candidate_leaves_out_the_edge(student):
    """A distance of 0 is not inside, whichever of the four; one of 0.01 is."""
    ltrb = torch.full((1, 11, 4), 20.0)
    for side in range(4):
        ltrb[0, side, side] = 0
        ltrb[0, 5 + side, side] = 0.01
    ltrb[0, 9] = 0.01
    ltrb[0, 10] = 0
    got = candidates(student, ltrb, (0.0, 64.0))
    expected = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0]], dtype=torch.int32)
    near, tiny = expected.clone(), expected.clone()
    near[0, 5:10] = 0
    tiny[0, 9] = 0
    wrong = wrong_candidates(ltrb, (0.0, 64.0)) | {NEAR_EDGE: near, TINY_BOX: tiny}
    expect_close(got, expected, f"{CANDIDATE} on an edge", causes=wrong)


def test_is_candidate_at_the_ends_of_the_range(student):
    """Low does not belong to the range, high does, however near the distance is."""
    for side in range(4):
        ltrb = torch.full((1, 4, 4), 3.0)
        ltrb[0, :, side] = torch.tensor([16.0, 16.5, 32.0, 32.5])
        got = candidates(student, ltrb, (16.0, 32.0))
        expected = torch.tensor([[0, 1, 1, 0]], dtype=torch.int32)
        wrong = wrong_candidates(ltrb, (16.0, 32.0))
        what = f"{CANDIDATE} at the ends of (16, 32)"
        expect_close(got, expected, what, inputs={LTRB: ltrb}, causes=wrong)
    expect_candidates_of(student, 64.0)
    for distance, usual, cause in (
        (64.0 + 1e-3, 67.0, NEAR_END),
        (64.0 + 1e-9, 64.0 + 1e-3, TO_FLOAT32),
    ):
        with expect_as_usual(cause, partial(expect_candidates_of, student, usual)):
            expect_candidates_of(student, distance)
    expect_candidates_of(student, 63.99)
    with expect_as_usual(HUGE_BOX, partial(expect_far_inside, student, 300.0)):
        expect_far_inside(student, 3e6)


def expect_candidates_of(student, distance: float) -> None:
    """Whether this largest distance, in float64, belongs to each of two levels."""
    call = student.one_stage_detector.fcos_is_candidate
    ltrb = torch.full((1, 1, 4), 3.0, dtype=torch.float64)
    ltrb[0, 0, 2] = distance
    for size_range in ((0.0, 64.0), (64.0, 128.0)):
        what = f"{CANDIDATE} of {distance:.9f} in {size_range}"
        check = check_candidates(ltrb, size_range, what)
        check(call(give(student, ltrb, torch.float64), size_range))


def expect_far_inside(student, distance: float) -> None:
    """All four distances are large, and the level is the coarsest."""
    far = candidates(student, torch.full((1, 2, 4), distance), (128.0, math.inf))
    expect_close(far, torch.ones(1, 2, dtype=torch.int32), f"{CANDIDATE} of a huge box")


def test_is_candidate_without_boxes(student):
    """(N, 0) when there is no box, and no end for the coarsest level."""
    ends, two = (128.0, math.inf), torch.ones(3, 2, 4)
    case = load_cases("step4", "candidates")["random"]
    for size_range in RANGES.values():
        check_candidates(case["ltrb"], size_range)(
            candidates(student, case["ltrb"], size_range).bool()
        )
    with expect_runs(CANDIDATE, NO_BOXES, lambda: candidates(student, two, ends)):
        got = candidates(student, torch.zeros(3, 0, 4), ends)
    expect_equal(tuple(got.shape), (3, 0), f"{CANDIDATE} without boxes")


# 4.4


def pick(student, is_candidate, areas):
    """Call 4.4."""
    call = student.one_stage_detector.fcos_pick_smallest_box
    got = call(is_candidate.to(student.device, copy=True), give(student, areas))
    wrong = {
        "one answer for each box instead of each location": (len(areas),),
        "a trailing dimension is kept": (len(is_candidate), 1),
    }
    got = expect_tensor(got, PICK, shape=(len(is_candidate),), shape_causes=wrong)
    expect_equal(str(got.dtype), "torch.int64", f"{PICK}: dtype")
    return got


def expect_pick(student, is_candidate, areas, expected) -> None:
    """Compare one table of candidates."""
    got = pick(student, is_candidate, areas)
    causes = wrong_picks(is_candidate, areas)
    if bool((areas < 1e-2).all()):
        causes[TINY_AREA] = torch.full_like(expected, -1)
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
    """Areas that differ by one square pixel or less differ; 1e8 - area loses that."""
    is_candidate = torch.tensor([[True, True, True], [True, False, True]])
    expected = torch.tensor([1, 0])
    expect_pick(student, is_candidate, torch.tensor([5001.0, 5000, 5002]), expected)
    for areas in ([300.75, 300.25, 301], [3e-4, 2e-4, 4e-4], [0.75, 0.5, 0.76]):
        expect_pick(student, is_candidate, torch.tensor(areas), expected)

    def expect_large(more: float) -> None:
        areas = 2.0**24 + more * torch.tensor([1, 0, 2], dtype=torch.float64)
        got = student.one_stage_detector.fcos_pick_smallest_box(
            is_candidate.to(student.device), give(student, areas, torch.float64)
        )
        expect_close(got, expected, f"{PICK} of areas in float64")

    with expect_as_usual(TO_FLOAT32, partial(expect_large, 2.0)):
        expect_large(1.0)


def test_pick_smallest_box_of_huge_areas(student):
    """Photographs of 20,000 x 15,000 pixels have boxes above 1e8 square pixels."""
    is_candidate = torch.tensor([[True, True, True], [True, False, False]])
    for times in (1, 10_000):
        areas = torch.tensor([2.9e8, 2.5e8, 2.7e8]) * times
        got = pick(student, is_candidate, areas)
        # 1e8 stands for no candidate, or areas are taken from it; the box is not seen.
        lost = [[1, 1], [1, -1], [-1, -1]]
        causes = {HUGE: got} if got.tolist() in lost else {}
        expect_close(got, torch.tensor([1, 0]), f"{PICK} of huge areas", causes=causes)


def check_picks(is_candidate, areas):
    """A check of the answer for these, by the definition."""
    listed = areas.tolist()
    picked = [
        min(
            (i for i, is_in in enumerate(row) if is_in),
            key=listed.__getitem__,
            default=-1,
        )
        for row in is_candidate.tolist()
    ]
    return partial(expect_close, expected=torch.tensor(picked), what=PICK)


def test_pick_smallest_box_of_other_boxes_is_another(student):
    """As many boxes as before, in another order; then 1,200, of nearly one size."""
    call = student.one_stage_detector.fcos_pick_smallest_box
    case = load_cases("step4", "pick")["random"]
    table, areas = case["is_candidate"], case["areas"]
    many, share = spread(40, 1200) < 0.02, spread(1200)
    close, far = 900 + 0.5 * share, 900 + 9000 * share

    def expect_parts(sizes, few: int) -> None:
        for part, own in zip(many.split(few, dim=1), sizes.split(few), strict=True):
            got = call(part.to(student.device), give(student, own))
            check_picks(part, own.float())(got)

    def check_many(got) -> None:
        with (
            expect_as_usual(A_FEW_ONLY, partial(expect_parts, close, FEW)),
            expect_as_usual(CLOSE_AREAS, partial(expect_parts, far, len(far))),
        ):
            check_picks(many, close.float())(got)

    cases = [
        (
            (candidate.to(student.device), give(student, own)),
            check_picks(candidate, own.float()),
        )
        for candidate, own in (
            (table, areas),
            (table, areas.roll(1)),
            (table.flip(1), areas.flip(0).roll(1)),
        )
    ]
    given = many.to(student.device), give(student, close)
    expect_own_answers(call, *cases, (given, check_many))
    arguments, check = cases[1]
    expect_inputs_kept(student, PICK, call, *arguments, check=check)
