"""Step 7: the parts of FCOS and its normalizer."""

from typing import Any

import torch

from grader_tests.detector_parts import (
    GT_BOXES,
    HEIGHT,
    NORMALIZER_START,
    NUM_CLASSES,
    WIDTH,
    batch_targets,
    losses_of,
    make_fcos,
    make_images,
    method,
    normalizer_of,
    predict,
    updated_normalizer,
)
from grader_tests.oracles.plain_targets import (
    level_shapes,
)
from grader_tests.tools import CHANGED_IN_PLACE, give
from grader_tests.training_mistakes import WITH_BOX_ONLY
from helpers.checks.answers import expect_state
from helpers.checks.expect import (
    CheckError,
    expect_close,
    expect_equal,
    expect_tensor,
    expect_true,
)
from helpers.checks.student import Student

NORMALIZER = "FCOS._normalizer"
PER_BATCH = "foreground is counted per batch, not per image"
CLASS_0_LOST = "class 0 is taken for background"
EXCHANGED = "0.9 and 0.1 are exchanged"
CAPPED = "the value is held between limits; nothing asks for that"
ONLY_SOME = "after some updates the value stays as it is; each call changes it"
IN_16_BITS = "the value is rounded to 16 bits"
OTHER_CLASSES = "the head has num_classes classes, however few or many they are"
OTHER_WIDTH = "the pyramid has fpn_channels channels, however few or many they are"
NOT_TRAINING = "a part of a new detector is in evaluation; leave them all in training"
SHARED = "two detectors share a part or a number; make both anew in __init__"


def _load_normalizer(fcos: Any, value: float) -> None:
    """Give a detector the normalizer of a run that was stored."""
    state = expect_state(fcos.state_dict(), "FCOS")
    expect_true(
        "_normalizer" in state,
        NORMALIZER,
        "state_dict() does not have it",
        "a plain attribute, or a buffer that is not saved; use register_buffer",
    )
    state["_normalizer"] = torch.full_like(state["_normalizer"], value)
    fcos.load_state_dict(state)


def test_fcos_has_the_numbers_of_channels_asked_for(student: Student) -> None:
    """fpn_channels, stem_channels and num_classes reach the parts."""
    for classes, width, last in ((NUM_CLASSES, 8, 10), (1, 5, 7), (200, 70, 3)):
        fcos, given = student.after_call("make_detector", classes, width, [6, last])
        what = "FCOS: stem_channels after it was made"
        expect_equal(given[2], [6, last], what, CHANGED_IN_PLACE)
        modes = [fcos.training, fcos.backbone.training, fcos.pred_net.training]
        what = "FCOS: whether a new one and its parts train"
        expect_equal(modes, [True] * 3, what, NOT_TRAINING if False in modes else None)
        features = fcos.backbone(make_images(student))
        for level, size in level_shapes(HEIGHT, WIDTH).items():
            what = f"FCOS.backbone at {level}"
            got = shape_of(features[level])
            wrong = {}
            if got[2:] == size and got[1] != width:
                wrong = {OTHER_WIDTH: (2, *got[1:])}
            shape = (2, width, *size)
            expect_tensor(features[level], what, shape=shape, shape_causes=wrong)
        for name, channels in (("pred_cls", classes), ("pred_box", 4), ("pred_ctr", 1)):
            weight = getattr(fcos.pred_net, name).weight
            wrong = {}
            if name == "pred_cls" and shape_of(weight)[1:] == (last, 3, 3):
                wrong = {OTHER_CLASSES: shape_of(weight)}
            expect_tensor(
                weight,
                f"weight of FCOS.pred_net.{name}",
                shape=(channels, last, 3, 3),
                shape_causes={
                    "the first of stem_channels only": (channels, 6, 3, 3),
                    "the number of classes is built in": (20, last, 3, 3),
                    **wrong,
                },
            )


def shape_of(answer: Any) -> tuple[int, ...]:
    """Of what should be a tensor; of anything else none."""
    return tuple(answer.shape) if isinstance(answer, torch.Tensor) else ()


def test_fcos_answers_at_every_location(student: Student) -> None:
    """The head takes what the backbone gives, also for an image of odd size."""
    expect_answers(student, 70, 100)


def expect_answers(student, image_height, image_width):
    """A new detector has an answer for every location of images of this size."""
    fcos = student.make_detector(NUM_CLASSES, 8, [8, 8])
    images = make_images(student, image_height, image_width)
    class_logits, deltas, centerness = predict(fcos, images)
    for level, (height, width) in level_shapes(image_height, image_width).items():
        count = height * width
        for output, channels in ((class_logits, 3), (deltas, 4), (centerness, 1)):
            what = f"head at {level}"
            expect_tensor(output[level], what, shape=(2, count, channels))


def test_fcos_is_made_anew_each_time(student: Student) -> None:
    """Two detectors share no weight: changing one leaves the other."""
    first: Any = student.make_detector(NUM_CLASSES, 8, [8, 8])
    second: Any = student.make_detector(NUM_CLASSES, 8, [8, 8])
    before = expect_state(second.state_dict(), "FCOS")
    state = expect_state(first.state_dict(), "FCOS")
    first.load_state_dict(
        {
            name: torch.full_like(value, 0.5) if value.is_floating_point() else value
            for name, value in state.items()
        }
    )
    after = expect_state(second.state_dict(), "FCOS")
    for part in ("backbone", "pred_net"):
        has = any(name.startswith(f"{part}.") for name in before)
        expect_true(has, "FCOS", f"has no self.{part} with weights")
    for name, value in before.items():
        same = name in after and bool(torch.equal(after[name], value))
        what, message = f"{name} of a second FCOS", "changes along with the first"
        expect_true(same, what, message, SHARED)


def test_normalizer_starts_at_150(student: Student) -> None:
    """Foreground locations per image, before any was seen; number or tensor."""
    fcos = student.make_detector(NUM_CLASSES, 8, [8, 8])
    expect_equal(normalizer_of(fcos), NORMALIZER_START, NORMALIZER)


def test_normalizer_is_saved_with_the_weights(student: Student) -> None:
    """A buffer: part of state_dict, so that a resumed run continues."""
    fcos = student.make_detector(NUM_CLASSES, 8, [8, 8])
    _load_normalizer(fcos, 20.0)
    expect_equal(normalizer_of(fcos), 20.0, f"{NORMALIZER} after load_state_dict")


def test_normalizer_is_not_trained(student: Student) -> None:
    """It follows the counts, not the gradient."""
    fcos = student.make_detector(NUM_CLASSES, 8, [8, 8])
    images = make_images(student)
    _, _, gradients = student.gradients(
        fcos, images, give(student, GT_BOXES), module=fcos
    )
    expect_true(
        "_normalizer" not in gradients,
        NORMALIZER,
        "it is a parameter, which the optimizer would change",
        "a parameter instead of a buffer",
    )


def test_update_normalizer_by_hand(student: Student) -> None:
    """0.9 * 150 + 0.1 * 40 / 2 = 137, then 0.9 * 137 + 0.1 * 0 = 123.3, and so on."""
    fcos = student.make_detector(NUM_CLASSES, 8, [8, 8])
    other = student.make_detector(NUM_CLASSES, 8, [8, 8])
    for foreground, expected, causes in (
        (40, 137.0, {PER_BATCH: 139.0, EXCHANGED: 33.0, "the old value is lost": 20.0}),
        (0, 123.3, {EXCHANGED: 13.7}),
    ):
        method(fcos, "update_normalizer")(
            torch.tensor(foreground, device=student.device), 2
        )
        in_16_bits = {
            f"{IN_16_BITS}, float16; keep float32": float(
                torch.tensor(expected).half()
            ),
            f"{IN_16_BITS}, bfloat16; keep float32": float(
                torch.tensor(expected).bfloat16()
            ),
        }
        _expect_normalizer(fcos, expected, in_16_bits | causes)
    expect_equal(normalizer_of(other), 150.0, f"{NORMALIZER} of another FCOS", SHARED)
    value = 123.3
    for foreground in (*[0] * 50, 3_000_000):  # far below 1, and far above
        value = 0.9 * value + 0.1 * foreground / 2
        method(fcos, "update_normalizer")(
            torch.tensor(foreground, device=student.device), 2
        )
        if value < 1 or foreground:
            try:
                _expect_normalizer(fcos, value, {})
            except CheckError as error:
                error.cause = error.cause or _stays(student, fcos)
                raise
    method(other, "update_normalizer")(torch.tensor(40, device=student.device), 2)
    _expect_normalizer(other, 137.0, {SHARED: 0.9 * value + 2})


def _stays(student: Student, fcos: Any) -> str | None:
    """Why a value is not followed any more, by two more updates, down and up."""
    values = [normalizer_of(fcos)]
    for foreground in (0, 30_000_000):
        method(fcos, "update_normalizer")(
            torch.tensor(foreground, device=student.device), 2
        )
        values.append(normalizer_of(fcos))
    start, lower, higher = values
    if start == lower == higher:
        return ONLY_SOME
    return CAPPED if start in (lower, higher) else None


def test_update_normalizer_divides_by_the_number_of_images(student: Student) -> None:
    """Three images with 7 foreground locations: 0.9 * 150 + 0.1 * 7 / 3."""
    fcos = student.make_detector(NUM_CLASSES, 8, [8, 8])
    method(fcos, "update_normalizer")(torch.tensor(7, device=student.device), 3)
    causes = {
        PER_BATCH: 135.7,
        "the quotient is rounded to a whole number": 135.2,
        "divided by 2, whatever the number of images": 135.35,
    }
    _expect_normalizer(fcos, 135 + 0.7 / 3, causes)
    method(fcos, "update_normalizer")(torch.tensor(7, device=student.device), 5)
    causes = {"the number of images of the first call is kept": 121.71 + 0.7 / 3}
    _expect_normalizer(fcos, 121.71 + 0.14, causes)


def _expect_normalizer(fcos: Any, expected: float, causes: dict[str, float]) -> None:
    expect_close(
        torch.tensor(normalizer_of(fcos)),
        torch.tensor(expected),
        NORMALIZER,
        causes={
            "it is not updated": torch.tensor(NORMALIZER_START),
            **{cause: torch.tensor(value) for cause, value in causes.items()},
        },
        rtol=3e-5,  # float32 after some dozen updates
        check_dtype=False,
    )


def test_training_updates_the_normalizer_per_image(student: Student) -> None:
    """After a batch: 0.9 * 150 + 0.1 * foreground / B; after two, once more."""
    fcos = make_fcos(student)
    images = make_images(student)[[0, 1, 1]]
    gt_boxes = GT_BOXES[[0, 1, 1]]
    classes = batch_targets(gt_boxes).classes
    expected = NORMALIZER_START
    for _ in range(2):
        losses_of(fcos, images, gt_boxes)
        count = float((classes >= 0).sum())
        causes = {
            PER_BATCH: 0.9 * expected + 0.1 * count,
            f"{WITH_BOX_ONLY}, in the normalizer": 0.9 * expected + 0.1 * count / 2,
            EXCHANGED: 0.1 * expected + 0.9 * count / 3,
            CLASS_0_LOST: updated_normalizer(classes, expected, lowest_class=1),
            "x and y of the locations are swapped": updated_normalizer(
                batch_targets(gt_boxes, swapped=True).classes, expected
            ),
        }
        expected = updated_normalizer(classes, expected)
        _expect_normalizer(fcos, expected, causes)


def test_training_without_boxes_lets_the_normalizer_fall(student: Student) -> None:
    """No foreground at all: 0.9 * 150 = 135, never 0 or NaN."""
    fcos = make_fcos(student)
    losses_of(fcos, make_images(student), torch.full((2, 3, 5), -1.0))
    _expect_normalizer(fcos, 135.0, {EXCHANGED: 15.0})


def test_training_follows_a_normalizer_that_was_loaded(student: Student) -> None:
    """A run that goes on from 20 goes on from 20, not from 150."""
    fcos = make_fcos(student)
    _load_normalizer(fcos, 20.0)
    losses_of(fcos, make_images(student), GT_BOXES)
    classes = batch_targets(GT_BOXES).classes
    causes = {"the loaded value is not used": updated_normalizer(classes)}
    _expect_normalizer(fcos, updated_normalizer(classes, 20.0), causes)
