"""assignment/common.py against numbers by hand, slow loops and torchvision."""

import pytest
import torch
from torch import nn
from torchvision import ops

from assignment.common import (
    DetectorBackboneWithFPN,
    class_spec_nms,
    get_fpn_location_coords,
    iou,
    make_fpn_layers,
    nms,
)
from data_scripts.command import CourseError
from grader_tests.oracles.slow import iou as slow_iou
from helpers.backbones import build_backbone
from tests.plain_numbers import fill_parameters, spread, spread_boxes

CHANNELS = {"c3": 3, "c4": 5, "c5": 2}


# ---------------------------------------------------------------- IoU


@pytest.mark.parametrize(("m", "n"), [(0, 3), (3, 0), (0, 0)])
def test_iou_without_boxes_has_the_right_shape(m, n):
    """No box on one side gives a table without rows or without columns."""
    assert iou(torch.zeros(m, 4), torch.zeros(n, 4)).shape == (m, n)


def test_iou_equals_numbers_by_hand():
    """Overlap over union, for boxes that are wider than high and higher than wide."""
    boxes1 = torch.tensor([[0.0, 0, 8, 2], [1.0, 1, 3, 11]])
    boxes2 = torch.tensor([[4.0, 1, 10, 5], [1.0, 1, 3, 11], [8.0, 0, 9, 2]])
    # box 0 and box 0: 4 x 1 shared of 16 + 24 - 4; box 1 and box 0: x does not meet
    # box 0 and box 1: 2 x 1 shared of 16 + 20 - 2; edges that only touch: 0
    expected = torch.tensor([[4 / 36, 2 / 34, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(iou(boxes1, boxes2), expected)


def test_iou_of_boxes_without_area_is_zero():
    """A line and a point have no area, so nothing may be divided by zero."""
    boxes = torch.tensor([[2.0, 3, 2, 9], [5.0, 5, 5, 5], [0.0, 0, 6, 10]])
    overlap = iou(boxes, boxes)
    assert torch.equal(overlap, torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 0, 1]]))


def test_iou_agrees_with_torchvision_in_float64():
    """60 x 50 boxes, all at once, in the dtype of the input."""
    boxes1, boxes2 = spread_boxes(60, 90, 50), spread_boxes(50, 90, 50, start=77)
    overlap = iou(boxes1, boxes2)
    assert overlap.dtype == torch.float64
    # Both round a few float64 operations; 1e-12 is far above that.
    torch.testing.assert_close(overlap, ops.box_iou(boxes1, boxes2), rtol=0, atol=1e-12)


def test_iou_leaves_its_inputs_alone():
    """The boxes are the same after the call."""
    boxes = spread_boxes(5, 40, 30)
    before = boxes.clone()
    iou(boxes, boxes)
    assert torch.equal(boxes, before)


# ---------------------------------------------------------------- FPN


class GivenFeatures(nn.Module):
    """A backbone that returns c3..c5 of a fixed size, whatever the image."""

    def __init__(self, sizes: dict[str, tuple[int, int]]):
        super().__init__()
        self.sizes = sizes
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, images):
        return {
            name: self.weight * spread(len(images), CHANNELS[name], *size, low=-1)
            for name, size in self.sizes.items()
        }


class ReturnsOneMap(nn.Module):
    """A module that is no backbone for a pyramid: one map instead of three."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, images):
        return self.conv(images)


def slow_convolution(x, weight, bias):
    """Correlation with zero padding, one output number after the other."""
    batch, _, height, width = x.shape
    pad = weight.shape[-1] // 2
    padded = torch.zeros(batch, x.shape[1], height + 2 * pad, width + 2 * pad).to(x)
    padded[:, :, pad : pad + height, pad : pad + width] = x
    out = torch.zeros(batch, len(weight), height, width).to(x)
    size = weight.shape[-1]
    for b in range(batch):
        for c in range(len(weight)):
            for i in range(height):
                for j in range(width):
                    window = padded[b, :, i : i + size, j : j + size]
                    out[b, c, i, j] = (window * weight[c]).sum() + bias[c]
    return out


def slow_enlarge(x, height, width):
    """Nearest neighbour: pixel (i, j) reads the pixel at the same share of the map."""
    out = torch.zeros(*x.shape[:2], height, width).to(x)
    for i in range(height):
        for j in range(width):
            source_i = i * x.shape[2] // height
            source_j = j * x.shape[3] // width
            out[:, :, i, j] = x[:, :, source_i, source_j]
    return out


def find_layers(fpn: DetectorBackboneWithFPN) -> dict[str, nn.Conv2d]:
    """Lateral and output convolutions by use, whatever their keys are called."""
    found, outputs = {}, []
    for layer in fpn.fpn_params.values():
        assert isinstance(layer, nn.Conv2d)
        if layer.kernel_size == (1, 1):
            level = next(n for n, c in CHANNELS.items() if c == layer.in_channels)
            found[f"lateral {level}"] = layer
        else:
            outputs.append(layer)
    for level, layer in zip(("c3", "c4", "c5"), outputs, strict=True):
        found[f"output {level}"] = layer
    return found


@pytest.mark.parametrize(
    "sizes",
    [
        {"c3": (4, 6), "c4": (2, 3), "c5": (1, 2)},
        {"c3": (10, 12), "c4": (5, 6), "c5": (3, 3)},  # a 75 x 93 image
    ],
)
def test_merge_levels_equals_a_slow_published_top_down_path(sizes):
    """Each level adds the enlarged *merged* map of the level above, then convolves."""
    fpn = DetectorBackboneWithFPN(4, GivenFeatures(sizes).double()).double()
    fill_parameters(fpn.fpn_params, scale=0.5)
    features = fpn.backbone(torch.zeros(2, 3, 8, 8))
    layers = find_layers(fpn)
    expected = {}
    above = None
    for level in ("c5", "c4", "c3"):
        lateral, output = layers[f"lateral {level}"], layers[f"output {level}"]
        merged = slow_convolution(features[level], lateral.weight, lateral.bias)
        if above is not None:
            merged = merged + slow_enlarge(above, *sizes[level])
        above = merged
        expected["p" + level[1]] = slow_convolution(merged, output.weight, output.bias)
    got = fpn.merge_levels(features)
    assert list(got) == ["p3", "p4", "p5"]
    for level in got:
        # Sums of some 40 float64 products of numbers near 1, in another order.
        torch.testing.assert_close(got[level], expected[level], rtol=0, atol=1e-12)


def test_make_fpn_layers_has_a_lateral_and_an_output_convolution_a_level():
    """Six convolutions: 1x1 from each map's channels, 3x3 that keep the size."""
    layers = make_fpn_layers(CHANNELS, out_channels=7).values()
    shapes = sorted((c.kernel_size, c.in_channels, c.out_channels) for c in layers)
    laterals = [((1, 1), channels, 7) for channels in (2, 3, 5)]
    assert shapes == laterals + [((3, 3), 7, 7)] * 3
    assert all(conv.bias is not None for conv in layers)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 93)])
def test_fpn_on_the_tiny_backbone_gives_one_map_a_stride(height, width):
    """Sizes are rounded up: 75 x 93 pixels have 10 x 12 locations at stride 8."""
    fpn = DetectorBackboneWithFPN(8, build_backbone("tiny")).eval()
    maps = fpn(torch.zeros(2, 3, height, width))
    assert fpn.fpn_strides == {"p3": 8, "p4": 16, "p5": 32}
    for level, stride in fpn.fpn_strides.items():
        size = (-(-height // stride), -(-width // stride))
        assert maps[level].shape == (2, 8, *size)


def test_fpn_refuses_a_module_without_c3_c4_c5():
    """The message says which keys the backbone must return."""
    with pytest.raises(CourseError, match=r"ReturnsOneMap must .*c3, c4 and c5"):
        DetectorBackboneWithFPN(8, ReturnsOneMap())


def test_fpn_refuses_a_module_that_has_no_weights():
    """nn.Identity has no parameter, and its message is a sentence all the same."""
    with pytest.raises(CourseError, match="Identity must return"):
        DetectorBackboneWithFPN(8, nn.Identity())


def test_fpn_construction_leaves_batch_norm_statistics_alone():
    """Counting channels sends an image through; batch norm must not learn from it."""
    backbone = build_backbone("tiny")
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    DetectorBackboneWithFPN(8, backbone)
    assert backbone.training
    assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items())


# ---------------------------------------------------------------- locations


def test_locations_are_x_then_y_in_row_order():
    """The second location lies to the right of the first: (12, 4), not (4, 12)."""
    coords = get_fpn_location_coords({"p3": (2, 64, 28, 20)}, {"p3": 8})["p3"]
    assert coords[:3].tolist() == [[4, 4], [12, 4], [20, 4]]
    assert coords[20].tolist() == [4, 12]  # the second row starts
    assert coords[-1].tolist() == [20 * 8 - 4, 28 * 8 - 4]


def test_locations_of_non_square_levels_equal_a_loop():
    """At stride * (column + 0.5) and stride * (row + 0.5), on all levels."""
    shapes = {"p3": (1, 9, 5, 7), "p4": (1, 9, 3, 4), "p5": (1, 9, 2, 1)}
    strides = {"p3": 8, "p4": 16, "p5": 32}
    coords = get_fpn_location_coords(shapes, strides)
    assert list(coords) == ["p3", "p4", "p5"]
    for level, (_, _, height, width) in shapes.items():
        stride = strides[level]
        expected = [
            [stride * (j + 0.5), stride * (i + 0.5)]
            for i in range(height)
            for j in range(width)
        ]
        assert coords[level].tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_locations_have_the_dtype_and_device_asked_for(dtype):
    """The two last arguments; "meta" is a device that every computer has."""
    shapes, strides = {"p5": (1, 1, 2, 3)}, {"p5": 32}
    assert get_fpn_location_coords(shapes, strides, dtype=dtype)["p5"].dtype == dtype
    coords = get_fpn_location_coords(shapes, strides, dtype, device="meta")["p5"]
    assert coords.device.type == "meta"
    assert coords.shape == (6, 2)


# ---------------------------------------------------------------- NMS


def slow_nms(boxes, scores, threshold):
    """Best first; kept unless a kept box overlaps more than the threshold."""
    kept = []
    order = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    rows = boxes.tolist()
    for i in order:
        if all(slow_iou(rows[i], rows[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


def test_nms_without_boxes_gives_no_index():
    """Shape (0,), int64: what indexing with it expects."""
    keep = nms(torch.zeros(0, 4), torch.zeros(0))
    assert keep.shape == (0,)
    assert keep.dtype == torch.int64


def test_nms_keeps_a_single_box():
    """One box has no rival, even with a negative score."""
    keep = nms(torch.tensor([[1.0, 2, 9, 4]]), torch.tensor([-3.0]), 0.0)
    assert keep.tolist() == [0]
    assert keep.dtype == torch.int64


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_nms_equals_a_slow_loop(threshold):
    """80 boxes in a 60 x 40 image, so that many overlap."""
    boxes, scores = spread_boxes(80, 60, 40), spread(80, low=-2, high=2, start=500)
    keep = nms(boxes, scores, threshold)
    assert keep.tolist() == slow_nms(boxes, scores, threshold)


def test_nms_keeps_boxes_that_overlap_by_exactly_the_threshold():
    """4 of 8 pixels shared is IoU 0.5 exactly, which is not more than 0.5."""
    boxes = torch.tensor([[0.0, 0, 4, 2], [0.0, 0, 4, 1]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert nms(boxes, scores, 0.4999).tolist() == [0]


def test_nms_of_equal_scores_keeps_the_first_box():
    """Equal scores keep their order, so the result does not depend on chance."""
    boxes = torch.tensor([[0.0, 0, 8, 2], [20.0, 0, 25, 2], [0.0, 0, 8, 2]])
    assert nms(boxes, torch.full((3,), 0.5), 0.5).tolist() == [0, 1]


def test_nms_keeps_boxes_without_area():
    """A box without area overlaps nothing, not even its twin."""
    boxes = torch.tensor([[3.0, 1, 3, 7], [3.0, 1, 3, 7], [0.0, 0, 8, 9]])
    assert nms(boxes, torch.tensor([0.3, 0.2, 0.9]), 0.5).tolist() == [2, 0, 1]


def test_nms_leaves_its_inputs_alone():
    """Neither boxes nor scores change."""
    boxes, scores = spread_boxes(30, 40, 30), spread(30, start=9)
    before = boxes.clone(), scores.clone()
    nms(boxes, scores)
    assert torch.equal(boxes, before[0])
    assert torch.equal(scores, before[1])


def seed_like_boxes() -> tuple[torch.Tensor, torch.Tensor]:
    """5,000 boxes with whole coordinates, as the original notebook draws them."""
    boxes = (100 * spread(5000, 4)).round().float()
    boxes[:, 2:] += boxes[:, :2] + 1
    return boxes, spread(5000, low=-3, high=3, start=91).float()


def test_nms_differs_from_torchvision_by_less_than_one_percent():
    """The original notebook's measure, the mean over its three thresholds."""
    boxes, scores = seed_like_boxes()
    differences = []
    for threshold in (0.3, 0.5, 0.7):
        ours = set(nms(boxes, scores, threshold).tolist())
        theirs = ops.nms(boxes, scores, threshold).tolist()
        differences.append(1 - len(ours.intersection(theirs)) / len(theirs))
    assert sum(differences) / 3 < 0.01


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_nms_differs_from_torchvision_only_after_an_exact_tie(threshold):
    """Whole numbers give IoUs of exactly 3/10; rounding decides about those alone."""
    boxes, scores = seed_like_boxes()
    ours = nms(boxes, scores, threshold).tolist()
    odd = set(ours) ^ set(ops.nms(boxes, scores, threshold).tolist())
    if odd:
        first = max(odd, key=lambda i: float(scores[i]))
        better = [i for i in ours if scores[i] > scores[first]]
        overlaps = iou(boxes[[first]].double(), boxes[better].double())
        assert ((overlaps - threshold).abs() < 1e-12).any(), "not a tie"
    # A little above the threshold nothing ties, and all 5,000 boxes agree.
    nudged = threshold + 1e-5
    assert torch.equal(nms(boxes, scores, nudged), ops.nms(boxes, scores, nudged))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_nms_equals_torchvision_where_there_are_no_ties(threshold):
    """With fractions for coordinates both keep the same boxes in the same order."""
    boxes = spread_boxes(3000, 130, 90)
    scores = spread(3000, low=-3, high=3, start=13)
    assert torch.equal(nms(boxes, scores, threshold), ops.nms(boxes, scores, threshold))


def test_class_spec_nms_suppresses_within_a_class_only():
    """The same place may hold a cat and a dog, but not two cats."""
    boxes = torch.tensor([[0.0, 0, 9, 4], [0.0, 0, 9, 4], [1.0, 0, 9, 4]])
    scores = torch.tensor([0.5, 0.9, 0.7])
    assert class_spec_nms(boxes, scores, torch.tensor([0, 3, 3])).tolist() == [1, 0]


def test_class_spec_nms_keeps_classes_apart_where_boxes_leave_the_image():
    """Also boxes with negative coordinates must not reach those of the next class."""
    boxes = torch.tensor([[-40.0, -20, 2, 1], [-40.0, -20, 2, 1]])
    scores = torch.tensor([0.5, 0.9])
    assert class_spec_nms(boxes, scores, torch.tensor([1, 0])).tolist() == [1, 0]


def test_class_spec_nms_without_boxes_gives_no_index():
    """No box, no class, no index."""
    none = torch.zeros(0, dtype=torch.int64)
    keep = class_spec_nms(torch.zeros(0, 4), torch.zeros(0), none)
    assert keep.shape == (0,)
    assert keep.dtype == torch.int64


def test_class_spec_nms_equals_torchvision():
    """400 boxes of 6 classes; classes as whole floats do as well."""
    boxes, scores = spread_boxes(400, 120, 70), spread(400, start=41)
    classes = torch.arange(400) * 5 % 6
    expected = ops.batched_nms(boxes, scores, classes, 0.4)
    assert torch.equal(class_spec_nms(boxes, scores, classes, 0.4), expected)
    assert torch.equal(class_spec_nms(boxes, scores, classes.double(), 0.4), expected)
