"""Step 4: matching, from locations to the true box of each."""

import math
from functools import cache, partial

import torch

from grader_tests.matching_mistakes import (
    A_FEW_ONLY,
    CLASS_CHANGED,
    CLOSE_AREAS,
    EMPTY_LEVEL,
    EXACT_BORDER,
    LEVELS_NAMED,
    MATCH_MISTAKES,
    MOVED,
    SAME_OF_EQUAL,
    TAKEN_FOR_PADDING,
    TINY_LEFT_OUT,
    wrong_match,
)
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
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
)

PICK, MATCH = "fcos_pick_smallest_box", "fcos_match_locations_to_gt"
ROW = "x1,y1,x2,y2,class"
BUILT_IN = "64 and 128 pixels are built in; they are 8 strides"
NO_BOXES = "an image without boxes is not foreseen"
LOOP = "a Python loop over locations or boxes; compare all pairs at once"
FEW = 60  # boxes, of which no answer may depend on how many there are
FORGOTTEN = "rows of class -1 take part in the matching; they are padding"
BACKGROUND_ROW = [-1.0] * 5


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
        indices = [slow.match(point, ranges[level], listed) for point in own.tolist()]
        chosen = [listed[i] if i >= 0 else BACKGROUND_ROW for i in indices]
        found[level] = torch.tensor(chosen, dtype=torch.float64).reshape(-1, 5)
    return found


def expect_match(student, points, rows, expected=None, with_causes=True, more=None):
    """Compare all levels; by default with the definition.

    Args:
        more: known mistakes; each takes all answers and gives level -> its own.
    """
    expected = expected or slow_matches(points, rows, RANGES)
    cause = NO_BOXES if bool((rows == -1).all()) else None
    box = torch.tensor([[4.0, 4, 30, 20, 1]])
    with expect_runs(MATCH, cause, lambda: match(student, points, box)):
        got = match(student, points, rows, STRIDES)
    for level, own in points.items():
        causes = {}
        if with_causes and len(rows) and not bool((rows == -1).all()):
            causes = {
                cause: partial(wrong_match, own, rows.double(), RANGES[level], mistake)
                for cause, mistake in MATCH_MISTAKES.items()
                if mistake != "class zero" or bool((rows[:, 4] > 0).any())
            }
        for cause, wrong in (more or {}).items():
            causes[cause] = lambda wrong=wrong, level=level: wrong(got)[level]
        expect_close(
            got[level],
            expected[level].float(),
            f"{MATCH}: {level}",
            inputs={"location": own},
            names=ROW,
            place="location",
            causes=causes,
        )


def thousand_rows() -> torch.Tensor:
    """1,200 boxes far to the right, of 1,200 classes; the smallest are a tenth wide."""
    boxes = spread_boxes(1200, 640, 480)
    middle = 8 * (spread(1200, 2) * torch.tensor([80, 60])).floor() + 4.0
    tiny = torch.cat((middle - 1 / 16, middle + 1 / 16), dim=1)
    boxes[::7] = tiny[::7]
    classes = torch.arange(1200.0, dtype=torch.float64)[:, None]
    return torch.cat((boxes + 4000, classes), dim=1)


def expect_thousand(student) -> None:
    """1,200 boxes of as many classes, tiny ones too, at x and y above 4,000."""
    rows = thousand_rows()
    points = {level: value + 4000 for level, value in grid(480, 640).items()}
    tiny = (rows[::7, :2] + 1 / 16)[150:]  # of the last boxes
    some = {
        "p3": torch.cat((tiny, points["p3"][::173])),
        "p4": points["p4"][::101],
        "p5": points["p5"][::61],
    }

    def expect_rows(own) -> None:
        expected = slow_matches(some, own, RANGES)
        got = match(student, some, own)
        for level, right in expected.items():
            causes = {
                CLASS_CHANGED: partial(_with_classes_of, got[level], right),
                TINY_LEFT_OUT: partial(_without_tiny, some[level], own, RANGES[level]),
            }
            what = f"{MATCH}: {level}"
            expect_close(got[level], right.float(), what, names=ROW, causes=causes)

    def expect_parts() -> None:
        for part in rows.split(FEW):
            expect_rows(part)

    with expect_as_usual(A_FEW_ONLY, expect_parts):
        expect_rows(rows)


def _without_tiny(points, rows, size_range) -> torch.Tensor:
    """The matches of a level where boxes with a side below one pixel are left out."""
    is_large = (rows[:, 2:4] - rows[:, :2]).amin(dim=1) >= 1
    found = slow_matches({"level": points}, rows[is_large], {"level": size_range})
    return found["level"]


def _with_classes_of(got, right) -> torch.Tensor:
    """The right boxes, each with the class that was got."""
    return torch.cat((right[:, :4], got[:, 4:].detach().cpu().double()), dim=1)


def test_match_of_many_boxes(student):
    """All locations of a 211 x 333 image with boxes and padding; then 1,200 boxes."""
    cases = load_cases("step4", "match")
    points, rows = cases["points"], cases["random"]["rows"]
    expect_match(student, points, rows, cases["expected"])
    expect_thousand(student)


def test_match_of_other_boxes_is_another(student):
    """As many boxes and locations as before, with the same sum; other strides."""
    first = torch.tensor([[8.0, 8, 60, 30, 5], [30.0, 9, 50, 20, 0]]).double()
    second = first.clone()
    second[:, [0, 2]] += torch.tensor([[8.0], [-8.0]])
    points = grid(40, 72)
    moved = {level: value + 8 for level, value in points.items()}
    finer = {level: stride // 2 for level, stride in STRIDES.items()}
    halved = {level: (low / 2, high / 2) for level, (low, high) in RANGES.items()}
    large = torch.tensor(
        [[1.5, 2.5, 68.5, 37.5, 2], [4.5, 6.5, 36.5, 23.5, 1]]
    ).double()

    def case(places, rows, strides, ranges):
        expected = slow_matches(places, rows, ranges)

        def check(got) -> None:
            expect_keys(got, list(places), MATCH)
            usual = cache(lambda: slow_matches(places, rows, RANGES))
            for level, own in expected.items():
                causes = {}
                if ranges != RANGES:
                    causes[BUILT_IN] = lambda level=level: usual()[level]
                what = f"{MATCH}: {level}"
                expect_close(got[level], own.float(), what, names=ROW, causes=causes)

        given = {level: give(student, value) for level, value in places.items()}
        return (given, dict(strides), give(student, rows)), check

    expect_own_answers(
        student.one_stage_detector.fcos_match_locations_to_gt,
        # Not the usual strides first: what is built in is not taken for what is kept.
        case(points, large, finer, halved),
        case(points, large, STRIDES, RANGES),
        case(points, first, STRIDES, RANGES),
        case(points, second, STRIDES, RANGES),
        case(moved, second, STRIDES, RANGES),
    )


def test_match_of_an_image_without_boxes(student):
    """No row at all, or padding only: every location gets a row of -1."""
    for count in (0, 1, 4):
        rows = torch.full((count, 5), -1.0)
        expect_match(student, grid(64, 96), rows)
    expect_right(student)


def expect_right(student) -> None:
    """The stored matches of the coarsest level: more than a shape."""
    cases = load_cases("step4", "match")
    got = match(student, cases["points"], cases["random"]["rows"])["p5"]
    expect_close(got, cases["expected"]["p5"].float(), f"{MATCH}: p5", names=ROW)


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
    for number, rows in enumerate(([wide, high], [high, wide])):
        points = {"p3": torch.tensor([[20.0, 20], [28, 20], [20, 12]])}
        points |= {"p4": torch.zeros(1, 2), "p5": torch.zeros(1, 2)}
        # What takes the last one has failed in the first call.
        rows = torch.tensor(rows)
        same = slow_matches(points, rows.flip(0), RANGES)
        more = {SAME_OF_EQUAL: lambda got, same=same: same} if number else {}
        expect_match(student, points, rows, with_causes=number == 0, more=more)


def test_match_of_close_areas(student):
    """Areas of 840 and 838.5 square pixels differ, and of 9.375 and 9.0."""
    larger, smaller = [10.0, 10, 50, 31, 3], [10.0, 10, 49, 31.5, 4]
    points = {level: torch.tensor([[20.0, 20]]) for level in STRIDES}
    far = torch.tensor([larger, [12.0, 12, 40, 28, 4]])
    with expect_as_usual(CLOSE_AREAS, partial(expect_match, student, points, far)):
        rows = torch.tensor([larger, smaller])
        got = match(student, points, rows)["p3"]
        expect_close(got, rows[1:], f"{MATCH}: close areas", names=ROW)
        rows = torch.tensor(
            [
                [18.0, 18, 21, 21.125, 3],
                [18.5, 18, 21.5, 21, 4],
                [18.0, 18, 21.25, 21, 5],
            ]
        )
        # The first of these is what rounded areas give, too: no other cause is sure.
        expect_match(student, points, rows, with_causes=False)


def test_match_at_the_border_of_two_levels(student):
    """A distance of exactly 64 or 128 belongs to the finer level, and to it alone."""
    right = {64.0: ["p3"], 64.5: ["p4"], 128.0: ["p4"], 128.5: ["p5"]}
    found = {distance: _levels_of(student, distance) for distance in right}
    # Open or closed at both ends, or the other way round: else all is as it should be.
    exact = found[64.0], found[128.0]
    wrong = [([], []), (["p3", "p4"], ["p4", "p5"]), (["p4"], ["p5"])]
    others = all(found[distance] == right[distance] for distance in (64.5, 128.5))
    cause = EXACT_BORDER if others and exact in wrong else None
    for distance, levels in right.items():
        what = f"{MATCH}: levels of a largest distance of {distance}"
        expect_equal(found[distance], levels, what, cause)


def _levels_of(student, distance: float) -> list[str]:
    """The levels that take a box whose largest distance is this."""
    rows = torch.tensor([[90.0, 40, 100 + distance, 60, 1]])
    points = {name: torch.tensor([[100.0, 50]]) for name in STRIDES}
    got = match(student, points, rows)
    for name in STRIDES:
        expect_tensor(got[name], f"{MATCH}: {name}", shape=(1, 5))
    return [name for name in STRIDES if float(got[name][0, 4]) == 1]


def test_match_leaves_out_the_edge_of_a_box(student):
    """Strictly inside: distance 0 to any of the four edges is background."""
    points = torch.tensor([[8.0, 20], [30, 20], [20, 16], [20, 25], [20, 20]])
    rows = torch.tensor([[8.0, 16, 30, 25, 2]])
    far = torch.tensor([[500.0, 500]])
    expect_match(student, {"p3": points, "p4": far, "p5": far}, rows)


def test_match_of_boxes_on_the_border_of_the_image(student):
    """Boxes that touch or leave the image match as all others do."""
    # Cut off at the image, the first of three would be the smallest, or of p3.
    for boxes in (
        [[0.0, 0, 20, 9, 1], [150, 60, 170, 96, 2], [-9, 40, 21, 70, 0]],
        [[-40.0, -30, 30, 20, 3], [0, 0, 32, 31, 1], [-45, -35, 34, 24, 2]],
        [[-90.0, -80, 30, 20, 3], [2, 2, 40, 35, 1], [-1, 50, 19, 70, 2]],
        [[-70.0, -60, 20, 15, 0], [60, -1, 80, 30, 1], [-1, 40, 9, 60, 2]],
    ):
        points, rows = grid(96, 160), torch.tensor(boxes)
        moved = rows + torch.tensor([128.0, 128, 128, 128, 0])
        further = {level: value + 128 for level, value in points.items()}
        more = {TAKEN_FOR_PADDING: partial(_without_lost, points, rows)}
        with expect_as_usual(
            MOVED, partial(expect_match, student, further, moved, None, False)
        ):
            expect_match(student, points, rows, more=more)


def _without_lost(points, rows, got) -> dict[str, torch.Tensor]:
    """The matches without those boxes with a number below 0 that come back nowhere."""
    is_back = torch.zeros(len(rows), dtype=torch.bool)
    for own in got.values():
        if isinstance(own, torch.Tensor) and own.dim() == 2 and own.shape[1] == 5:
            is_same = own.detach().cpu()[:, None] == rows[None]
            is_back |= is_same.all(dim=2).any(dim=0)
    is_kept = is_back | (rows >= 0).all(dim=1)
    return slow_matches(points, rows[is_kept], RANGES)


def test_match_ignores_padding_between_boxes(student):
    """Rows of -1 in front of, between and behind boxes do not shift their indices."""
    padding = BACKGROUND_ROW
    boxes = [[8.0, 8, 60, 30, 5], [30.0, 9, 50, 20, 0]]
    rows = torch.tensor([padding, boxes[0], padding, boxes[1], padding])
    expect_match(student, grid(40, 72), rows)


def test_match_tells_padding_by_its_class(student):
    """A row of class -1 is padding even if it holds the numbers of a box."""
    padding = [4.0, 2, 40, 34, -1]  # smaller than the box, and around the same places
    box = [2.0, 1, 60, 39, 3]
    points = grid(40, 72)
    for rows in ([padding, box], [box, padding], [padding]):
        rows = torch.tensor(rows)
        is_box = rows[:, 4] != -1
        expected = slow_matches(points, rows[is_box], RANGES)
        forgotten = _with_padding(points, rows)
        got = match(student, points, rows)
        for level in STRIDES:
            causes = {
                FORGOTTEN: forgotten[level],
                # a row of class -1 may also be written over with -1
                f"{FORGOTTEN}, and hide the boxes below": torch.where(
                    forgotten[level][:, 4:] == -1, -1.0, forgotten[level]
                ),
            }
            expect_close(
                got[level],
                expected[level].float(),
                f"{MATCH}: {level}",
                names=ROW,
                place="location",
                causes=causes,
            )


def _with_padding(points, rows) -> dict[str, torch.Tensor]:
    """The matches where rows of class -1 are taken for boxes."""
    odd = torch.where(rows == -1, 9.0, rows)
    return {
        level: torch.where(found == 9, -1.0, found)
        for level, found in slow_matches(points, odd, RANGES).items()
    }


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
        causes = {BUILT_IN: usual[level]}
        expect_close(
            got[level], expected[level].float(), MATCH, names=ROW, causes=causes
        )


def test_match_on_any_levels(student):
    """One, two or four levels with other names and in no order; one is empty."""
    rows = torch.tensor(
        [[3.0, 2, 40, 31, 1], [1.0, 1, 119, 77, 2], [30.0, 9, 99, 60, 0]]
    ).double()
    for strides in (
        {"p4": 16},
        {"fine": 8, "coarse": 16},
        {"p5": 32, "p3": 8, "p4": 16},
        {"p6": 32, "p2": 4, "p5": 16, "p3": 8},
    ):
        ends = sorted(strides.values())
        ranges = {
            level: (
                0.0 if stride == ends[0] else 4.0 * stride,
                math.inf if stride == ends[-1] else 8.0 * stride,
            )
            for level, stride in strides.items()
        }
        places = grid(80, 120, dict(sorted(strides.items())))
        if len(strides) == 4:
            places["p6"] = torch.zeros(0, 2, dtype=torch.float64)
        usual = torch.tensor([[4.0, 4, 30, 20, 1]])
        order = sorted(strides, key=strides.__getitem__)
        names = {level: f"p{place}" for place, level in enumerate(order, 3)}
        # The same levels, named and ordered from the finest; then all with locations.
        in_order = partial(
            expect_levels,
            student,
            renamed(places, names),
            rows,
            renamed(strides, names),
            renamed(ranges, names),
        )
        filled = grid(80, 120, dict(sorted(strides.items())))
        with (
            expect_runs(
                f"{MATCH} on {', '.join(places)}",
                "the names or the number of the levels are built in",
                partial(match, student, grid(32, 64), usual),
                ("KeyError", "ValueError"),
            ),
            expect_as_usual(LEVELS_NAMED, in_order),
            expect_as_usual(
                EMPTY_LEVEL,
                partial(expect_levels, student, filled, rows, strides, ranges),
            ),
        ):
            expect_levels(student, places, rows, strides, ranges)


def renamed(of_levels, names):
    """The same for levels of other names, in the order of these."""
    return {name: of_levels[level] for level, name in names.items()}


def expect_levels(student, places, rows, strides, ranges) -> None:
    """The matches of all these levels."""
    expected = slow_matches(places, rows, ranges)
    got = match(student, places, rows, strides)
    for level, own in expected.items():
        expect_close(got[level], own.float(), f"{MATCH}: {level}", names=ROW)


def test_match_follows_float64(student):
    """Rows come back as they were given, digits and dtype, and so does background."""
    third = 1 / 3
    row = torch.tensor([[1 + third, 2, 30, 20 + third, 0]], dtype=torch.float64)
    for rows in (row, torch.full_like(row, -1.0)):
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
        share=len(some) / sum(len(centers) for centers in points.values()),
    )
    own = slow_matches({"p3": points["p3"][::100]}, rows, RANGES)["p3"].float()

    def check(got):
        for level, centers in points.items():
            expect_tensor(got[level], f"{MATCH}: {level}", shape=(len(centers), 5))
        expect_close(got["p3"][::100], own, f"{MATCH}: every 100th of p3", names=ROW)

    expect_faster(
        lambda: match(student, points, rows),
        check,
        loop,
        MATCH,
        LOOP,
        few=lambda: match(student, grid(32, 32), rows[:3]),
    )


def test_match_leaves_its_inputs_alone(student):
    """Locations and boxes are the same after the call."""
    call = student.one_stage_detector.fcos_match_locations_to_gt
    points = {level: give(student, value) for level, value in grid(40, 72).items()}
    rows = torch.tensor([BACKGROUND_ROW, [8.0, 8, 60, 30, 5]])
    given = points, dict(STRIDES), give(student, rows)
    expected = slow_matches(grid(40, 72), rows, RANGES)

    def check(got) -> None:
        expect_keys(got, list(expected), MATCH)
        for level, own in expected.items():
            expect_close(got[level], own.float(), f"{MATCH}: {level}", names=ROW)

    expect_inputs_kept(student, MATCH, call, *given, check=check)
