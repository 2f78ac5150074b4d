"""Step 8: non-maximum suppression."""

from functools import partial
from typing import Any

import torch
from torchvision import ops

from grader_tests.nms_mistakes import ALL_KEPT, NMS, Mistakes, expect_kept
from grader_tests.oracles.plain_detect import plain_nms
from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_faster,
    expect_inputs_kept,
    give,
    seconds_of_loop,
    spread,
    spread_boxes,
)
from helpers.checks.again import KEPT
from helpers.checks.answers import expect_indices
from helpers.checks.expect import (
    expect_as_usual,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
)
from helpers.checks.student import Student

EQUAL_DROPPED = ">= where > is meant: an overlap of exactly the threshold is kept"
BEYOND = "the same boxes, moved beyond the image's border, are answered otherwise"
ONLY_THE_ORDER = "other scores of the same order are answered otherwise"
SMALLER = "the same boxes, made smaller, are answered otherwise; their IoU is the same"
LARGER = "the same boxes, made larger, are answered otherwise; their IoU is the same"
ORDER_KEPT = (
    "the order of the scores is that of an earlier call; keep nothing between calls"
)
NO_BOX = "no box at all crashes"
PYTHON_LOOP = "a Python loop over pairs of boxes; compare one box with all in one go"
SLOWER_BY = 3.0  # than a plain Python loop on the same machine
TIMED_BOXES = 2000
TIMED_THRESHOLD = 0.48  # no overlap of these boxes is within 4e-6 of it
TRIED_BOXES, FAR_SLOWER_BY = 200, 12.0


def _check_reference(student: Student, threshold: float) -> None:
    case = load_cases("step8", NMS)["some"]
    boxes, scores = case["boxes"], case["scores"]
    expected = case[f"expected{round(10 * threshold)}"].tolist()
    usual = partial(
        expect_kept, student, boxes, _ranks(scores), threshold, expected, causes={}
    )
    with expect_as_usual(ONLY_THE_ORDER, usual):
        expect_kept(student, boxes, scores, threshold, expected)
    # The same boxes from the last to the first: numbers of the same sum.
    turned = [len(boxes) - 1 - index for index in expected]
    kept: Mistakes = {
        KEPT: lambda: expected,
        ORDER_KEPT: lambda: plain_nms(
            boxes.flip(0).tolist(), scores.tolist(), threshold
        ),
    }
    given = boxes.flip(0), scores.flip(0), threshold
    expect_kept(student, *given, turned, causes=kept)


def _ranks(scores: torch.Tensor) -> torch.Tensor:
    """Scores of the same order between 0 and 1."""
    return scores.argsort().argsort().float() / len(scores)


def test_nms_equals_torchvision_at_03(student: Student) -> None:
    """60 boxes that crowd an image, scores of both signs, threshold 0.3."""
    _check_reference(student, 0.3)


def test_nms_equals_torchvision_at_07(student: Student) -> None:
    """The same boxes at a threshold that keeps more; also partly beyond the image."""
    _check_reference(student, 0.7)
    case = load_cases("step8", NMS)["some"]
    boxes, scores = case["boxes"] - 32, case["scores"]
    causes: Mistakes = {
        "boxes are cut off at the border of the image": lambda: plain_nms(
            boxes.clamp(min=0).tolist(), scores.tolist(), 0.7
        )
    }
    expected = case["expected7"].tolist()
    usual = partial(expect_kept, student, case["boxes"], scores, 0.7, expected)
    with expect_as_usual(BEYOND, usual):
        expect_kept(student, boxes, scores, 0.7, expected, causes=causes)


def test_nms_of_hundreds_of_boxes(student: Student) -> None:
    """800 boxes at the thresholds of the original notebook; 2,500 that never meet."""
    case = load_cases("step8", NMS)["crowd"]
    for threshold in (0.3, 0.5, 0.7):
        expected = case[f"expected{round(10 * threshold)}"].tolist()
        # the slow loops of the known mistakes take minutes here
        boxes, scores = case["boxes"], case["scores"]
        few = {
            ALL_KEPT: lambda: case["scores"].argsort(descending=True).tolist(),
            **_limits(expected),
            **_rounded(boxes, scores, threshold),
        }
        expect_kept(student, boxes, scores, threshold, expected, causes=few)
    corners = torch.cartesian_prod(
        torch.arange(0.0, 250, 5), torch.arange(0.0, 500, 10)
    )
    boxes = torch.cat((corners, corners + torch.tensor([4.0, 9])), dim=1)
    scores = spread(len(boxes), low=-3, high=3).float()
    expected = scores.argsort(descending=True).tolist()
    expect_kept(student, boxes, scores, 0.5, expected, causes=_limits(expected))


def _first(expected: list[int], most: int) -> list[int]:
    return expected[:most]


def _limits(expected: list[int]) -> Mistakes:
    """What is kept if there may be no more than so many."""
    return {
        f"no more than {most} boxes are kept": partial(_first, expected, most)
        for most in (100, 200, 300, 500, 1000, 2000)
    }


def _rounded(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> Mistakes:
    """What is kept of boxes that end at parts of a pixel."""

    def kept(parts: int) -> list[int]:
        rounded = (boxes * parts).round() / parts
        return [int(index) for index in ops.nms(rounded, scores, threshold)]

    return {
        f"boxes are rounded to 1/{parts} of a pixel": partial(kept, parts)
        for parts in (1, 2, 4, 8, 16)
    }


def test_nms_by_hand(student: Student) -> None:
    """The best box drops the one below it; a box far away stays."""
    boxes = torch.tensor([[0.0, 0, 8, 2], [0, 0, 8, 3], [20, 9, 22, 19], [1, 0, 9, 3]])
    expect_kept(student, boxes, torch.tensor([0.5, 0.9, 0.6, 0.7]), 0.5, [1, 2])


def test_nms_of_a_dropped_box_does_not_drop_others(student: Student) -> None:
    """A chain: 0 drops 1, and 1, which is gone, does not drop 2."""
    boxes = torch.tensor([[0.0, 0, 8, 4], [3, 0, 11, 4], [6, 0, 14, 4]])
    expect_kept(student, boxes, torch.tensor([0.9, 0.8, 0.7]), 0.3, [0, 2])


def test_nms_keeps_an_overlap_of_exactly_the_threshold(student: Student) -> None:
    """4 of 8 pixels shared is IoU 0.5, not more than 0.5; so at 0 and at 1."""
    boxes = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 1]])
    scores = torch.tensor([0.9, 0.8])

    def dropped() -> list[int]:
        """What it keeps where equal ones are dropped; nothing if it drops more."""
        call, given = student.common.nms, (give(student, boxes), give(student, scores))
        above = expect_indices(call(*given, 0.5001), NMS, 2)
        return [0] if above == [0, 1] else []

    causes: Mistakes = {EQUAL_DROPPED: dropped}
    expect_kept(student, boxes, scores, 0.5, [0, 1], causes=causes)
    expect_kept(student, boxes, scores, 0.4999, [0])
    # The second touches the first, the third covers a little of it, twins behind.
    boxes = torch.tensor([[0.0, 0, 4, 2], [4, 0, 9, 2], [3.75, 0, 9, 2], [0, 0, 4, 2]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    causes = {EQUAL_DROPPED: lambda: [0]}
    expect_kept(student, boxes[[0, 1, 3]], scores[:3], 0.0, [0, 1], causes=causes)
    causes = {"a threshold of 0 is not taken as 0": lambda: [0, 1]}
    expect_kept(student, boxes[[0, 2]], scores[:2], 0.0, [0], causes=causes)
    causes = {
        "at a threshold of 1 equal boxes are dropped; their IoU is not above 1": (
            lambda: [0, 1, 2]
        )
    }
    expect_kept(student, boxes, scores, 1.0, [0, 1, 2, 3], causes=causes)


def test_nms_has_no_plus_one(student: Student) -> None:
    """Small boxes, whose areas a +1 changes most; IoU 1/3 without it, 3/5 with it."""
    boxes = torch.tensor([[0.0, 0, 2, 1], [1.0, 0, 3, 1]])
    expect_kept(student, boxes, torch.tensor([0.4, 0.8]), 0.45, [1, 0])
    # IoU 2/3 whatever the size is; a small number beside the areas would lower it
    boxes = torch.tensor([[0.0, 0, 2, 1], [0.4, 0, 2.4, 1], [5, 5, 6, 7]])
    scores = torch.tensor([0.4, 0.8, 0.1])

    def check(size: float) -> None:
        expect_kept(student, boxes * size, scores, 0.6, [1, 2], causes={})
        expect_kept(student, boxes * size, scores, 0.7, [1, 0, 2], causes={})

    for size in (1e-3, 0.1, 1e4, 1e8):
        cause = SMALLER if size < 1 else LARGER
        with expect_as_usual(cause, partial(check, 10.0)):
            check(size)


def _nms_of_two(student: Student) -> None:
    """Two boxes that overlap: a usual call."""
    boxes = torch.tensor([[0.0, 0, 8, 2], [0, 0, 8, 3]])
    student.common.nms(give(student, boxes), give(student, torch.tensor([1.0, 2])), 0.5)


def test_nms_without_boxes_gives_no_index(student: Student) -> None:
    """Shape (0,), int64, on the device of the boxes."""
    with expect_runs(NMS, NO_BOX, lambda: _nms_of_two(student)):
        got = student.common.nms(
            torch.zeros(0, 4, device=student.device),
            torch.zeros(0, device=student.device),
            0.5,
        )
    expect_tensor(got, NMS, shape=(0,), dtype=torch.int64)
    expect_equal(got.device.type, student.device.type, "device of nms without boxes")
    boxes = torch.tensor([[0.0, 0, 8, 2], [0, 0, 8, 3], [9, 0, 12, 2]])
    expect_kept(student, boxes, torch.tensor([1.0, 2, 3]), 0.5, [2, 1])


def test_nms_keeps_a_single_box(student: Student) -> None:
    """One box has no rival, even with a negative score and a threshold of 0."""
    expect_kept(student, torch.tensor([[1.0, 2, 9, 4]]), torch.tensor([-3.0]), 0.0, [0])
    boxes = torch.tensor([[1.0, 2, 9, 4], [1, 2, 9, 4], [20, 2, 29, 4]])
    expect_kept(student, boxes[:2], torch.tensor([-3.0, -2]), 0.0, [1], causes={})
    expect_kept(student, boxes[1:], torch.tensor([-3.0, -2]), 0.0, [1, 0], causes={})


def test_nms_gives_int64_of_one_dimension(student: Student) -> None:
    """(K,) int64 on the device of the boxes: what indexing with it expects."""
    boxes = torch.tensor([[0.0, 0, 4, 2], [9, 9, 12, 11], [0, 0, 4, 2.5]])
    got = student.common.nms(
        boxes.to(student.device, copy=True),
        torch.tensor([0.7, 0.2, 0.9], device=student.device),
        0.5,
    )
    got_here = expect_tensor(got, NMS, shape=(2,), dtype=torch.int64)
    expect_equal(got.device.type, student.device.type, "device of the result of nms")
    expect_equal(got_here.tolist(), [2, 1], NMS)


def test_nms_has_a_threshold_of_one_half_by_default(student: Student) -> None:
    """Without a threshold 0.5 is meant; it can be given by name."""
    boxes = torch.tensor([[0.0, 0, 10, 2], [0, 0, 10, 3], [4, 0, 14, 3]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    given = boxes.to(student.device, copy=True), scores.to(student.device, copy=True)
    expect_equal(expect_indices(student.common.nms(*given), NMS, 3), [0, 2], NMS)
    kept = expect_indices(student.common.nms(*given, iou_threshold=0.9), NMS, 3)
    expect_equal(kept, [0, 1, 2], f"{NMS} with iou_threshold=0.9")


def test_nms_with_negative_scores(student: Student) -> None:
    """Scores are any real numbers; only their order counts."""
    boxes = torch.tensor([[0.0, 0, 8, 2], [20, 0, 25, 2], [0, 0, 8, 2.5]])
    scores = torch.tensor([-5.0, -0.5, -9.0])
    usual = partial(expect_kept, student, boxes, _ranks(scores), 0.5, [1, 0], causes={})
    with expect_as_usual(ONLY_THE_ORDER, usual):
        expect_kept(student, boxes, scores, 0.5, [1, 0], causes={})
    boxes = torch.tensor([[20.0 * place, 0, 20 * place + 9, 2] for place in range(6)])
    scores = torch.tensor([-3e30, 60, -2e9, 3e30, 50, -1e5])
    causes: Mistakes = {
        "scores go through a sigmoid, where large ones become equal": lambda: (
            scores.sigmoid().argsort(descending=True, stable=True).tolist()
        )
    }
    right = [3, 1, 4, 5, 2, 0]
    usual = partial(expect_kept, student, boxes, _ranks(scores), 0.5, right, causes={})
    with expect_as_usual(ONLY_THE_ORDER, usual):
        expect_kept(student, boxes, scores, 0.5, right, causes=causes)


def test_nms_of_float64_boxes_far_from_the_origin(student: Student) -> None:
    """2^27 pixels away float32 has steps of 16; float64 still tells boxes apart."""
    boxes = torch.tensor(
        [[0, 0, 4, 2], [3, 0, 7, 2], [0, 0, 4, 3]], dtype=torch.float64
    )
    scores = torch.tensor([0.9, 0.8, 0.7], dtype=torch.float64)
    causes: Mistakes = {
        "float64 is rounded to float32": lambda: [0, 1, 2],
        "float64 is rounded to float32, where boxes fall together": lambda: [0],
    }
    expect_kept(student, boxes, scores, 0.5, [0, 1])  # near the origin it is right
    expect_kept(student, boxes + 2.0**27, scores, 0.5, [0, 1], causes=causes)
    scores = torch.tensor([0.7, 0.8, 0.7 + 1e-12], dtype=torch.float64)
    causes = {"float64 scores are rounded to float32": lambda: [1, 0]}
    expect_kept(student, boxes + 2.0**27, scores, 0.5, [1, 2], causes=causes)


def test_nms_of_boxes_without_area_ends(student: Student) -> None:
    """Twins without any area do not loop for ever, and drop no other box."""
    boxes = torch.tensor([[3.0, 1, 3, 7], [3, 1, 3, 7], [0, 0, 8, 9], [5, 5, 5, 5]])
    scores = torch.tensor([0.8, 0.7, 0.6, 0.9])
    cause = "boxes without area divide by zero"
    with expect_runs(NMS, cause, lambda: _nms_of_two(student), ("ZeroDivisionError",)):
        got = student.common.nms(
            boxes.to(student.device, copy=True),
            scores.to(student.device, copy=True),
            0.5,
        )
    kept = expect_indices(got, NMS, len(boxes))
    # Those without area may stay or go.
    with_area = [index for index in kept if index == 2]
    expect_equal(with_area, [2], f"{NMS}: times that the box with an area is kept")
    expect_true(len(set(kept)) == len(kept), NMS, "a box is kept twice")


def test_nms_of_equal_scores_ends(student: Student) -> None:
    """Where all scores are equal each place keeps one box, whichever."""
    boxes = torch.tensor([[0.0, 0, 8, 2], [20, 0, 25, 2], [0, 0, 8, 2], [0, 0, 8, 2]])
    got = student.common.nms(
        boxes.to(student.device, copy=True),
        torch.full((4,), 0.5, device=student.device),
        0.5,
    )
    kept = expect_indices(got, NMS, len(boxes))
    # one of the three equal boxes, and the one elsewhere
    places = ["elsewhere" if index == 1 else "here" for index in kept]
    expect_equal(
        sorted(places), ["elsewhere", "here"], f"{NMS} of equal scores: places kept"
    )


def test_nms_leaves_its_inputs_alone(student: Student) -> None:
    """Neither boxes nor scores change, and the right ones are kept."""
    boxes = give(student, spread_boxes(30, 40, 30))
    scores = give(student, spread(30, start=9))
    right = plain_nms(boxes.tolist(), scores.tolist(), 0.5)

    def check(got: Any) -> None:
        expect_equal(expect_indices(got, NMS, 30), right, NMS)

    call = student.common.nms
    expect_inputs_kept(student, NMS, call, boxes, scores, 0.5, check=check)


def test_nms_is_not_slow(student: Student) -> None:
    """2,000 boxes take no longer than a plain Python loop that knows no torch."""
    # What is far too slow already for a few boxes need not go on to many.
    for count, slower_by in ((TRIED_BOXES, FAR_SLOWER_BY), (TIMED_BOXES, SLOWER_BY)):
        boxes = spread_boxes(count, 300, 200)
        scores = spread(count, start=31)
        given = give(student, boxes), give(student, scores)
        # The first half is a quarter of the pairs.
        half = boxes[::2].tolist(), scores[::2].tolist()
        slow_seconds = seconds_of_loop(
            partial(plain_nms, *half, TIMED_THRESHOLD), share=0.25
        )
        # No two of these scores are equal, and no overlap is near the threshold, so
        # that torchvision is right for float32 too.
        right = ops.nms(boxes, scores, TIMED_THRESHOLD).tolist()

        def check(got: Any, right: list[int] = right, count: int = count) -> None:
            kept = expect_indices(got, NMS, count)
            expect_equal(kept[:9], right[:9], f"{NMS} of {count} boxes: the first")
            expect_true(kept == right, NMS, f"{count} boxes: wrong further on")

        expect_faster(
            partial(student.common.nms, *given, TIMED_THRESHOLD),
            check,
            slower_by * slow_seconds,
            NMS,
            PYTHON_LOOP,
            few=partial(
                student.common.nms, given[0][:5], given[1][:5], TIMED_THRESHOLD
            ),
        )


def test_class_spec_nms_keeps_classes_apart(student: Student) -> None:
    """The same place may hold a cat and a dog, but not two cats."""
    boxes = torch.tensor([[0.0, 0, 9, 4], [0, 0, 9, 4], [1, 0, 9, 4]])
    got = student.common.class_spec_nms(
        boxes.to(student.device, copy=True),
        torch.tensor([0.5, 0.9, 0.7], device=student.device),
        torch.tensor([0, 3, 3], device=student.device),
        0.5,
    )
    expect_equal(expect_indices(got, "class_spec_nms", 3), [1, 0], "class_spec_nms")
