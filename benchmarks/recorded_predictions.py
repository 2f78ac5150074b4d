"""Store what the plain FCOS says before and after NMS, for notebooks 8 and 9.

Run it after `python -m benchmarks.quality --recipe plain --data shapes --name
shapes_plain --out runs/shapes_plain`, whose checkpoint it reads:
python -m benchmarks.recorded_predictions writes helpers/lessons/predictions.json.
"""

import json
from pathlib import Path
from typing import cast

import torch

from assignment.common import class_spec_nms, iou
from assignment.fcos_deltas import fcos_apply_deltas_to_locations
from assignment.one_stage_detector import FCOS, join_levels
from core.command import EXIT_OK, CommandParser, run_command
from helpers.data.voc import VOC2007DetectionTiny
from helpers.evaluation.types import Detections
from helpers.evaluation.voc_ap import evaluate_voc
from helpers.lessons.predictions import FILE
from helpers.models.detector import LoadedDetector, load_detector, predict

RAW_PICTURES = (4, 9)  # of the split "val"
SCORED_PICTURES = 150
MOST_ANSWERS = 500  # of all scored pictures
LEAST_PROBABILITY = 0.2  # of an answer whose box is compared with the truth
LEAST_CANDIDATE = 0.2  # score of a box that goes into NMS
LEAST_OVERLAP = 0.1  # with the true box, of an answer that means this object
DETECTED_PICTURES = 100
LEAST_SCORE = 0.05
MOST_BOXES = 15  # of a picture


def _round(values: torch.Tensor, digits: int) -> list:
    return json.loads(
        json.dumps(values.tolist()),
        parse_float=lambda text: round(float(text), digits),
    )


@torch.inference_mode()
def answers(detector: LoadedDetector, image: torch.Tensor) -> tuple:
    """Locations, class logits, deltas and centerness logits of each level."""
    model = cast(FCOS, detector.model)
    features = model.backbone(image[None])
    return model.locations(features), *model.pred_net(features)


def all_boxes(detector: LoadedDetector, image: torch.Tensor) -> tuple:
    """Boxes (N, 4), class probabilities (N, K), centerness (N,) of all locations."""
    locations, logits, deltas, ctr = answers(detector, image)
    strides = cast(FCOS, detector.model).backbone.fpn_strides
    boxes = torch.cat(
        [
            fcos_apply_deltas_to_locations(
                deltas[level][0], locations[level], strides[level]
            )
            for level in locations
        ]
    )
    probability = join_levels(logits)[0].sigmoid()
    return boxes, probability, join_levels(ctr)[0, :, 0].sigmoid()


def record_raw(detector: LoadedDetector, dataset: VOC2007DetectionTiny) -> list[dict]:
    """Everything that the network says of a few pictures, and its boxes before NMS."""
    entries = []
    for index in RAW_PICTURES:
        _, image, _ = dataset[index]
        _, logits, deltas, ctr = answers(detector, image)
        boxes, probability, centerness = all_boxes(detector, image)
        scores, classes = (probability * centerness[:, None]).sqrt().max(dim=1)
        chosen = torch.nonzero(scores > LEAST_CANDIDATE)[:, 0]
        chosen = chosen[scores[chosen].argsort(descending=True)]
        entries.append(
            {
                "index": index,
                "size": list(image.shape[1:]),
                "logits": {level: _round(rows[0], 2) for level, rows in logits.items()},
                "deltas": {level: _round(rows[0], 2) for level, rows in deltas.items()},
                "centerness": {
                    level: _round(rows[0], 2) for level, rows in ctr.items()
                },
                "boxes": _round(boxes[chosen], 1),
                "classes": classes[chosen].tolist(),
                "scores": _round(scores[chosen], 4),
            }
        )
    return entries


def record_scored(
    detector: LoadedDetector, dataset: VOC2007DetectionTiny
) -> list[list[float]]:
    """[class probability, centerness, IoU with the nearest true box] of answers."""
    found = []
    for index in range(SCORED_PICTURES):
        _, image, rows = dataset[index]
        rows = rows[rows[:, 4] >= 0]
        if len(rows) == 0:
            continue
        boxes, probability, centerness = all_boxes(detector, image)
        best, classes = probability.max(dim=1)
        same = classes[:, None] == rows[None, :, 4]
        overlap = torch.where(same, iou(boxes, rows[:, :4]), 0.0).amax(dim=1)
        is_sure = (best > LEAST_PROBABILITY) & (overlap > LEAST_OVERLAP)
        found.append(torch.stack((best, centerness, overlap), dim=1)[is_sure])
    together = torch.cat(found)
    step = -(-len(together) // MOST_ANSWERS)  # rounded up
    return _round(together[::step], 3)


def record_detections(
    detector: LoadedDetector, dataset: VOC2007DetectionTiny
) -> list[dict]:
    """Detections of many pictures, boxes in pixels of the originals."""
    entries = []
    for index in range(DETECTED_PICTURES):
        path, image, _ = dataset[index]
        threshold = detector.config.nms_threshold
        ((boxes, classes, scores),) = predict(detector, [image], LEAST_SCORE, threshold)
        entries.append(
            {
                "image_id": Path(path).stem,
                "boxes": _round(boxes[:MOST_BOXES] / dataset.scale(index), 1),
                "classes": classes[:MOST_BOXES].tolist(),
                "scores": _round(scores[:MOST_BOXES], 4),
            }
        )
    return entries


def record_ablation(
    detector: LoadedDetector, dataset: VOC2007DetectionTiny
) -> dict[str, float]:
    """MAP at IoU 0.5 of all pictures, with and without centerness in the score."""
    found: dict[str, list[Detections]] = {"class": [], "class and centerness": []}
    for index in range(len(dataset)):
        path, image, _ = dataset[index]
        boxes, probability, centerness = all_boxes(detector, image)
        both = (probability * centerness[:, None]).sqrt()
        for name, values in zip(found, (probability, both), strict=True):
            scores, classes = values.max(dim=1)
            passes = scores > LEAST_SCORE
            own = (boxes[passes], scores[passes], classes[passes])
            keep = class_spec_nms(*own, detector.config.nms_threshold)
            kept = [part[keep].double().numpy() for part in own]
            found[name].append(
                Detections(
                    Path(path).stem,
                    kept[0] / dataset.scale(index),
                    kept[1],
                    kept[2].astype(int),
                )
            )
    truths = [dataset.ground_truth(index) for index in range(len(dataset))]
    return {
        name: round(evaluate_voc(detections, truths, dataset.class_names).map_area, 4)
        for name, detections in found.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.recorded_predictions")
    parser.add_argument("--run", type=Path, default=Path("runs/shapes_plain"))
    parser.add_argument("--data-dir", type=Path, default=Path("data/shapes"))
    options = parser.parse_args(arguments)
    detector = load_detector(options.run, "cpu")
    size = detector.config.image_size
    dataset = VOC2007DetectionTiny(options.data_dir, "val", image_size=size)
    stored = {
        "class_names": list(detector.class_names),
        "raw": record_raw(detector, dataset),
        "scored": record_scored(detector, dataset),
        "detections": record_detections(detector, dataset),
        "ablation": record_ablation(detector, dataset),
    }
    FILE.write_text(json.dumps(stored, separators=(",", ":")) + "\n", "utf-8")
    print(json.dumps(stored["ablation"]))
    print(f"wrote {FILE.name} ({FILE.stat().st_size:,} bytes)")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
