"""Visible checks of step 4: which box each location is responsible for."""

import math
from functools import partial
from typing import Any

import torch

from helpers.checks.again import expect_own_answers
from helpers.checks.answers import expect_keys
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_tensor
from helpers.checks.inputs import BOXES, LOCATIONS, MATCHED, STRIDES, levels, tensor


@exercise("4.3")
def test_candidates_lie_strictly_inside(student: Any) -> None:
    """On an edge or beyond it is not inside."""
    ltrb = [[1.0, 2, 3, 4], [0, 5, 5, 5], [-1, 30, 9, 9], [20, 20, 20, -0.5]]
    right = torch.tensor([True, False, False, False])[:, None]
    expect_close(
        student.one_stage_detector.fcos_is_candidate(
            tensor(student, ltrb)[:, None], (0.0, 64.0)
        ),
        right,
        "fcos_is_candidate of 4 locations and 1 box, range (0, 64)",
        inputs={"l,t,r,b": torch.tensor(ltrb)},
        names="candidate",
        place="location",
        causes={
            "a location on an edge counts as inside": (
                torch.tensor([True, True, False, False])[:, None]
            ),
            "all locations count as inside": torch.ones(4, 1, dtype=torch.bool),
            "right and bottom are not looked at": (
                torch.tensor([True, False, False, True])[:, None]
            ),
        },
    )


@exercise("4.3")
def test_candidates_fit_the_range_of_their_level(student: Any) -> None:
    """64 belongs to the range that ends there, not to the one that begins there."""
    largest = [63.9, 64.0, 64.1, 128.0, 128.1]
    # The distance to the centre, half of largest - 0.05, is above 64 only at the last.
    ltrb = tensor(student, [[[distance, 10.0, 0.05, 20.0] for distance in largest]])
    expected = {
        (0.0, 64.0): [True, True, False, False, False],
        (64.0, 128.0): [False, False, True, True, False],
        (128.0, math.inf): [False, False, False, False, True],
    }
    strict = {
        (0.0, 64.0): [True, False, False, False, False],
        (64.0, 128.0): [False, False, True, False, False],
        (128.0, math.inf): [False, False, False, False, True],
    }
    low = {
        (0.0, 64.0): [True, False, False, False, False],
        (64.0, 128.0): [False, True, True, False, False],
        (128.0, math.inf): [False, False, False, True, True],
    }
    centre = {
        (0.0, 64.0): [True, True, True, True, False],
        (64.0, 128.0): [False, False, False, False, True],
        (128.0, math.inf): [False, False, False, False, False],
    }
    both = {
        (0.0, 64.0): [True, True, False, False, False],
        (64.0, 128.0): [False, True, True, True, False],
        (128.0, math.inf): [False, False, False, True, True],
    }
    # One call for each range, compared together, so that a cause fits all of them.
    got = [
        expect_tensor(
            student.one_stage_detector.fcos_is_candidate(ltrb, size_range),
            f"fcos_is_candidate with range {size_range}",
            shape=(1, 5),
            dtype=torch.bool,
        )[0]
        for size_range in expected
    ]
    expect_close(
        torch.stack(got),
        torch.tensor(list(expected.values())),
        "fcos_is_candidate, largest distance 63.9, 64, 64.1, 128, 128.1",
        inputs={"range": torch.tensor(list(expected))},
        names="candidate",
        place="range",
        causes={
            "with < on both sides 64 and 128 belong to no level": (
                torch.tensor(list(strict.values()))
            ),
            "it must be low < largest <= high, not low <= largest < high": (
                torch.tensor(list(low.values()))
            ),
            "with <= on both sides 64 and 128 belong to two levels": (
                torch.tensor(list(both.values()))
            ),
            "the range of the level is not looked at": torch.ones(
                3, 5, dtype=torch.bool
            ),
            "the smallest distance is held against the range; it is the largest": (
                torch.tensor([[True] * 5, [False] * 5, [False] * 5])
            ),
            "the distance to the centre of the box is held against the range": (
                torch.tensor(list(centre.values()))
            ),
        },
    )


@exercise("4.3")
def test_candidates_of_each_call(student: Any) -> None:
    """Each call answers for its own distances, however near to an edge they are."""

    def case(ltrb: list[float], is_in: bool) -> Any:
        what = f"fcos_is_candidate of {ltrb}, range (0, 64)"
        check = partial(expect_close, expected=torch.tensor([[is_in]]), what=what)
        return (tensor(student, [[ltrb]]), (0.0, 64.0)), check

    expect_own_answers(
        student.one_stage_detector.fcos_is_candidate,
        case([5.0, 5, 5, 5], True),
        case([5.0, 5, 5, 65], False),
        case([0.02, 5, 5, 5], True),
        case([-0.02, 5, 5, 5], False),
    )


@exercise("4.4")
def test_pick_smallest_candidate(student: Any) -> None:
    """The smallest of the candidates, the first of equal ones, -1 of none."""
    yes, no = True, False
    candidates = [
        [yes, no, yes, no],
        [yes, yes, no, yes],
        [no, no, no, no],
        [no, yes, yes, no],
        [no, no, yes, yes],
    ]
    areas = tensor(student, [20.0, 50.0, 20.0, 8.0])
    is_candidate = tensor(student, candidates, torch.bool)
    expect_close(
        student.one_stage_detector.fcos_pick_smallest_box(is_candidate, areas),
        torch.tensor([0, 3, -1, 2, 3]),
        "fcos_pick_smallest_box with areas 20, 50, 20, 8",
        inputs={"is_candidate": torch.tensor(candidates)},
        names="box",
        place="location",
        causes={
            cause: torch.tensor(indices)
            for cause, indices in {
                "of equal areas the last one wins": [2, 3, -1, 2, 3],
                "the largest box wins": [0, 1, -1, 1, 2],
                "no candidate gives 0 instead of -1": [0, 3, 0, 2, 3],
                "the first candidate wins, whatever its area": [0, 0, -1, 1, 2],
                "boxes that are no candidates are chosen, too": [3, 3, 3, 3, 3],
                "boxes that are no candidates are chosen": [3, 3, -1, 3, 3],
            }.items()
        },
    )


@exercise("4.4")
def test_pick_smallest_of_nearly_equal_areas(student: Any) -> None:
    """Areas of 40001 and 40000 square pixels are not equal."""
    both = tensor(student, [[True, True]], torch.bool)

    def pick(*areas: float) -> torch.Tensor:
        what = "fcos_pick_smallest_box of two candidates"
        call = student.one_stage_detector.fcos_pick_smallest_box
        return expect_tensor(call(both, tensor(student, areas)), what, shape=(1,))

    causes = {}
    # Where areas are far apart the smaller one must win, or the mistake is another.
    if pick(60.0, 20.0).tolist() == [1]:
        cause = (
            "areas that are nearly equal count as equal; compare them as they are, and "
            "do not take them from a large number such as 1e8"
        )
        causes[cause] = torch.tensor([0])
    expect_close(
        pick(40001.0, 40000.0),
        torch.tensor([1]),
        "fcos_pick_smallest_box with areas 40001 and 40000",
        causes=causes,
    )


@exercise("4.4")
def test_pick_smallest_box_of_each_call(student: Any) -> None:
    """Each call answers for its own areas, small ones and fractions too."""

    def case(areas: list[float], index: int) -> Any:
        what = f"fcos_pick_smallest_box with areas {areas}"
        check = partial(expect_close, expected=torch.tensor([index]), what=what)
        candidates = tensor(student, [[True, True]], torch.bool)
        return (candidates, tensor(student, areas)), check

    expect_own_answers(
        student.one_stage_detector.fcos_pick_smallest_box,
        case([20.0, 10], 1),
        case([10.0, 20], 0),
        case([20.75, 20.25], 1),
        case([0.5, 0.25], 1),
        case([3e12, 2e12], 1),
    )


@exercise("4.5")
def test_match_by_hand(student: Any) -> None:
    """Nested boxes, padding in between, three levels; found by hand."""
    got = student.one_stage_detector.fcos_match_locations_to_gt(
        levels(student, LOCATIONS), STRIDES, tensor(student, BOXES)
    )
    expect_keys(got, MATCHED, "fcos_match_locations_to_gt: its keys")
    valid = torch.tensor(BOXES[1:-1])
    for level, rows in MATCHED.items():
        right = torch.tensor(rows)
        is_box = right[:, 4] >= 0
        first_box = torch.where(is_box[:, None], valid[0], right)
        shape = f"fcos_match_locations_to_gt: {level}"
        expect_tensor(
            got[level],
            shape,
            shape=(len(rows), 5),
            shape_causes={
                "the whole row of the box is needed, with its class": (len(rows), 4),
                "the rows, not the indices of the boxes": (len(rows),),
            },
        )
        expect_close(
            got[level],
            right,
            shape,
            inputs={"location": torch.tensor(LOCATIONS[level])},
            names="x1,y1,x2,y2,class",
            place="location",
            causes={
                "background is 0 instead of -1": torch.where(is_box[:, None], right, 0),
                "all locations get one box": first_box,
                "boxes of class 0 are taken for padding": torch.where(
                    right[:, 4:] == 0, -1, right
                ),
                "indices count only the boxes that are no padding, but rows were "
                "taken from all": _shifted(right),
            },
        )


def _shifted(right: torch.Tensor) -> torch.Tensor:
    """Each box replaced by the row before it in BOXES; background stays."""
    rows = torch.tensor(BOXES)
    before = {
        tuple(row.tolist()): rows[place - 1]
        for place, row in enumerate(rows)
        if row[4] >= 0
    }
    return torch.stack([before.get(tuple(row.tolist()), row) for row in right])


@exercise("4.5")
def test_match_of_padding_that_looks_like_a_box(student: Any) -> None:
    """A row of class -1 is padding, whatever its other numbers say."""
    locations = {"p3": [[12.0, 12.0], [44.0, 20.0]], "p4": [[24.0, 24.0]]}
    padding = [*BOXES[4][:4], -1.0]  # at the smallest box of the picture
    got = student.one_stage_detector.fcos_match_locations_to_gt(
        levels(student, locations), {"p3": 8, "p4": 16}, tensor(student, [padding])
    )
    expect_keys(got, locations, "fcos_match_locations_to_gt: its keys")
    forgotten = torch.tensor([padding, [-1.0] * 5])
    expect_close(
        got["p3"],
        torch.full((2, 5), -1.0),
        f"fcos_match_locations_to_gt: p3, with the one row {padding}",
        inputs={"location": torch.tensor(locations["p3"])},
        names="x1,y1,x2,y2,class",
        place="location",
        causes={"rows of class -1 take part; they are padding": forgotten},
    )


@exercise("4.5")
def test_match_of_an_image_without_boxes(student: Any) -> None:
    """Only padding, or no row at all: everything is background."""
    for name, rows in {"only padding": BOXES[:1] * 2, "no row": []}.items():
        gt_boxes = tensor(student, rows).reshape(-1, 5)
        got = student.one_stage_detector.fcos_match_locations_to_gt(
            levels(student, LOCATIONS), STRIDES, gt_boxes
        )
        for level, locations in LOCATIONS.items():
            expect_close(
                got[level],
                torch.full((len(locations), 5), -1.0),
                f"fcos_match_locations_to_gt: {level} of an image with {name}",
                names="x1,y1,x2,y2,class",
                place="location",
            )


@exercise("4.5")
def test_match_of_each_call(student: Any) -> None:
    """Another box, other strides, two levels: each call answers for its own."""
    location = {"p4": [[24.0, 24.0]], "p3": [[24.0, 24.0]]}
    none = [-1.0] * 5

    def case(strides: dict[str, int], row: list[float], levels_: list[str]) -> Any:
        def check(got: Any) -> None:
            expect_keys(got, location, "fcos_match_locations_to_gt: its keys")
            for level in location:
                expected = torch.tensor([row if level in levels_ else none])
                what = f"fcos_match_locations_to_gt: {level} of strides {strides}"
                names = "x1,y1,x2,y2,class"
                expect_close(got[level], expected, what, names=names)

        return (levels(student, location), strides, tensor(student, [row])), check

    usual, finer = {"p3": 8, "p4": 16}, {"p3": 4, "p4": 8}
    expect_own_answers(
        student.one_stage_detector.fcos_match_locations_to_gt,
        # Not the usual strides first: what is built in is not taken for what is kept.
        case(finer, [8.0, 8, 60, 44, 4], ["p4"]),
        case(usual, [8.0, 8, 60, 44, 4], ["p3"]),
        case(usual, [8.0, 8, 68, 44, 200], ["p3"]),
        case(usual, [-60.0, -1, 60, 44, 4], ["p4"]),
    )
