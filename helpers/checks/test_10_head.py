"""Visible checks of step 10: the head with the choices of a config."""

from typing import Any

import torch

from helpers.checks.answers import expect_keys, expect_parts, expect_state
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_tensor
from helpers.checks.inputs import tensor

OUTPUTS = ("class logits", "distances", "centerness logits")
# Two channels, H = 2, W = 3.
FEATURES = [[[[1.0, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]]
ROW_BY_ROW = [[[1.0, 7], [2, 8], [3, 9], [4, 10], [5, 11], [6, 12]]]
BOX_STEM = 2.0  # times what comes in; the other stem changes nothing
SIDES = (0.1, 0.2, -0.1, -0.2)  # of the first channel of the box stem
SCALES = {"p3": 0.5, "p4": 2.0}


def make_head(student: Any, **choices: Any) -> Any:
    """A head for 2 classes, its weights set: what comes out can be found by hand."""
    version = student.fcos_published.FCOSConfig(
        **({"norm_groups": 0, "stem_start": "small", "box_output": "raw"} | choices)
    )
    head = student.fcos_published.PublishedHead(2, 2, [2], version, ("p3", "p4"))
    if student.device.type != "cpu":
        head.to(str(student.device))
    state = expect_state(head.state_dict(), "PublishedHead")
    for name, old in state.items():
        new = torch.zeros_like(old)
        if name.startswith("scales."):
            new = torch.full_like(old, SCALES[name.removeprefix("scales.")])
        elif name.startswith(("stem", "pred_cls")) and old.dim() == 4:
            factor = BOX_STEM if name.startswith("stem_box") else 1.0
            new[:, :, 1, 1] = factor * torch.eye(2, device=old.device)
        elif name == "pred_box.weight":
            new[:, 0, 1, 1] = tensor(student, list(SIDES))
        elif name == "pred_ctr.weight":
            new[:, 0, 1, 1] = -1.0
        state[name] = new
    head.load_state_dict(state)
    return head


def ask(student: Any, head: Any) -> Any:
    """The answers for the same map as p3 and as p4; three dicts of two levels."""
    maps = {level: tensor(student, FEATURES) for level in SCALES}
    got = head(maps)
    expect_parts(got, OUTPUTS, "PublishedHead.forward")
    for name, part in zip(OUTPUTS, got, strict=True):
        expect_keys(part, tuple(SCALES), f"PublishedHead.forward: {name}")
    return got


def raw_distances() -> torch.Tensor:
    """What the box predictor says, (1, 6, 4)."""
    first = BOX_STEM * torch.arange(1.0, 7).reshape(1, 6, 1)
    return first * torch.tensor(SIDES)


@exercise("10.6")
def test_published_head_flattens_row_by_row(student: Any) -> None:
    """Class logits come from the class stem, raw, and row after row."""
    got = ask(student, make_head(student))
    right = torch.tensor(ROW_BY_ROW)
    for level in SCALES:
        what = f"PublishedHead.forward: class logits of {level}, H = 2, W = 3"
        expect_tensor(
            got[0][level],
            what,
            shape=(1, 6, 2),
            shape_causes={
                "the result is still a map": (1, 2, 2, 3),
                "channels come before places": (1, 2, 6),
            },
        )
        expect_close(
            got[0][level],
            right,
            what,
            causes={
                "reshaped without permute, which mixes channels and places": (
                    torch.arange(1.0, 13).reshape(1, 6, 2)
                ),
                "classes come from the box stem": BOX_STEM * right,
                "a sigmoid is applied; class logits are raw": right.sigmoid(),
            },
        )


@exercise("10.6")
def test_published_head_centerness_follows_the_config(student: Any) -> None:
    """Centerness comes from the stem that `centerness_on` names."""
    right = {"class": -1.0, "box": -BOX_STEM}
    first = torch.arange(1.0, 7).reshape(1, 6, 1)
    for stem, other in (("box", "class"), ("class", "box")):
        got = ask(student, make_head(student, centerness_on=stem))
        for level in SCALES:
            expect_close(
                got[2][level],
                right[stem] * first,
                f"PublishedHead.forward: centerness of {level}, centerness_on {stem}",
                causes={
                    f"it comes from the {other} stem": right[other] * first,
                    "a sigmoid is applied; centerness logits are raw": (
                        right[stem] * first
                    ).sigmoid(),
                    "a ReLU follows the predictor": torch.zeros(1, 6, 1),
                },
            )


@exercise("10.6")
def test_published_head_makes_distances(student: Any) -> None:
    """As `box_output` says: raw, relu or exp; without level_scales unscaled."""
    raw = raw_distances()
    ways = {"raw": raw, "relu": raw.relu(), "exp": raw.exp()}
    for way, right in ways.items():
        got = ask(student, make_head(student, box_output=way))
        for level in SCALES:
            others = {
                f"it is done as for {other}": values
                for other, values in ways.items()
                if other != way
            }
            expect_close(
                got[1][level],
                right,
                f"PublishedHead.forward: distances of {level}, box_output {way}",
                causes={
                    **others,
                    "box output of the class stem": _of_class_stem(way),
                },
            )


def _of_class_stem(way: str) -> torch.Tensor:
    raw = raw_distances() / BOX_STEM
    return {"raw": raw, "relu": raw.relu(), "exp": raw.exp()}[way]


@exercise("10.6")
def test_published_head_scales_each_level(student: Any) -> None:
    """With level_scales, the output of each level is multiplied by its own entry."""
    raw = raw_distances()
    for way, last in (("exp", torch.exp), ("relu", torch.relu)):
        got = ask(student, make_head(student, level_scales=True, box_output=way))
        for level, scale in SCALES.items():
            (other,) = set(SCALES.values()) - {scale}
            causes = {
                "the level's scale is not used": last(raw),
                "the scale of another level is used": last(other * raw),
            }
            if way == "exp":
                causes["the scale multiplies the power, not the exponent"] = (
                    scale * last(raw)
                )
            expect_close(
                got[1][level],
                last(scale * raw),
                f"PublishedHead.forward: {level} of scale {scale:g}, box_output {way}",
                causes=causes,
            )
            rows = torch.tensor(ROW_BY_ROW)
            expect_close(
                got[0][level],
                rows,
                f"PublishedHead.forward: class logits of {level} of scale {scale:g}",
                causes={"the level's scale is for distances alone": scale * rows},
            )


@exercise("10.6")
def test_published_head_of_two_images(student: Any) -> None:
    """With group norm and maps of different size, the second image is one like any."""
    student.seed(1)
    version = student.fcos_published.FCOSConfig(
        norm_groups=2, stem_start="he", level_scales=True, box_output="exp"
    )
    head = student.fcos_published.PublishedHead(3, 4, [8, 6], version, ("p3", "p4"))
    if student.device.type != "cpu":
        head.to(str(student.device))
    maps = {
        level: torch.linspace(-1, 2, 2 * 4 * h * w, device=student.device)
        .reshape(2, 4, h, w)
        .sin()
        for level, (h, w) in {"p3": (5, 7), "p4": (3, 4)}.items()
    }
    one = {level: values[1:].clone() for level, values in maps.items()}
    both, second = head(maps), head(one)
    for part in (both, second):
        expect_parts(part, OUTPUTS, "PublishedHead.forward")
    for place, channels in enumerate((3, 4, 1)):
        expect_keys(both[place], ("p3", "p4"), f"keys of {OUTPUTS[place]}")
        for level, cells in (("p3", 35), ("p4", 12)):
            what = f"PublishedHead.forward: {OUTPUTS[place]} of {level}, 2 images"
            shape = (2, cells, channels)
            got = expect_tensor(both[place][level], what, shape=shape)
            alone = expect_tensor(second[place][level], what, shape=(1, *shape[1:]))
            expect_close(got[1:], alone, what)
