"""Step 2: the feature pyramid, by what it does.

The names of its layers are free, and so is how a map is enlarged; only behaviour is
tested. To change one of c3, c4, c5 alone the weights of the backbone's last stages are
set to zero, which makes their maps constant, and those of one stage are changed.
"""

import re
from functools import partial
from typing import Any

import torch

from grader_tests.pyramid_parts import (
    LEVELS,
    NO_PADDING,
    OUT_CHANNELS,
    expect_at_work,
    images_of,
    levels_of,
    make_pyramid,
)
from grader_tests.tools import expect_keys
from helpers.checks.answers import expect_state
from helpers.checks.expect import (
    CheckError,
    expect_close,
    expect_runs,
    expect_tensor,
    expect_true,
)

STRIDES = {"p3": 8, "p4": 16, "p5": 32}
# How the stages that give c3, c4, c5 are called in the backbones of the course.
STAGES = {
    "c3": re.compile(r"backbone\..*(stage3|block2|layer2)\."),
    "c4": re.compile(r"backbone\..*(stage4|block3|layer3)\."),
    "c5": re.compile(r"backbone\..*(stage5|block4|layer4)\."),
}
TWICE = "a map is enlarged to twice its size, which does not fit odd sizes"
NO_TOP_DOWN = "there is no top-down path; a coarser level does not reach a finer one"
LATERAL_ALONE = "what goes on to p3 is c4's lateral, not the merged map of p4"
P3_ALONE = "p3 gets nothing from above"
P4_ALONE = "p4 gets nothing from above"
STRAIGHT = "p5 is enlarged straight to p3; what p3 adds must come from p4"
LEFT_OUT = "the map of the level itself is left out"
UPWARDS = "a finer map reaches a coarser level; the path goes down only"
UNUSED = {1: "a lateral convolution is never applied, or its answer is detached"}
NEVER = "an output convolution is never applied, or its answer is detached"
EARLIER_SIZES = "maps of other sizes in an earlier call are remembered; keep nothing"
FIRST_IMAGE = "what comes from above is that of the first image, for the whole batch"
DETACHED = "the maps are detached, or made without gradient"


def change_one(student, changed: str) -> dict[str, bool]:
    """Whether each level answers otherwise when one map of the backbone changes."""
    fpn = make_pyramid(student)
    images = images_of(student, 1, 64, 96)
    names = list(STAGES)
    state = expect_state(fpn.state_dict(), "DetectorBackboneWithFPN")
    for name in names[names.index(changed) + 1 :]:
        for key in state:
            if STAGES[name].match(key) and state[key].is_floating_point():
                state[key] = torch.zeros_like(state[key])
    fpn.load_state_dict(state)
    before = levels_of(fpn(images), "DetectorBackboneWithFPN", 64, 96)
    for key in state:
        is_weight = key.endswith(("weight", "bias"))
        if STAGES[changed].match(key) and is_weight:
            state[key] = 1.5 * state[key] + 0.1
    fpn.load_state_dict(state)
    after = fpn(images)  # with a deep backbone even NaN, which is a change, too
    expect_keys(after, LEVELS, "DetectorBackboneWithFPN")
    return {level: not is_same_map(before[level], after[level]) for level in LEVELS}


def is_same_map(before: torch.Tensor, after: Any) -> bool:
    """Whether a level's map is still what it was."""
    if not isinstance(after, torch.Tensor) or after.shape != before.shape:
        return False
    return torch.allclose(before, after.detach().cpu(), atol=1e-6, rtol=1e-4)


def expect_change(answers: dict[str, bool], level: str, map_name: str, cause: str):
    """A change of this map must be seen at this level."""
    message = f"{level} stays the same when {map_name} changes"
    expect_true(answers[level], "DetectorBackboneWithFPN", message, cause)


def expect_same(answers: dict[str, bool], level: str, map_name: str) -> None:
    """A change of this map must not be seen at this level."""
    message = f"{level} changes when {map_name} does"
    expect_true(not answers[level], "DetectorBackboneWithFPN", message, UPWARDS)


def test_pyramid_has_a_map_for_each_stride(student):
    """(B, C, H / 8, W / 8) and so on, for images wider or higher than 224 or less."""
    fpn = make_pyramid(student)
    for height, width in ((96, 128), (128, 32), (32, 288), (32, 32)):
        images = images_of(student, 2, height, width)
        with expect_runs(
            "DetectorBackboneWithFPN after a call with other sizes",
            EARLIER_SIZES,
            partial(first_answer, student, images),
        ):
            maps = fpn(images)
        expect_keys(maps, LEVELS, "DetectorBackboneWithFPN")
        for level, stride in STRIDES.items():
            size = (height // stride, width // stride)
            wrong = {
                NO_PADDING: (2, OUT_CHANNELS, size[0] - 2, size[1] - 2),
                "height and width are swapped": (2, OUT_CHANNELS, *size[::-1]),
            }
            expect_tensor(
                maps[level],
                f"DetectorBackboneWithFPN: {level}",
                shape=(2, OUT_CHANNELS, *size),
                shape_causes=wrong,
            )
    expect_at_work(student, fpn)


def first_answer(student, images: torch.Tensor) -> Any:
    """That of a pyramid which was never called before."""
    return make_pyramid(student)(images)


def test_pyramid_of_odd_sizes(student):
    """75 x 93 pixels have maps of 10 x 12, 5 x 6, 3 x 3: not always twice as large."""
    fpn = make_pyramid(student)
    for height, width in ((75, 93), (200, 72)):
        with expect_runs(
            "DetectorBackboneWithFPN on odd sizes",
            TWICE,
            lambda: fpn(images_of(student, 1, 64, 96)),
        ):
            maps = fpn(images_of(student, 1, height, width))
        expect_keys(maps, LEVELS, "DetectorBackboneWithFPN")
        for level, stride in STRIDES.items():
            size = (-(-height // stride), -(-width // stride))
            shape = (1, OUT_CHANNELS, *size)
            expect_tensor(maps[level], f"DetectorBackboneWithFPN: {level}", shape=shape)
    expect_at_work(student, fpn)


def test_pyramid_brings_c5_to_every_level(student):
    """What the coarsest map knows reaches p5, p4 and p3."""
    expect_at_work(student, make_pyramid(student))
    answers = change_one(student, "c5")
    expect_change(answers, "p5", "c5", LEFT_OUT)
    if answers["p4"] and answers["p3"]:
        return
    from_c4 = change_one(student, "c4")["p3"]
    causes = {
        (False, False, False): NO_TOP_DOWN,
        (False, False, True): P4_ALONE,
        (False, True, False): f"{STRAIGHT}; and {P4_ALONE}",
        (False, True, True): P4_ALONE,
        (True, False, False): P3_ALONE,
        (True, False, True): LATERAL_ALONE,
    }
    cause = causes[answers["p4"], answers["p3"], from_c4]
    expect_change(answers, "p4", "c5", cause)
    expect_change(answers, "p3", "c5", cause)


def test_pyramid_brings_c4_to_p4_and_p3(student):
    """What goes on to p3 is the merged map of p4."""
    expect_at_work(student, make_pyramid(student))
    answers = change_one(student, "c4")
    expect_change(answers, "p4", "c4", LEFT_OUT)
    if not answers["p3"]:
        cause = STRAIGHT if change_one(student, "c5")["p3"] else P3_ALONE
        expect_change(answers, "p3", "c4", cause)


def test_pyramid_brings_c3_to_p3(student):
    """The finest level has a part of its own."""
    expect_at_work(student, make_pyramid(student))
    expect_change(change_one(student, "c3"), "p3", "c3", LEFT_OUT)


def test_pyramid_goes_down_only(student):
    """A finer map does not reach a coarser level."""
    answers = change_one(student, "c3")
    expect_same(answers, "p4", "c3")
    expect_same(answers, "p5", "c3")
    expect_same(change_one(student, "c4"), "p5", "c4")
    expect_at_work(student, make_pyramid(student))


def test_pyramid_applies_all_its_layers(student):
    """A gradient arrives at every parameter of the FPN."""
    fpn = make_pyramid(student)
    images = images_of(student, 2, 64, 96)
    _, _, gradients = student.gradients(fpn, images, module=fpn)
    own = {
        name: gradient
        for name, gradient in gradients.items()
        if not name.startswith("backbone.")
    }
    state = expect_state(fpn.state_dict(), "DetectorBackboneWithFPN")
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    expect_true(bool(own), "DetectorBackboneWithFPN", "the FPN has no parameters")
    reached = {name for name, gradient in own.items() if _arrives(gradient)}
    expect_true(
        bool(reached), "DetectorBackboneWithFPN", "no gradient arrives", DETACHED
    )
    for name in own:
        arrives = name in reached
        sibling = shapes.get(name.removesuffix("bias") + "weight", shapes[name])
        cause = UNUSED.get(sibling[-1] if name.endswith("bias") else shapes[name][-1])
        message = f"no gradient arrives at {name}"
        expect_true(arrives, "DetectorBackboneWithFPN", message, cause or NEVER)


def _arrives(gradient: torch.Tensor | None) -> bool:
    return gradient is not None and bool(gradient.abs().sum() > 0)


def below_first_image(fpn, images: torch.Tensor, b: int, level: str) -> torch.Tensor:
    """A level of an image, with the coarsest map of the first image."""
    features = fpn.backbone(images)
    own = {name: features[name][b : b + 1] for name in STAGES}
    try:
        return fpn.merge_levels(own | {"c5": features["c5"][:1]})[level]
    except (AttributeError, CheckError):  # the original form has no such method
        return torch.empty(0)


def test_pyramid_of_a_batch_equals_its_single_images(student):
    """Images of a batch do not see each other."""
    fpn = make_pyramid(student)
    images = images_of(student, 2, 64, 96)
    together = fpn(images)
    expect_keys(together, LEVELS, "DetectorBackboneWithFPN")
    for b in range(2):
        alone = fpn(images[b : b + 1])
        for level in LEVELS:
            expected = alone[level].detach().cpu()
            got = together[level][b : b + 1]
            what = f"DetectorBackboneWithFPN: {level} of a batch"
            causes = {FIRST_IMAGE: partial(below_first_image, fpn, images, b, level)}
            expect_close(got, expected, what, causes=causes, atol=1e-4, rtol=1e-3)
    expect_at_work(student, fpn)
