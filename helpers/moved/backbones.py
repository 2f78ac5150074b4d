"""assignment/common.py imported this."""

from core.backbones.build import backbone_channels, build_backbone  # noqa: F401
