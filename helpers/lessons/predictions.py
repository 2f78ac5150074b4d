"""What a trained plain FCOS says of pictures: of your run, or as it was stored.

The stored detector was trained with recipe `plain` on the drawn shapes. So notebooks 8
and 9 work before your own training does. benchmarks/recorded_predictions.py made the
file.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.command import CourseError
from helpers.data.voc import VOC2007DetectionTiny
from helpers.evaluate import evaluate_detector
from helpers.evaluation.types import Detections, GroundTruth
from helpers.lessons.live import run_folder
from helpers.models.detector import LoadedDetector, load_detector
from helpers.training.run_folder import checkpoint_path

FILE = Path(__file__).with_name("predictions.json")
STRIDES = {"p3": 8, "p4": 16, "p5": 32}
PerLevel = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Candidates:
    """Boxes of one picture before NMS, best first.

    Attributes:
        index: of the picture in the split "val" of the shapes.
        boxes: (N, 4) XYXY in its pixels.
        classes: (N,) int64.
        scores: (N,).
    """

    index: int
    boxes: torch.Tensor
    classes: torch.Tensor
    scores: torch.Tensor


def _stored() -> dict:
    stored: dict = json.loads(FILE.read_text("utf-8"))
    return stored


def stored_class_names() -> list[str]:
    """The classes of the stored detector."""
    return list(_stored()["class_names"])


def stored_candidates(number: int = 0) -> Candidates:
    """The boxes that one of the stored pictures brings to NMS."""
    entry = _stored()["raw"][number]
    return Candidates(
        entry["index"],
        torch.tensor(entry["boxes"]),
        torch.tensor(entry["classes"]),
        torch.tensor(entry["scores"]),
    )


def stored_answers(number: int = 0) -> tuple[PerLevel, PerLevel, PerLevel, PerLevel]:
    """Locations and raw predictions of a stored picture, for a batch of one.

    Returns:
        For each level locations (N, 2), class logits (1, N, K), deltas (1, N, 4) and
        centerness logits (1, N, 1).
    """
    entry = _stored()["raw"][number]
    height, width = entry["size"]
    locations = {}
    for level, stride in STRIDES.items():
        row, column = np.mgrid[0 : -(-height // stride), 0 : -(-width // stride)]
        points = np.stack((column.ravel(), row.ravel()), axis=1) * stride + stride / 2
        locations[level] = torch.from_numpy(points).float()
    logits, deltas, centerness = (
        {level: torch.tensor(rows)[None] for level, rows in entry[name].items()}
        for name in ("logits", "deltas", "centerness")
    )
    return locations, logits, deltas, centerness


def stored_scores() -> np.ndarray:
    """(N, 3) of many answers: class probability, centerness, IoU with the truth."""
    return np.array(_stored()["scored"])


def stored_detections(
    dataset: VOC2007DetectionTiny, index: int, least_score: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """An image (3, H, W) of the shapes with its stored boxes, classes and scores."""
    entry = _stored()["detections"][index]
    kept = [row for row, score in enumerate(entry["scores"]) if score > least_score]
    boxes = torch.tensor([entry["boxes"][row] for row in kept]).reshape(-1, 4)
    return (
        dataset[index][1],
        boxes * dataset.scale(index),
        torch.tensor([entry["classes"][row] for row in kept]),
        torch.tensor([entry["scores"][row] for row in kept]),
    )


def find_detector(data: str) -> LoadedDetector | None:
    """The detector that you trained in notebook 7, or None with a word about it."""
    if not checkpoint_path(run_folder(data)).is_file():
        print("There is no run of notebook 7 yet; you see a stored detector instead.")
        return None
    try:
        return load_detector(run_folder(data))
    except (CourseError, NotImplementedError) as error:
        print(f"Your run cannot be used ({error}); you see a stored detector instead.")
        return None


def find_detections(
    detector: LoadedDetector | None,
    dataset: VOC2007DetectionTiny,
    limit: int = 100,
    score_threshold: float = 0.05,
) -> tuple[list[Detections], list[GroundTruth]]:
    """Detections and true boxes of the first pictures of a data set.

    Args:
        detector: from find_detector; None takes the stored detections of the shapes.
        limit: pictures; of the stored ones there are 100.

    Raises:
        CourseError: nothing is stored for this data.
    """
    truths = [dataset.ground_truth(index) for index in range(min(limit, len(dataset)))]
    if detector is not None:
        found = evaluate_detector(
            detector, dataset, score_threshold=score_threshold, limit=limit
        ).detections
        return found, truths
    if list(dataset.class_names) != stored_class_names():
        raise CourseError(
            "only detections of the drawn shapes are stored; take DATA = 'shapes', or "
            "train in notebook 7 first"
        )
    entries = _stored()["detections"][:limit]
    found = [
        Detections(
            entry["image_id"],
            np.array(entry["boxes"], dtype=np.float64).reshape(-1, 4),
            np.array(entry["scores"], dtype=np.float64),
            np.array(entry["classes"], dtype=np.int64),
        )
        for entry in entries
    ]
    return found, truths[: len(found)]
