"""Build, load and use a detector of course.toml: the one door to assignment/."""

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import nn

from core.backbones.build import build_backbone
from core.command import CourseError
from core.course import read_registry
from core.course_entries import Detector as RegisteredDetector
from core.old_names import add_old_names
from helpers.training.checkpoint import read_checkpoint
from helpers.training.recipes import DetectorConfig, detector_config_from_dict

# Boxes, classes and scores of one image.
Prediction = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Detector(Protocol):
    """What training, evaluation, pages and pictures ask of a detector; nothing else."""

    def __call__(
        self, images: torch.Tensor, gt_boxes: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The losses of a batch, while it trains.

        Args:
            images: (B, 3, H, W), ImageNet-normalised.
            gt_boxes: (B, M, 5) of (x1, y1, x2, y2, class); rows of -1 are padding.
        """

    def detect(
        self, images: torch.Tensor, score_threshold: float, nms_threshold: float
    ) -> list[Prediction]:
        """For each image of a batch boxes (N, 4), classes (N,), scores (N,)."""


@dataclass(frozen=True)
class LoadedDetector:
    """A trained detector, ready to use.

    Attributes:
        model: a Detector, in eval mode on `device`.
    """

    model: nn.Module
    class_names: tuple[str, ...]
    config: DetectorConfig
    device: torch.device


def choose_device(name: str = "auto") -> torch.device:
    """The device of this name; "auto" takes the GPU where there is one.

    Raises:
        CourseError: the device is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise CourseError(
            f"the device {name!r} cannot be used here; take --device cpu"
        ) from error
    return device


def build_detector(config: DetectorConfig, pretrained: bool) -> nn.Module:
    """The detector of this name, fresh, on the CPU.

    Its class or function is called with those of these that its parameters name:
    num_classes, fpn_channels, stem_channels, backbone (a module), version (an
    FCOSConfig, if there is one), and config (the DetectorConfig itself).

    Args:
        pretrained: start the backbone from ImageNet weights.

    Raises:
        CourseError: there is no such detector, or its file is not here.
    """
    make = _maker(registered_detector(config.model))
    named = inspect.signature(make).parameters
    settings: dict[str, Any] = {
        "num_classes": len(config.class_names),
        "fpn_channels": config.fpn_channels,
        "stem_channels": list(config.stem_channels),
        "config": config,
    }
    if config.fcos is not None:
        settings["version"] = config.fcos
    if "backbone" in named:
        settings["backbone"] = build_backbone(config.backbone, pretrained)
    return make(**{name: value for name, value in settings.items() if name in named})


def registered_detector(name: str) -> RegisteredDetector:
    """The entry of course.toml for a detector.

    Raises:
        CourseError: there is none of this name.
    """
    known = read_registry().detectors
    if name not in known:
        raise CourseError(
            f"there is no detector {name!r} in course.toml; choose one of "
            f"{', '.join(known)}"
        )
    return known[name]


def _maker(detector: RegisteredDetector) -> Callable[..., nn.Module]:
    """The class or function of a detector; students get some after the course only."""
    file = detector.module.replace(".", "/") + ".py"
    add_old_names()  # solutions of the original assignment import each other by them
    try:
        module = importlib.import_module(detector.module)
    except ModuleNotFoundError as error:
        if error.name != detector.module:
            raise
        raise CourseError(
            f"this recipe or checkpoint is of the detector {detector.name}, whose file "
            f"{file} is not here since it shows answers to exercises; take --recipe "
            "plain or a4, or ask your instructor for the file"
        ) from error
    make = getattr(module, detector.class_name, None)
    if make is None:
        raise CourseError(f"{file} has no {detector.class_name}; put it back there")
    return cast(Callable[..., nn.Module], make)


def load_detector(
    checkpoint: Path, device: str | torch.device = "auto"
) -> LoadedDetector:
    """The detector of a checkpoint; averaged weights where the run kept them.

    Raises:
        CourseError: the file is missing, truncated or foreign, or does not fit its own
            description.
    """
    if isinstance(device, str):
        device = choose_device(device)
    state = read_checkpoint(checkpoint)
    try:
        config = detector_config_from_dict(state["config"])
        model = build_detector(config, pretrained=False)
        model.load_state_dict(state.get("average") or state["model"])
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise CourseError(
            f"the weights in {checkpoint} do not fit the detector in assignment/ "
            f"({str(error).splitlines()[0]}); train again with python -m helpers.train"
        ) from error
    model.eval().to(device)
    return LoadedDetector(model, config.class_names, config, device)


@torch.inference_mode()
def predict(
    detector: LoadedDetector,
    images: Sequence[torch.Tensor],
    score_threshold: float,
    nms_threshold: float,
) -> list[Prediction]:
    """Detections of each image; images of one size go through the network together.

    Args:
        images: each (3, H, W), ImageNet-normalised.
        score_threshold: drop detections with a score of this or less.
        nms_threshold: IoU above which the weaker box of a class is dropped.

    Returns:
        For each image boxes (N, 4) XYXY in its pixels, classes (N,), scores (N,), best
        first, on the CPU.
    """
    indices_by_size: dict[torch.Size, list[int]] = {}
    for index, image in enumerate(images):
        indices_by_size.setdefault(image.shape, []).append(index)
    predictions: dict[int, Prediction] = {}
    for indices in indices_by_size.values():
        batch = torch.stack([images[index] for index in indices]).to(detector.device)
        batch = batch.contiguous(memory_format=torch.channels_last)
        found = _predict_batch(detector.model, batch, score_threshold, nms_threshold)
        predictions.update(zip(indices, found, strict=True))
    return [predictions[index] for index in range(len(images))]


def _predict_batch(
    model: nn.Module, batch: torch.Tensor, score_threshold: float, nms_threshold: float
) -> list[Prediction]:
    """What the detector itself says, on the CPU."""
    if hasattr(model, "detect"):
        detector = cast(Detector, model)
        found = detector.detect(batch, score_threshold, nms_threshold)
    else:  # written before `detect` was given, as solutions of the original assignment
        thresholds = {
            "test_score_thresh": score_threshold,
            "test_nms_thresh": nms_threshold,
        }
        found = [model(image[None], **thresholds) for image in batch]
    return [
        (boxes.cpu(), classes.cpu(), scores.cpu()) for boxes, classes, scores in found
    ]


def with_classes(
    config: DetectorConfig, class_names: tuple[str, ...]
) -> DetectorConfig:
    """The same detector for other classes."""
    return dataclasses.replace(config, class_names=tuple(class_names))
