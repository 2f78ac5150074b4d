"""Step 12: torchvision's name of each of our weights."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import torch
from torch import nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.image_list import ImageList
from torchvision.models.resnet import BasicBlock
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from grader_tests.oracles.plain_inference import Choices
from grader_tests.published_detection_parts import make_version, read_found_of
from grader_tests.published_parts import layers_of
from grader_tests.tools import give, spread
from helpers.checks.answers import expect_state
from helpers.checks.expect import (
    CheckError,
    any_of,
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_runs,
    expect_true,
    not_implemented,
)
from helpers.checks.student import Student

KEY = "torchvision_key"
ANYWHERE = "a part of the name is replaced wherever it stands, not at its beginning"
LONGEST = 200  # characters of a name
UNCHANGED = "the name comes back as it is"
NAMES = "x1,y1,x2,y2,class,score"
NUM_CLASSES, CHANNELS = 3, 32
# (H, W) of a batch, and of its images, in which all locations lie
PADDED, SIZES = (96, 160), [(96, 156), (92, 160)]
MAPS = {"p3": (12, 20), "p4": (6, 10), "p5": (3, 5), "p6": (2, 3), "p7": (1, 2)}
HEAD = {
    "pred_net.stem_cls.": "head.classification_head.conv.",
    "pred_net.stem_box.": "head.regression_head.conv.",
    "pred_net.pred_cls.": "head.classification_head.cls_logits.",
    "pred_net.pred_box.": "head.regression_head.bbox_reg.",
    "pred_net.pred_ctr.": "head.regression_head.bbox_ctrness.",
}
PYRAMID = {
    f"backbone.fpn_params.{ours}{n + 3}.": f"backbone.fpn.{theirs}_blocks.{n}.0."
    for ours, theirs in (("lateral", "inner"), ("output", "layer"))
    for n in range(3)
}
TOP = {f"backbone.top.p{n}.": f"backbone.fpn.extra_blocks.p{n}." for n in (6, 7)}
BODY = {"backbone.backbone.": "backbone.body."}
EVERY = {**HEAD, **PYRAMID, **TOP, **BODY}
Named = Callable[[str, str], str]  # our name and the right one -> a wrong one
KNOWN_MISTAKES: dict[str, Named] = {
    "stems of class and box are exchanged": lambda _, right: _swapped(
        right, "classification_head.conv", "regression_head.conv"
    ),
    "bbox_reg and bbox_ctrness are exchanged": lambda _, right: _swapped(
        right, "bbox_reg", "bbox_ctrness"
    ),
    "inner and layer blocks are exchanged": lambda _, right: _swapped(
        right, "inner_blocks", "layer_blocks"
    ),
    "blocks are counted from the coarsest level": lambda _, right: _swapped(
        right, "_blocks.0.", "_blocks.2."
    ),
    "blocks are numbered 3 to 5, as the levels are": lambda _, right: _shifted(
        right, 3
    ),
    "blocks are numbered 1 to 3": lambda _, right: _shifted(right, 1),
    "the .0 behind the number of a block is missing": lambda _, right: _without(right),
    "there is a .0 too many": lambda _, right: _with_zero(right),
    "p6 and p7 are exchanged": lambda _, right: _swapped(right, ".p6.", ".p7."),
}


ONLY_THEIRS = "a name that torchvision does not have is not given back as it is"
UNKNOWN = ("KeyError", "ValueError", "IndexError", "StopIteration", "CheckError")


def _swapped(name: str, one: str, other: str) -> str:
    return name.replace(one, "\0").replace(other, one).replace("\0", other)


def _shifted(name: str, by: int) -> str:
    for place in (2, 1, 0):
        if f"_blocks.{place}.0." in name:
            return name.replace(f"_blocks.{place}.", f"_blocks.{place + by}.")
    return name


def _without(name: str) -> str:
    for place in range(3):
        name = name.replace(f"_blocks.{place}.0.", f"_blocks.{place}.")
    return name


def _with_zero(name: str) -> str:
    owner, _, kind = name.rpartition(".")
    return f"{owner}.0.{kind}"


def plain_key(name: str) -> str:
    """By the table above, which a test holds against torchvision's own names."""
    (ours,) = (part for part in EVERY if name.startswith(part))
    return EVERY[ours] + name[len(ours) :]


def _names_of(theirs: Sequence[str]) -> list[str]:
    """Our names of torchvision's weights."""
    turned = {other: ours for ours, other in EVERY.items()}
    names = []
    for name in theirs:
        (found,) = (part for part in turned if name.startswith(part))
        names.append(turned[found] + name[len(found) :])
    return names


def _body() -> nn.Module:
    """A ResNet of one block for each level, a sixteenth as wide as they are."""

    def block(channels: int, more: int, stride: int) -> nn.Module:
        shortcut = nn.Sequential(
            nn.Conv2d(channels, more, 1, stride, bias=False), nn.BatchNorm2d(more)
        )
        return nn.Sequential(BasicBlock(channels, more, stride, shortcut))

    parts = {
        "conv1": nn.Conv2d(3, 4, 7, 2, 3, bias=False),
        "bn1": nn.BatchNorm2d(4),
        "maxpool": nn.MaxPool2d(3, 2, 1),
        "layer1": block(4, 4, 1),
        **{f"layer{n}": block(2**n, 2 ** (n + 1), 2) for n in (2, 3, 4)},
    }
    return nn.Sequential(OrderedDict(parts))


@cache
def _torchvision() -> FCOS:
    """Theirs, on a small ResNet, with random weights that find something."""
    layers = {"layer2": "0", "layer3": "1", "layer4": "2"}
    top = LastLevelP6P7(CHANNELS, CHANNELS)
    backbone = BackboneWithFPN(_body(), layers, [8, 16, 32], CHANNELS, top)
    model = FCOS(backbone, NUM_CLASSES).double().eval()
    head = model.head.state_dict()
    weights = {
        name: spread(*old.shape, low=-0.5, high=0.5, start=11 * number)
        for number, (name, old) in enumerate(head.items())
    }
    weights["regression_head.bbox_reg.weight"] *= 0.1  # so that each box has some area
    weights["regression_head.bbox_reg.bias"] += 1.5
    model.head.load_state_dict(weights)
    return model


def _key(student: Student, name: str) -> str:
    """The student's key, no more than a key may have of it."""
    got = student.fcos_published.torchvision_key(name)
    if got is None:
        raise not_implemented(KEY)
    if not isinstance(got, str):
        kind = type(got).__name__
        raise CheckError("wrong type", KEY, f"expected a name, got a {kind}")
    return got[:LONGEST]


def _check_keys(student: Student, names: Sequence[str], what: str) -> None:
    right = [plain_key(name) for name in names]
    got = [_key(student, name) for name in names]
    fits = [
        said
        for said, mistake in KNOWN_MISTAKES.items()
        if got == list(map(mistake, names, right))
    ]
    wrong = [row for row in zip(names, got, right, strict=True) if row[1] != row[2]]
    if wrong and all(key == name for name, key, _ in wrong):
        fits.append(UNCHANGED)
    for name, key, expected in wrong:
        expect_equal(key, expected, f"{KEY} of {name}, {what}", any_of(fits))


def _of(parts: Iterable[str], *kinds: str) -> list[str]:
    return [part + kind for part in parts for kind in kinds or ("weight", "bias")]


def test_key_of_the_predictors(student: Student) -> None:
    """Classes, distances and centerness: cls_logits, bbox_reg, bbox_ctrness."""
    parts = [part for part in HEAD if "pred_net.pred" in part]
    _check_keys(student, _of(parts), "a predictor")


def test_key_of_the_stems(student: Student) -> None:
    """Each layer of a stem keeps its number, however many there are."""
    stems = [part for part in HEAD if "stem" in part]
    for numbers in ((0, 1, 3, 4, 6, 7, 9, 10), (0, 2), (12, 13, 21, 100)):
        parts = [f"{stem}{number}." for stem in stems for number in numbers]
        _check_keys(student, _of(parts), "a layer of a stem")


def test_key_of_the_pyramid(student: Student) -> None:
    """The first of the inner blocks is lateral3, the last layer block is output5."""
    _check_keys(student, _of(PYRAMID), "a layer of the pyramid")


def test_key_of_the_top_levels(student: Student) -> None:
    """p6 and p7 are extra blocks."""
    _check_keys(student, _of(TOP), "a top level")


def test_key_of_any_backbone(student: Student) -> None:
    """Behind backbone.body. comes what the backbone calls it, buffers too."""
    bodies = {
        "of ResNet-18": ("conv1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.bias"),
        "of ResNet-50": ("layer3.5.conv3.weight", "layer2.0.downsample.0.weight"),
        "of RegNet": ("trunk_output.block1.block1-0.f.b.1.weight", "stem.0.weight"),
        "of the course": ("stage2.conv1.weight", "stem.1.bias"),
        "of batch norm": (
            *_of(("bn1.", "layer2.0.downsample.1."), "running_mean", "running_var"),
            *_of(("bn1.", "stem.1."), "num_batches_tracked", "weight", "bias"),
        ),
    }
    for what, names in bodies.items():
        _check_keys(student, _of(BODY, *names), f"a weight {what}")


def test_key_changes_the_beginning_alone(student: Student) -> None:
    """Parts of a backbone may be called as parts of the detector are."""
    odd = (
        "backbone.weight",
        "backbone.backbone.bias",
        "backbone.top.p6.weight",
        "top.p7.bias",
        "fpn_params.lateral3.weight",
        "backbone.fpn_params.output4.weight",
        "pred_net.stem_cls.0.weight",
        "pred_net.pred_box.bias",
        "stem_box.weight",
        "pred_ctr.bias",
        "lateral5.weight",
        "output3.weight",
    )
    usual = ("conv1.weight", "layer1.0.bn1.running_mean")
    with expect_as_usual(
        ANYWHERE, lambda: _check_keys(student, _of(BODY, *usual), "a usual weight")
    ):
        _check_keys(student, _of(BODY, *odd), "of an odd backbone")


def test_key_of_what_torchvision_does_not_have(student: Student) -> None:
    """A buffer of ours alone keeps its name, and the other names are right."""
    what = "torchvision_key('_normalizer')"
    key = student.fcos_published.torchvision_key
    usual, right = "pred_net.pred_cls.bias", plain_key("pred_net.pred_cls.bias")

    def plain() -> None:
        expect_equal(key(usual), right, f"torchvision_key({usual!r})")

    plain()
    with expect_runs(what, ONLY_THEIRS, plain, kinds=UNKNOWN):
        answer = key("_normalizer")
    expect_equal(answer, "_normalizer", what, ONLY_THEIRS)


def test_key_of_all_weights(student: Student) -> None:
    """Each of our names leads to one of torchvision's, and each of theirs is met."""
    theirs = list(_torchvision().state_dict())
    names = _names_of(theirs)
    expect_equal([plain_key(name) for name in names], theirs, "the table")
    _check_keys(student, names, "of a whole detector")


def _names_in_head(
    head: Mapping[str, torch.Tensor], theirs: Sequence[str]
) -> dict[str, str]:
    """Our name of each weight -> where this head has it: its layers may be nested."""
    places = {}
    names = _names_of(theirs)
    for part in HEAD:
        kinds = [name for name in names if name.startswith(part)]
        owners = list(dict.fromkeys(name.rpartition(".")[0] for name in kinds))
        layers = layers_of(head, part.removeprefix("pred_net."))
        expect_equal(len(layers), len(owners), f"number of layers of {part}")
        own = dict(zip(owners, layers, strict=True))
        for name in kinds:
            owner, _, kind = name.rpartition(".")
            places[name] = f"{own[owner]}.{kind}"
    return places


def test_same_weights_give_the_same_detections(student: Student) -> None:
    """Torchvision's weights, loaded by these keys: its detections, in float64."""
    theirs = _torchvision()
    features = {
        level: spread(2, CHANNELS, *size, low=-1, high=1, start=7 * size[0])
        for level, size in MAPS.items()
    }
    with torch.no_grad():
        outputs = theirs.head([*features.values()])
        anchors = theirs.anchor_generator(
            ImageList(torch.zeros(2, 3, *PADDED, dtype=torch.float64), [PADDED] * 2),
            [*features.values()],
        )
        numbers = [height * width for height, width in MAPS.values()]
        found = theirs.postprocess_detections(
            {name: [*part.split(numbers, dim=1)] for name, part in outputs.items()},
            [[*of_image.split(numbers)] for of_image in anchors],
            SIZES,
        )
    right = [
        torch.cat(
            (one["boxes"], one["labels"][:, None], one["scores"][:, None]), dim=1
        ).double()
        for one in found
    ]
    areas = [(one[:, 2:4] - one[:, :2]).prod(dim=1).min() for one in right]
    expect_true(float(min(areas)) > 1, "torchvision", "finds a box without area")
    expect_true(min(map(len, right)) > 20, "torchvision", "finds too little")
    version = make_version(student, Choices())
    student.seed(0)
    make = student.fcos_published.PublishedFCOS
    stems = [CHANNELS] * 4
    ours = (
        make(NUM_CLASSES, CHANNELS, stems, "tiny", version).double().to(student.device)
    )
    ours.eval()
    head = expect_state(ours.pred_net.state_dict(), "the state of the head")
    state = theirs.state_dict()
    for name, own in _names_in_head(head, list(state)).items():
        key, old = _key(student, name), head[own]
        what = f"{KEY} of {name}"
        expect_true(key in state, what, f"torchvision has no {key!r}")
        expect_equal(tuple(state[key].shape), tuple(old.shape), f"{what}: shape")
        head[own] = give(student, state[key], torch.float64)
    ours.pred_net.load_state_dict(head)
    given = {
        level: give(student, part, torch.float64) for level, part in features.items()
    }
    predicted = ours.pred_net(given)
    points = {
        level: give(student, (own[:, :2] + own[:, 2:]) / 2, torch.float64)
        for level, own in zip(MAPS, anchors[0].split(numbers), strict=True)
    }
    for place, size in enumerate(SIZES):
        candidates = ours.decode(place, size, points, predicted, 0.2)
        answer = student.fcos_published.suppress(candidates, 0.6, version)
        what = "detections with torchvision's weights"
        got = read_found_of(answer, what, torch.float64)
        expect_equal(len(got), len(right[place]), f"number of {what}")
        expect_close(got, right[place], what, names=NAMES, place="detection")
