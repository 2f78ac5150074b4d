"""Average precision as PASCAL VOC defines it, plain and vectorised.

Sort the detections of a class by score. Going down the list, each is true or false; the
precision-recall curve follows, and AP is its mean height. Sources: Everingham et al.,
"The PASCAL VOC Challenge", 2010, section 4.2, and the VOC 2007 and 2012 devkits.

Boxes are XYXY with continuous edges in pixels of the original image. The devkit counts
the last pixel as part of a box (x2 - x1 + 1). The loader has turned its pixel numbers
into edges already, so that the plain IoU here equals the devkit's; plus_one is for
boxes that are still pixel numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.evaluation.types import Detections, GroundTruth, check_entries

# Exact tenths: np.linspace(0, 1, 11), which many programs use, has 0.30000000000000004
# and 0.6000000000000001, which a detector that finds 3 or 6 of 10 would not reach.
ELEVEN_RECALLS = np.arange(11) / 10


@dataclass(frozen=True)
class ClassResult:
    """What evaluation says of one class.

    Attributes:
        num_objects: true boxes that are not difficult.
        num_detections: detections of the class.
        num_correct: true positives among them.
        recall, precision: (D,) after each detection, best score first.
        scores: (D,) the scores behind the two.
        ap_area: area under the curve (VOC 2010 and later); nan without objects.
        ap_11: mean of the precision at 11 recalls (VOC 2007); nan without objects.
    """

    name: str
    num_objects: int
    num_detections: int
    num_correct: int
    recall: np.ndarray
    precision: np.ndarray
    scores: np.ndarray
    ap_area: float
    ap_11: float


@dataclass(frozen=True)
class VocResult:
    """Results of all classes; the means leave out classes without objects."""

    classes: tuple[ClassResult, ...]
    map_area: float
    map_11: float


def box_iou(
    boxes1: np.ndarray, boxes2: np.ndarray, plus_one: bool = False
) -> np.ndarray:
    """IoU of all pairs.

    Args:
        boxes1: (M, 4) XYXY.
        boxes2: (N, 4) XYXY.
        plus_one: boxes are pixel numbers, whose last pixel is part of the box.

    Returns:
        (M, N) in [0, 1]; boxes without area have IoU 0.
    """
    extra = 1.0 if plus_one else 0.0
    top_left = np.maximum(boxes1[:, None, :2], boxes2[None, :, :2])
    bottom_right = np.minimum(boxes1[:, None, 2:], boxes2[None, :, 2:])
    intersection = np.prod((bottom_right - top_left + extra).clip(min=0), axis=2)
    area1 = np.prod(boxes1[:, 2:] - boxes1[:, :2] + extra, axis=1)
    area2 = np.prod(boxes2[:, 2:] - boxes2[:, :2] + extra, axis=1)
    union = np.add.outer(area1, area2) - intersection
    return np.divide(
        intersection, union, out=np.zeros_like(intersection), where=union > 0
    )


def precision_recall(
    is_correct: np.ndarray, num_objects: int
) -> tuple[np.ndarray, np.ndarray]:
    """The curve of one class.

    Args:
        is_correct: (D,) bool, best score first.
        num_objects: true boxes to be found.

    Returns:
        Recall (D,) and precision (D,) after each detection.
    """
    correct = np.cumsum(is_correct)
    recall = correct / max(num_objects, 1)
    precision = correct / np.arange(1, len(is_correct) + 1)
    return recall, precision


def average_precision_area(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the curve after precision was made to fall (VOC 2010 and later).

    Args:
        recall: (D,) rising.
        precision: (D,).
    """
    recall = np.concatenate(([0.0], recall, [1.0]))
    precision = np.concatenate(([0.0], precision, [0.0]))
    # Precision at a recall: the best that is reached at this recall or beyond.
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * falling[1:]))


def average_precision_11(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean of the best precision at recalls of at least 0, 0.1, ... 1 (VOC 2007).

    Args:
        recall: (D,) rising.
        precision: (D,).
    """
    is_reached = recall[None, :] >= ELEVEN_RECALLS[:, None]  # (11, D)
    best = np.where(is_reached, precision[None, :], 0.0).max(axis=1, initial=0.0)
    return float(best.mean())


def match_image(
    boxes: np.ndarray,
    true_boxes: np.ndarray,
    difficult: np.ndarray,
    iou_threshold: float,
    plus_one: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections of one class in one image are right?

    Each detection looks at the true box that it overlaps most, and at no other. The
    first to claim a box is right, the next ones are wrong. Detections of a difficult
    box count neither way.

    Args:
        boxes: (D, 4) detections, best score first.
        true_boxes: (M, 4).
        difficult: (M,) bool.
        iou_threshold: least IoU of a right detection.
        plus_one: see box_iou.

    Returns:
        is_correct (D,) and is_ignored (D,), bool.
    """
    is_correct = np.zeros(len(boxes), dtype=bool)
    is_ignored = np.zeros(len(boxes), dtype=bool)
    if len(boxes) == 0 or len(true_boxes) == 0:
        return is_correct, is_ignored
    overlaps = box_iou(boxes, true_boxes, plus_one)
    nearest = overlaps.argmax(axis=1)  # (D,)
    is_near = overlaps.max(axis=1) >= iou_threshold
    is_ignored = is_near & difficult[nearest]
    # Of the detections near one box, np.unique returns the first: the best score.
    claims = np.flatnonzero(is_near & ~is_ignored)
    _, first = np.unique(nearest[claims], return_index=True)
    is_correct[claims[first]] = True
    return is_correct, is_ignored


def evaluate_voc(
    detections: Sequence[Detections],
    ground_truths: Sequence[GroundTruth],
    class_names: Sequence[str],
    iou_threshold: float = 0.5,
    plus_one: bool = False,
) -> VocResult:
    """VOC's AP of every class, and its mean.

    Images without detections count: their true boxes are missed.

    Args:
        detections: one entry per image; images may be left out.
        ground_truths: one entry for each image of the data set.
        class_names: K names, in the order of the class numbers.
        iou_threshold: least IoU of a right detection.
        plus_one: see box_iou.

    Raises:
        CourseError: see helpers.evaluation.types.check_entries.
    """
    check_entries(detections, ground_truths, len(class_names))
    by_image = {entry.image_id: entry for entry in detections}
    results = tuple(
        _evaluate_class(
            by_image,
            ground_truths,
            class_id,
            name,
            iou_threshold=iou_threshold,
            plus_one=plus_one,
        )
        for class_id, name in enumerate(class_names)
    )
    with_objects = [result for result in results if result.num_objects > 0]
    if not with_objects:
        return VocResult(results, float("nan"), float("nan"))
    return VocResult(
        results,
        float(np.mean([result.ap_area for result in with_objects])),
        float(np.mean([result.ap_11 for result in with_objects])),
    )


def _evaluate_class(
    by_image: dict[str, Detections],
    ground_truths: Sequence[GroundTruth],
    class_id: int,
    name: str,
    *,
    iou_threshold: float,
    plus_one: bool,
) -> ClassResult:
    scores, correct, ignored = [np.zeros(0)], [np.zeros(0, bool)], [np.zeros(0, bool)]
    num_objects = 0
    for truth in ground_truths:
        is_class = truth.classes == class_id
        difficult = truth.difficult[is_class]
        num_objects += int((~difficult).sum())
        found = by_image.get(truth.image_id)
        if found is None:
            continue
        own = np.flatnonzero(found.classes == class_id)
        own = own[np.argsort(-found.scores[own], kind="stable")]
        is_correct, is_ignored = match_image(
            found.boxes[own], truth.boxes[is_class], difficult, iou_threshold, plus_one
        )
        scores.append(found.scores[own])
        correct.append(is_correct)
        ignored.append(is_ignored)
    all_scores = np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")
    order = order[~np.concatenate(ignored)[order]]
    is_correct = np.concatenate(correct)[order]
    recall, precision = precision_recall(is_correct, num_objects)
    has_objects = num_objects > 0
    return ClassResult(
        name=name,
        num_objects=num_objects,
        num_detections=len(all_scores),
        num_correct=int(is_correct.sum()),
        recall=recall,
        precision=precision,
        scores=all_scores[order],
        ap_area=average_precision_area(recall, precision) if has_objects else np.nan,
        ap_11=average_precision_11(recall, precision) if has_objects else np.nan,
    )
