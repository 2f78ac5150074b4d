"""Five levels, and the head of FCOS as published.

Source: Tian et al., "FCOS", 2019, sections 3.1 and 3.2; Lin et al., "Focal Loss", 2017,
section 4 (p6 and p7).
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from assignment.fcos_head import FCOSPredictionNetwork
from core.fcos_config import FCOSConfig

MAX_EXPONENT = math.log(1000.0)  # a box of 1,000 strides is larger than any image


def make_top_layers(channels: int) -> nn.ModuleDict:
    """Exercise 10.1 (about 6 lines): the convolutions that make p6 and p7.

    Two 3x3 convolutions with padding 1 and stride 2, "p6" and "p7", which keep the
    number of channels: each halves the height and the width, rounded up.
    Source: Lin et al., "Focal Loss", 2017, section 4, footnote 2.

    Args:
        channels: of p5, p6 and p7.

    Returns:
        nn.ModuleDict with "p6" and "p7".
    """
    ### BEGIN SOLUTION
    return nn.ModuleDict(
        {
            level: nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1)
            for level in ("p6", "p7")
        }
    )
    ### END SOLUTION


def add_top_levels(
    features: dict[str, torch.Tensor], layers: nn.ModuleDict
) -> dict[str, torch.Tensor]:
    """Exercise 10.2 (about 3 lines): p6 from p5, and p7 from p6.

    p7 is made from ReLU(p6); p6 itself stays as it is, and may be negative.
    Source: Lin et al., "Focal Loss", 2017, section 4, footnote 2, from p5 as in Tian et
    al., "FCOS", 2019, section 3.2.

    Args:
        features: {"p3", "p4", "p5"}, each (B, C, H, W).
        layers: those of 10.1.

    Returns:
        A new dict, {"p3", "p4", "p5", "p6", "p7"}.
    """
    ### BEGIN SOLUTION
    p6 = layers["p6"](features["p5"])
    p7 = layers["p7"](F.relu(p6))
    return {**features, "p6": p6, "p7": p7}
    ### END SOLUTION


def make_stem(
    in_channels: int, stem_channels: list[int], norm_groups: int
) -> nn.Sequential:
    """Exercise 10.3 (about 9 lines): the convolutions of a stem, with group norm.

    For each entry of stem_channels a 3x3 convolution with padding 1, group norm (none
    if norm_groups is 0), ReLU. Batch norm would see few images at a time; group norm
    looks at one.
    Source: Wu and He, "Group Normalization", 2018.

    Args:
        in_channels: channels of the FPN's maps.
        stem_channels: output channels of each convolution.
        norm_groups: groups of channels; divides all stem_channels.
    """
    ### BEGIN SOLUTION
    layers: list[nn.Module] = []
    channels = in_channels
    for width in stem_channels:
        layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
        if norm_groups:
            layers.append(nn.GroupNorm(norm_groups, width))
        layers.append(nn.ReLU())
        channels = width
    return nn.Sequential(*layers)
    ### END SOLUTION


def start_stem(stem: nn.Sequential, how: str) -> None:
    """Exercise 10.4 (about 7 lines): the first weights of a stem's convolutions.

    Weights of N(0, .01), "small", make the numbers fall from layer to layer, unless a
    norm lifts them. He's, "he", are drawn so that they stay as large as they are:
    N(0, sqrt(2 / fan_in)). Biases start at 0; group norm stays as it is.
    Source: He et al., "Delving Deep into Rectifiers", 2015, section 2.2.

    Args:
        stem: of 10.3; changed in place.
        how: "small" or "he".
    """
    ### BEGIN SOLUTION
    for layer in stem:
        if isinstance(layer, nn.Conv2d):
            if how == "he":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.normal_(layer.weight, mean=0.0, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    ### END SOLUTION


def distances_of_output(
    raw: torch.Tensor, scale: torch.Tensor | float, box_output: str
) -> torch.Tensor:
    """Exercise 10.5 (about 6 lines): from the box predictor's output to distances.

    The output times the level's scale; then as it is ("raw"), its positive part
    ("relu"), or e to the power of it ("exp"), at most 1,000, with a gradient that is
    finite for any output. Half precision is too coarse for a power, so the answer is
    in float32 at least.
    Source: Tian et al., "FCOS", 2019, section 3.2 (exp(s x)), 2020, section 3.1 (ReLU).

    Args:
        raw: of any shape.
        scale: of the level, one number.
        box_output: "raw", "relu" or "exp".

    Returns:
        The shape of `raw`; its dtype, or float32 if that is of 16 bits.
    """
    ### BEGIN SOLUTION
    scaled = raw.to(torch.promote_types(raw.dtype, torch.float32)) * scale
    if box_output == "exp":
        return scaled.clamp(max=MAX_EXPONENT).exp()
    if box_output == "relu":
        return scaled.relu()
    return scaled
    ### END SOLUTION


class PublishedHead(FCOSPredictionNetwork):
    """The head of part one with the choices of a config.

    Args:
        num_classes: K.
        in_channels: channels of the FPN's maps.
        stem_channels: output channels of each convolution of the two stems.
        config: see FCOSConfig.
        levels: names of the levels, each with a scale of its own.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        stem_channels: list[int],
        config: FCOSConfig,
        levels: tuple[str, ...],
    ):
        super().__init__(num_classes, in_channels, stem_channels)
        self.config = config
        if config.level_scales:
            self.scales = nn.ParameterDict({level: torch.ones(()) for level in levels})
        if config.norm_groups or config.stem_start != "small":
            for name in ("stem_cls", "stem_box"):
                stem = make_stem(in_channels, stem_channels, config.norm_groups)
                start_stem(stem, config.stem_start)
                setattr(self, name, stem)

    def forward(
        self, feats_per_fpn_level: dict[str, torch.Tensor]
    ) -> list[dict[str, torch.Tensor]]:
        """Exercise 10.6 (about 12 lines): predictions with the choices of a config.

        As 3.2, with the config's choices: centerness from the stem `centerness_on`,
        distances by 10.5 with the level's entry of `self.scales` (1 if there are none).

        Args:
            feats_per_fpn_level: for each level (B, in_channels, H, W).

        Returns:
            [class logits, distances, centerness logits], three dicts with the keys of
            the input, of (B, H * W, K), (B, H * W, 4) and (B, H * W, 1).
        """
        ### BEGIN SOLUTION
        class_logits, distances, centerness_logits = {}, {}, {}
        for level, features in feats_per_fpn_level.items():
            class_features = self.stem_cls(features)
            box_features = self.stem_box(features)
            on_class = self.config.centerness_on == "class"
            centerness = self.pred_ctr(class_features if on_class else box_features)
            scale = self.scales[level] if self.config.level_scales else 1.0
            raw = self.pred_box(box_features).flatten(2).mT
            class_logits[level] = self.pred_cls(class_features).flatten(2).mT
            distances[level] = distances_of_output(raw, scale, self.config.box_output)
            centerness_logits[level] = centerness.flatten(2).mT
        return [class_logits, distances, centerness_logits]
        ### END SOLUTION
