"""What benchmarks/same_weights.py needs to know of FCOS as published."""

import copy
import dataclasses
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision.models import get_model
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.fcos import FCOS as TorchvisionFCOS  # noqa: N811
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from assignment.fcos_published import PublishedFCOS, torchvision_key
from assignment.published_targets import match_batch
from benchmarks.same_scene import NUM_CLASSES, Scene, difference
from core.backbones.build import build_backbone
from core.fcos_config import PRESETS, FCOSConfig

CONFIG = FCOSConfig
# So that each bites: see `seen_in`. The limit of detections is found by `make_limit`.
SCORE_THRESHOLD, NMS_THRESHOLD, TOP_K = 0.45, 0.2, 150
LOSS_NAMES = {
    "loss_fcos_cls": "classification",
    "loss_fcos_loc": "bbox_regression",
    "loss_fcos_ctr": "bbox_ctrness",
}


class TinyBodyWithFPN(nn.Module):
    """torchvision's pyramid on the course's tiny backbone, in torchvision's names."""

    def __init__(self, channels: int):
        super().__init__()
        self.out_channels = channels
        self.body = build_backbone("tiny", pretrained=False)
        like = self.body(torch.zeros(1, 3, 64, 64))
        widths = [like[name].shape[1] for name in ("c3", "c4", "c5")]
        self.fpn = FeaturePyramidNetwork(
            widths, channels, LastLevelP6P7(channels, channels)
        )

    def forward(self, images: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        """The five levels by torchvision's names."""
        features = self.body(images)
        names = ("c3", "c4", "c5")
        levels = OrderedDict((str(n), features[name]) for n, name in enumerate(names))
        found: OrderedDict[str, torch.Tensor] = self.fpn(levels)
        return found


def make_torchvision(body: str, channels: int, scene: Scene) -> TorchvisionFCOS:
    """Torchvision's FCOS in float64 with random weights that find objects."""
    torch.manual_seed(0)
    if body == "tiny":
        backbone: nn.Module = TinyBodyWithFPN(channels)
    else:
        network = get_model(body, weights=None)
        widths = [network.fc.in_features // part for part in (4, 2, 1)]
        layers = {f"layer{number}": str(number - 2) for number in (2, 3, 4)}
        top = LastLevelP6P7(channels, channels)
        backbone = BackboneWithFPN(network, layers, widths, channels, top)
    model = TorchvisionFCOS(
        backbone,
        NUM_CLASSES,
        min_size=min(scene.sizes[0]),
        max_size=2000,
        image_mean=[0.0, 0.0, 0.0],
        image_std=[1.0, 1.0, 1.0],
        score_thresh=SCORE_THRESHOLD,
        nms_thresh=NMS_THRESHOLD,
        topk_candidates=TOP_K,
        detections_per_img=NUM_CLASSES * 5 * TOP_K,  # all
    ).double()
    head: Any = model.head
    for name, weight in head.named_parameters():
        if name.endswith("weight") and weight.dim() == 4:
            nn.init.normal_(weight, std=0.05)
    nn.init.constant_(head.classification_head.cls_logits.bias, -1.5)
    nn.init.constant_(head.regression_head.bbox_reg.bias, 1.4)
    model.detections_per_img = make_limit(model, scene)
    return model


def make_limit(theirs: TorchvisionFCOS, scene: Scene) -> int:
    """So many detections that one image has more, and the other has not.

    Where all come out, the least sure of them shows what the score threshold is.
    """
    with torch.no_grad():
        found = theirs.eval()([*scene.images])
    numbers = [len(detections["scores"]) for detections in found]
    return sum(numbers) // len(numbers)


def make_ours(
    body: str, channels: int, version: FCOSConfig, theirs: nn.Module
) -> PublishedFCOS:
    """Our detector with their weights.

    Raises:
        RuntimeError: it has other weights.
    """
    backbone = build_backbone(body, pretrained=False)
    ours = PublishedFCOS(NUM_CLASSES, channels, [channels] * 4, backbone, version)
    ours.double()
    state, given = theirs.state_dict(), {}
    for name, value in ours.state_dict().items():
        if name == "_normalizer":
            given[name] = value
        elif torchvision_key(name) in state:
            given[name] = state.pop(torchvision_key(name))
    if state:
        raise RuntimeError(f"no place for {', '.join(state)}")
    ours.load_state_dict(given)
    return ours


def answers_of(theirs: TorchvisionFCOS, scene: Scene) -> dict[str, Any]:
    """What torchvision computes: losses in training, the rest in evaluation.

    The model is as before afterwards: batch norm has learned nothing.
    """
    targets = [
        {"boxes": rows[:, :4], "labels": rows[:, 4].long()} for rows in scene.boxes
    ]
    before = copy.deepcopy(theirs.state_dict())
    with torch.no_grad():
        theirs.eval()
        outputs = theirs.head([*theirs.backbone(scene.batch).values()])
        found = theirs([*scene.images])
        theirs.train()
        losses = theirs([*scene.images], targets)
    theirs.load_state_dict(before)
    return {"losses": losses, "outputs": outputs, "detections": found}


def compare_losses(
    ours: PublishedFCOS, expected: dict[str, torch.Tensor], scene: Scene
) -> dict[str, float]:
    """Difference of each loss of the batch, in training."""
    ours.train()
    with torch.no_grad():
        got = ours(scene.batch, scene.padded_boxes)
    return {
        name: difference(got[name], expected[other])
        for name, other in LOSS_NAMES.items()
    }


def compare_outputs(
    ours: PublishedFCOS, expected: dict[str, torch.Tensor], scene: Scene
) -> dict[str, float]:
    """Largest difference of the head's outputs, all levels in a row, in evaluation."""
    ours.eval()
    with torch.no_grad():
        got = ours.pred_net(ours.backbone(scene.batch))
    names = ("cls_logits", "bbox_regression", "bbox_ctrness")
    return {
        name: difference(torch.cat([*output.values()], dim=1), expected[name])
        for name, output in zip(names, got, strict=True)
    }


def compare_detections(
    ours: PublishedFCOS, expected: list[dict[str, torch.Tensor]], scene: Scene
) -> dict[str, float]:
    """Largest difference of the detections of all images, in evaluation."""
    ours.eval()
    with torch.no_grad():
        got = ours.detect(scene.batch, image_sizes=scene.sizes)
    found = {"boxes": 0.0, "scores": 0.0, "labels": 0.0}
    for (boxes, classes, scores), other in zip(got, expected, strict=True):
        pairs = {"boxes": boxes, "scores": scores, "labels": classes}
        for name, values in pairs.items():
            found[name] = max(found[name], difference(values, other[name]))
    return found


def compare(
    ours: PublishedFCOS, expected: dict[str, Any], scene: Scene
) -> dict[str, float]:
    """All differences from what `answers_of` says."""
    return {
        **compare_outputs(ours, expected["outputs"], scene),
        **compare_detections(ours, expected["detections"], scene),
        **compare_losses(ours, expected["losses"], scene),  # batch norm learns here
    }


def seen_in(ours: PublishedFCOS, scene: Scene) -> dict[str, Any]:
    """What can be seen: matched locations, candidates, what NMS removes.

    Returns:
        "foreground", "candidates" above the score threshold, "detections": of each
        level, in the batch; "into_nms": of all together; "out_of_nms", "kept": of each
        image.
    """
    ours.eval()
    version = ours.version
    with torch.no_grad():
        features = ours.backbone(scene.batch)
        outputs = ours.pred_net(features)
        locations = ours.locations(features, scene.batch)
        kept = ours.detect(scene.batch, image_sizes=scene.sizes)
        ours.version = dataclasses.replace(version, max_detections=0)
        all_kept = ours.detect(scene.batch, image_sizes=scene.sizes)
        ours.version = dataclasses.replace(version, top_k=0)
        above: dict[str, int] = {}
        detections: dict[str, int] = {}
        into_nms = 0
        for level, points in locations.items():
            for place, size in enumerate(scene.sizes):
                _, _, scores = ours.decode(
                    place, size, {level: points}, outputs, version.score_threshold
                )
                of_level = int(torch.isin(kept[place][2], scores).sum())
                above[level] = above.get(level, 0) + len(scores)
                detections[level] = detections.get(level, 0) + of_level
                into_nms += min(len(scores), version.top_k)
        ours.version = version
    return {
        "foreground": _foreground(ours, locations, scene),
        "candidates": above,
        "into_nms": into_nms,
        "out_of_nms": [len(found[0]) for found in all_kept],
        "kept": [len(found[0]) for found in kept],
        "detections": detections,
    }


def _foreground(
    ours: PublishedFCOS, locations: dict[str, torch.Tensor], scene: Scene
) -> dict[str, int]:
    """Foreground locations of each level in the batch."""
    matched = match_batch(
        locations, ours.backbone.fpn_strides, scene.padded_boxes, ours.version
    )
    counts = (matched[..., 4] >= 0).sum(dim=0)
    parts = counts.split([len(points) for points in locations.values()])
    return {
        level: int(part.sum()) for level, part in zip(locations, parts, strict=True)
    }


def version_of(theirs: TorchvisionFCOS, changes: Mapping[str, Any]) -> FCOSConfig:
    """The preset of torchvision with the thresholds of this detector, and changes."""
    thresholds = {
        "score_threshold": theirs.score_thresh,
        "nms_threshold": theirs.nms_thresh,
        "top_k": theirs.topk_candidates,
        "max_detections": theirs.detections_per_img,
    }
    return dataclasses.replace(PRESETS["torchvision"], **{**thresholds, **changes})
