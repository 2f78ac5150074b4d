"""Step 7: the targets of a batch."""

from typing import Any

import torch

from grader_tests.detector_parts import (
    method,
)
from grader_tests.oracles.plain_targets import (
    STRIDES,
    level_shapes,
    plain_locations,
    plain_targets,
)
from grader_tests.references import load_cases
from grader_tests.tools import expect_inputs_kept, give
from helpers.checks.expect import (
    CheckError,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
)
from helpers.checks.student import Student

TARGETS = "FCOS.make_targets"


def _reference(student: Student) -> tuple[dict[str, torch.Tensor], Any, Any]:
    """Locations and boxes as the student gets them, and the expected targets."""
    cases = load_cases("step7", "make_targets")
    locations = {level: give(student, cases["locations"][level]) for level in STRIDES}
    return locations, give(student, cases["batch"]["gt_boxes"]), cases["batch"]


def _targets(answer: Any, batch: int, count: int) -> tuple[torch.Tensor, ...]:
    """Classes, deltas, centerness; their number and shapes are checked."""
    if answer is None:
        raise CheckError("not implemented", TARGETS, "returned None")
    expect_equal(len(answer), 3, f"length of what {TARGETS} returns")
    shapes = ((batch, count), (batch, count, 4), (batch, count))
    names = ("classes", "deltas", "centerness")
    return tuple(
        expect_tensor(part, f"{name} of {TARGETS}", shape=shape)
        for part, name, shape in zip(answer, names, shapes, strict=True)
    )


def test_make_targets_equals_a_slow_loop(student: Student) -> None:
    """Three images: with boxes for all levels, with none, with one between padding."""
    locations, gt_boxes, expected = _reference(student)
    count = sum(map(len, locations.values()))
    fcos = student.make_detector(4, 8, [8, 8])
    classes, deltas, centerness = _targets(
        method(fcos, "make_targets")(locations, gt_boxes), 3, count
    )
    expect_close(
        classes,
        expected["classes"],
        f"classes of {TARGETS}",
        check_dtype=False,
        causes={
            "the boxes of the first image for all": expected["classes"][[0, 0, 0]],
            "levels or images in another order": lambda: _other_order(
                expected["classes"]
            ),
        },
    )
    own, boxes = plain_locations(136, 200), expected["gt_boxes"]
    expect_close(
        deltas,
        expected["deltas"],
        f"deltas of {TARGETS}",
        names="l,t,r,b",
        check_dtype=False,
        causes={
            "one stride for all levels": lambda: torch.stack(
                [plain_targets(own, b, stride_of_all=8).deltas for b in boxes]
            ),
            "not divided by the stride": lambda: torch.stack(
                [plain_targets(own, b, stride_of_all=1).deltas for b in boxes]
            ),
        },
    )
    expect_close(
        centerness,
        expected["centerness"],
        f"centerness of {TARGETS}",
        check_dtype=False,
        causes={
            "background has a centerness": lambda: torch.where(
                expected["classes"] < 0, 1.0, expected["centerness"]
            )
        },
    )


def _other_order(per_location: torch.Tensor) -> torch.Tensor:
    """What cat over images inside cat over levels would give, reshaped."""
    sizes = [height * width for height, width in level_shapes(136, 200).values()]
    parts = per_location.split(sizes, dim=1)
    return torch.cat([part.reshape(-1) for part in parts]).reshape(per_location.shape)


def test_make_targets_of_a_batch_equals_its_single_images(student: Student) -> None:
    """An image's targets do not depend on the other images."""
    locations, gt_boxes, _ = _reference(student)
    count = sum(map(len, locations.values()))
    fcos = student.make_detector(4, 8, [8, 8])
    batch = _targets(method(fcos, "make_targets")(locations, gt_boxes[1:]), 2, count)
    for number in (1, 2):
        single = _targets(
            method(fcos, "make_targets")(locations, gt_boxes[number : number + 1]),
            1,
            count,
        )
        for together, alone in zip(batch, single, strict=True):
            expect_close(together[number - 1], alone[0], f"image {number} in a batch")


def test_make_targets_does_not_see_padding(student: Student) -> None:
    """Rows of -1 before, between and after the boxes change nothing."""
    locations, gt_boxes, expected = _reference(student)
    count = sum(map(len, locations.values()))
    boxes = gt_boxes[0, :5]
    padding = torch.full_like(boxes[:1], -1)
    padded = torch.cat((padding, boxes[:2], padding, padding, boxes[2:]))
    fcos = student.make_detector(4, 8, [8, 8])
    classes, deltas, _ = _targets(
        method(fcos, "make_targets")(locations, padded[None]), 1, count
    )
    what = f"{TARGETS} with padding"
    expect_close(classes, expected["classes"][:1], what, check_dtype=False)
    expect_close(deltas, expected["deltas"][:1], what, check_dtype=False)


def test_make_targets_without_any_row(student: Student) -> None:
    """(B, 0, 5) boxes, not even padding: all is background."""
    locations, gt_boxes, _ = _reference(student)
    count = sum(map(len, locations.values()))
    fcos = student.make_detector(4, 8, [8, 8])
    make_targets = method(fcos, "make_targets")
    with expect_runs(
        TARGETS,
        "an image without any row of boxes crashes",
        lambda: make_targets(locations, gt_boxes[:2]),
    ):
        answer = make_targets(locations, gt_boxes[:2, :0])
    for part in _targets(answer, 2, count):
        expect_close(part, torch.full_like(part, -1), f"{TARGETS} without boxes")


def test_make_targets_leaves_its_inputs_alone(student: Student) -> None:
    """Neither locations nor boxes change."""
    locations, gt_boxes, _ = _reference(student)
    fcos = student.make_detector(4, 8, [8, 8])
    expect_inputs_kept(
        student, TARGETS, method(fcos, "make_targets"), locations, gt_boxes
    )
