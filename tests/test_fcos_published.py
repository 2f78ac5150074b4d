"""FCOS as published: what each version has, beside part one's FCOS and on its own."""

import dataclasses
import sys

import pytest
import torch
from torch import nn

from assignment.fcos_published import PublishedFCOS
from assignment.one_stage_detector import FCOS
from assignment.published_losses import box_losses
from assignment.published_targets import published_locations
from core.backbones.build import build_backbone
from core.command import CourseError
from core.fcos_config import PRESETS
from helpers.models.detector import build_detector
from helpers.training.recipes import RECIPES
from tests.plain_numbers import fill_parameters, spread, spread_boxes

HEIGHT, WIDTH = 150, 210


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Three images: without a box, with two boxes, and with ten."""
    boxes = torch.full((3, 12, 5), -1.0)
    rows = spread_boxes(12, WIDTH, HEIGHT).float()
    boxes[1, :2, :4], boxes[2, :10, :4] = rows[:2], rows[2:]
    boxes[1, :2, 4] = torch.tensor([1.0, 0])
    boxes[2, :10, 4] = torch.arange(10) % 3
    return spread(3, 3, HEIGHT, WIDTH, low=-2, high=2).float(), boxes


@pytest.fixture
def pair() -> tuple[FCOS, PublishedFCOS]:
    """FCOS of part one and version a4, with the same weights."""
    plain = FCOS(3, 8, [8, 8], build_backbone("tiny"))
    fill_parameters(plain.pred_net, scale=0.4)
    other = PublishedFCOS(3, 8, [8, 8], build_backbone("tiny"), PRESETS["a4"])
    other.load_state_dict(plain.state_dict())
    return plain, other


def test_version_a4_gives_the_losses_of_part_one(pair):
    """Same weights, two batches after each other: the same numbers and normalizer.

    Part one adds up zeros for background, too, so the last bit of a sum may differ.
    """
    images, boxes = (part.double() for part in make_batch())
    for _ in range(2):
        plain, other = (model.double()(images, boxes) for model in pair)
        for ours, theirs in zip(plain.values(), other.values(), strict=True):
            assert ours.item() > 0
            torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)
    assert torch.equal(pair[0]._normalizer, pair[1]._normalizer)


def test_version_a4_gives_the_detections_of_part_one(pair):
    """Boxes, classes and scores of each image, in the same order, bit by bit."""
    images, _ = make_batch()
    with torch.inference_mode():
        plain, other = (model.eval().detect(images, 0.3, 0.5) for model in pair)
    assert all(len(scores) > 5 for _, _, scores in plain)
    for ours, theirs in zip(other, plain, strict=True):
        assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("version", PRESETS)
@pytest.mark.parametrize("rows", [0, 3])
def test_images_without_a_box_give_finite_losses_and_gradients(version, rows):
    """No row at all, or padding only: box and centerness losses are 0."""
    config = dataclasses.replace(PRESETS[version], norm_groups=0)
    model = PublishedFCOS(3, 8, [8], "tiny", config)
    images = spread(2, 3, 96, 160, low=-2, high=2).float()
    losses = model(images, torch.full((2, rows, 5), -1.0))
    assert losses["loss_fcos_cls"] > 0
    assert losses["loss_fcos_loc"] == losses["loss_fcos_ctr"] == 0
    torch.stack(list(losses.values())).sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_box_loss_counts_as_often_as_its_weight_says():
    """Lambda of equation 2: the box loss alone, and twice as much of it."""
    images, boxes = make_batch()
    found = []
    for weight in (1.0, 2.0):
        version = dataclasses.replace(PRESETS["course"], box_weight=weight)
        torch.manual_seed(0)
        found.append(PublishedFCOS(3, 8, [8], "tiny", version)(images, boxes))
    once, twice = found
    assert once["loss_fcos_loc"].item() > 0
    assert torch.equal(twice["loss_fcos_loc"], 2 * once["loss_fcos_loc"])
    for name in ("loss_fcos_cls", "loss_fcos_ctr"):
        assert torch.equal(twice[name], once[name])


def test_l1_and_l2_are_means_over_the_four_distances():
    """Errors of 1, 0, 2 and 3: 6 / 4 and 14 / 4."""
    pred = torch.tensor([[2.0, 5.0, 1.0, 7.0]])
    true = torch.tensor([[1.0, 5.0, 3.0, 4.0]])
    for name, expected in (("l1", 1.5), ("l2", 3.5)):
        version = dataclasses.replace(PRESETS["a4"], box_loss=name)
        assert box_losses(pred, true, version).tolist() == [expected]


def test_half_precision_of_the_head_costs_no_digits_of_the_distances():
    """As in training with bfloat16: exp is taken of 32 bits."""
    model = PublishedFCOS(3, 8, [8], "tiny")
    images, _ = make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        distances = model.pred_net(model.backbone(images))[1]
    assert {level.dtype for level in distances.values()} == {torch.float32}


def test_candidates_are_the_boxes_of_the_surest_locations():
    """Of each image the best few, with their class probability, for live pictures."""
    model = PublishedFCOS(3, 8, [8], "tiny").eval()
    fill_parameters(model.pred_net, scale=0.4)
    images, _ = make_batch()
    with torch.inference_mode():
        found = model.candidates(images, 7)
    assert [tuple(part.shape) for part in found[1]] == [(7, 4), (7,), (7,)]
    boxes, _, probability = found[2]
    assert bool((probability.diff() <= 0).all())
    assert bool((boxes[:, 2:] > boxes[:, :2]).all())


def test_without_its_file_one_sentence_says_so(monkeypatch):
    """Who got part one alone has no file of part two; recipes that need it say so."""
    monkeypatch.setitem(sys.modules, "assignment.fcos_published", None)
    config = dataclasses.replace(RECIPES["tiny"].detector, class_names=("a",))
    with pytest.raises(CourseError, match="take --recipe plain or a4"):
        build_detector(config, pretrained=False)


def test_torchvisions_version_on_resnet50_has_as_many_weights_as_torchvisions():
    """32,269,600 with 91 classes, as torchvision's page of fcos_resnet50_fpn says.

    Those of batch norm are not counted there, because it is frozen.
    """
    with torch.device("meta"):
        backbone = build_backbone("resnet50", pretrained=False)
        version = PRESETS["torchvision"]
        model = PublishedFCOS(91, 256, [256] * 4, backbone, version)
    norms = [part for part in backbone.modules() if isinstance(part, nn.BatchNorm2d)]
    frozen = sum(norm.weight.numel() + norm.bias.numel() for norm in norms)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count - frozen == 32_269_600


def test_locations_of_torchvision_on_p7_are_closer_than_its_stride():
    """800 x 1333, padded to 800 x 1344: 114 x 122 px apart, the last row at 684."""
    sizes, like = {"p7": (7, 11)}, torch.zeros(0, dtype=torch.float64)
    strides = {"p7": 128}
    theirs, paper = (
        published_locations(sizes, strides, (800, 1344), PRESETS[name], like)["p7"]
        for name in ("torchvision", "paper2019")
    )
    assert theirs[1].tolist() == [122, 0]
    assert theirs[-1].tolist() == [1220, 684]
    assert paper[0].tolist() == [64, 64]
    assert paper[-1].tolist() == [1344, 832]
