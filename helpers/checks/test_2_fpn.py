"""Visible checks of step 2: the feature pyramid network."""

from typing import Any

import torch

from helpers.checks.again import expect_own_weights
from helpers.checks.answers import expect_keys, expect_state
from helpers.checks.exercises import exercise
from helpers.checks.expect import (
    CheckError,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
)
from helpers.checks.inputs import make_transparent

CHANNELS = {"c3": 64, "c4": 96, "c5": 128}  # of the backbone "tiny"
OUT = 12


def conv_shapes(layers: Any) -> list[tuple[int, ...]]:
    """Shapes of all weights of convolutions."""
    if isinstance(layers, dict | list | tuple):
        kind = type(layers).__name__
        raise CheckError(
            "wrong type",
            "make_fpn_layers",
            f"expected an nn.ModuleDict, got a {kind}",
            f"PyTorch does not see the layers that are in a plain {kind}",
        )
    return sorted(
        tuple(weight.shape)
        for weight in expect_state(layers.state_dict(), "make_fpn_layers").values()
        if weight.dim() == 4
    )


def constant_features(student: Any, height: int, width: int) -> dict[str, torch.Tensor]:
    """c3 is 1 everywhere, c4 is 10, c5 is 100; sizes halve, rounded up."""
    features = {}
    for value, (name, channels) in zip(
        (1.0, 10.0, 100.0), CHANNELS.items(), strict=True
    ):
        features[name] = torch.full(
            (1, channels, height, width), value, device=student.device
        )
        height, width = (height + 1) // 2, (width + 1) // 2
    return features


@exercise("2.1")
def test_make_fpn_layers_has_two_convolutions_a_level(student: Any) -> None:
    """Each level has a 1x1 lateral and a 3x3 output convolution."""
    got = conv_shapes(student.common.make_fpn_layers({"c3": 5, "c4": 7, "c5": 9}, 12))
    lateral = [(12, 5, 1, 1), (12, 7, 1, 1), (12, 9, 1, 1)]
    output = [(12, 12, 3, 3)] * 3
    count = sum(shape[2:] == (1, 1) for shape in got)
    cause = None
    if got == sorted([*lateral, *[(12, channels, 3, 3) for channels in (5, 7, 9)]]):
        cause = "an output convolution comes after a lateral, and takes its channels"
    elif got == lateral:
        cause = "the 3x3 output convolutions are missing"
    elif count != len(lateral):
        cause = "there is not one 1x1 convolution for each of c3, c4 and c5"
    what = "make_fpn_layers({'c3': 5, 'c4': 7, 'c5': 9}, 12): shapes of the weights"
    expect_equal(got, sorted([*lateral, *output]), what, cause)


@exercise("2.1")
def test_make_fpn_layers_follow_their_arguments(student: Any) -> None:
    """Other channels give other layers."""
    make = student.common.make_fpn_layers
    got = conv_shapes(make({"c3": 4, "c4": 6, "c5": 3}, 8))
    expected = [(8, 3, 1, 1), (8, 4, 1, 1), (8, 6, 1, 1), *[(8, 8, 3, 3)] * 3]
    cause = None
    if got != expected and got == conv_shapes(make({"c3": 5, "c4": 7, "c5": 9}, 12)):
        cause = "numbers of channels are written into the code"
    what = "make_fpn_layers({'c3': 4, 'c4': 6, 'c5': 3}, 8): shapes of the weights"
    expect_equal(got, expected, what, cause)


@exercise("2.1")
def test_make_fpn_layers_keep_the_size_of_a_map(student: Any) -> None:
    """No layer makes a map of 9 x 14 larger or smaller: a 3x3 needs a padding of 1."""
    layers = student.common.make_fpn_layers({"c3": 5, "c4": 7, "c5": 9}, 12)
    if student.device.type != "cpu":
        layers.to(str(student.device))
    state = expect_state(layers.state_dict(), "make_fpn_layers")
    for name, weight in state.items():
        # Only where the layer is an entry of its own can it be called by its name.
        if weight.dim() != 4 or name.count(".") != 1:
            continue
        layer = name.removesuffix(".weight")
        given = torch.ones(1, weight.shape[1], 9, 14, device=student.device)
        expect_tensor(
            getattr(layers, layer)(given),
            f"make_fpn_layers: {layer} on a map of 9 x 14",
            shape=(1, weight.shape[0], 9, 14),
            shape_causes={
                "a 3x3 output convolution has no padding": (1, weight.shape[0], 7, 12),
                "a 1x1 lateral needs no padding": (1, weight.shape[0], 11, 16),
                "a stride leaves places out; it must be 1": (1, weight.shape[0], 5, 7),
            },
        )


@exercise("2.1")
def test_make_fpn_layers_makes_new_layers(student: Any) -> None:
    """No two layers share their weights, also of two pyramids."""
    channels = {"c3": 6, "c4": 4, "c5": 4}
    expect_own_weights(
        "make_fpn_layers",
        [student.common.make_fpn_layers(channels, 4) for _ in range(2)],
        "one convolution has two names",
        "a second call gives layers of the first; make new ones in each call",
    )


@exercise("2.2")
def test_merge_levels_adds_from_above(student: Any) -> None:
    """Each level is its own lateral plus all that comes from above."""
    pyramid = student.make_pyramid(OUT)
    if not make_transparent(pyramid):
        return
    # 1, 10, 100 in evaluation, the same with a minus in training.
    for mode, sign in ((pyramid.eval, 1), (pyramid.train, -1)):
        mode()
        features = constant_features(student, 12, 20)
        got = pyramid.merge_levels(
            {name: sign * values for name, values in features.items()}
        )
        expect_known_sums(got, sign)


def expect_known_sums(got: Any, sign: int) -> None:
    """111, 110, 100, or all three below 0."""
    expect_keys(got, ("p3", "p4", "p5"), "merge_levels: keys of the result")
    # The middle, because the padding of a convolution is seen at the border.
    middle, is_even = {}, True
    for level, size in {"p3": (12, 20), "p4": (6, 10), "p5": (3, 5)}.items():
        values = expect_level(got[level], f"merge_levels: {level}", size)
        middle[level] = values[0, 0, values.shape[2] // 2, values.shape[3] // 2]
        is_even &= bool(torch.isclose(values[0, 0, 1, 1], middle[level]))
    expect_close(
        torch.stack([middle["p3"], middle["p4"], middle["p5"]]),
        sign * torch.tensor([111.0, 110.0, 100.0]),
        f"merge_levels: c3 = {sign}, c4 = {10 * sign}, c5 = {100 * sign}, laterals "
        "that average",
        names="p3,p4,p5",
        causes={}
        if not is_even  # a level has other numbers elsewhere
        else {
            "nothing comes from the level above": torch.tensor([1.0, 10.0, 100.0]),
            "c4's lateral, and not the merged map, is passed on to p3": torch.tensor(
                [11.0, 110.0, 100.0]
            ),
            "c5 is passed on to p3 past c4": torch.tensor([101.0, 110.0, 100.0]),
            "p3 gets nothing from above": torch.tensor([1.0, 110.0, 100.0]),
            "p4 gets nothing from above": torch.tensor([11.0, 10.0, 100.0]),
            "the way goes from fine to coarse": torch.tensor([1.0, 11.0, 111.0]),
            "the maps are averaged where they should be added": torch.tensor(
                [28.0, 55.0, 100.0]
            ),
            "they are concatenated or multiplied": torch.tensor(
                [1000.0, 1000.0, 100.0]
            ),
        },
    )


def expect_level(values: Any, what: str, size: tuple[int, int]) -> torch.Tensor:
    """A merged map of this (H, W)."""
    without_padding = (1, OUT, size[0] - 2, size[1] - 2)
    return expect_tensor(
        values,
        what,
        shape=(1, OUT, *size),
        shape_causes={"a 3x3 output convolution has no padding": without_padding},
    )


@exercise("2.2")
def test_merge_levels_of_odd_sizes(student: Any) -> None:
    """A map of 13 x 9 lies below one of 7 x 5: not twice as large."""
    pyramid = student.make_pyramid(OUT)
    cause = "a map is enlarged by a factor of 2, and not to the size of the level below"
    with expect_runs(
        "merge_levels of maps of 13 x 9, 7 x 5 and 4 x 3",
        cause,
        lambda: pyramid.merge_levels(constant_features(student, 16, 8)),
    ):
        got = pyramid.merge_levels(constant_features(student, 13, 9))
    expect_keys(got, ("p3", "p4", "p5"), "merge_levels: keys of the result")
    for level, size in {"p3": (13, 9), "p4": (7, 5), "p5": (4, 3)}.items():
        expect_level(got[level], f"merge_levels: {level}, where c3 is 13 x 9", size)


@exercise("2.2")
def test_merge_levels_uses_every_convolution(student: Any) -> None:
    """Every layer that you made takes part, so a gradient reaches it."""
    pyramid = student.make_pyramid(OUT)
    features = constant_features(student, 6, 10)
    _, _, gradients = student.gradients(pyramid.merge_levels, features, module=pyramid)
    own = [name for name in gradients if name.startswith("fpn_params.")]
    unused = [name for name in own if gradients[name] is None]
    # Where nothing arrives anywhere, the sum was cut off from all that made it.
    cause = "the result is detached, or made without gradient"
    if len(unused) < len(own):
        cause = "a convolution is never applied, or its answer is detached"
    expect_true(
        not unused,
        "merge_levels: layers that take part",
        f"no gradient reaches {', '.join(unused[:3])}",
        cause,
    )
    for level, names in {"p3": "c3, c4, c5", "p4": "c4, c5", "p5": "c5"}.items():
        _, (of_maps,), _ = student.gradients(
            pyramid.merge_levels, features, inputs=(0,), part=(level,)
        )
        reached = ", ".join(name for name in CHANNELS if of_maps[name] is not None)
        what = f"merge_levels: maps that a gradient reaches from {level}"
        expect_equal(reached, names, what)


@exercise("2.2")
def test_merge_levels_keeps_places(student: Any) -> None:
    """What c5 sees at one place arrives in p3 at the same place."""
    pyramid = student.make_pyramid(OUT)
    pyramid.eval()
    if not make_transparent(pyramid):
        return
    features = {
        name: 0 * values for name, values in constant_features(student, 12, 20).items()
    }
    features["c5"][0, :, 1, 3] = 1.0
    got = expect_tensor(pyramid.merge_levels(features)["p3"], "merge_levels: p3")[0, 0]
    row, column = divmod(int(got.argmax()), got.shape[1])
    cause = None
    if (row, column) == (1, 3) and int((got > 0).sum()) == 1:
        cause = "the map was filled up at its end instead of enlarged"
    elif (row, column) == (1, 3) and float(got.max()) > 0:
        cause = "the map is seen at its own size; enlarge it to that of the level below"
    elif 12 <= row < 16 and 4 <= column < 8:
        cause = "rows and columns are exchanged"
    expect_true(
        4 <= row < 8 and 12 <= column < 16,
        "merge_levels: c5 is 1 at row 1, column 3",
        f"p3 is largest at row {row}, column {column}; expected row 4-7, column 12-15",
        cause,
    )
