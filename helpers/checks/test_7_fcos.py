"""Visible checks of step 7: the parts of FCOS, its targets and its losses."""

import math
from typing import Any

import torch

from helpers.checks.answers import expect_keys, expect_state
from helpers.checks.exercises import exercise
from helpers.checks.expect import (
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
)
from helpers.checks.inputs import (
    LOCATIONS,
    NUM_CLASSES,
    TARGET_DELTAS,
    levels,
    make_fcos,
    tensor,
    two_images,
)

START = 150.0
OTHER_BACKBONE = "the argument backbone is not handed on"
NUM_LOCATIONS, NUM_FOREGROUND = (
    9,
    14,
)  # of an image; of three, one of them without a box


@exercise("7.1")
def test_fcos_has_its_parts(student: Any) -> None:
    """Both `backbone` and `pred_net` are there, and fit each other."""
    # Only another backbone than the one that was asked for fetches weights.
    what = "FCOS with the backbone tiny"
    with expect_runs(what, OTHER_BACKBONE, lambda: None, kinds=("CourseError",)):
        detector, given = student.after_call("make_detector", 5, 12, [8, 8])
    expect_equal(given[2], [8, 8], "FCOS: stem_channels after it was made")
    state = expect_state(detector.state_dict(), "FCOS")
    for part in ("backbone", "pred_net"):
        expect_true(
            any(name.startswith(f"{part}.") for name in state),
            "FCOS: its parts",
            f"there is no module self.{part} with weights",
        )
    pyramid = expect_state(student.make_pyramid(12).state_dict(), "FPN")
    expect_true(
        {f"backbone.{name}" for name in pyramid} <= state.keys(),
        what,
        "self.backbone has other layers than DetectorBackboneWithFPN with it",
        OTHER_BACKBONE,
    )
    features = detector.backbone(torch.zeros(1, 3, 64, 96, device=student.device))
    logits = expect_tensor(
        detector.pred_net(features)[0]["p4"], "FCOS: class logits", shape=(1, 24, 5)
    )
    expect_equal(logits.shape[2], 5, "FCOS: classes of the head")
    weight = student.make_detector(1, 12, [8, 8]).pred_net.pred_cls.weight
    expect_tensor(weight, "FCOS for one class: weight of pred_cls", shape=(1, 8, 3, 3))


@exercise("7.1")
def test_fcos_normalizer_is_a_buffer(student: Any) -> None:
    """_normalizer starts at 150, is saved with the weights, and is not trained."""
    detector = make_fcos(student)
    got = torch.as_tensor(detector._normalizer).cpu()
    expect_close(got.reshape(()), torch.tensor(START), "FCOS: _normalizer at the start")
    expect_true(
        "_normalizer" in detector.state_dict(),
        "FCOS: _normalizer",
        "it is not in state_dict(), so a resumed run would lose it",
        "it is no buffer that is saved; use register_buffer",
    )
    _, _, gradients = student.gradients(
        detector.pred_net,
        {"p3": torch.ones(1, 8, 2, 3, device=student.device)},
        module=detector,
    )
    expect_true(
        "_normalizer" not in gradients,
        "FCOS: _normalizer",
        "the optimizer would train it",
        "it is an nn.Parameter; use register_buffer",
    )


@exercise("7.3")
def test_update_normalizer_by_hand(student: Any) -> None:
    """150 becomes 0.9 * 150 + 0.1 * 40 / 2 = 137, then 0.9 * 137 + 0.1 * 300."""
    detector = make_fcos(student)
    causes = {
        "the foreground locations are not divided by the number of images": 139.0,
        "0.9 and 0.1 are exchanged": 33.0,
        "the old value is forgotten": 20.0,
        "nothing is stored in self._normalizer": 150.0,
        "the new part is added without its 0.1": 155.0,
        "the old value is not multiplied by 0.9": 152.0,
    }
    detector.update_normalizer(tensor(student, 40, torch.int64), 2)
    expect_close(
        torch.as_tensor(detector._normalizer).cpu().reshape(()),
        torch.tensor(137.0),
        "FCOS._normalizer after 40 foreground locations in 2 images",
        causes={cause: torch.tensor(value) for cause, value in causes.items()},
        atol=1e-3,  # of about 100, in float32
    )
    detector.update_normalizer(tensor(student, 300, torch.int64), 1)
    expect_close(
        torch.as_tensor(detector._normalizer).cpu().reshape(()),
        torch.tensor(153.3),
        "FCOS._normalizer after 300 more in one image",
        causes={
            "the start value is taken instead of the last one": torch.tensor(165.0)
        },
        atol=1e-3,
    )
    for _ in range(55):
        detector.update_normalizer(tensor(student, 0, torch.int64), 1)
    expect_close(
        torch.as_tensor(detector._normalizer).cpu().reshape(()),
        torch.tensor(153.3 * 0.9**55),
        "FCOS._normalizer after 55 images without any object",
        causes={"it is kept from falling below 1": torch.tensor(1.0)},
        atol=1e-3,
    )


@exercise("7.3")
def test_update_normalizer_keeps_the_buffer(student: Any) -> None:
    """It is still in state_dict() afterwards, as one number, of this detector."""
    detector, other = make_fcos(student), make_fcos(student)
    was_there = "_normalizer" in detector.state_dict()
    detector.update_normalizer(tensor(student, 7, torch.int64), 1)
    state = expect_state(detector.state_dict(), "FCOS")
    cause = "the update puts something else in the place of the buffer"
    expect_true(
        "_normalizer" in state,
        "FCOS._normalizer after an update",
        "it is not in state_dict()",
        cause if was_there else None,
    )
    expect_close(
        state["_normalizer"].reshape(()),
        torch.tensor(135.7),
        "FCOS: _normalizer in state_dict() after 7 foreground locations in one image",
        atol=1e-3,  # of about 100, in float32
    )
    got = torch.as_tensor(other._normalizer).cpu().reshape(())
    what = "FCOS: _normalizer of another detector"
    shared = "two detectors share the number"
    expect_close(got, torch.tensor(START), what, causes={shared: torch.tensor(135.7)})


@exercise("7.4")
def test_training_losses_by_hand(student: Any) -> None:
    """Three images, all predictions 0: sums that can be found by hand."""
    predictions = [
        {
            level: torch.zeros(3, len(rows), channels, device=student.device)
            for level, rows in LOCATIONS.items()
        }
        for channels in (NUM_CLASSES, 4, 1)
    ]
    detector = make_fcos(student)
    call = detector.training_losses
    gt_boxes = two_images(student)[[0, 1, 0]]
    locations = levels(student, LOCATIONS)
    without_one = {level: values[..., 0] for level, values in predictions[2].items()}
    with expect_runs(
        "FCOS.training_losses",
        "centerness logits (B, N, 1) meet targets (B, N)",
        lambda: call(locations, [*predictions[:2], without_one], gt_boxes),
    ):
        got = call(locations, predictions, gt_boxes)
    names = ("loss_cls", "loss_box", "loss_ctr")
    expect_keys(got, names, "FCOS.training_losses: keys of the result")
    values = [
        expect_tensor(got[name], f"FCOS.training_losses: {name}") for name in names
    ]
    # At a logit of 0 every cross-entropy is ln 2, and every p is 0.5.
    yes, no = (alpha * 0.25 * math.log(2) for alpha in (0.25, 0.75))
    questions = 3 * NUM_LOCATIONS * NUM_CLASSES
    foreground_deltas = 2 * sum(sum(row) for row in TARGET_DELTAS if row[0] >= 0)
    sums = torch.tensor(
        [
            NUM_FOREGROUND * yes + (questions - NUM_FOREGROUND) * no,
            0.25 * foreground_deltas,
            NUM_FOREGROUND * math.log(2),
        ]
    )
    normalizer = 0.9 * START + 0.1 * NUM_FOREGROUND / 3
    of_two = 0.9 * START + 0.1 * NUM_FOREGROUND / 2  # of the images that have a box
    with_box_only = "divided by the images with a box only"
    expect_close(
        torch.stack([value.reshape(()) for value in values]),
        sums / (normalizer * 3),
        "FCOS.training_losses: three images, 14 foreground locations, predictions 0",
        names="loss_cls,loss_box,loss_ctr",
        causes={
            "the normalizer is updated after it is used, or not at all": sums
            / (START * 3),
            f"{with_box_only}, in the losses": sums / (normalizer * 2),
            f"{with_box_only}, in the normalizer": sums / (of_two * 3),
            f"{with_box_only}, in both": sums / (of_two * 2),
            "not divided by the number of images": sums / normalizer,
            "divided by the foreground locations of this batch": sums / NUM_FOREGROUND,
            "not divided at all": sums,
            "the normalizer counts the batch, not the mean image": sums
            / ((0.9 * START + 0.1 * NUM_FOREGROUND) * 3),
            "the mean over all locations is taken before the division": sums
            / (normalizer * 3)
            / (3 * NUM_LOCATIONS),
        },
    )
    got = call(locations, predictions, torch.full_like(gt_boxes, -1))
    expect_close(
        torch.stack([torch.as_tensor(got[name]).cpu().reshape(()) for name in names]),
        torch.tensor([questions * no / (0.9 * normalizer * 3), 0, 0]),
        "FCOS.training_losses of the next batch, without any box",
        names="loss_cls,loss_box,loss_ctr",
    )


@exercise("7.4")
def test_training_losses_reach_every_predictor(student: Any) -> None:
    """From the losses a gradient flows back to all three predictors."""
    detector = make_fcos(student)
    images = torch.linspace(-2, 2, 2 * 3 * 64 * 96, device=student.device)
    losses, _, gradients = student.gradients(
        detector, images.reshape(2, 3, 64, 96), two_images(student), module=detector
    )
    for name in ("loss_cls", "loss_box", "loss_ctr"):
        value = float(expect_tensor(losses[name], f"FCOS in training: {name}"))
        expect_true(
            math.isfinite(value) and value > 0,
            f"FCOS in training: {name}",
            f"expected a number above 0, got {value:.4g}",
        )
    for part in ("pred_cls", "pred_box", "pred_ctr"):
        expect_true(
            gradients[f"pred_net.{part}.weight"] is not None,
            f"FCOS in training: gradient of {part}",
            "nothing arrives",
            "between its predictions and the losses something is detached or left out",
        )
