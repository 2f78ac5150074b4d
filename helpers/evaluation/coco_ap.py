"""COCO's average precision, by faster-coco-eval (the numbers of pycocotools, faster).

Means over IoU thresholds .5, .55, ... .95, precision read at 101 recalls, of the best
100 detections of each class and image. Source: Lin et al., "Microsoft COCO", 2014, and
cocodataset.org.
VOC's AP and COCO's AP50 of the same detections differ by up to .02: say which it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from helpers.evaluation.types import Detections, GroundTruth, check_entries

# In COCO's order of results. Small is below 32 x 32 pixels, large above 96 x 96.
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
SMALL_AREA, LARGE_AREA = 32**2, 96**2
NO_OBJECTS = -1.0  # how COCO says that there was nothing to be found


@dataclass(frozen=True)
class CocoResult:
    """COCO's figures, in [0, 1]; nan where there is nothing to be found.

    Attributes:
        summary: a number for each of NAMES.
        class_ap: AP (mean over the IoU thresholds) of each class.
    """

    summary: dict[str, float]
    class_ap: tuple[float, ...]


def evaluate_coco(
    detections: Sequence[Detections],
    ground_truths: Sequence[GroundTruth],
    class_names: Sequence[str],
) -> CocoResult:
    """COCO's AP, AP50, AP75, and AP of small, medium and large objects.

    Difficult objects are COCO's "crowd": finding them counts neither way. Sizes are in
    pixels of the original image.

    Args:
        detections: one entry per image; images may be left out.
        ground_truths: one entry for each image.
        class_names: K names, in the order of the class numbers.

    Raises:
        CourseError: see helpers.evaluation.types.check_entries.
    """
    check_entries(detections, ground_truths, len(class_names))
    nothing = float("nan")
    if not any(len(truth.boxes) for truth in ground_truths):
        return CocoResult(dict.fromkeys(NAMES, nothing), (nothing,) * len(class_names))
    number = {truth.image_id: place + 1 for place, truth in enumerate(ground_truths)}
    dataset = COCO(_ground_truth_as_coco(ground_truths, class_names))
    entries = _detections_as_coco(detections, number)
    if not entries:
        return _result_without_detections(ground_truths, len(class_names))
    evaluation = COCOeval_faster(dataset, dataset.loadRes(entries), iouType="bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    values = (float(value) for value in evaluation.stats[: len(NAMES)])
    summary = {
        name: nothing if value == NO_OBJECTS else value
        for name, value in zip(NAMES, values, strict=True)
    }
    # (IoU thresholds, recalls, classes), for all sizes and 100 detections
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    class_ap = tuple(
        float(own.mean()) if own.max() > NO_OBJECTS else nothing
        for own in np.moveaxis(precision, 2, 0)
    )
    return CocoResult(summary, class_ap)


def _box_as_coco(box: np.ndarray) -> list[float]:
    """XYXY -> (x, y, width, height)."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]


def _ground_truth_as_coco(
    ground_truths: Sequence[GroundTruth], class_names: Sequence[str]
) -> dict:
    images: list[dict] = []
    annotations: list[dict] = []
    for image_number, truth in enumerate(ground_truths, start=1):
        height, width = truth.size
        images.append({"id": image_number, "height": height, "width": width})
        for box, class_id, difficult in zip(
            truth.boxes, truth.classes, truth.difficult, strict=True
        ):
            x, y, w, h = _box_as_coco(box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_number,
                    "category_id": int(class_id) + 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": int(difficult),
                }
            )
    categories = [
        {"id": class_id, "name": name}
        for class_id, name in enumerate(class_names, start=1)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def _detections_as_coco(
    detections: Sequence[Detections], number: dict[str, int]
) -> list[dict]:
    return [
        {
            "image_id": number[entry.image_id],
            "category_id": int(class_id) + 1,
            "bbox": _box_as_coco(box),
            "score": float(score),
        }
        for entry in detections
        for box, class_id, score in zip(
            entry.boxes, entry.classes, entry.scores, strict=True
        )
    ]


def _result_without_detections(
    ground_truths: Sequence[GroundTruth], num_classes: int
) -> CocoResult:
    """Nothing was found: 0 where there are objects of that kind, else nan."""
    boxes = np.concatenate([truth.boxes[~truth.difficult] for truth in ground_truths])
    classes = np.concatenate(
        [truth.classes[~truth.difficult] for truth in ground_truths]
    )
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    is_there = dict.fromkeys(NAMES, len(area) > 0)
    is_there["APs"] = bool((area <= SMALL_AREA).any())
    is_there["APm"] = bool(((area >= SMALL_AREA) & (area <= LARGE_AREA)).any())
    is_there["APl"] = bool((area >= LARGE_AREA).any())
    summary = {name: 0.0 if there else float("nan") for name, there in is_there.items()}
    counts = np.bincount(classes, minlength=num_classes)
    class_ap = tuple(0.0 if count else float("nan") for count in counts)
    return CocoResult(summary, class_ap)
