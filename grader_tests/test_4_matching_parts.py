"""Step 4: the parts of matching: distances, candidates, the smallest box."""

import math

import torch

from grader_tests.matching_mistakes import wrong_candidates, wrong_picks
from grader_tests.oracles.step4 import RANGES
from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_dtype,
    expect_inputs_kept,
    give,
    spread,
    spread_boxes,
)
from helpers.checks.expect import expect_close, expect_equal, expect_runs, expect_tensor
from helpers.checks.inputs import wrong_signs

DISTANCES, CANDIDATE = "fcos_distances_to_edges", "fcos_is_candidate"
PICK, MATCH = "fcos_pick_smallest_box", "fcos_match_locations_to_gt"
LTRB = "l,t,r,b"
HUGE = "an area above a number such as 1e8 is lost"
NEGATED = "left and top are negated: x - x1, not x1 - x"
NO_BOXES = "an image without boxes is not foreseen"
NO_LOCATIONS = "a level without locations is not foreseen"


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
    ends, two = (128.0, math.inf), torch.ones(3, 2, 4)
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
    # 1e8 stands for no candidate, or areas are taken from it; the box is not seen then.
    lost = [[1, 1], [1, -1], [-1, -1]]
    causes = {HUGE: got} if got.tolist() in lost else {}
    expect_close(got, torch.tensor([1, 0]), f"{PICK} of huge areas", causes=causes)
