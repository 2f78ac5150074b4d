"""Step 7: the targets of a batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from grader_tests.detector_parts import (
    method,
)
from grader_tests.oracles.plain_targets import (
    STRIDES,
    Targets,
    level_shapes,
    plain_locations,
    plain_targets,
    stack_targets,
)
from grader_tests.references import load_cases
from grader_tests.tools import expect_inputs_kept, give, spread_boxes
from helpers.checks.again import Case, expect_own_answers
from helpers.checks.expect import (
    CheckError,
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
)
from helpers.checks.student import Student

TARGETS = "FCOS.make_targets"
SOME = 3  # different numbers; fewer may be cut by chance
HELD = "the deltas of a large box end at a limit; nothing asks for one"
REPEATED = "an image without boxes repeats the first image"
AFTER_PADDING = "boxes after a row of padding are lost; padding may stand anywhere"
NAMES_BUILT_IN = "the names of the levels are built in; take those that are given"
BY_PLACE = "two levels alone get other targets than among three; go by their names"
ONE_PLACE = "a level of one location loses a dimension; squeeze nothing"
ONE_ROW = "an image with one row of boxes loses a dimension; squeeze nothing"
ONE_AREA = "of boxes with one area the first is taken; leave the rows in their order"
BEYOND = "boxes that reach below 0 are changed; they may reach beyond the image"
LARGE_CLASSES = "large class numbers are changed; keep them as they are"
MANY = "a few boxes get the right targets, and many in one image do not"


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


def _is_right(right: Targets, what: str = TARGETS) -> Callable[[Any], None]:
    """What raises a CheckError unless an answer is these targets."""

    def check(answer: Any) -> None:
        parts = _targets(answer, *right.classes.shape)
        for name, got, expected in zip(Targets._fields, parts, right, strict=True):
            causes = {}
            above = expected[expected > got.max()] if got.numel() else expected
            if name == "deltas" and len(above.unique()) >= SOME:
                causes[HELD] = expected.clamp(max=float(got.max()))
            expect_close(
                got, expected, f"{name} of {what}", causes=causes, check_dtype=False
            )

    return check


def _case(
    student: Student, locations: dict[str, torch.Tensor], gt_boxes: torch.Tensor
) -> Case:
    """Arguments of make_targets, and the check of its answer against the loop."""
    right = stack_targets([plain_targets(locations, rows) for rows in gt_boxes])
    given = {level: give(student, points) for level, points in locations.items()}
    return (given, give(student, gt_boxes)), _is_right(right)


def test_make_targets_equals_a_slow_loop(student: Student) -> None:
    """Three images, then others of the same size, and fewer levels."""
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
            REPEATED: expected["classes"][[0, 0, 2]],
            AFTER_PADDING: torch.stack(  # of the third image, whose first row it is
                (*expected["classes"][:2], torch.full((count,), -1.0))
            ),
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
    turned = plain_locations(200, 136)  # as many locations, in other places
    two_levels = {level: own[level] for level in ("p4", "p5")}
    make_targets = method(fcos, "make_targets")
    usual, (fewer, check) = (
        _case(student, levels, boxes) for levels in (own, two_levels)
    )

    def is_usual() -> None:
        usual[1](make_targets(*usual[0]))

    def check_fewer(answer: Any) -> None:
        with expect_as_usual(BY_PLACE, is_usual):
            check(answer)

    with expect_runs(TARGETS, NAMES_BUILT_IN, is_usual, ("KeyError",)):
        expect_own_answers(
            make_targets,
            usual,
            _case(student, own, boxes.flip(0)),
            _case(student, turned, boxes),
            (fewer, check_fewer),
        )


def test_make_targets_of_many_boxes(student: Student) -> None:
    """160 boxes of 300 classes at maps of 1x1 and 2x2, many beyond the image."""
    make_targets = method(student.make_detector(300, 8, [8, 8]), "make_targets")
    boxes = (8 * (spread_boxes(160, 300, 260) - 100)).round() / 8
    boxes[0] = torch.tensor([2.0, -3, 19, 20])  # of one area with the last two
    boxes[-1] = boxes[-2] = torch.tensor([1.0, -4, 24, 13])
    rows = torch.cat((boxes, (torch.arange(160.0)[:, None] * 7 + 140) % 300), dim=1)
    large = torch.tensor([[[-900.0, -800, 1000, 1200, 299]]])  # alone in its image
    own = plain_locations(30, 31)

    def is_right(locations: dict[str, torch.Tensor], boxes: torch.Tensor) -> None:
        given, check = _case(student, locations, boxes[None])
        check(make_targets(*given))

    shift = rows[:, :4].amin().floor()
    shifted = {level: points - shift for level, points in own.items()}
    small, of_other_areas = rows.clone(), rows.clone()
    small[:, 4] %= 100
    of_other_areas[-2:, 3] += torch.tensor([0.5, 1.0])
    two_places = own | {"p5": own["p5"].repeat(2, 1)}
    with (
        expect_runs(TARGETS, ONE_PLACE, partial(is_right, two_places, rows)),
        expect_as_usual(MANY, partial(is_right, own, rows[:40])),
        expect_as_usual(LARGE_CLASSES, partial(is_right, own, small)),
        expect_as_usual(
            BEYOND,
            partial(is_right, shifted, rows - shift * torch.tensor([1, 1, 1, 1, 0])),
        ),
        expect_as_usual(ONE_AREA, partial(is_right, own, of_other_areas)),
    ):
        is_right(own, rows)
    two_rows = torch.cat((large[0], torch.full((1, 5), -1.0)))
    of_class_9 = large[0].clone()
    of_class_9[:, 4] = 9
    with (
        expect_runs(TARGETS, ONE_ROW, partial(is_right, own, two_rows)),
        expect_as_usual(LARGE_CLASSES, partial(is_right, own, of_class_9)),
    ):
        is_right(own, large[0].double())


def _other_order(per_location: torch.Tensor) -> torch.Tensor:
    """What cat over images inside cat over levels would give, reshaped."""
    sizes = [height * width for height, width in level_shapes(136, 200).values()]
    parts = per_location.split(sizes, dim=1)
    return torch.cat([part.reshape(-1) for part in parts]).reshape(per_location.shape)


def test_make_targets_of_a_batch_equals_its_single_images(student: Student) -> None:
    """An image's targets do not depend on the other images."""
    locations, gt_boxes, expected = _reference(student)
    count = sum(map(len, locations.values()))
    fcos = student.make_detector(4, 8, [8, 8])
    batch = _targets(method(fcos, "make_targets")(locations, gt_boxes[1:]), 2, count)
    classes = expected["classes"][1:]
    expect_close(batch[0], classes, f"classes of {TARGETS}", check_dtype=False)
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
    """(B, 0, 5) boxes, not even padding: all is background; then boxes again."""
    locations, gt_boxes, expected = _reference(student)
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
    right = Targets(*(expected[name] for name in Targets._fields))
    _is_right(right, f"{TARGETS} after it")(make_targets(locations, gt_boxes))


def test_make_targets_leaves_its_inputs_alone(student: Student) -> None:
    """Neither locations nor boxes change."""
    locations, gt_boxes, expected = _reference(student)
    call = method(student.make_detector(4, 8, [8, 8]), "make_targets")
    check = _is_right(Targets(*(expected[name] for name in Targets._fields)))
    expect_inputs_kept(student, TARGETS, call, locations, gt_boxes, check=check)
