"""A light residual backbone; it learns the shapes data from random start in minutes."""

import torch
from torch import nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al., 2016, figure 2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, out_channels, 3, stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x), inplace=True)


class TinyBackbone(nn.Module):
    """Images (B, 3, H, W) -> c3, c4, c5 at strides 8, 16, 32; about 1 M parameters."""

    out_channels = {"c3": 64, "c4": 96, "c5": 128}

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
        )
        self.stage2 = ResidualBlock(24, 32, stride=2)
        self.stage3 = ResidualBlock(32, self.out_channels["c3"], stride=2)
        self.stage4 = ResidualBlock(64, self.out_channels["c4"], stride=2)
        self.stage5 = ResidualBlock(96, self.out_channels["c5"], stride=2)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Images (B, 3, H, W), ImageNet-normalised -> maps at strides 8, 16, 32."""
        c3 = self.stage3(self.stage2(self.stem(images)))
        c4 = self.stage4(c3)
        return {"c3": c3, "c4": c4, "c5": self.stage5(c4)}
