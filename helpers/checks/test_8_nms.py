"""Visible checks of step 8: non-maximum suppression."""

from typing import Any

import torch

from helpers.checks.again import KEPT
from helpers.checks.answers import expect_indices
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_equal, expect_tensor
from helpers.checks.inputs import tensor

# Areas 100, 100, 75 and 100. The second overlaps the first by 80 of 120, and the third
# by 75 of 100; the first and the third overlap by 55 of 120; the fourth lies apart.
BOXES = [[0.0, 0, 10, 10], [2.0, 0, 12, 10], [4.5, 0, 12, 10], [30.0, 40, 50, 45]]
SCORES = [0.7, 0.9, 0.6, 0.8]


def kept(
    student: Any, boxes: Any, scores: Any, threshold: float, what: str
) -> list[int]:
    """What the student keeps, as a list."""
    got = student.common.nms(tensor(student, boxes), tensor(student, scores), threshold)
    return expect_indices(got, what, len(boxes))


@exercise("8.1")
def test_nms_by_hand(student: Any) -> None:
    """The best box suppresses those that overlap it by more than the threshold."""
    what = "nms of four boxes, scores 0.7, 0.9, 0.6, 0.8, threshold 0.5"
    got = kept(student, BOXES, SCORES, 0.5, what)
    causes: dict[tuple[int, ...], str] = {
        (1, 3, 0, 2): "nothing is suppressed",
        (0, 1, 2, 3): "nothing is suppressed, and the order is that of the input",
        (3, 1): "the order of the result must be that of the scores, best first",
        (0, 2, 3): "boxes are taken in the order of the input, not of the scores",
        (3, 0, 2): "boxes are taken in the order of the input, not of the scores",
        (2, 0, 3): "the worst box is taken first; sort by decreasing score",
        (1,): "only the best box is kept; go on with the rest",
        (0, 1): "places in the sorted list are returned, not indices of the input",
    }
    expect_equal(got, [1, 3], what, causes.get(tuple(got)))
    what = "nms of the same boxes from the last to the first"
    again = kept(student, BOXES[::-1], SCORES[::-1], 0.5, what)
    expect_equal(again, [2, 0], what, KEPT if again == got else None)


@exercise("8.1")
def test_nms_keeps_what_overlaps_by_exactly_the_threshold(student: Any) -> None:
    """IoU above the threshold is dropped; equal is kept, at 0 and 1 too."""
    boxes = [[0.0, 0, 8, 4], [0.0, 0, 4, 4], [0.0, 0, 8, 3]]  # IoU 0.5 and 0.75
    scores = [0.9, 0.8, 0.7]
    what = "nms with overlaps of 0.5 and 0.75, threshold 0.5"
    got = kept(student, boxes, scores, 0.5, what)
    cause = "nothing is suppressed" if got == [0, 1, 2] else None
    # A hair above the overlap the box stays, even where equal ones are dropped.
    if got == [0] and kept(student, boxes, scores, 0.5001, what) == [0, 1]:
        cause = "a box that overlaps by exactly the threshold must stay (> and not >=)"
    elif got == [0]:  # with 1 added, (4 + 1) * (4 + 1) of (8 + 1) * (4 + 1): 0.5556
        near = [kept(student, boxes, scores, limit, what) for limit in (0.555, 0.556)]
        if near == [[0], [0, 1]]:
            cause = "1 is added to widths and heights"
    expect_equal(got, [0, 1], what, cause)
    # The second touches the first, the third covers a little of it.
    boxes = [[0.0, 0, 8, 4], [8.0, 0, 16, 4], [0.0, 3, 8, 7], [0.0, 0, 8, 4]]
    for threshold, right in ((0.0, [0, 1]), (1.0, [0, 1, 2, 3])):
        what = f"nms of boxes that touch and a twin, threshold {threshold:g}"
        got = kept(student, boxes, [0.9, 0.8, 0.7, 0.6], threshold, what)
        expect_equal(got, right, what)


@exercise("8.1")
def test_nms_suppressed_box_suppresses_nothing(student: Any) -> None:
    """A chain: the second is dropped, so it cannot drop the third; beyond 0, too."""
    boxes = [[0.0, 0, 10, 5], [3.0, 0, 13, 5], [6.0, 0, 16, 5]]  # neighbours: 7 / 13
    boxes.append([40.0, 0, 50, 5])  # and one that lies apart
    what = "nms of a chain of three boxes and a fourth, threshold 0.5"
    got = kept(student, boxes, [0.9, 0.8, 0.7, 0.6], 0.5, what)
    causes = {
        (0, 3): "a box that is dropped already goes on to suppress others",
        (0, 1, 2, 3): "nothing is suppressed",
        (0,): "only the best box is kept; go on with the rest",
    }
    expect_equal(got, [0, 2, 3], what, causes.get(tuple(got)))
    outside = [[x1 - 14, y1, x2 - 14, y2] for x1, y1, x2, y2 in boxes[:3]]
    what = "nms of the first three, partly left of the image"
    got = kept(student, outside, [90.0, 80, -7e4], 0.5, what)
    expect_equal(got, [0, 2], what)


@exercise("8.1")
def test_nms_of_many_boxes(student: Any) -> None:
    """The handout's comparison with torchvision, with 400 boxes."""
    # Here and not above: it takes as long as torch, and all checks would wait for it.
    from torchvision.ops import nms as published_nms

    generator = torch.Generator().manual_seed(0)
    corner = (100 * torch.rand(400, 2, generator=generator)).round()
    size = (40 * torch.rand(400, 2, generator=generator)).round() + 1
    boxes = torch.cat((corner, corner + size), dim=1)
    scores = torch.randperm(400, generator=generator) / 400  # no two are equal
    # No overlap of boxes with whole numbers is just one of these thresholds.
    for threshold in (0.30001, 0.70001):
        what = f"nms of 400 boxes, threshold {threshold}"
        got = kept(student, boxes.tolist(), scores.tolist(), threshold, what)
        right = published_nms(boxes, scores, threshold).tolist()
        cause = None
        if sorted(got) == sorted(right):
            cause = "the order of the result must be that of the scores, best first"
        elif len(got) == len(boxes):
            cause = "nothing is suppressed"
        expect_equal(got, right, what, cause)
    # Boxes apart from each other, half a pixel wide: all are kept, best first.
    places = [[8.0 * column, 4.0 * row] for row in range(30) for column in range(40)]
    apart = [[x, y, x + 0.5, y + 0.5] for x, y in places]
    ranks = [float(number * 577 % 1200) for number in range(1200)]
    what = "nms of 1,200 small boxes apart from each other"
    got = kept(student, apart, ranks, 0.5, what)
    expect_equal(len(got), 1200, f"{what}: number of boxes")
    expect_equal(got, sorted(range(1200), key=lambda i: -ranks[i]), what)


@exercise("8.1")
def test_nms_without_any_box(student: Any) -> None:
    """No box in, no index out."""
    got = student.common.nms(
        torch.zeros(0, 4, device=student.device),
        torch.zeros(0, device=student.device),
        0.5,
    )
    expect_tensor(got, "nms without any box", shape=(0,), dtype=torch.int64)
