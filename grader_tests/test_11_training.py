"""Step 11: the losses of a batch, by any version of FCOS."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch

from core.fcos_config import FCOSConfig
from grader_tests.detector_parts import constant_head, make_images, method
from grader_tests.oracles.plain_losses import focal_of_logit
from grader_tests.oracles.plain_matching import (
    CLASS_ZERO,
    FIRST_IMAGE,
    MATCHING,
    matches,
)
from grader_tests.oracles.plain_overlaps import (
    GIOU_LOSS,
    IOU_LOSS,
)
from grader_tests.oracles.plain_training import (
    LOSSES,
    ROWS_COUNTED,
    TRAINING,
    UPDATED_AFTER,
    UPDATED_TWICE,
    WITH_BOX_ONLY,
    Batch,
    training_losses,
)
from grader_tests.oracles.step11 import HEIGHT, WIDTH, all_locations
from grader_tests.targets_parts import (
    PADDING,
    PLAIN,
    VERSIONS,
    changed,
    each_mistake,
    expect_losses,
    give_batch,
    images_of,
    make_published,
    stacked,
    stored_batch,
    strides_of,
)
from grader_tests.tools import expect_dtype, expect_inputs_kept, give, spread
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    Causes,
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_true,
)
from helpers.checks.student import Student

TRAIN = "PublishedFCOS.training_losses"
NEAR = 1e-4  # float32 sums of some hundred numbers, against float64
NO_BOXES = "a batch without any box is not foreseen"
NO_CLAMP = "divided by 0 where no location has a box; divide by 1 at least"
DETACHED = "the predictions are detached"
ONE_IMAGE = "a batch of a single image crashes"
FAR_OFF = "right for small predictions, wrong for large ones; set no limit"
NEGATIVE = "negative predictions are changed before L1; leave them as they are"
TARGETS_KEPT = "the targets are those of an earlier batch; keep nothing between calls"
ZERO_CHANGED = "distances of 0 are changed, or get another loss; leave them as they are"
ONE_CLASS = "a single class crashes"
START = "the running mean does not start at first_divisor"
OTHER_DIVISOR = {
    way: f'divide_by is ignored: it is always "{way}"'
    for way in ("foreground", "per_image", "per_batch")
}
# Of a box loss, whatever its kind.
OTHER_LOSS = {
    kind: f'box_loss is ignored: it is always "{kind}"'
    for kind in ("l1", "iou", "linear_iou", "giou")
}
OF_BOXES = tuple(dict.fromkeys((*IOU_LOSS, *GIOU_LOSS)))


def wrong_losses(
    batch: Batch,
    config: FCOSConfig,
    mean: float | None = None,
    matched: torch.Tensor | None = None,
    mistake: str = "",
) -> torch.Tensor:
    """(3,) float64: what the oracle gives, or a config of which a part is ignored."""
    for way, said in OTHER_DIVISOR.items():
        config = changed(config, divide_by=way) if mistake == said else config
    for kind, said in OTHER_LOSS.items():
        config = changed(config, box_loss=kind) if mistake == said else config
    if mistake == START:
        config = changed(config, first_divisor=150.0)
    found = training_losses(batch, config, mean, matched=matched, mistake=mistake)
    return stacked(found.losses)


def expect_batch(
    answer: Any,
    batch: Batch,
    config: FCOSConfig,
    what: str = TRAIN,
    mistakes: Iterable[str] = (),
    mean: float | None = None,
    more: Causes | None = None,
) -> None:
    """The three losses as the loop says.

    Args:
        mistakes: those that may be named, besides all of a batch's losses.
        mean: the running mean before.
        more: other known mistakes -> their losses.
    """
    matched = matches(batch.locations, batch.strides, batch.gt_boxes, config)
    right = wrong_losses(batch, config, mean, matched)
    found = stacked(expect_losses(answer, what))
    wrong = partial(wrong_losses, batch, config, mean, matched)
    known = (*TRAINING, CLASS_ZERO, FIRST_IMAGE, *OTHER_DIVISOR.values(), *mistakes)
    expect_close(
        found,
        right,
        f"{what}: {', '.join(LOSSES)}",
        causes={**each_mistake(wrong, known), **(more or {})},
        atol=0,
        rtol=NEAR,
    )


def losses_of(student: Student, fcos: Any, batch: Batch) -> Any:
    """What training_losses answers."""
    return method(fcos, "training_losses")(*give_batch(student, batch))


def test_published_losses_without_any_box(student: Student) -> None:
    """No row, or padding only: classes learn "no", the other two losses are 0."""
    batch = stored_batch()
    none = torch.full((3, 2, 5), -1.0, dtype=torch.float64)
    weighed = changed(PLAIN, weigh_boxes=True, box_loss="iou", iou_plus=1.0)
    for config in (PLAIN, weighed):
        fcos = make_published(student, config)
        for rows in (none, none[:, :0]):
            empty = batch._replace(gt_boxes=rows)
            right = training_losses(empty, config).losses["loss_fcos_cls"]
            with expect_runs(TRAIN, NO_BOXES, partial(losses_of, student, fcos, batch)):
                answer = losses_of(student, fcos, empty)
            losses = expect_losses(answer, f"{TRAIN} without boxes")
            expect_close(
                losses["loss_fcos_cls"],
                right,
                f"loss_fcos_cls of {TRAIN} without boxes",
                causes={NO_CLAMP: torch.full((), math.inf)},
                rtol=NEAR,
                check_dtype=False,
            )
            for name in LOSSES[1:]:
                message = "is not 0 without any box"
                expect_true(float(losses[name]) == 0, f"{name} of {TRAIN}", message)


def test_published_losses_of_three_images(student: Student) -> None:
    """Five levels, one image without boxes: three sums, divided by the foreground."""
    batch, config = stored_batch(), changed(PLAIN, loss_unit="pixel")
    answer = losses_of(student, make_published(student, config), batch)
    expect_batch(answer, batch, config, mistakes=(*MATCHING, *OTHER_LOSS.values()))


def test_published_losses_of_every_version(student: Student) -> None:
    """Each preset's targets, losses, units, weights and divisors."""
    for name, config in VERSIONS.items():
        batch = stored_batch(config)
        answer = losses_of(student, make_published(student, config), batch)
        mistakes = (*OTHER_LOSS.values(), *OF_BOXES)
        expect_batch(answer, batch, config, f"{TRAIN} of {name}", mistakes)


def test_published_losses_of_each_box_loss(student: Student) -> None:
    """L1, -ln IoU, 1 - IoU and GIoU, in strides and in pixels, weighed or not."""
    batch = stored_batch()
    for kind, unit, plus, weigh in (
        ("l1", "stride", 0.0, False),
        ("l1", "pixel", 0.0, True),
        ("iou", "stride", 1.0, True),
        ("iou", "pixel", 0.0, False),
        ("linear_iou", "stride", 0.5, False),
        ("giou", "stride", 1.0, True),
        ("giou", "pixel", 0.0, True),
    ):
        config = changed(
            PLAIN, box_loss=kind, loss_unit=unit, iou_plus=plus, weigh_boxes=weigh
        )
        answer = losses_of(student, make_published(student, config), batch)
        what = f"{TRAIN} with {kind} in {unit}s"
        mistakes = (*OTHER_LOSS.values(), *OF_BOXES)
        expect_batch(answer, batch, config, what, mistakes)


def test_published_losses_in_both_units(student: Student) -> None:
    """Predictions in strides or pixels, the loss in strides or pixels: four ways."""
    batch = stored_batch()
    for unit in ("stride", "pixel"):
        for loss_unit in ("stride", "pixel"):
            config = changed(PLAIN, unit=unit, loss_unit=loss_unit, iou_plus=1.0)
            answer = losses_of(student, make_published(student, config), batch)
            what = f"{TRAIN}, predictions in {unit}s, loss in {loss_unit}s"
            expect_batch(answer, batch, config, what)


def test_published_losses_follow_the_divisor(student: Student) -> None:
    """Batch after batch: foreground, or a running mean an image, or one a batch."""
    batch = stored_batch()
    batches = (batch, images_of(batch, [1, 2]), images_of(batch, [0]), batch)
    of_divisors = (
        *(UPDATED_AFTER, UPDATED_TWICE, START, WITH_BOX_ONLY, ROWS_COUNTED),
        *OTHER_DIVISOR.values(),
    )
    for way, start in (
        ("foreground", 150.0),
        ("per_image", 150.0),
        ("per_batch", 300.0),
        ("per_image", 20.0),
        ("per_batch", 1.5),
    ):
        config = changed(PLAIN, divide_by=way, first_divisor=start)
        fcos = make_published(student, config)
        expected = _sequence(batches, config)
        found = [
            stacked(expect_losses(losses_of(student, fcos, own), TRAIN))
            for own in batches
        ]
        causes = {
            cause: partial(_sequence, batches, config, cause) for cause in of_divisors
        }
        expect_close(
            torch.stack(found),
            expected,
            f'{TRAIN} with divide_by "{way}", from {start}',
            names=",".join(LOSSES),
            place="batch",
            causes=causes,
            atol=0,
            rtol=NEAR,
        )


def _sequence(
    batches: Iterable[Batch], config: FCOSConfig, mistake: str = ""
) -> torch.Tensor:
    """The losses of batch after batch, (batches, 3), right or with a known mistake."""
    for way, said in OTHER_DIVISOR.items():
        config = changed(config, divide_by=way) if mistake == said else config
    mean = 150.0 if mistake == START else config.first_divisor
    found = []
    for batch in batches:
        divided = training_losses(batch, config, mean, mistake=mistake)
        mean = divided.mean
        found.append(stacked(divided.losses))
    return torch.stack(found)


def test_published_losses_of_a_batch_are_those_of_its_images(student: Student) -> None:
    """Each image alone, and two in another order; one level has one location."""
    batch = stored_batch()
    fcos = make_published(student, PLAIN)

    def check(chosen: list[int]) -> None:
        own = images_of(batch, chosen)
        expect_batch(losses_of(student, fcos, own), own, PLAIN)

    check([2, 0])
    check([0, 1])
    with expect_runs(TRAIN, ONE_IMAGE, partial(check, [2, 0])):
        check([0])
        check([2])
    check([1])  # without boxes


def test_published_losses_of_class_zero_and_of_one_class(student: Student) -> None:
    """The first class is 0, which is no background; K may be 1."""
    batch = stored_batch()
    zero = torch.where(batch.gt_boxes == -1, -1.0, batch.gt_boxes)
    zero[..., 4] = torch.where(zero[..., 4] == -1, -1.0, 0.0)
    own = batch._replace(gt_boxes=zero)
    expect_batch(losses_of(student, make_published(student, PLAIN), own), own, PLAIN)
    narrow = [
        {level: values[..., :1] for level, values in batch.outputs[0].items()},
        *batch.outputs[1:],
    ]
    one = own._replace(outputs=narrow)
    fcos = make_published(student, PLAIN, num_classes=1)
    usual = partial(
        losses_of, student, make_published(student, PLAIN, num_classes=3), own
    )
    with expect_runs(TRAIN, ONE_CLASS, usual):
        expect_batch(losses_of(student, fcos, one), one, PLAIN)


def test_published_losses_of_any_predictions(student: Student) -> None:
    """Far off, large, exactly right, and other numbers of the same shape and sum."""
    batch = stored_batch()
    config = changed(PLAIN, loss_unit="pixel", box_loss="l1")
    fcos = make_published(student, config)

    def case(outputs: Any, rows: torch.Tensor) -> Any:
        own = batch._replace(outputs=outputs, gt_boxes=rows)
        earlier = own._replace(gt_boxes=batch.gt_boxes)
        more = {TARGETS_KEPT: partial(wrong_losses, earlier, config)}
        check = partial(expect_batch, batch=own, config=config, more=more)
        return give_batch(student, own), check

    turned = [
        {level: values.flip(0) for level, values in output.items()}
        for output in batch.outputs
    ]
    far = [
        {level: 200 * values for level, values in output.items()}
        for output in batch.outputs
    ]
    moved = batch.gt_boxes.clone()
    moved[0, 1, [0, 2]] += 8
    moved[0, 5, [0, 2]] -= 8
    expect_own_answers(
        method(fcos, "training_losses"),
        case(batch.outputs, batch.gt_boxes),
        case(turned, batch.gt_boxes),
        case(batch.outputs, moved),
        case(batch.outputs, batch.gt_boxes.flip(0)),
    )
    own = batch._replace(outputs=far)

    def check(given: Batch) -> None:
        expect_batch(losses_of(student, fcos, given), given, config)

    with expect_as_usual(FAR_OFF, partial(check, batch)):
        check(own)
    negative = [
        batch.outputs[0],
        {level: -values for level, values in batch.outputs[1].items()},
        batch.outputs[2],
    ]
    with expect_as_usual(NEGATIVE, partial(check, batch)):
        check(batch._replace(outputs=negative))


def test_published_losses_of_zero_distances(student: Student) -> None:
    """A head that answers 0 everywhere, as a dead ReLU does: finite, and exact."""
    batch = stored_batch()
    dead = [
        batch.outputs[0],
        {level: torch.zeros_like(values) for level, values in batch.outputs[1].items()},
        batch.outputs[2],
    ]
    own = batch._replace(outputs=dead)
    for config in (PLAIN, changed(VERSIONS["paper2019"], num_levels=5)):
        fcos = make_published(student, config)

        def check(given: Batch, fcos: Any = fcos, config: FCOSConfig = config) -> None:
            what = f"{TRAIN} of distances of 0"
            answer = losses_of(student, fcos, given)
            mistakes = (*OF_BOXES, *OTHER_LOSS.values())
            expect_batch(answer, given, config, what, mistakes)

        with expect_as_usual(ZERO_CHANGED, partial(check, batch)):
            check(own)


def _constant_batch(
    config: FCOSConfig, images: int, answers: dict[str, list[float]], rows: torch.Tensor
) -> Batch:
    """What a head with these biases answers for images of 40 x 72 pixels."""
    strides = strides_of(config)
    places = all_locations(strides)
    outputs = []
    for name in ("pred_cls", "pred_box", "pred_ctr"):
        own = torch.tensor(answers[name], dtype=torch.float64)
        if name == "pred_box" and config.box_output == "exp":
            own = own.exp()
        outputs.append(
            {
                level: own.expand(images, len(points), -1)
                for level, points in places.items()
            }
        )
    return Batch(places, strides, outputs, rows)


def test_published_losses_pull_at_every_predictor(student: Student) -> None:
    """Each loss pulls at its own predictor, as differences of the loop's losses do."""
    rows = torch.tensor(
        [
            [[10.0, 6, 50, 30, 2], [30, 20, 70, 38, 0], PADDING, [1, 2, 71, 39, 1]],
            [PADDING] * 4,
        ],
        dtype=torch.float64,
    )
    answers = {
        "pred_cls": [0.5, -1.0, 0.25],
        "pred_box": [1.0, 0.5, 1.25, 0.75],
        "pred_ctr": [0.75],
    }
    step = 1e-5
    for config in (
        changed(VERSIONS["course"], level_scales=False),
        changed(VERSIONS["a4"], divide_by="foreground"),
        changed(PLAIN, num_levels=3, box_output="exp", loss_unit="pixel"),
    ):
        fcos = make_published(student, config)
        constant_head(student, fcos, answers)
        images = make_images(student, HEIGHT, WIDTH)
        for loss, predictor in zip(LOSSES, answers, strict=True):
            right = []
            for place in range(len(answers[predictor])):
                ends = []
                for sign in (1, -1):
                    own = {name: list(values) for name, values in answers.items()}
                    own[predictor][place] += sign * step
                    batch = _constant_batch(config, 2, own, rows)
                    ends.append(float(training_losses(batch, config).losses[loss]))
                right.append((ends[0] - ends[1]) / (2 * step))
            _, _, gradients = student.gradients(
                fcos,
                images,
                give(student, rows),
                module=fcos.pred_net,
                part=(loss,),
            )
            for other in answers:
                name = f"{other}.bias"
                what, got = f"gradient of {name} from {loss}", gradients.get(name)
                if other != predictor:
                    is_quiet = got is None or not bool(got.any())
                    expect_true(is_quiet, what, "another loss pulls at it")
                    continue
                expect_true(got is not None, what, "nothing arrives", DETACHED)
                expect_close(
                    got,
                    torch.tensor(right),
                    what,
                    causes={DETACHED: torch.zeros(len(right))},
                    atol=1e-5,
                    rtol=1e-3,  # float32 sums of numbers of both signs
                    check_dtype=False,
                )


def test_published_gradients_without_any_box(student: Student) -> None:
    """Background alone teaches the classes to say "no", and nothing is NaN."""
    none = torch.full((2, 3, 5), -1.0)
    answers = {"pred_cls": [0.5, -1, 0.25], "pred_box": [0.0] * 4, "pred_ctr": [0.75]}
    count = sum(map(len, all_locations(strides_of(VERSIONS["course"])).values()))
    slopes = [
        (focal_of_logit(x + 1e-5, False, 0.25, 2) - focal_of_logit(x, False, 0.25, 2))
        / 1e-5
        for x in answers["pred_cls"]
    ]
    for config in (VERSIONS["course"], VERSIONS["torchvision"]):
        own = changed(config, num_levels=3)
        fcos = make_published(student, own)
        constant_head(student, fcos, answers)
        images = make_images(student, HEIGHT, WIDTH)
        _, _, gradients = student.gradients(
            fcos, images, give(student, none), module=fcos.pred_net
        )
        for name, gradient in gradients.items():
            expect_true(
                gradient is None or bool(gradient.isfinite().all()),
                f"gradient of {name}",
                "is not finite for a batch without any box",
            )
        what, got = "gradient of pred_cls.bias", gradients.get("pred_cls.bias")
        expect_true(got is not None, what, "nothing arrives", DETACHED)
        right = 2 * count * torch.tensor(slopes)
        expect_close(got, right, what, rtol=1e-3, check_dtype=False)


def test_published_losses_follow_float64(student: Student) -> None:
    """The losses have the dtype of boxes and predictions, and its digits."""
    batch = stored_batch()
    weighed = changed(PLAIN, weigh_boxes=True, box_loss="iou")
    # A little may be added to the sum of centerness before it divides.
    for config, near in ((PLAIN, 1e-9), (weighed, 1e-6)):
        fcos = make_published(student, config)
        args = give_batch(student, batch, torch.float64)
        right = training_losses(batch, config, exact=True).losses
        losses = expect_losses(method(fcos, "training_losses")(*args), TRAIN)
        for name in LOSSES:
            expect_dtype(losses[name], torch.float64, f"{name} of {TRAIN}")
        what = f"{TRAIN} in float64"
        expect_close(stacked(losses), stacked(right), what, rtol=near, atol=0)


def test_published_losses_leave_their_inputs_alone(student: Student) -> None:
    """Locations, predictions and boxes are the same after the call."""
    batch = stored_batch()
    fcos = make_published(student, PLAIN)
    check = partial(expect_batch, batch=batch, config=PLAIN)
    call = method(fcos, "training_losses")
    expect_inputs_kept(student, TRAIN, call, *give_batch(student, batch), check=check)


def test_published_losses_of_an_image_of_many_boxes(student: Student) -> None:
    """150 boxes in one image, more than there are locations of a level."""
    batch = images_of(stored_batch(), [0])
    corners = (spread(150, 2) * torch.tensor([56.0, 28.0]) * 8).round() / 8
    sides = 4 + (spread(150, 2, start=400) * torch.tensor([30.0, 20.0]) * 8).round() / 8
    classes = (torch.arange(150) % 3)[:, None].double()
    rows = torch.cat((corners, corners + sides + 1 / 16, classes), dim=1)[None]
    own, few = (batch._replace(gt_boxes=part) for part in (rows, rows[:, 120:]))
    fcos = make_published(student, PLAIN)

    def check(given: Batch) -> None:
        expect_batch(losses_of(student, fcos, given), given, PLAIN)

    cause = "right for a few boxes, wrong for the same among hundreds; set no limit"
    with expect_as_usual(cause, partial(check, few)):
        check(own)
