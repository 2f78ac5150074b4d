"""Step 2: the feature pyramid, by what it does.

The names of its layers are free, and so is how a map is enlarged; only behaviour is
tested. To change one of c3, c4, c5 alone the weights of the backbone's last stages are
set to zero, which makes their maps constant, and those of one stage are changed.
"""

import re

import torch

from grader_tests.tools import expect_inputs_kept, expect_keys, give, spread
from helpers.checks.expect import (
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
)

LEVELS = ["p3", "p4", "p5"]
STRIDES = {"p3": 8, "p4": 16, "p5": 32}
OUT_CHANNELS = 6
# How the stages that give c3, c4, c5 are called in the backbones of the course.
STAGES = {
    "c3": re.compile(r"backbone\..*(stage3|block2|layer2)\."),
    "c4": re.compile(r"backbone\..*(stage4|block3|layer3)\."),
    "c5": re.compile(r"backbone\..*(stage5|block4|layer4)\."),
}
NO_PADDING = "a convolution makes maps smaller; 3x3 needs padding 1"
TWICE = "a map is enlarged to twice its size, which does not fit odd sizes"
NO_TOP_DOWN = "there is no top-down path; a coarser level does not reach a finer one"
STRAIGHT = "p5 is enlarged straight to p3; what p3 adds must come from p4"
LEFT_OUT = "the map of the level itself is left out"
UPWARDS = "a finer map reaches a coarser level; the path goes down only"
UNUSED = {1: "a lateral convolution is never applied"}
NEVER = "an output convolution is never applied"
GROWTH = 2.01  # doubled inputs of a sum of convolutions give at most twice as much


def make_layers(student, in_channels, out_channels):
    """The layers' weights that are not those of a normalisation, by kernel size."""
    layers = student.common.make_fpn_layers(in_channels, out_channels)
    what = "make_fpn_layers"
    expect_true(hasattr(layers, "state_dict"), what, "expected an nn.ModuleDict")
    shapes = [tuple(each.shape) for each in layers.state_dict().values()]
    return [shape for shape in shapes if len(shape) == 4]


def make_pyramid(student):
    """A pyramid whose batch normalisation does not learn."""
    student.seed(5)
    fpn = student.make_pyramid(OUT_CHANNELS)
    fpn.eval()
    return fpn


def images_of(student, batch: int, height: int, width: int) -> torch.Tensor:
    """Images that look random."""
    return give(student, spread(batch, 3, height, width, low=-2.0, high=2.0))


def change_one(student, changed: str) -> dict[str, bool]:
    """Whether each level answers otherwise when one map of the backbone changes."""
    fpn = make_pyramid(student)
    images = images_of(student, 1, 64, 96)
    names = list(STAGES)
    state = fpn.state_dict()
    for name in names[names.index(changed) + 1 :]:
        for key in state:
            if STAGES[name].match(key) and state[key].is_floating_point():
                state[key] = torch.zeros_like(state[key])
    fpn.load_state_dict(state)
    before = fpn(images)
    for key in state:
        is_weight = key.endswith(("weight", "bias"))
        if STAGES[changed].match(key) and is_weight:
            state[key] = 1.5 * state[key] + 0.1
    fpn.load_state_dict(state)
    after = fpn(images)
    expect_keys(before, LEVELS, "DetectorBackboneWithFPN")
    return {
        level: not torch.allclose(before[level], after[level], atol=1e-6, rtol=1e-4)
        for level in LEVELS
    }


def expect_change(answers: dict[str, bool], level: str, map_name: str, cause: str):
    """A change of this map must be seen at this level."""
    message = f"{level} stays the same when {map_name} changes"
    expect_true(answers[level], "DetectorBackboneWithFPN", message, cause)


def expect_same(answers: dict[str, bool], level: str, map_name: str) -> None:
    """A change of this map must not be seen at this level."""
    message = f"{level} changes when {map_name} does"
    expect_true(not answers[level], "DetectorBackboneWithFPN", message, UPWARDS)


# 2.1


def test_fpn_layers_have_a_lateral_convolution_for_each_map(student):
    """1x1, from the channels of c3, c4, c5 to those asked for."""
    for channels, out in ((3, 5, 2), 7), ((40, 16, 64), 1):
        shapes = make_layers(student, dict(zip(STAGES, channels, strict=True)), out)
        laterals = sorted(shape for shape in shapes if shape[2:] == (1, 1))
        expected = sorted((out, each, 1, 1) for each in channels)
        cause = None
        if sorted(s[:2] for s in shapes if s[1] != out) == [s[:2] for s in expected]:
            cause = "the lateral convolutions are not 1x1"
        elif len(laterals) == len(expected):
            cause = "the channels do not follow the two arguments"
        expect_equal(laterals, expected, "make_fpn_layers: lateral weights", cause)


def test_fpn_layers_have_an_output_convolution_for_each_level(student):
    """3x3, with as many channels in as out."""
    for channels, out in ((3, 5, 2), 7), ((40, 16, 64), 9):
        shapes = make_layers(student, dict(zip(STAGES, channels, strict=True)), out)
        outputs = sorted(shape for shape in shapes if shape[2:] != (1, 1))
        expected = [(out, out, 3, 3)] * 3
        cause = None
        if outputs == expected[: len(outputs)]:
            cause = "each of the three levels needs an output convolution"
        elif [shape[:2] for shape in outputs] == [(out, out)] * 3:
            cause = "the output convolutions are not 3x3"
        expect_equal(outputs, expected, "make_fpn_layers: output weights", cause)


def test_fpn_layers_share_no_weights(student):
    """What is written into one layer is not found in another."""
    layers = student.common.make_fpn_layers({"c3": 4, "c4": 4, "c5": 4}, 4)
    expect_true(layers is not None, "make_fpn_layers", "returned None")
    state = layers.state_dict()
    for number, name in enumerate(state):
        state[name] = torch.full_like(state[name], float(number))
    layers.load_state_dict(state)
    after = layers.state_dict()
    twice = [name for name in state if not torch.equal(state[name], after[name])]
    message = f"{len(twice)} of {len(state)} parameters are used twice"
    cause = "levels share a convolution; each needs one of its own"
    expect_true(not twice, "make_fpn_layers", message, cause)


# 2.2


def test_pyramid_has_a_map_for_each_stride(student):
    """(B, C, H / 8, W / 8) and so on, for images wider or higher than 224 or less."""
    fpn = make_pyramid(student)
    for height, width in ((96, 128), (128, 32), (32, 288)):
        maps = fpn(images_of(student, 2, height, width))
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


def test_pyramid_of_odd_sizes(student):
    """75 x 93 pixels have maps of 10 x 12, 5 x 6, 3 x 3: not always twice as large."""
    fpn = make_pyramid(student)
    for height, width in ((75, 93), (200, 72)):
        with expect_runs("DetectorBackboneWithFPN on odd sizes", TWICE):
            maps = fpn(images_of(student, 1, height, width))
        expect_keys(maps, LEVELS, "DetectorBackboneWithFPN")
        for level, stride in STRIDES.items():
            size = (-(-height // stride), -(-width // stride))
            shape = (1, OUT_CHANNELS, *size)
            expect_tensor(maps[level], f"DetectorBackboneWithFPN: {level}", shape=shape)


def test_pyramid_brings_c5_to_every_level(student):
    """What the coarsest map knows reaches p5, p4 and p3."""
    answers = change_one(student, "c5")
    expect_change(answers, "p5", "c5", LEFT_OUT)
    expect_change(answers, "p4", "c5", NO_TOP_DOWN)
    expect_change(answers, "p3", "c5", NO_TOP_DOWN)


def test_pyramid_brings_c4_to_p4_and_p3(student):
    """What goes on to p3 is the merged map of p4."""
    answers = change_one(student, "c4")
    expect_change(answers, "p4", "c4", LEFT_OUT)
    expect_change(answers, "p3", "c4", STRAIGHT)


def test_pyramid_brings_c3_to_p3(student):
    """The finest level has a part of its own."""
    expect_change(change_one(student, "c3"), "p3", "c3", LEFT_OUT)


def test_pyramid_goes_down_only(student):
    """A finer map does not reach a coarser level."""
    answers = change_one(student, "c3")
    expect_same(answers, "p4", "c3")
    expect_same(answers, "p5", "c3")
    expect_same(change_one(student, "c4"), "p5", "c4")


def test_pyramid_applies_all_its_layers(student):
    """A gradient arrives at every parameter of the FPN."""
    fpn = make_pyramid(student)
    images = images_of(student, 2, 64, 96)
    _, _, gradients = student.gradients(fpn, images, module=fpn)
    own = {name: g for name, g in gradients.items() if not name.startswith("backbone.")}
    shapes = {name: tuple(value.shape) for name, value in fpn.state_dict().items()}
    expect_true(bool(own), "DetectorBackboneWithFPN", "the FPN has no parameters")
    for name, gradient in own.items():
        arrives = gradient is not None and bool(gradient.abs().sum() > 0)
        sibling = shapes.get(name.removesuffix("bias") + "weight", shapes[name])
        cause = UNUSED.get(sibling[-1] if name.endswith("bias") else shapes[name][-1])
        message = f"no gradient arrives at {name}"
        expect_true(arrives, "DetectorBackboneWithFPN", message, cause or NEVER)


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
            expect_close(got, expected, what, atol=1e-4, rtol=1e-3)


def features_of(student, fpn, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Positive maps with the channels that this pyramid's backbone gives."""
    maps = fpn.backbone(images)
    return {
        name: give(student, spread(*each.shape, start=1 + each.shape[1]))
        for name, each in maps.items()
    }


def test_merge_levels_keeps_places(student):
    """A spot in the upper left corner of c5 shows in the upper left part of p3."""
    fpn = make_pyramid(student)
    features = features_of(student, fpn, images_of(student, 1, 192, 256))
    before = fpn.merge_levels(features)
    expect_keys(before, LEVELS, "merge_levels")
    features["c5"] = features["c5"].clone()
    features["c5"][:, :, 0, 0] += 10
    after = fpn.merge_levels(features)
    for level in LEVELS:
        change = (after[level] - before[level]).detach().abs()[0].sum(dim=0)
        rows, columns = change.shape
        near = change[: rows // 2, : columns // 2].mean()
        far = change.mean() - near / 4
        message = f"{level} changes in other places than c5"
        expect_true(float(near) > float(far), "merge_levels", message, None)


def with_positive_weights(fpn):
    """The same pyramid; what its layers add up can only grow with their inputs."""
    state = fpn.state_dict()
    for name, value in state.items():
        if name.endswith(("weight", "bias")) and not name.startswith("backbone."):
            state[name] = value.abs()
    fpn.load_state_dict(state)
    return fpn


def test_merge_levels_adds(student):
    """With positive weights, doubled maps give at most twice as much: no products."""
    fpn = with_positive_weights(make_pyramid(student))
    features = features_of(student, fpn, images_of(student, 1, 64, 96))
    answers = [
        fpn.merge_levels({name: times * each for name, each in features.items()})
        for times in (0, 1, 2)
    ]
    expect_keys(answers[0], LEVELS, "merge_levels")
    for level in LEVELS:
        nothing, once, twice = (float(each[level].detach().sum()) for each in answers)
        is_sum = abs(twice - nothing) <= GROWTH * abs(once - nothing) + 1e-3
        cause = "maps are multiplied; the map of the level above is added"
        message = f"{level} grows by more than its inputs do"
        expect_true(is_sum, "merge_levels", message, cause)


def test_merge_levels_subtracts_nothing(student):
    """With positive weights, a spot that grows in c5 grows in p4 and p3, too."""
    fpn = with_positive_weights(make_pyramid(student))
    features = features_of(student, fpn, images_of(student, 1, 192, 256))
    before = fpn.merge_levels(features)
    expect_keys(before, LEVELS, "merge_levels")
    features["c5"] = features["c5"].clone()
    features["c5"][:, :, :2, :2] += 10
    after = fpn.merge_levels(features)
    for level in LEVELS:
        # Against the mean, since a normalisation may keep the sum as it was.
        change = (after[level] - before[level]).detach()[0].sum(dim=0)
        rows, columns = change.shape[0] // 6 * 2, change.shape[1] // 8 * 2
        at_spot = change[:rows, :columns].mean()
        message = f"{level} falls where c5 grows"
        cause = "a map is subtracted; the map of the level above is added"
        grows = float(at_spot) > float(change.mean())
        expect_true(grows, "merge_levels", message, cause)


def test_merge_levels_leaves_its_inputs_alone(student):
    """The maps of the backbone are the same after the call."""
    fpn = make_pyramid(student)
    features = features_of(student, fpn, images_of(student, 1, 64, 96))
    expect_inputs_kept(student, "merge_levels", fpn.merge_levels, features)
