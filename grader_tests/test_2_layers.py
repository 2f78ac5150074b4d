"""Step 2: the layers of the feature pyramid; their names are free."""

from collections.abc import Iterator
from typing import Any

import torch

from grader_tests.pyramid_parts import NO_PADDING
from grader_tests.tools import expect_same_size, give, spread
from helpers.checks.answers import expect_state
from helpers.checks.expect import expect_equal, expect_runs, expect_true

MAPS = ("c3", "c4", "c5")
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
        if sorted(shape[:2] for shape in shapes if shape[1] != out) == [
            shape[:2] for shape in expected
        ]:
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
        if outputs == expected[: len(outputs)]:
            cause = "each of the three levels needs an output convolution"
        elif [shape[:2] for shape in outputs] == [(out, out)] * 3:
            cause = "the output convolutions are not 3x3"
        expect_equal(outputs, expected, "make_fpn_layers: output weights", cause)


def test_fpn_layers_share_no_weights(student):
    """What is written into one layer is not found in another."""
    layers = student.common.make_fpn_layers({"c3": 4, "c4": 4, "c5": 4}, 4)
    expect_true(layers is not None, "make_fpn_layers", "returned None")
    state = expect_state(layers.state_dict(), "make_fpn_layers")
    for number, name in enumerate(state):
        state[name] = torch.full_like(state[name], float(number))
    layers.load_state_dict(state)
    after = expect_state(layers.state_dict(), "make_fpn_layers")
    twice = [name for name in state if not torch.equal(state[name], after[name])]
    message = f"{len(twice)} of {len(state)} parameters are used twice"
    cause = "levels share a convolution; each needs one of its own"
    expect_true(not twice, "make_fpn_layers", message, cause)


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
    """No layer makes a map of 13 x 20 larger or smaller."""
    layers = student.common.make_fpn_layers(dict(zip(MAPS, (3, 5, 2), strict=True)), 4)
    expect_true(layers is not None, "make_fpn_layers", "returned None")
    if student.device.type != "cpu":
        layers.to(str(student.device))
    for name, layer, weight in single_layers(layers):
        what = f"make_fpn_layers: {name}"
        given = give(student, spread(2, weight.shape[1], 13, 20))
        with expect_runs(what):
            answer = layer(given)
        expect_same_size(answer, given, what, {-2: NO_PADDING, 2: LARGER})
