"""Images per second of a training step: ours against torchvision's FCOS, in one run.

Ours are the FCOS of part one, with two convolutions a stem, and torchvision's version
of FCOS as published, with four and group norm, which computes what theirs does. Same
backbone, image size, batch, true boxes and number of channels. They take turns, so that
a machine whose speed drifts changes all; the figure is the median over the turns of
theirs over ours, with its quartiles as a measure of the noise.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork

from assignment.fcos_published import PublishedFCOS
from assignment.one_stage_detector import FCOS
from assignment.published_targets import match_batch
from benchmarks.record import write_result
from core.backbones.build import backbone_channels, build_backbone
from core.command import EXIT_OK, CommandParser, run_command
from core.fcos_config import PRESETS
from helpers.models.detector import choose_device

NUM_CLASSES = 20
SURE_LOGIT = 6.0  # a trained head's answer: 0.25 % or 99.75 %
STRIDES = (8, 16, 32)


class TorchvisionBackbone(nn.Module):
    """A backbone with torchvision's own FPN, in the form that its detectors take."""

    def __init__(self, name: str, out_channels: int):
        super().__init__()
        self.body = build_backbone(name, pretrained=False)
        channels = list(backbone_channels(self.body).values())
        self.fpn = FeaturePyramidNetwork(channels, out_channels)
        self.out_channels = out_channels

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Images (B, 3, H, W) -> three maps of out_channels."""
        return self.fpn(self.body(images))


def torchvision_detector(name: str, channels: int, size: int) -> nn.Module:
    """FCOS of torchvision with the same backbone, strides and input size as ours."""
    anchors = AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * 3)
    return detection.FCOS(
        TorchvisionBackbone(name, channels),
        NUM_CLASSES,
        min_size=size,
        max_size=size,
        anchor_generator=anchors,
    )


def made_boxes(batch_size: int, size: int) -> torch.Tensor:
    """True boxes (B, 40, 5): three per image, of different sizes, padded with -1."""
    boxes = torch.full((batch_size, 40, 5), -1.0)
    for image in range(batch_size):
        for place, (share, ratio) in enumerate(((0.15, 1.5), (0.35, 0.7), (0.7, 1.2))):
            width, height = size * share, size * share / ratio
            x = (size - width) * ((7 * image + 3 * place) % 10) / 10
            y = max(size - height, 0.0) * ((3 * image + 5 * place) % 10) / 10
            box = [
                x,
                y,
                x + width,
                min(y + height, size),
                (image + place) % NUM_CLASSES,
            ]
            boxes[image, place] = torch.tensor(box)
    return boxes


def step_seconds(
    step: Callable[[], torch.Tensor], model: nn.Module, device: torch.device
) -> float:
    """One step: losses, gradient, update (SGD)."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    _wait(device)
    start = time.perf_counter()
    step().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    _wait(device)
    return time.perf_counter() - start


def trained_predictions(
    model: FCOS, locations: dict[str, torch.Tensor], boxes: torch.Tensor
) -> list[dict[str, torch.Tensor]]:
    """What a head that has learned these boxes would say: sure where there is one."""
    classes, deltas, centerness = model.make_targets(locations, boxes)
    class_ids = torch.arange(NUM_CLASSES, device=boxes.device)
    is_class = classes[..., None] == class_ids  # (B, N, K)
    logits = torch.where(is_class, SURE_LOGIT, -SURE_LOGIT)
    ctr_logits = torch.logit(centerness.clamp(0.01, 0.99))[..., None]
    lengths = [len(xy) for xy in locations.values()]
    return [
        dict(zip(locations, rows.split(lengths, dim=1), strict=True))
        for rows in (logits, deltas, ctr_logits)
    ]


def ratio_of_turns(theirs: list[float], ours: list[float]) -> dict[str, float]:
    """Theirs over ours, turn by turn: the median, and the first and third quartile."""
    ratios = [slow / fast for slow, fast in zip(theirs, ours, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {
        "median": round(median, 3),
        "quarter_below": round(low, 3),
        "quarter_above": round(high, 3),
    }


def part_seconds(
    model: FCOS, images: torch.Tensor, boxes: torch.Tensor, trials: int
) -> dict[str, float]:
    """Medians of target assignment, losses, and post-processing of the same batch."""
    device = images.device
    with torch.no_grad():
        features = model.backbone(images)
        predictions = model.pred_net(features)
        locations = model.locations(features)
        learned = trained_predictions(model, locations, boxes)
    seconds: dict[str, list[float]] = {"assignment": [], "assignment_and_losses": []}
    seconds["post_processing"] = []
    for _ in range(trials):
        _wait(device)
        start = time.perf_counter()
        model.make_targets(locations, boxes)
        _wait(device)
        seconds["assignment"].append(time.perf_counter() - start)
        start = time.perf_counter()
        model.training_losses(locations, predictions, boxes)
        _wait(device)
        seconds["assignment_and_losses"].append(time.perf_counter() - start)
        start = time.perf_counter()
        with torch.no_grad():
            for index in range(len(images)):
                cls_logits, deltas, ctr_logits = (
                    {
                        level: rows[index : index + 1]
                        for level, rows in prediction.items()
                    }
                    for prediction in learned
                )
                model.inference(
                    images[index : index + 1],
                    locations,
                    cls_logits,
                    deltas,
                    ctr_logits,
                    test_score_thresh=0.05,
                )
        _wait(device)
        seconds["post_processing"].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def published_part_seconds(
    model: PublishedFCOS, images: torch.Tensor, boxes: torch.Tensor, trials: int
) -> dict[str, float]:
    """Medians of what a step of FCOS as published is made of, forward alone."""
    strides = model.backbone.fpn_strides
    with torch.no_grad():
        features = model.backbone(images)
        outputs = model.pred_net(features)
        locations = model.locations(features, images)
    parts: dict[str, Callable[[], Any]] = {
        "backbone_and_fpn": lambda: model.backbone(images),
        "head": lambda: model.pred_net(features),
        "assignment": lambda: match_batch(locations, strides, boxes, model.version),
        "assignment_and_losses": lambda: model.training_losses(
            locations, outputs, boxes
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(trials):
        for name, part in parts.items():
            _wait(images.device)
            start = time.perf_counter()
            part()
            _wait(images.device)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.training_step")
    parser.add_argument("--backbone", default="regnet_x_400mf")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--trials", type=int, default=45)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    device = choose_device(options.device)
    torch.manual_seed(0)
    channels, size = options.channels, options.size
    backbone = build_backbone(options.backbone, pretrained=False)
    version = replace(PRESETS["torchvision"], num_levels=3)
    same = PublishedFCOS(NUM_CLASSES, channels, [channels] * 4, backbone, version)
    backbone = build_backbone(options.backbone, pretrained=False)
    course = FCOS(NUM_CLASSES, channels, [channels] * 2, backbone)
    theirs = torchvision_detector(options.backbone, channels, size).to(device)
    for model in (same, course, theirs):
        model.to(device).to(memory_format=torch.channels_last).train()
    images = torch.rand(options.batch_size, 3, size, size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    boxes = made_boxes(options.batch_size, size).to(device)
    targets = [
        {"boxes": own[own[:, 4] >= 0, :4], "labels": own[own[:, 4] >= 0, 4].long()}
        for own in boxes
    ]
    steps = {
        "ours_as_torchvision": (same, lambda: sum(same(images, boxes).values())),
        "ours_as_in_recipe_a4": (course, lambda: sum(course(images, boxes).values())),
        "torchvision": (theirs, lambda: sum(theirs(list(images), targets).values())),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for trial in range(options.trials + 1):
        for name, (model, step) in steps.items():
            elapsed = step_seconds(step, model, device)
            if trial > 0:  # the first warms up
                seconds[name].append(elapsed)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    parts = part_seconds(course, images, boxes, options.trials)
    parts_of_same = published_part_seconds(same, images, boxes, options.trials)
    course_step = median["ours_as_in_recipe_a4"]
    same_step = median["ours_as_torchvision"]
    figures = {
        "settings": vars(options),
        "images_per_second": {
            name: round(options.batch_size / value, 2) for name, value in median.items()
        },
        "torchvision_over_ours_as_torchvision": ratio_of_turns(
            seconds["torchvision"], seconds["ours_as_torchvision"]
        ),
        "torchvision_over_ours_as_in_recipe_a4": ratio_of_turns(
            seconds["torchvision"], seconds["ours_as_in_recipe_a4"]
        ),
        "share_of_step": {
            name: round(value / course_step, 4) for name, value in parts.items()
        },
        "share_of_step_as_torchvision": {
            name: round(value / same_step, 4) for name, value in parts_of_same.items()
        },
    }
    path = write_result(f"training_step_{device.type}", figures)
    print(path.read_text())
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
