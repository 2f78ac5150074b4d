"""Visible checks of step 3: the head that all levels share."""

import math
from typing import Any

import torch

from helpers.checks.again import expect_own_answers, expect_unshared
from helpers.checks.answers import (
    expect_keys,
    expect_parts,
    expect_state,
    weights_in_common,
)
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_equal, expect_tensor, expect_true
from helpers.checks.inputs import tensor

OUTPUTS = ("class logits", "box deltas", "centerness logits")
MOST_ANSWERED = 100  # numbers for a map of 2 x 3 places
# Two channels, H = 2, W = 3: 1 2 3 / 4 5 6 and 7 8 9 / 10 11 12.
FEATURES = [[[[1.0, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]]
ROW_BY_ROW = [[[1.0, 7], [2, 8], [3, 9], [4, 10], [5, 11], [6, 12]]]


def make_head(student: Any, *arguments: Any) -> Any:
    """A head where the student's code is to work."""
    return student.one_stage_detector.FCOSPredictionNetwork(*arguments).to(
        student.device
    )


def transparent_head(student: Any, silent: str = "") -> Any:
    """Stems that pass 2 channels on; classes = channels, box = 1, 2, -1, -2 times the
    first channel, centerness = minus the first channel.

    Args:
        silent: a stem, "stem_cls" or "stem_box", that answers 0.
    """
    head = make_head(student, 2, 2, [2, 2])
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    for name, old in state.items():
        new = torch.zeros_like(old)
        if old.dim() == 4 and name.startswith(("stem", "pred_cls")):
            if not silent or not name.startswith(silent):
                new[:, :, 1, 1] = torch.eye(2, device=old.device)
        elif name == "pred_box.weight":
            new[:, 0, 1, 1] = tensor(student, [1.0, 2.0, -1.0, -2.0])
        elif name == "pred_ctr.weight":
            new[:, 0, 1, 1] = -1.0
        state[name] = new
    head.load_state_dict(state)
    return head


def shared_stem(head: Any) -> str:
    """A weight of one stem that is found in the other as well, or ""."""
    for names in weights_in_common(head, "FCOSPredictionNetwork"):
        stems = [name for name in names if name.startswith(("stem_cls.", "stem_box."))]
        if len({name.partition(".")[0] for name in stems}) == 2:
            return stems[0]
    return ""


@exercise("3.1")
def test_head_layers_have_their_shapes(student: Any) -> None:
    """Two stems of 3x3 convolutions and three 3x3 predictors."""
    head = make_head(student, 3, 8, [12, 6])
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    for stem in ("stem_cls", "stem_box"):
        own = [
            tuple(weight.shape)
            for name, weight in state.items()
            if name.startswith(stem) and weight.dim() == 4
        ]
        causes: dict[tuple[tuple[int, ...], ...], str] = {
            ((12, 8, 3, 3), (6, 8, 3, 3)): (
                "each convolution takes the channels that the one before gives"
            ),
            ((12, 8, 3, 3),): "there is one convolution, and not one for each width",
            ((12, 8, 1, 1), (6, 12, 1, 1)): "the convolutions are 1x1, not 3x3",
            (): "layers in a plain list, which PyTorch does not see, or another name",
        }
        expect_equal(
            own,
            [(12, 8, 3, 3), (6, 12, 3, 3)],
            f"FCOSPredictionNetwork(3, 8, [12, 6]): weights of {stem}",
            causes.get(tuple(own)),
        )
    for name, channels in {"pred_cls": 3, "pred_box": 4, "pred_ctr": 1}.items():
        expect_tensor(
            getattr(head, name).weight,
            f"FCOSPredictionNetwork(3, 8, [12, 6]): weight of {name}",
            shape=(channels, 6, 3, 3),
            shape_causes={
                "the number of classes is built in": (20, 6, 3, 3),
                "a predictor takes the last width of its stem, not the first": (
                    channels,
                    12,
                    3,
                    3,
                ),
            },
        )


@exercise("3.1")
def test_head_starts_from_background(student: Any) -> None:
    """The bias of pred_cls says "background", all other biases are 0."""
    head = make_head(student, 3, 8, [8, 8])
    expect_close(
        head.pred_cls.bias,
        torch.full((3,), -4.595120),  # -ln 99
        "pred_cls.bias of an untrained head",
        causes={
            "the bias is left at 0": torch.zeros(3),
            "the minus is missing": torch.full((3,), 4.595120),
            "ln(p) instead of -ln((1 - p) / p)": torch.full((3,), -4.605170),
            "the logarithm is to the base 10": torch.full((3,), -1.995635),
        },
    )
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    for name, bias in state.items():
        if name.endswith("bias") and name != "pred_cls.bias":
            expect_close(bias, torch.zeros_like(bias), f"{name} of an untrained head")


@exercise("3.1")
def test_head_weights_are_small(student: Any) -> None:
    """All weights are drawn from N(0, 0.01)."""
    head = make_head(student, 20, 32, [32, 32])
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    for name, weight in state.items():
        if not name.endswith("weight") or weight.dim() != 4:
            continue
        deviation = float(weight.std())
        cause = None
        if 0.09 < deviation < 0.11:
            cause = "0.01 is the standard deviation, not the variance"
        elif abs(deviation * math.sqrt(3 * weight[0].numel()) - 1) < 0.1:
            cause = "PyTorch's own start is still there"
        # 20 % is more than 6 standard errors of the smallest of these weights.
        expect_true(
            0.008 < deviation < 0.012,
            f"{name} of an untrained head",
            f"expected a standard deviation of 0.01, got {deviation:.4f}",
            cause,
        )


@exercise("3.1")
def test_head_stems_are_two_and_end_with_relu(student: Any) -> None:
    """Classes and boxes have stems of their own; each convolution has its ReLU."""
    heads = [make_head(student, 3, 8, [8, 8]) for _ in range(2)]
    shared = shared_stem(heads[0])
    expect_true(
        not shared,
        "stem_cls and stem_box",
        f"what is written into {shared} is found in the other stem",
        "one stem was put into both names",
    )
    expect_unshared(
        "FCOSPredictionNetwork",
        heads,
        "a second head has layers of the first; make new ones for each",
    )
    head = make_head(student, 3, 8, [8, 8])
    first = {
        stem: next(
            weight
            for name, weight in expect_state(head.state_dict(), "FCOS head").items()
            if name.startswith(stem) and weight.dim() == 4
        )
        for stem in ("stem_cls", "stem_box")
    }
    expect_true(
        not torch.equal(first["stem_cls"], first["stem_box"]),
        "stem_cls and stem_box",
        "both start with the same weights",
        "one stem is a copy of the other; draw the weights of each",
    )
    x = torch.linspace(-3, 3, 8 * 5 * 7, device=student.device).reshape(1, 8, 5, 7)
    for name, stem in {"stem_cls": head.stem_cls, "stem_box": head.stem_box}.items():
        y = expect_tensor(
            stem(x),
            f"{name} on a map of 5 x 7",
            shape=(1, 8, 5, 7),
            shape_causes={"the padding of 1 is missing": (1, 8, 1, 3)},
        )
        expect_true(
            float(y.min()) >= 0,
            f"{name} on a map of 5 x 7",
            f"the smallest value is {float(y.min()):.4g}; a ReLU leaves none below 0",
            "the ReLU behind the last convolution is missing",
        )


@exercise("3.2")
def test_head_forward_flattens_row_by_row(student: Any) -> None:
    """(B, C, H, W) becomes (B, H * W, C), row after row."""
    got = transparent_head(student)({"p3": tensor(student, FEATURES)})
    expect_parts(got, OUTPUTS, "FCOSPredictionNetwork.forward")
    for name, part in zip(OUTPUTS, got, strict=True):
        expect_keys(part, ("p3",), f"FCOSPredictionNetwork.forward: {name}")
    reshaped = torch.arange(1.0, 13).reshape(1, 6, 2)
    by_column = torch.tensor([[[1.0, 7], [4, 10], [2, 8], [5, 11], [3, 9], [6, 12]]])
    logits = expect_tensor(
        got[0]["p3"],
        "FCOSPredictionNetwork.forward: class logits of 2 channels, H = 2, W = 3",
        shape=(1, 6, 2),
        shape_causes={
            "the result is still a map": (1, 2, 2, 3),
            "channels come before places": (1, 2, 6),
        },
    )
    expect_close(
        logits,
        torch.tensor(ROW_BY_ROW),
        "FCOSPredictionNetwork.forward: class logits of 2 channels, H = 2, W = 3",
        causes={
            "reshaped without permute, which mixes channels and places": reshaped,
            "flattened column by column": by_column,
            "a sigmoid is applied; outputs must be raw": torch.tensor(
                ROW_BY_ROW
            ).sigmoid(),
        },
    )


@exercise("3.2")
def test_head_forward_is_raw(student: Any) -> None:
    """No sigmoid and no ReLU behind a predictor; box deltas may be negative."""
    got = transparent_head(student)({"p3": tensor(student, FEATURES)})
    first = torch.arange(1.0, 7).reshape(1, 6, 1)
    boxes = first * torch.tensor([1.0, 2.0, -1.0, -2.0])
    expected = {1: boxes, 2: -first}
    for place, values in expected.items():
        expect_tensor(
            got[place]["p3"],
            f"FCOSPredictionNetwork.forward: {OUTPUTS[place]} of 2 x 3 places",
            shape=tuple(values.shape),
            shape_causes={"the last dimension, of 1, is missing": (1, 6)},
        )
        expect_close(
            got[place]["p3"],
            values,
            f"FCOSPredictionNetwork.forward: {OUTPUTS[place]}",
            causes={
                "a ReLU follows the predictor": values.relu(),
                "a sigmoid is applied; outputs must be raw": values.sigmoid(),
                "exp is applied; outputs must be raw": values.exp(),
            },
        )


@exercise("3.2")
def test_head_forward_centerness_is_on_the_box_stem(student: Any) -> None:
    """Centerness and box deltas come from the box stem, classes from the class stem."""
    features = {"p3": tensor(student, FEATURES)}
    state = expect_state(transparent_head(student).state_dict(), "FCOS head")
    parts = {name.partition(".")[0] for name in state}
    for stem, silent in {"stem_cls": (0,), "stem_box": (1, 2)}.items():
        got = transparent_head(student, silent=stem)(features)
        for place, name in enumerate(OUTPUTS):
            is_zero = _is_silent(got, place)
            cause = None
            if is_zero != (place in silent):
                other = {"stem_cls": "stem_box", "stem_box": "stem_cls"}[stem]
                follows = _is_silent(transparent_head(student, other)(features), place)
                if follows != is_zero and {"stem_cls", "stem_box"} <= parts:
                    cause = "a predictor is on the wrong stem"
            expect_true(
                is_zero == (place in silent),
                f"FCOSPredictionNetwork.forward: {name}, where {stem} answers 0",
                "they are 0 too" if is_zero else "they are not 0",
                cause,
            )


def _is_silent(got: Any, place: int) -> bool:
    """Whether one of the three outputs is 0 everywhere."""
    answer = expect_tensor(got[place]["p3"], OUTPUTS[place], most=MOST_ANSWERED)
    return bool((answer == 0).all())


@exercise("3.2")
def test_head_forward_again(student: Any) -> None:
    """Each call answers for its own maps, also in evaluation; gradients go back."""
    head = transparent_head(student)
    maps = tensor(student, FEATURES)
    rows = torch.tensor(ROW_BY_ROW)

    def case(times: float) -> Any:
        def check(got: Any) -> None:
            what = "FCOSPredictionNetwork.forward: class logits of 2 x 3 places"
            expect_close(got[0]["p3"], times * rows, what)
            what = "FCOSPredictionNetwork.forward: box deltas of 2 x 3 places"
            first = times * rows[:, :, :1]
            expect_close(got[1]["p3"], first * torch.tensor([1.0, 2, -1, -2]), what)

        return ({"p3": times * maps},), check

    for mode in (head.eval, head.train):
        mode()
        expect_own_answers(head, case(1), case(20))
    for place, name in enumerate(OUTPUTS):
        _, (of_maps,), _ = student.gradients(
            head, {"p3": maps}, inputs=(0,), part=(place, "p3")
        )
        expect_true(
            of_maps["p3"] is not None,
            f"FCOSPredictionNetwork.forward: gradient of {name}",
            "none arrives at the features",
        )


@exercise("3.2")
def test_head_forward_of_all_levels(student: Any) -> None:
    """Three levels and two images, the second an image like any other."""
    student.seed(1)
    head = make_head(student, 3, 8, [12, 6])
    maps = {
        level: torch.linspace(-1, 2, 2 * 8 * h * w, device=student.device).reshape(
            2, 8, h, w
        )
        for level, (h, w) in {"p3": (5, 7), "p4": (3, 4), "p5": (2, 2)}.items()
    }
    both = head(maps)
    second = head({level: values[1:] for level, values in maps.items()})
    for place, channels in enumerate((3, 4, 1)):
        expect_keys(both[place], ("p3", "p4", "p5"), f"keys of {OUTPUTS[place]}")
        for level, values in maps.items():
            what = (
                f"FCOSPredictionNetwork.forward: {OUTPUTS[place]} of {level}, 2 images"
            )
            shape = (2, values.shape[2] * values.shape[3], channels)
            got = expect_tensor(both[place][level], what, shape=shape)
            alone = expect_tensor(second[place][level], what, shape=(1, *shape[1:]))
            expect_close(got[1:], alone, what)
