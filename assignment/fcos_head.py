"""The head of FCOS: class, box and centerness at every location.

Source: Tian et al., "FCOS", 2019, section 3.1 and figure 2.
"""

import math

import torch
from torch import nn

PRIOR_PROBABILITY = 0.01  # what the untrained head should answer everywhere


class FCOSPredictionNetwork(nn.Module):
    """The head: class, box and centerness at each location, shared by all levels.

    Args:
        num_classes: K.
        in_channels: channels of the FPN's maps.
        stem_channels: output channels of each convolution of the two stems.
    """

    def __init__(self, num_classes: int, in_channels: int, stem_channels: list[int]):
        """Exercise 3.1 (about 20 lines): the layers of the head.

        Two stems, `stem_cls` and `stem_box`: for each entry of stem_channels a 3x3
        convolution with padding 1, then ReLU. Three predictors, 3x3 with padding 1:
        `pred_cls` (K channels) on the class stem, `pred_box` (4) and `pred_ctr` (1) on
        the box stem. All weights are drawn from N(0, 0.01) and biases are 0, except
        `pred_cls.bias` = -ln((1 - p) / p) with p = PRIOR_PROBABILITY, so that training
        starts from "nearly all is background" (Lin et al., "Focal Loss", section 4.1).
        Source: Tian et al., "FCOS", 2019, section 3.1 and figure 2.
        """
        super().__init__()
        ### BEGIN SOLUTION
        stem_cls: list[nn.Module] = []
        stem_box: list[nn.Module] = []
        channels = in_channels
        for width in stem_channels:
            stem_cls += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            stem_box += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        self.stem_cls = nn.Sequential(*stem_cls)
        self.stem_box = nn.Sequential(*stem_box)
        self.pred_cls = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.pred_box = nn.Conv2d(channels, 4, 3, padding=1)
        self.pred_ctr = nn.Conv2d(channels, 1, 3, padding=1)
        prior_odds = (1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, mean=0.0, std=0.01)
            elif name == "pred_cls.bias":
                nn.init.constant_(parameter, -math.log(prior_odds))
            else:
                nn.init.zeros_(parameter)
        ### END SOLUTION

    def forward(
        self, feats_per_fpn_level: dict[str, torch.Tensor]
    ) -> list[dict[str, torch.Tensor]]:
        """Exercise 3.2 (about 8 lines): predictions at every location of every level.

        Flatten each map row by row: (B, C, H, W) -> (B, H * W, C). A bare reshape would
        mix channels and places. No sigmoid here: all outputs are raw.

        Args:
            feats_per_fpn_level: {"p3", "p4", "p5"} of (B, in_channels, H, W).

        Returns:
            [class logits, box deltas, centerness logits], three dicts with the keys of
            the input, of (B, H * W, K), (B, H * W, 4) and (B, H * W, 1).
        """
        ### BEGIN SOLUTION
        class_logits, boxreg_deltas, centerness_logits = {}, {}, {}
        for level, features in feats_per_fpn_level.items():
            class_features = self.stem_cls(features)
            box_features = self.stem_box(features)
            # (B, C, H, W) -> (B, C, H * W) -> (B, H * W, C)
            class_logits[level] = self.pred_cls(class_features).flatten(2).mT
            boxreg_deltas[level] = self.pred_box(box_features).flatten(2).mT
            centerness_logits[level] = self.pred_ctr(box_features).flatten(2).mT
        return [class_logits, boxreg_deltas, centerness_logits]
        ### END SOLUTION
