"""ImprovedFCOS: with all switches off it is FCOS; each switch on its own."""

import dataclasses
import math
import sys

import pytest
import torch

from assignment.common import get_fpn_location_coords
from assignment.one_stage_detector import FCOS
from core.backbones.build import build_backbone
from core.command import CourseError
from helpers.models.detector import build_detector
from helpers.models.improved_fcos import ImprovedFCOS, ltrb_giou_loss
from helpers.training.recipes import DetectorConfig
from tests.plain_numbers import fill_parameters, spread, spread_boxes

STRIDES = {"p3": 8, "p4": 16, "p5": 32}
PLAIN = DetectorConfig(
    model="improved_fcos",
    class_names=("a", "b", "c"),
    fpn_channels=8,
    stem_channels=(8,),
)
HEIGHT, WIDTH = 150, 210


def improved(**switches) -> ImprovedFCOS:
    """An ImprovedFCOS on the tiny backbone."""
    config = dataclasses.replace(PLAIN, **switches)
    return ImprovedFCOS(config, build_backbone("tiny"))


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Three images: without a box, with two boxes, and with ten."""
    boxes = torch.full((3, 12, 5), -1.0)
    rows = spread_boxes(12, WIDTH, HEIGHT).float()
    boxes[1, :2, :4], boxes[2, :10, :4] = rows[:2], rows[2:]
    boxes[1, :2, 4] = torch.tensor([1.0, 0])
    boxes[2, :10, 4] = torch.arange(10) % 3
    return spread(3, 3, HEIGHT, WIDTH, low=-2, high=2).float(), boxes


def locations() -> dict[str, torch.Tensor]:
    """All locations of a HEIGHT x WIDTH image."""
    shapes = {
        level: (1, 1, -(-HEIGHT // stride), -(-WIDTH // stride))
        for level, stride in STRIDES.items()
    }
    return get_fpn_location_coords(shapes, STRIDES)


@pytest.fixture
def pair() -> tuple[FCOS, ImprovedFCOS]:
    """FCOS and an ImprovedFCOS without any improvement, with the same weights."""
    plain = FCOS(3, 8, [8], build_backbone("tiny"))
    fill_parameters(plain.pred_net, scale=0.4)
    other = improved()
    missing, unexpected = other.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith("pred_net.scales.") for name in missing)
    return plain, other


def test_all_switches_off_gives_the_losses_of_fcos(pair):
    """Same weights, same batch: same three losses and same normalizer."""
    images, boxes = make_batch()
    plain, other = (model(images, boxes) for model in pair)
    for name, value in plain.items():
        # the same sums, in another order
        torch.testing.assert_close(other[name], value, rtol=1e-5, atol=0)
    assert torch.equal(pair[0]._normalizer, pair[1]._normalizer)


def test_all_switches_off_gives_the_detections_of_fcos(pair):
    """Boxes, classes and scores, in the same order."""
    images, _ = make_batch()
    with torch.inference_mode():
        plain, other = (model.eval()(images[:1], None, 0.3, 0.5) for model in pair)
    assert len(plain[0]) > 5
    for ours, theirs in zip(other, plain, strict=True):
        assert torch.equal(ours, theirs)


def test_targets_without_centre_sampling_equal_those_of_fcos(pair):
    """For all images at once or one after the other: the same numbers."""
    _, boxes = make_batch()
    plain, other = (model.make_targets(locations(), boxes) for model in pair)
    assert int((plain[0] >= 0).sum()) > 100
    for ours, theirs in zip(other, plain, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("rows", [0, 3])
def test_targets_without_any_box_are_background(pair, rows):
    """No row at all, or padding only."""
    boxes = torch.full((2, rows, 5), -1.0)
    for model in pair:
        for target in model.make_targets(locations(), boxes):
            assert bool((target == -1).all())
            assert len(target) == 2


@pytest.mark.parametrize(("radius", "range_scale"), [(0.5, 1.0), (1.5, 0.5)])
def test_targets_with_centre_sampling_equal_a_slow_loop(radius, range_scale):
    """Within radius * stride of the centre, in x and in y; ranges may be scaled."""
    _, boxes = make_batch()
    model = improved(centre_radius=radius, size_range_scale=range_scale)
    classes, deltas, _ = model.make_targets(locations(), boxes)
    levels = {"p3": (0, 64), "p4": (64, 128), "p5": (128, math.inf)}
    for b, rows in enumerate(boxes.double().tolist()):
        place = 0
        for level, points in locations().items():
            low, high = (range_scale * limit for limit in levels[level])
            stride = STRIDES[level]
            for x, y in points.tolist():
                best: tuple = (math.inf, -1.0, [-1.0] * 4)
                for x1, y1, x2, y2, class_id in rows:
                    ltrb = [x - x1, y - y1, x2 - x, y2 - y]
                    off = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2))
                    is_candidate = min(ltrb) > 0 and low < max(ltrb) <= high
                    if class_id < 0 or not is_candidate or off >= radius * stride:
                        continue
                    area = (x2 - x1) * (y2 - y1)
                    if area < best[0]:
                        best = (area, class_id, [d / stride for d in ltrb])
                assert classes[b, place] == best[1]
                # float32 against float64, numbers up to 30
                assert deltas[b, place].tolist() == pytest.approx(best[2], abs=1e-5)
                place += 1
    plain = improved().make_targets(locations(), boxes)[0]
    assert 0 < int((classes >= 0).sum()) < int((plain >= 0).sum())


def test_giou_loss_by_hand():
    """Equal boxes 0; half of a box 0.5; boxes that do not meet more than 1."""
    target = torch.tensor([[2.0, 1, 2, 1]] * 3, dtype=torch.float64)
    pred = torch.tensor(
        [[2.0, 1, 2, 1], [2.0, 1, 0, 1], [-2.0, 1, 6, 1]], dtype=torch.float64
    )
    # The second is the left half: IoU 1/2, and the hull is the target itself.
    # The third lies from x = 2 to 6, and touches: hull 16, union 16, so GIoU is 0.
    expected = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    # torchvision adds 1e-7 to each area
    torch.testing.assert_close(
        ltrb_giou_loss(pred, target), expected, atol=1e-6, rtol=0
    )


def test_giou_losses_of_a_batch_without_any_box_are_finite():
    """No foreground: box and centerness are 0, and gradients are numbers."""
    model = improved(giou=True, exp_deltas=True, head_norm="group")
    images, _ = make_batch()
    losses = model(images, torch.full((3, 4, 5), -1.0))
    assert losses["loss_box"].item() == 0
    assert losses["loss_ctr"].item() == 0
    sum(losses.values()).backward()
    gradients = [
        parameter.grad for parameter in model.parameters() if parameter.grad is not None
    ]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_giou_loss_is_weighted_by_centerness():
    """One image with one box: mean of 1 - GIoU, weighted by the centerness target."""
    model = improved(giou=True)
    _, boxes = make_batch()
    boxes = boxes[1:2]
    places = locations()
    number = {level: len(points) for level, points in places.items()}
    predictions = [
        {k: spread(1, n, channels, low=low, high=3).float() for k, n in number.items()}
        for channels, low in ((3, -3), (4, 0.5), (1, -3))
    ]
    losses = model.training_losses(places, predictions, boxes)
    classes, deltas, centerness = model.make_targets(places, boxes)
    pred = torch.cat([predictions[1][level] for level in places], dim=1)
    total, weights = 0.0, 0.0
    for found, target, quality, class_id in zip(
        pred[0], deltas[0], centerness[0], classes[0], strict=True
    ):
        if class_id < 0:
            continue
        pl, pt, pr, pb = found.tolist()
        tl, tt, tr, tb = target.tolist()
        shared = (min(pl, tl) + min(pr, tr)) * (min(pt, tt) + min(pb, tb))
        hull = (max(pl, tl) + max(pr, tr)) * (max(pt, tt) + max(pb, tb))
        union = (pl + pr) * (pt + pb) + (tl + tr) * (tt + tb) - shared
        giou = shared / union - (hull - union) / hull
        total += (1 - giou) * quality.item()
        weights += quality.item()
    assert weights > 1
    assert losses["loss_box"].item() == pytest.approx(total / weights, rel=1e-5)


def test_giou_needs_no_exp():
    """GIoU knows no negative width: raw outputs below zero become 0, not its input."""
    model = improved(giou=True, exp_deltas=False)
    fill_parameters(model.pred_net, scale=3.0)
    images, boxes = make_batch()
    raw = improved(giou=False, exp_deltas=False)
    raw.load_state_dict(model.state_dict())
    deltas, raw_deltas = (
        network.pred_net(network.backbone(images))[1] for network in (model, raw)
    )
    for level in STRIDES:
        assert (raw_deltas[level] < 0).any()
        torch.testing.assert_close(deltas[level], raw_deltas[level].clamp(min=0))
    losses = model(images, boxes)
    assert 0 <= losses["loss_box"].item() <= 2
    sum(losses.values()).backward()
    gradients = [
        parameter.grad for parameter in model.parameters() if parameter.grad is not None
    ]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_exp_deltas_are_positive_and_scaled_by_level():
    """exp(scale * raw): zero raw outputs are one stride, whatever the scale."""
    model = improved(exp_deltas=True)
    torch.nn.init.zeros_(model.pred_net.pred_box.weight)
    torch.nn.init.constant_(dict(model.pred_net.named_parameters())["pred_box.bias"], 1)
    with torch.no_grad():
        model.pred_net.scales["p4"].fill_(-2.0)
    maps = {level: torch.zeros(1, 8, 2, 3) for level in STRIDES}
    deltas = model.pred_net(maps)[1]
    for level, scale in (("p3", 1.0), ("p4", -2.0), ("p5", 1.0)):
        expected = torch.full((1, 6, 4), math.exp(scale))
        torch.testing.assert_close(deltas[level], expected)


def test_exp_deltas_of_a_wild_prediction_are_finite():
    """A raw 200 would be infinite after exp; 1,000 strides are enough."""
    model = improved(exp_deltas=True)
    torch.nn.init.constant_(
        dict(model.pred_net.named_parameters())["pred_box.bias"], 200
    )
    maps = {level: torch.zeros(1, 8, 2, 3) for level in STRIDES}
    largest = model.pred_net(maps)[1]["p3"].max().item()
    assert largest == pytest.approx(1000, rel=1e-4)


def test_multi_label_finds_two_classes_at_one_location():
    """Both classes above the threshold are detections; plain FCOS gives the best."""
    model = improved(multi_label=True).eval()
    outputs = [
        {"p3": torch.tensor([[[3.0, 2.0, -9.0]]])},
        {"p3": torch.ones(1, 1, 4)},
        {"p3": torch.full((1, 1, 1), 4.0)},
    ]
    places = {"p3": torch.tensor([[20.0, 12.0]])}
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    boxes, classes, scores = model.inference(image, places, *outputs, 0.3, 0.5)
    assert classes.tolist() == [0, 1]
    assert boxes.tolist() == [[12, 4, 28, 20]] * 2
    assert scores[0] > scores[1]


def test_multi_label_where_nothing_passes_is_empty():
    """No score above the threshold."""
    model = improved(multi_label=True).eval()
    with torch.inference_mode():
        found = model(torch.zeros(1, 3, 64, 96), None, 0.99, 0.5)
    assert [tuple(part.shape) for part in found] == [(0, 4), (0,), (0,)]


def test_multi_label_clips_to_width_and_height():
    """X to the width and y to the height."""
    model = improved(multi_label=True).eval()
    outputs = [
        {"p3": torch.tensor([[[3.0, -9.0, -9.0]]])},
        {"p3": torch.full((1, 1, 4), 99.0)},
        {"p3": torch.full((1, 1, 1), 4.0)},
    ]
    places = {"p3": torch.tensor([[20.0, 12.0]])}
    boxes, _, _ = model.inference(torch.zeros(1, 3, HEIGHT, WIDTH), places, *outputs)
    assert boxes.tolist() == [[0, 0, WIDTH, HEIGHT]]


def test_without_its_file_one_sentence_says_so(monkeypatch):
    """Students do not get the file; recipes that need it say which do not."""
    monkeypatch.setitem(sys.modules, "helpers.models.improved_fcos", None)
    with pytest.raises(CourseError, match="take --recipe plain or a4"):
        build_detector(dataclasses.replace(PLAIN, backbone="tiny"), pretrained=False)
