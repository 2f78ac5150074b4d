"""The indices that nms keeps, held against those that known mistakes would keep."""

from collections.abc import Callable
from functools import partial

import torch

from grader_tests.oracles.plain_detect import Box, plain_iou, plain_nms
from helpers.checks.answers import expect_indices
from helpers.checks.expect import (
    CheckError,
    any_of,
)
from helpers.checks.student import Student

NMS = "nms"
UNSORTED = "the result is not in the order of decreasing scores"
UNSORTED_INPUT = "boxes are taken in the order given, not by score"
PLUS_ONE = "areas count pixels: +1 in width and height"
ALL_KEPT = "every box is kept"

Mistakes = dict[str, Callable[[], list[int]]]


def _mistakes(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> Mistakes:
    """Known mistake -> the indices that it gives."""
    rows, numbers = boxes.tolist(), scores.tolist()
    by_score = sorted(range(len(rows)), key=lambda i: -numbers[i])
    right = partial(plain_nms, rows, numbers, threshold)

    def by_overlap_with_smaller(a: Box, b: Box) -> float:
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
        return width * height / min(areas) if min(areas) > 0 else 0.0

    def suppressed_suppress() -> list[int]:
        return [
            i
            for place, i in enumerate(by_score)
            if all(plain_iou(rows[i], rows[j]) <= threshold for j in by_score[:place])
        ]

    return {
        UNSORTED: lambda: sorted(right()),
        "lowest score first": lambda: plain_nms(
            rows, [-number for number in numbers], threshold
        ),
        "increasing scores, not decreasing": lambda: right()[::-1],
        UNSORTED_INPUT: lambda: plain_nms(
            rows, [-i for i in range(len(rows))], threshold
        ),
        "places in the sorted list instead of indices of boxes": lambda: [
            by_score.index(i) for i in right()
        ],
        "boxes that were dropped still drop others": suppressed_suppress,
        ALL_KEPT: lambda: by_score,
        "only the best box is kept": lambda: by_score[:1],
        PLUS_ONE: lambda: plain_nms(
            rows, numbers, threshold, partial(plain_iou, plus=1.0)
        ),
        "the intersection is divided by the smaller area": lambda: plain_nms(
            rows, numbers, threshold, by_overlap_with_smaller
        ),
        "what overlaps little is dropped instead of what overlaps much": lambda: (
            plain_nms(rows, numbers, -threshold, lambda a, b: -plain_iou(a, b))
        ),
    }


def expect_kept(
    student: Student,
    boxes: torch.Tensor,
    scores: torch.Tensor,
    threshold: float,
    expected: list[int],
    *,
    causes: Mistakes | None = None,
) -> None:
    """The student's indices for these boxes are the expected ones, in their order."""
    got = student.common.nms(
        boxes.to(student.device, copy=True),
        scores.to(student.device, copy=True),
        threshold,
    )
    if isinstance(got, list):
        raise CheckError("wrong type", NMS, "expected a tensor, got list")
    kept = expect_indices(got, NMS, len(boxes))
    if kept == expected:
        return
    if causes is None:
        causes = _mistakes(boxes, scores, threshold)
    cause = any_of(cause for cause, wrong in causes.items() if wrong() == kept)
    raise CheckError(
        "wrong value",
        NMS,
        f"of {len(boxes)} boxes expected {_short(expected)}, got {_short(kept)}",
        cause,
    )


def _short(kept: list[int]) -> str:
    return f"{kept}" if len(kept) < 9 else f"{len(kept)} starting with {kept[:5]}"
