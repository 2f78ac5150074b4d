"""Step 7: the losses that FCOS returns while it trains."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch

from grader_tests.detector_parts import (
    GT_BOXES,
    LOSSES,
    NORMALIZER_START,
    NUM_CLASSES,
    PADDING,
    Predictions,
    batch_losses,
    batch_targets,
    check_losses,
    constant_head,
    losses_of,
    make_fcos,
    make_images,
    method,
    predict,
    updated_normalizer,
)
from grader_tests.oracles.plain_targets import Targets, plain_locations
from grader_tests.references import load_cases
from grader_tests.tools import expect_inputs_kept, give, spread
from grader_tests.training_mistakes import NEAR, WITH_BOX_ONLY, Losses, expect_loss
from helpers.checks.expect import expect_close, expect_runs, expect_true
from helpers.checks.student import Student

Levels = dict[str, torch.Tensor]
NOT_GIVEN = (
    "a level is asked for that the dicts do not have; go through those they have"
)
TARGETS_KEPT = "the targets are those of an earlier batch; keep nothing between calls"
JOINED_BY_PLACE = (
    "predictions are joined in the order of their dict; take that of the locations"
)
LIMITS = (5, 10, 20, 50, 100, 200, 500, 1000)


def _check_of_a_batch(student: Student, name: str) -> None:
    """One loss, worked out from what the student's head predicts for the batch."""
    fcos, images = make_fcos(student), make_images(student)
    predictions = predict(fcos, images)
    targets, swapped = batch_targets(GT_BOXES), batch_targets(GT_BOXES, swapped=True)
    losses = losses_of(fcos, images, GT_BOXES)
    expect_loss(name, losses, predictions, targets, swapped)


def test_loss_cls_of_a_batch(student: Student) -> None:
    """Focal loss of all locations of two images / (normalizer * B)."""
    _check_of_a_batch(student, "loss_cls")


def test_loss_box_of_a_batch(student: Student) -> None:
    """0.25 * L1 of the foreground of two images / (normalizer * B)."""
    _check_of_a_batch(student, "loss_box")


def test_loss_ctr_of_a_batch(student: Student) -> None:
    """Cross-entropy of the foreground's centerness / (normalizer * B)."""
    _check_of_a_batch(student, "loss_ctr")


def test_losses_of_an_image_of_odd_size(student: Student) -> None:
    """70 x 101 pixels, where no stride fits."""
    height, width = 70, 101
    fcos, images = make_fcos(student), make_images(student, height, width)
    predictions = predict(fcos, images)
    targets = batch_targets(GT_BOXES, height, width)
    swapped = batch_targets(GT_BOXES, height, width, swapped=True)
    losses = losses_of(fcos, images, GT_BOXES)
    for name in LOSSES:
        expect_loss(name, losses, predictions, targets, swapped)


def test_first_losses_of_constant_answers(student: Student) -> None:
    """All outputs 0: p = 0.5 everywhere, so the losses follow from the targets."""
    fcos, images = make_fcos(student), make_images(student)
    zeros = {"pred_cls": [0.0] * NUM_CLASSES, "pred_box": [0.0] * 4, "pred_ctr": [0.0]}
    constant_head(student, fcos, zeros)
    classes, deltas, _ = batch_targets(GT_BOXES)
    losses = losses_of(fcos, images, GT_BOXES)
    is_foreground = classes >= 0
    foreground, locations = int(is_foreground.sum()), classes.numel()
    yes, no = 0.0625 * math.log(2), 0.1875 * math.log(2)
    sums = {
        "loss_cls": NUM_CLASSES * no * locations + (yes - no) * foreground,
        "loss_box": float(deltas[is_foreground].sum()) / 4,
        "loss_ctr": math.log(2) * foreground,
    }
    divisor = 2 * updated_normalizer(classes)
    for name, total in sums.items():
        wrong = {
            "the normalizer is updated after it divides": 2 * NORMALIZER_START,
            "not divided by the number of images": divisor / 2,
            f"{WITH_BOX_ONLY}, in the losses": divisor / 2,  # one of the two
        }
        expect_close(
            losses[name],
            torch.tensor(total / divisor),
            f"{name} of zero outputs",
            causes={
                cause: torch.tensor(total / divisor) for cause, divisor in wrong.items()
            },
            atol=0,
            rtol=NEAR,
            check_dtype=False,
        )


def test_second_losses_follow_the_normalizer(student: Student) -> None:
    """The same batch again: the same sums, divided by a smaller normalizer."""
    fcos, images = make_fcos(student), make_images(student)
    predictions, targets = predict(fcos, images), batch_targets(GT_BOXES)
    classes = targets.classes
    first = losses_of(fcos, images, GT_BOXES)
    _expect_losses(first, batch_losses(predictions, targets), "a batch")
    second = losses_of(fcos, images, GT_BOXES)
    before = updated_normalizer(classes)
    after = updated_normalizer(classes, before)
    for name in LOSSES:
        expect_close(
            second[name],
            first[name].double() * before / after,
            f"{name} of the same batch again",
            causes={
                "the normalizer is updated after it divides": first[name].double()
                * NORMALIZER_START
                / before,
                "the normalizer stays as it is": first[name],
            },
            atol=0,
            rtol=NEAR,
            check_dtype=False,
        )


def test_training_losses_equal_a_slow_loop(student: Student) -> None:
    """Given predictions for three images: the three losses and the new normalizer."""
    locations, raw, gt_boxes, right = _stored()
    fcos = student.make_detector(4, 8, [8, 8])

    def check(answer: Any) -> None:
        for name in LOSSES:
            expect_loss(name, check_losses(answer), raw, right)

    call = method(fcos, "training_losses")
    given = _given(student, locations, raw, gt_boxes)
    outputs = given[1]
    without_one = {level: values[..., 0] for level, values in outputs[2].items()}
    with expect_runs(
        "FCOS.training_losses",
        "centerness logits (B, N, 1) meet targets (B, N)",
        lambda: call(given[0], [*outputs[:2], without_one], given[2]),
    ):
        expect_inputs_kept(student, "FCOS.training_losses", call, *given, check=check)


def _stored() -> tuple[Levels, Predictions, torch.Tensor, Targets]:
    """Locations, predictions and boxes of three images, and their targets."""
    cases = load_cases("step7", "training_losses")
    stored = load_cases("step7", "make_targets")
    batch = stored["batch"]
    right = Targets(batch["classes"], batch["deltas"], batch["centerness"])
    raw: Predictions = [cases[name] for name in ("cls", "box", "ctr")]
    return stored["locations"], raw, batch["gt_boxes"], right


def _given(
    student: Student, locations: Levels, raw: Predictions, gt_boxes: torch.Tensor
) -> tuple[Levels, list[Levels], torch.Tensor]:
    """The same as the student's code gets it, without levels that have no location."""
    places, *predictions = (
        {level: give(student, values[level]) for level in values if level in locations}
        for values in (locations, *raw)
    )
    return places, predictions, give(student, gt_boxes)


def _turned(targets: Targets) -> Targets:
    """The targets of the images from the last to the first."""
    return Targets(*(part.flip(0) for part in targets))


def _part(targets: Targets, image: int, first: int) -> Targets:
    """The targets of one image, from a location on."""
    return Targets(*(part[image : image + 1, first:] for part in targets))


def test_training_losses_step_by_step(student: Student) -> None:
    """One detector, batch after batch: other boxes, far off, one image, few levels.

    Predictions are dicts: at last they come in another order than the locations.
    """
    locations, raw, gt_boxes, right = _stored()
    training_losses = method(student.make_detector(4, 8, [8, 8]), "training_losses")
    far_off: Predictions = [
        {level: 1000 * values for level, values in output.items()} for output in raw
    ]
    coarse = {level: locations[level] for level in ("p4", "p5")}
    last: Predictions = [
        {level: output[level][2:] for level in coarse} for output in raw
    ]
    fine = len(locations["p3"])
    of_one: Predictions = [
        {level: values[2:] for level, values in output.items()} for output in raw
    ]
    found: list[torch.Tensor] = []
    expected: list[torch.Tensor] = []
    normalizer = NORMALIZER_START

    def losses_for(
        outputs: Predictions, targets: Targets, most: float = math.inf
    ) -> torch.Tensor:
        losses = batch_losses(outputs, targets, normalizer=normalizer, most=most)
        return torch.stack([losses[name] for name in LOSSES])

    def check(
        places: Levels,
        outputs: Predictions,
        boxes: torch.Tensor,
        targets: Targets,
        causes: Mapping[str, Callable[[], torch.Tensor]] | None = None,
    ) -> None:
        """One batch, in a table with those before it."""
        nonlocal normalizer
        losses = check_losses(training_losses(*_given(student, places, outputs, boxes)))
        found.append(torch.stack([losses[name].double() for name in LOSSES]))
        normalizer = updated_normalizer(targets.classes, normalizer)
        before = [*expected]
        expected.append(losses_for(outputs, targets))
        expect_close(
            torch.stack(found),
            torch.stack(expected),
            "the losses of FCOS, batch after batch",
            names=",".join(LOSSES),
            place="batch",
            causes={
                cause: partial(_table, before, wrong)
                for cause, wrong in (causes or {}).items()
            },
            atol=0,
            rtol=NEAR,
        )

    def usual() -> None:
        training_losses(*_given(student, locations, raw, gt_boxes))

    def usual_of_one() -> None:
        training_losses(*_given(student, locations, of_one, gt_boxes[2:]))

    check(locations, raw, gt_boxes, right)
    causes = {TARGETS_KEPT: lambda: losses_for(raw, right)}
    check(locations, raw, gt_boxes.flip(0), _turned(right), causes)
    causes = {
        **{
            f"predictions end at {limit}; they have no limit": partial(
                lambda limit: losses_for(_clamped(far_off, limit), right), limit
            )
            for limit in LIMITS
        },
        **{
            f"the loss of a location ends at {limit}; it has no limit": partial(
                losses_for, far_off, right, limit
            )
            for limit in LIMITS
        },
    }
    check(locations, far_off, gt_boxes, right, causes)
    what = "FCOS.training_losses of one image"
    causes = {
        "divided by the number of images of an earlier batch": lambda: (
            losses_for(of_one, _part(right, 2, 0)) / len(gt_boxes)
        )
    }
    with expect_runs(what, "a batch of a single image crashes", usual):
        check(locations, of_one, gt_boxes[2:], _part(right, 2, 0), causes)
    with expect_runs(what, NOT_GIVEN, usual_of_one, ("KeyError",)):
        check(coarse, last, gt_boxes[2:], _part(right, 2, fine))
    turned: Predictions = [dict(reversed(output.items())) for output in raw]
    causes = {JOINED_BY_PLACE: lambda: losses_for(_renamed(turned, locations), right)}
    check(locations, turned, gt_boxes, right, causes)


def _renamed(outputs: Predictions, names: Iterable[str]) -> Predictions:
    """Each level's values under the name that stands at its place."""
    return [dict(zip(names, output.values(), strict=True)) for output in outputs]


def _table(
    before: list[torch.Tensor], wrong: Callable[[], torch.Tensor]
) -> torch.Tensor:
    """Batches with right losses, and then a wrong one."""
    return torch.stack([*before, wrong()])


def _clamped(outputs: Predictions, limit: float) -> Predictions:
    return [
        {level: values.clamp(-limit, limit) for level, values in output.items()}
        for output in outputs
    ]


def _expect_losses(losses: Losses, expected: Losses, what: str) -> None:
    for name, right in expected.items():
        expect_close(
            losses[name],
            right,
            f"{name} of {what}",
            atol=0,
            rtol=NEAR,
            check_dtype=False,
        )


def test_training_losses_of_one_class_and_any_normalizer(student: Student) -> None:
    """K = 1, one image, maps of 1x1; the normalizer divides, however small or large."""
    locations = plain_locations(30, 31)
    gt_boxes = torch.tensor([[[2.0, 3, 28, 25, 0]]])
    targets = batch_targets(gt_boxes, 30, 31)

    def of_classes(count: int) -> Predictions:
        return [
            {
                level: spread(1, len(points), channels, low=-2, high=3, start=channels)
                for level, points in locations.items()
            }
            for channels in (count, 4, 1)
        ]

    def usual() -> None:
        two = student.make_detector(2, 8, [8, 8])
        given = _given(student, locations, of_classes(2), gt_boxes)
        method(two, "training_losses")(*given)

    raw, fcos = of_classes(1), student.make_detector(1, 8, [8, 8])
    normalizer = NORMALIZER_START
    sums = batch_losses(raw, targets, normalizer=1.0)
    divisors: list[list[float]] = []
    right: list[list[float]] = []
    few, many = [[0] * 3] * 6 + [[0] * 40], [[5_000], [20_000], [1_000_000]]
    for counts in ([], [], *few, *many):
        for foreground in counts:
            count = torch.tensor(foreground, device=student.device)
            method(fcos, "update_normalizer")(count, 1)
            normalizer = 0.9 * normalizer + 0.1 * foreground
        given = _given(student, locations, raw, gt_boxes)
        with expect_runs("FCOS of one class", "a single class crashes", usual):
            losses = check_losses(method(fcos, "training_losses")(*given))
        normalizer = updated_normalizer(targets.classes, normalizer)
        divisors.append([float(sums[name] / losses[name]) for name in LOSSES])
        right.append([normalizer] * 3)
    expect_close(
        torch.tensor(divisors).double(),
        torch.tensor(right).double(),
        "what the sums of the losses are divided by",
        names=",".join(LOSSES),
        place="batch",
        causes={
            "the normalizer that divides does not change": torch.full(
                (len(right), 3), NORMALIZER_START
            )
        },
        atol=0,
        rtol=NEAR,
    )


def test_losses_without_any_box(student: Student) -> None:
    """Two images of background: classes learn, box and centerness are exactly 0."""
    fcos, images = make_fcos(student), make_images(student)
    none = torch.full((2, 3, 5), -1.0)
    predictions = predict(fcos, images)
    targets = batch_targets(none)
    with expect_runs(
        "FCOS without any box",
        "a batch without any box crashes",
        lambda: losses_of(fcos, images, GT_BOXES),
    ):
        losses = losses_of(fcos, images, none)
    for name in ("loss_box", "loss_ctr"):
        if float(losses[name]) != 0:
            expect_loss(name, losses, predictions, targets)
        message = f"is {float(losses[name]):.6g} for a batch without any box, not 0"
        expect_true(float(losses[name]) == 0, name, message)
    expect_loss("loss_cls", losses, predictions, targets)


def test_padding_rows_do_not_change_the_losses(student: Student) -> None:
    """The same boxes with more rows of -1 in front and behind."""
    images = make_images(student)
    right = batch_losses(predict(make_fcos(student), images), batch_targets(GT_BOXES))
    losses = []
    padding = torch.tensor(PADDING).expand(2, 3, 5)
    for gt_boxes in (GT_BOXES, torch.cat((padding, GT_BOXES, padding), dim=1)):
        losses.append(losses_of(make_fcos(student), images, gt_boxes))
        _expect_losses(losses[0], right, "a batch")
    for name in LOSSES:
        expect_close(losses[1][name], losses[0][name], f"{name} with padding")


def _constant_answers(student: Student) -> Any:
    """A detector that answers the same everywhere, whatever the image."""
    fcos = make_fcos(student)
    answers = {
        "pred_cls": [0.5, -1.0, 0.25],
        "pred_box": [1.0, 0.5, 2.0, 1.5],
        "pred_ctr": [0.75],
    }
    constant_head(student, fcos, answers)
    return fcos


def test_losses_of_a_batch_are_those_of_its_single_images(student: Student) -> None:
    """Sum of a batch = sum of its images; the normalizer is worked out of it."""
    images = make_images(student)
    # Two equal images are a batch of one image, with batch norm as well.
    sums = dict.fromkeys(LOSSES, 0.0)
    for number in (0, 1):
        boxes = GT_BOXES[[number, number]]
        normalizer = updated_normalizer(batch_targets(boxes).classes)
        losses = losses_of(_constant_answers(student), images, boxes)
        for name in LOSSES:
            sums[name] += float(losses[name]) * normalizer
    targets = batch_targets(GT_BOXES)
    normalizer = updated_normalizer(targets.classes)
    fcos = _constant_answers(student)
    right = batch_losses(predict(fcos, images), targets)
    together = losses_of(fcos, images, GT_BOXES)
    _expect_losses(together, right, "a batch of two")
    for name in LOSSES:
        expect_close(
            together[name],
            torch.tensor(sums[name] / normalizer / 2),
            f"{name} of a batch of two",
            atol=0,
            rtol=NEAR,
            check_dtype=False,
        )
