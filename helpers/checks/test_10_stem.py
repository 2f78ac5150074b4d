"""Visible checks of step 10: a stem with group norm."""

from typing import Any

import torch

from helpers.checks.again import expect_own_weights
from helpers.checks.answers import expect_state
from helpers.checks.exercises import exercise
from helpers.checks.expect import (
    CheckError,
    expect_close,
    expect_equal,
    expect_tensor,
    not_implemented,
)

MAKE = "make_stem"
SHIFTS = (0.0, 5.0, 0.0, -5.0, 2.0, -3.0)  # what the convolution adds to each channel
EPS = 1e-5


def make_stem(student: Any, channels: int, widths: list[int], groups: int) -> Any:
    """The student's stem where the code is to work."""
    stem = student.fcos_published.make_stem(channels, widths, groups)
    if stem is None:
        raise not_implemented(MAKE)
    if isinstance(stem, dict | list | tuple):
        kind = type(stem).__name__
        message = f"expected an nn.Sequential, got a {kind}"
        cause = f"PyTorch does not see the layers that are in a plain {kind}"
        raise CheckError("wrong type", MAKE, message, cause)
    return stem if student.device.type == "cpu" else stem.to(str(student.device))


def state_of(stem: Any) -> dict[str, torch.Tensor]:
    """Name -> weights."""
    return expect_state(stem.state_dict(), MAKE)


def two_images(student: Any) -> torch.Tensor:
    """(2, 6, 2, 3) without any order in it."""
    numbers = torch.arange(72.0, device=student.device)
    return (3 * numbers.square().sin()).reshape(2, 6, 2, 3)


def pass_on(stem: Any) -> None:
    """One convolution that adds SHIFTS and nothing else; a norm that only norms."""
    state = state_of(stem)
    convolution = next(
        name.removesuffix("weight") for name, old in state.items() if old.dim() == 4
    )
    for name, old in state.items():
        if old.dim() == 4:
            state[name] = torch.zeros_like(old)
            state[name][:, :, 1, 1] = torch.eye(6, device=old.device)
        elif name == f"{convolution}bias":
            state[name] = torch.tensor(SHIFTS, device=old.device)
        elif old.is_floating_point():
            state[name] = torch.full_like(old, float(name.endswith("weight")))
    stem.load_state_dict(state)


def normed(values: torch.Tensor, groups: int) -> torch.Tensor:
    """Mean 0 and deviation 1 within each group of channels of each image."""
    rows = values.reshape(len(values), groups, -1)
    spread = (rows.var(dim=2, correction=0, keepdim=True) + EPS).sqrt()
    return ((rows - rows.mean(dim=2, keepdim=True)) / spread).reshape(values.shape)


@exercise("10.3")
def test_stem_has_a_convolution_for_each_width(student: Any) -> None:
    """3x3 convolutions in a row, and behind each a norm, unless there are no groups."""
    for groups in (2, 0):
        state = state_of(make_stem(student, 3, [8, 4], groups))
        what = f"make_stem(3, [8, 4], {groups}): weights of the convolutions"
        own = [tuple(weight.shape) for weight in state.values() if weight.dim() == 4]
        causes: dict[tuple[tuple[int, ...], ...], str] = {
            ((8, 3, 3, 3), (4, 3, 3, 3)): (
                "each convolution takes the channels that the one before gives"
            ),
            ((8, 3, 3, 3),): "there is one convolution, and not one for each width",
            ((8, 3, 1, 1), (4, 8, 1, 1)): "the convolutions are 1x1, not 3x3",
        }
        right = [(8, 3, 3, 3), (4, 8, 3, 3)]
        expect_equal(own, right, what, causes.get(tuple(own)))
        norms = [
            tuple(weight.shape)
            for name, weight in state.items()
            if name.endswith("weight") and weight.dim() == 1
        ]
        what = f"make_stem(3, [8, 4], {groups}): weights of the norms"
        cause = None
        if not groups and norms == [(8,), (4,)]:
            cause = "norm_groups of 0 means no norm"
        elif groups and not norms:
            cause = "the norm is missing, or has no weights to learn (affine)"
        elif groups and len(norms) == 1:
            cause = "there is one norm, and not one behind each convolution"
        expect_equal(norms, [(8,), (4,)] if groups else [], what, cause)


@exercise("10.3")
def test_stem_keeps_the_size_of_a_map(student: Any) -> None:
    """A map of 5 x 7 stays one, and no two stems share their weights."""
    stem = make_stem(student, 3, [8, 4], 2)
    values = torch.linspace(-1, 1, 3 * 5 * 7, device=student.device)
    expect_tensor(
        stem(values.reshape(1, 3, 5, 7)),
        "make_stem(3, [8, 4], 2) on a map of 5 x 7",
        shape=(1, 4, 5, 7),
        shape_causes={
            "the padding of 1 is missing": (1, 4, 1, 3),
            "a stride leaves places out": (1, 4, 2, 2),
        },
    )
    expect_own_weights(
        "make_stem(4, [4, 4], 2)",
        [make_stem(student, 4, [4, 4], 2) for _ in range(2)],
        "one layer stands in the stem twice",
        "a second call gives layers of the first; make new ones in each call",
    )


@exercise("10.3")
def test_stem_norms_groups_of_channels(student: Any) -> None:
    """Convolution, group norm, ReLU, in this order: two groups of three channels."""
    stem = make_stem(student, 6, [6], 2)
    pass_on(stem)
    given = two_images(student)
    moved = given + torch.tensor(SHIFTS, device=given.device).reshape(1, 6, 1, 1)
    right = normed(moved, 2)
    whole = moved.transpose(0, 1)  # batch norm: each channel, over all images
    what = "make_stem(6, [6], 2): two images of 2 x 3 through it"
    expect_close(
        expect_tensor(stem(given), what, shape=(2, 6, 2, 3)),
        right.relu().cpu(),
        what,
        atol=1e-4,  # a norm divides by a small number where a group hardly varies
        causes={
            "the ReLU is missing": right,
            "the ReLU comes before the norm": normed(moved.relu(), 2),
            "the ReLU comes before the norm, and again behind it": normed(
                moved.relu(), 2
            ).relu(),
            "the norm comes before the convolution": (
                normed(given, 2) + (moved - given)
            ).relu(),
            "there is no norm": moved.relu(),
            "it is a batch norm, which looks at other images": (
                normed(whole, 1).transpose(0, 1).relu()
            ),
            "there is one group for all channels": normed(moved, 1).relu(),
            "each channel is a group of its own": normed(moved, 6).relu(),
            "norm_groups is how many groups, not how many channels each has": (
                normed(moved, 3).relu()
            ),
        },
    )


@exercise("10.3")
def test_stem_without_norm(student: Any) -> None:
    """norm_groups of 0: convolution and ReLU alone."""
    stem = make_stem(student, 6, [6], 0)
    pass_on(stem)
    given = two_images(student)
    moved = given + torch.tensor(SHIFTS, device=given.device).reshape(1, 6, 1, 1)
    what = "make_stem(6, [6], 0): two images of 2 x 3 through it"
    expect_close(
        expect_tensor(stem(given), what, shape=(2, 6, 2, 3)),
        moved.relu().cpu(),
        what,
        causes={
            "the ReLU is missing": moved,
            "there is a norm of one group": normed(moved, 1).relu(),
        },
    )
