"""Build, load and use a detector: the one door of the helpers to assignment/."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from assignment.one_stage_detector import FCOS
from data_scripts.command import CourseError
from helpers.backbones import build_backbone
from helpers.checkpoint import read_checkpoint
from helpers.recipes import DetectorConfig, detector_config_from_dict

# Boxes, classes and scores of one image.
Prediction = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class LoadedDetector:
    """A trained detector, ready to use.

    Attributes:
        model: in eval mode on `device`.
    """

    model: FCOS
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


def build_detector(config: DetectorConfig, pretrained: bool) -> FCOS:
    """A detector with fresh head and FPN, on the CPU.

    Args:
        pretrained: start the backbone from ImageNet weights.

    Raises:
        CourseError: it is an improved one, and helpers/improved_fcos.py is not here.
    """
    backbone = build_backbone(config.backbone, pretrained)
    if config.improved:
        return _improved_class()(config, backbone)
    return FCOS(
        len(config.class_names),
        config.fpn_channels,
        list(config.stem_channels),
        backbone,
    )


def _improved_class() -> Callable[[DetectorConfig, nn.Module], FCOS]:
    """ImprovedFCOS; students get it after the course, for it works exercises out."""
    try:
        from helpers.improved_fcos import ImprovedFCOS
    except ModuleNotFoundError as error:
        raise CourseError(
            "this recipe or checkpoint is of the improved detector, whose file "
            "helpers/improved_fcos.py is not here since it shows answers to exercises; "
            "take --recipe plain or a4, or ask your instructor for the file"
        ) from error
    return ImprovedFCOS


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
    model: FCOS, batch: torch.Tensor, score_threshold: float, nms_threshold: float
) -> list[Prediction]:
    """Network once for all, then FCOS.inference (which takes one image) for each."""
    features = model.backbone(batch)
    outputs = model.pred_net(features)
    locations = model.locations(features)
    predictions = []
    for i in range(len(batch)):
        cls_logits, deltas, ctr_logits = (
            {level: values[i : i + 1] for level, values in output.items()}
            for output in outputs
        )
        boxes, classes, scores = model.inference(
            batch[i : i + 1],
            locations,
            cls_logits,
            deltas,
            ctr_logits,
            test_score_thresh=score_threshold,
            test_nms_thresh=nms_threshold,
        )
        predictions.append((boxes.cpu(), classes.cpu(), scores.cpu()))
    return predictions


def with_classes(
    config: DetectorConfig, class_names: tuple[str, ...]
) -> DetectorConfig:
    """The same detector for other classes."""
    return dataclasses.replace(config, class_names=tuple(class_names))
