"""The feature pyramid against a slow published top-down path."""

import pytest
import torch
from torch import nn

from assignment.common import (
    DetectorBackboneWithFPN,
    make_fpn_layers,
)
from core.backbones.build import build_backbone
from core.command import CourseError
from tests.plain_numbers import fill_parameters, spread

CHANNELS = {"c3": 3, "c4": 5, "c5": 2}


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
            level = next(
                name
                for name, channels in CHANNELS.items()
                if channels == layer.in_channels
            )
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
    shapes = sorted(
        (layer.kernel_size, layer.in_channels, layer.out_channels) for layer in layers
    )
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
