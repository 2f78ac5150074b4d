"""Visible checks of step 10: two coarser levels."""

from typing import Any

import torch

from helpers.checks.again import expect_own_answers, expect_own_weights
from helpers.checks.answers import expect_keys, expect_state
from helpers.checks.exercises import exercise
from helpers.checks.expect import (
    CheckError,
    expect_close,
    expect_equal,
    expect_tensor,
    expect_true,
)

TOP = ("p6", "p7")
ALL = ("p3", "p4", "p5", *TOP)
# One channel of p5, H = 3, W = 5; the other channel is the same with a minus.
P5 = [[1.0, 9, -2, 9, -3], [9, 9, 9, 9, 9], [-4, 9, 5, 9, -6]]
# What stays of it where every second row and column is left out.
P6 = [[1.0, -2, -3], [-4, 5, -6]]
P7 = [[1.0, 0]]  # the same of ReLU(p6)
P7_OF_MINUS = [[0.0, 3]]  # and of the other channel, -1 and 3
TIMES = (10.0, -10.0)  # of p7's convolution, for each channel


def make_layers(student: Any, channels: int) -> Any:
    """The student's two convolutions where the code is to work."""
    layers = student.fcos_published.make_top_layers(channels)
    if layers is None or isinstance(layers, dict | list | tuple):
        kind = "None" if layers is None else f"a {type(layers).__name__}"
        raise CheckError(
            "wrong type",
            f"make_top_layers({channels})",
            f"expected an nn.ModuleDict, got {kind}",
            None
            if layers is None
            else f"PyTorch does not see the layers that are in {kind}",
        )
    return layers if student.device.type == "cpu" else layers.to(str(student.device))


def convolutions(layers: Any, what: str) -> dict[str, torch.Tensor]:
    """Level -> weight of its convolution."""
    return {
        name.partition(".")[0]: weight
        for name, weight in expect_state(layers.state_dict(), what).items()
        if weight.dim() == 4
    }


def skipping_layers(student: Any) -> Any:
    """p6 takes every second cell of two channels; p7 does, too, ten times as large."""
    layers = make_layers(student, 2)
    state = expect_state(layers.state_dict(), "make_top_layers(2)")
    factors = {"p6": torch.tensor([1.0, 1.0]), "p7": torch.tensor(TIMES)}
    for name, old in state.items():
        state[name] = torch.zeros_like(old)
        factor = factors.get(name.partition(".")[0])
        if factor is not None and tuple(old.shape) == (2, 2, 3, 3):
            state[name][:, :, 1, 1] = factor.diag().to(old.device)
    layers.load_state_dict(state)
    return layers


def features(student: Any, sign: float = 1.0) -> dict[str, torch.Tensor]:
    """p3, p4 and p5 of one image, two channels."""
    p5 = sign * torch.tensor([P5, P5])[None]
    p5[:, 1] *= -1
    given = {"p3": torch.full((1, 2, 9, 18), 0.5), "p4": torch.full((1, 2, 5, 9), -0.5)}
    given["p5"] = p5
    return {level: values.to(student.device) for level, values in given.items()}


@exercise("10.1")
def test_top_layers_have_their_shapes(student: Any) -> None:
    """Two 3x3 convolutions, p6 and p7, as many channels out as in."""
    for channels in (6, 4):
        what = f"make_top_layers({channels})"
        found = convolutions(make_layers(student, channels), what)
        expect_keys(found, TOP, f"{what}: names of the convolutions")
        for level in TOP:
            shape = tuple(found[level].shape)
            cause = None
            if shape[2:] == (1, 1):
                cause = "the convolutions are 1x1, not 3x3"
            elif shape[2:] == (3, 3) and 256 in shape:
                cause = "the number of channels is written into the code"
            right = (channels, channels, 3, 3)
            expect_equal(shape, right, f"{what}: weight of {level}", cause)


@exercise("10.1")
def test_top_layers_halve_a_map(student: Any) -> None:
    """A map of 5 x 8 becomes one of 3 x 4: half of it, rounded up."""
    layers = make_layers(student, 4)
    expect_keys(convolutions(layers, "make_top_layers(4)"), TOP, "make_top_layers(4)")
    for level in TOP:
        for (height, width), (rows, columns) in {
            (5, 8): (3, 4),
            (7, 6): (4, 3),
        }.items():
            values = torch.ones(1, 4, height, width, device=student.device)
            without = ((height - 3) // 2 + 1, (width - 3) // 2 + 1)
            expect_tensor(
                layers[level](values),
                f"make_top_layers(4): {level} on a map of {height} x {width}",
                shape=(1, 4, rows, columns),
                shape_causes={
                    "the stride of 2 is missing": (1, 4, height, width),
                    "the padding of 1 is missing": (1, 4, *without),
                    "neither stride 2 nor padding 1": (1, 4, height - 2, width - 2),
                },
            )


@exercise("10.1")
def test_top_layers_are_new(student: Any) -> None:
    """p6 and p7 have weights of their own, in each call."""
    expect_own_weights(
        "make_top_layers(4)",
        [make_layers(student, 4) for _ in range(2)],
        "one convolution has two names",
        "a second call gives layers of the first; make new ones in each call",
    )


@exercise("10.2")
def test_top_levels_by_hand(student: Any) -> None:
    """p6 keeps its negative numbers, and p7 is made without them."""
    layers = skipping_layers(student)

    def case(sign: float) -> Any:
        def check(got: Any) -> None:
            expect_keys(got, ALL, "add_top_levels: keys of the result")
            _expect_p6(got["p6"], sign)
            _expect_p7(got["p7"], sign)

        return (features(student, sign), layers), check

    expect_own_answers(student.fcos_published.add_top_levels, case(1), case(-1))


def _expect_p6(got: Any, sign: float) -> None:
    one = sign * torch.tensor(P6)
    right = torch.stack((one, -one))[None]
    expect_close(
        got,
        right,
        "add_top_levels: p6, where its convolution takes every second cell of p5",
        causes={
            "p6 itself went through a ReLU": right.relu(),
            "the layer of p7 is used for p6": right * _times(),
            "p6 is made from ReLU(p5)": right.relu(),
        },
    )


def _expect_p7(got: Any, sign: float) -> None:
    kept = torch.tensor([P7, P7_OF_MINUS])[None]
    right = (kept if sign > 0 else kept.flip(1)) * _times() + 0.0  # no "-0"
    corners = sign * torch.tensor([[[1.0, -3]], [[-1, 3]]])[None]
    what = "add_top_levels: p7, where its convolution takes -10 or 10 times p6"
    expect_tensor(
        got,
        what,
        shape=(1, 2, 1, 2),
        shape_causes={"p7 has the size of p6; it is made from p6": (1, 2, 2, 3)},
    )
    expect_close(
        got,
        right,
        what,
        causes={
            "the ReLU between p6 and p7 is missing": corners * _times(),
            "the ReLU stands behind p7's convolution": (corners * _times()).relu(),
            "there is a ReLU behind p7's convolution, too": right.relu(),
            "the layer of p6 is used for p7": right / _times(),
        },
    )


def _times() -> torch.Tensor:
    return torch.tensor(TIMES).reshape(1, 2, 1, 1)


@exercise("10.2")
def test_top_levels_leave_the_others(student: Any) -> None:
    """p3, p4 and p5 are as they were, and so is the dict that was given."""
    before = features(student)
    got, (after, _) = student.after_call(
        student.fcos_published.add_top_levels,
        features(student),
        skipping_layers(student),
    )
    expect_keys(got, ALL, "add_top_levels: keys of the result")
    for level in ("p3", "p4", "p5"):
        expect_close(got[level], before[level].cpu(), f"add_top_levels: {level}")
    expect_true(
        set(after) == {"p3", "p4", "p5"},
        "add_top_levels: the dict that was given",
        f"has {', '.join(sorted(map(str, after)))} afterwards",
        "the levels were put into the dict that was given; return a new one"
        if set(after) == set(ALL)
        else None,
    )
    for level, values in before.items():
        expect_close(
            after[level], values.cpu(), f"add_top_levels: {level} that was given"
        )


@exercise("10.2")
def test_top_levels_of_odd_sizes(student: Any) -> None:
    """Two images of 7 x 4 cells: p6 has 4 x 2, p7 has 2 x 1, and each image its own."""
    student.seed(1)
    layers = make_layers(student, 3)
    maps = {
        level: torch.linspace(-1, 2, 2 * 3 * h * w, device=student.device).reshape(
            2, 3, h, w
        )
        for level, (h, w) in {"p3": (28, 16), "p4": (14, 8), "p5": (7, 4)}.items()
    }
    one = {level: values[1:].clone() for level, values in maps.items()}
    both = student.fcos_published.add_top_levels(maps, layers)
    second = student.fcos_published.add_top_levels(one, layers)
    for level, size in {"p6": (4, 2), "p7": (2, 1)}.items():
        what = f"add_top_levels: {level} of two images, where p5 is 7 x 4"
        got = expect_tensor(both[level], what, shape=(2, 3, *size))
        alone = expect_tensor(second[level], what, shape=(1, 3, *size))
        expect_close(got[1:], alone, what)
