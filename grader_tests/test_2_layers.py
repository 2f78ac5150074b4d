"""Step 2: the layers of the feature pyramid; their names are free."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from grader_tests.pyramid_parts import NO_PADDING
from grader_tests.tools import (
    expect_inputs_kept,
    expect_same_size,
    give,
    named_if_random,
    spread,
)
from helpers.checks.again import expect_own_weights
from helpers.checks.answers import expect_state
from helpers.checks.expect import (
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
)

MAPS = ("c3", "c4", "c5")
SHARED = "two pyramids share layers; each call needs new ones"
BY_PLACE = "a lateral convolution has the channels of another map"
SMALL = "the padding is made for maps of two places or more"
LARGER = "a 1x1 convolution needs no padding, which makes maps larger"


def make_layers(student, in_channels, out_channels):
    """The layers' weights that are not those of a normalisation, by kernel size."""
    layers = student.common.make_fpn_layers(in_channels, out_channels)
    what = "make_fpn_layers"
    expect_true(hasattr(layers, "state_dict"), what, "expected an nn.ModuleDict")
    state = expect_state(layers.state_dict(), what)
    shapes = [tuple(weight.shape) for weight in state.values()]
    return [shape for shape in shapes if len(shape) == 4]


def test_fpn_layers_have_a_lateral_convolution_for_each_map(student):
    """1x1, from the channels of c3, c4, c5 to those asked for."""
    for channels, out in ((3, 5, 2), 7), ((40, 16, 64), 1):
        shapes = make_layers(student, dict(zip(MAPS, channels, strict=True)), out)
        laterals = sorted(shape for shape in shapes if shape[2:] == (1, 1))
        expected = sorted((out, inputs, 1, 1) for inputs in channels)
        cause = None
        own = [shape for shape in shapes if shape[1] != out]  # no output convolution
        is_square = sorted(shape[:2] for shape in own) == [s[:2] for s in expected]
        if is_square and not laterals:
            cause = "the lateral convolutions are not 1x1"
        elif len(laterals) == len(expected):
            cause = "the channels do not follow the two arguments"
        expect_equal(laterals, expected, "make_fpn_layers: lateral weights", cause)


def test_fpn_layers_have_an_output_convolution_for_each_level(student):
    """3x3, with as many channels in as out."""
    for channels, out in ((3, 5, 2), 7), ((40, 16, 64), 9):
        shapes = make_layers(student, dict(zip(MAPS, channels, strict=True)), out)
        outputs = sorted(shape for shape in shapes if shape[2:] != (1, 1))
        expected = [(out, out, 3, 3)] * 3
        cause = None
        if shapes.count((out, out, 1, 1)) >= len(expected):
            cause = "the output convolutions are not 3x3"
        elif outputs == expected[: len(outputs)]:
            cause = "each of the three levels needs an output convolution"
        elif [shape[:2] for shape in outputs] == [(out, out)] * 3:
            cause = "the output convolutions are not 3x3"
        expect_equal(outputs, expected, "make_fpn_layers: output weights", cause)


def test_fpn_layers_share_no_weights(student):
    """What is written into one layer is in no other layer, and in no other pyramid."""
    channels = {"c3": 4, "c4": 4, "c5": 4}
    made = [student.common.make_fpn_layers(channels, 4) for _ in range(2)]
    for layers in made:
        expect_true(layers is not None, "make_fpn_layers", "returned None")
        expect_layers(expect_state(layers.state_dict(), "make_fpn_layers"))
    within = "levels share a convolution; each needs one of its own"
    expect_own_weights("make_fpn_layers", made, within, SHARED)


def expect_layers(state: dict[str, torch.Tensor]) -> None:
    """Two convolutions for each of three levels."""
    count = sum(value.dim() == 4 for value in state.values())
    message = f"{count} weights of convolutions"
    expect_true(count >= 2 * len(MAPS), "make_fpn_layers", message)


def test_fpn_layers_belong_to_their_maps(student):
    """Each lateral takes the channels of its own map, in whatever order they come."""
    found = []

    def note(layers: Any) -> None:
        found.append({m: lateral_name(layers, count) for m, count in channels.items()})

    for order, numbers in (
        (MAPS, (2, 5, 3)),
        (MAPS, (5, 3, 2)),
        (MAPS[::-1], (5, 3, 2)),
    ):
        channels = dict(zip(order, numbers, strict=True))
        make = student.common.make_fpn_layers
        expect_inputs_kept(student, "make_fpn_layers", make, channels, 4, check=note)
        what = "make_fpn_layers: names of the laterals"
        expect_equal(found[-1], found[0], what, BY_PLACE)


def lateral_name(layers: Any, channels: int) -> str:
    """Name of the one 1x1 weight that takes so many channels."""
    state = expect_state(layers.state_dict(), "make_fpn_layers")
    found = [
        name
        for name, value in state.items()
        if value.dim() == 4 and tuple(value.shape[1:]) == (channels, 1, 1)
    ]
    message = f"there are {len(found)} lateral convolutions on {channels} channels"
    expect_true(len(found) == 1, "make_fpn_layers", message)
    return found[0]


def single_layers(layers: Any) -> Iterator[tuple[str, Any, torch.Tensor]]:
    """Name, layer and weight of each convolution, with what is wrapped around it.

    layers["p3"] may be a convolution, or nn.Sequential(nn.ZeroPad2d(1), convolution);
    where several convolutions are in one entry, each of them is meant.
    """
    state = expect_state(layers.state_dict(), "make_fpn_layers")
    weights = [name for name, value in state.items() if value.dim() == 4]
    for weight in weights:
        parts, layer, inside = weight.split("."), layers, ""
        for part in parts[:-1]:
            layer, inside = getattr(layer, part), f"{inside}{part}."
            if sum(name.startswith(inside) for name in weights) == 1:
                break
        yield inside.rstrip("."), layer, state[weight]


def test_fpn_layers_keep_the_size_of_a_map(student):
    """No layer makes a map larger or smaller, or more of it than a convolution."""
    layers = student.common.make_fpn_layers(dict(zip(MAPS, (3, 5, 2), strict=True)), 4)
    expect_true(layers is not None, "make_fpn_layers", "returned None")
    if student.device.type != "cpu":
        layers.to(str(student.device))
    expect_layers(expect_state(layers.state_dict(), "make_fpn_layers"))
    for name, layer, weight in single_layers(layers):
        what = f"make_fpn_layers: {name}"
        given = give(student, spread(2, weight.shape[1], 13, 20, low=-1.0))
        with expect_runs(what):
            answer = layer(given.clone())
        expect_same_size(answer, given, what, {-2: NO_PADDING, 2: LARGER})
        small = give(student, spread(2, weight.shape[1], 1, 1))
        with expect_runs(
            f"{what} on a map of one place", SMALL, partial(layer, given.clone())
        ):
            expect_tensor(layer(small), what, shape=(2, len(weight), 1, 1))
        expect_convolution(layer, given, answer, what)


def expect_convolution(layer, given, answer, what: str) -> None:
    """Inside of its edges, where padding is not seen; with a normalisation, nothing."""
    state = expect_state(layer.state_dict(), what)
    if sum(not name.endswith("bias") for name in state) > 1:
        return
    (weight,) = (value for value in state.values() if value.dim() == 4)
    bias = next((value for name, value in state.items() if name.endswith("bias")), None)
    margin = weight.shape[-1] // 2
    bias = bias.cpu() if bias is not None else None
    convolved = F.conv2d(given.cpu(), weight.cpu(), bias, padding=margin)
    inner = (..., slice(margin, -margin or None), slice(margin, -margin or None))
    # Twice as far apart, a 3x3 reaches two places further.
    apart = F.conv2d(given.cpu(), weight.cpu(), bias, padding=2 * margin, dilation=2)
    causes = {
        "a ReLU follows the convolution; maps may be negative": convolved.relu()[inner],
        "the convolution is dilated: it leaves places out between its weights": (
            apart[inner]
        ),
    }
    with named_if_random(layer, given):
        expect_close(answer[inner], convolved[inner], what, causes=causes, atol=1e-4)
