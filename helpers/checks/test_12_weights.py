"""Visible checks of step 12: the names of other people's weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_equal

PREDICTORS = {
    "pred_net.pred_cls.weight": "head.classification_head.cls_logits.weight",
    "pred_net.pred_cls.bias": "head.classification_head.cls_logits.bias",
    "pred_net.pred_box.weight": "head.regression_head.bbox_reg.weight",
    "pred_net.pred_ctr.bias": "head.regression_head.bbox_ctrness.bias",
}
STEMS = {
    "pred_net.stem_cls.0.weight": "head.classification_head.conv.0.weight",
    "pred_net.stem_cls.1.bias": "head.classification_head.conv.1.bias",
    "pred_net.stem_box.0.bias": "head.regression_head.conv.0.bias",
    "pred_net.stem_box.10.weight": "head.regression_head.conv.10.weight",
}
PYRAMID = {
    "backbone.fpn_params.lateral3.weight": "backbone.fpn.inner_blocks.0.0.weight",
    "backbone.fpn_params.lateral5.bias": "backbone.fpn.inner_blocks.2.0.bias",
    "backbone.fpn_params.output3.bias": "backbone.fpn.layer_blocks.0.0.bias",
    "backbone.fpn_params.output4.weight": "backbone.fpn.layer_blocks.1.0.weight",
}
BODY = {
    "backbone.backbone.conv1.weight": "backbone.body.conv1.weight",
    "backbone.backbone.layer2.0.downsample.1.running_var": (
        "backbone.body.layer2.0.downsample.1.running_var"
    ),
    "backbone.top.p6.weight": "backbone.fpn.extra_blocks.p6.weight",
    "backbone.top.p7.bias": "backbone.fpn.extra_blocks.p7.bias",
    "_normalizer": "_normalizer",  # a buffer of ours alone
}


def expect_names(
    student: Any, pairs: Mapping[str, str], causes: Mapping[str, Sequence[str]]
) -> None:
    """Each of our names has this name there.

    Args:
        causes: known mistake -> the names that it gives.
    """
    key = student.fcos_published.torchvision_key
    got = [key(name) for name in pairs]
    for name, answer, right in zip(pairs, got, pairs.values(), strict=True):
        cause = None
        if answer != right:
            as_they_are = {"the name comes back as it is": list(pairs)}
            known = {**as_they_are, **causes}
            cause = next((said for said in known if list(known[said]) == got), None)
        expect_equal(answer, right, f"torchvision_key({name!r})", cause)


@exercise("12.4")
def test_key_of_the_predictors(student: Any) -> None:
    """The three last convolutions, in the two heads of torchvision."""
    right = list(PREDICTORS.values())
    one_head = [
        name.replace("regression_head.bbox_ctr", "classification_head.bbox_ctr")
        for name in right
    ]
    causes = {
        "centerness belongs to the regression head there": one_head,
        "bbox_reg and bbox_ctrness are exchanged": [
            name.replace("bbox_reg", "?")
            .replace("bbox_ctrness", "bbox_reg")
            .replace("?", "bbox_ctrness")
            for name in right
        ],
        "weight and bias are missing at the end": [
            name.rpartition(".")[0] for name in right
        ],
        "what stands behind the beginning of our name is missing": [
            name.rpartition(".")[0] + "." for name in right
        ],
        "head. is missing at the beginning": [
            name.removeprefix("head.") for name in right
        ],
    }
    expect_names(student, PREDICTORS, causes)


@exercise("12.4")
def test_key_of_the_stems(student: Any) -> None:
    """Each stem is one head's conv, with the same numbers."""
    right = list(STEMS.values())
    exchanged = [
        name.replace("classification", "?")
        .replace("regression", "classification")
        .replace("?", "regression")
        for name in right
    ]
    causes = {"stems of class and box are exchanged": exchanged}
    expect_names(student, STEMS, causes)


@exercise("12.4")
def test_key_of_the_pyramid(student: Any) -> None:
    """Laterals and outputs are lists there, which begin at 0."""
    right = list(PYRAMID.values())
    exchanged = [
        name.replace("inner", "?").replace("layer", "inner").replace("?", "layer")
        for name in right
    ]
    numbers = ("3", "5", "3", "4")
    causes = {
        "inner and layer blocks are exchanged": exchanged,
        "blocks are counted from the coarsest level": [
            name.replace("blocks.0.", "?")
            .replace("blocks.2.", "blocks.0.")
            .replace("?", "blocks.2.")
            for name in right
        ],
        "blocks are numbered 3 to 5, as the levels are": [
            f"{name.partition('blocks.')[0]}blocks.{number}.0.{name.rpartition('.')[2]}"
            for name, number in zip(right, numbers, strict=True)
        ],
        "the .0 behind the number of a block is missing": [
            name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
            for name in right
        ],
    }
    expect_names(student, PYRAMID, causes)


@exercise("12.4")
def test_key_of_the_body_and_of_the_top(student: Any) -> None:
    """What stands behind backbone.backbone stays; p6 and p7 are extra blocks."""
    right = list(BODY.values())
    causes = {
        "p6 and p7 are exchanged": [
            name.replace("p6", "?").replace("p7", "p6").replace("?", "p7")
            for name in right
        ],
        "fpn. is missing in the names of p6 and p7": [
            name.replace("backbone.fpn.extra", "backbone.extra") for name in right
        ],
        "backbone.body. is missing at the beginning": [
            name.removeprefix("backbone.body.") for name in right
        ],
    }
    expect_names(student, BODY, causes)


@exercise("12.4")
def test_key_gives_no_name_twice(student: Any) -> None:
    """Two weights of ours never take one and the same of theirs."""
    key = student.fcos_published.torchvision_key
    names = [name for pairs in (PREDICTORS, STEMS, PYRAMID, BODY) for name in pairs]
    names += [
        f"backbone.fpn_params.{kind}{level}.{part}"
        for kind in ("lateral", "output")
        for level in (3, 4, 5)
        for part in ("weight", "bias")
    ]
    first: dict[Any, str] = {}
    for name in dict.fromkeys(names):
        answer = key(name)
        other = first.setdefault(str(answer), name)
        what = f"torchvision_key({name!r}), the same as of which other name"
        expect_equal(other, name, what, "two of our weights get one name there")
