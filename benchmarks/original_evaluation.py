"""What would the original assignment's own evaluation say of the same weights?

Public figures of that assignment come from it. It looks at the centre square of each
photograph only, with all boxes cut to it, takes pixel numbers (+1), leaves difficult
objects out instead of ignoring what is found there, and leaves out the true boxes of
images without any detection. Here these come one after the other.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from benchmarks.record import write_result
from core.command import EXIT_OK, CommandParser, positive, run_command
from helpers.data.augment import centre_window, cut_window
from helpers.data.images import normalize
from helpers.data.voc import DEFAULT_DATA_DIRS, VOC2007DetectionTiny
from helpers.evaluate import check_classes, detect_dataset
from helpers.evaluation.types import Detections, GroundTruth
from helpers.evaluation.voc_ap import evaluate_voc
from helpers.models.detector import LoadedDetector, load_detector, predict

BATCH = 16


def square_truth(truth: GroundTruth, side: int) -> GroundTruth:
    """True boxes in the centre square, side pixels wide; what is not in it is gone."""
    height, width = truth.size
    window = centre_window(width, height)
    scale = side / window.width
    boxes = (truth.boxes - [window.left, window.top] * 2) * scale
    boxes = boxes.clip(0, side)
    seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return replace(
        truth,
        boxes=boxes[seen],
        classes=truth.classes[seen],
        difficult=truth.difficult[seen],
        size=(side, side),
    )


def detect_squares(
    detector: LoadedDetector,
    dataset: VOC2007DetectionTiny,
    indices: list[int],
    score_threshold: float,
    nms_threshold: float,
) -> list[Detections]:
    """Detections in the centre square of each image, in its pixels."""
    side = detector.config.image_size
    found = []
    for start in tqdm(range(0, len(indices), BATCH), desc="squares", unit="batch"):
        batch = indices[start : start + BATCH]
        squares = []
        for index in batch:
            image = dataset.image(index)
            window = centre_window(image.width, image.height)
            squares.append(normalize(cut_window(image, window, side)))
        predictions = predict(detector, squares, score_threshold, nms_threshold)
        for index, (boxes, classes, scores) in zip(batch, predictions, strict=True):
            found.append(
                Detections(
                    image_id=dataset.records[index].path.stem,
                    boxes=boxes.numpy().astype(float),
                    scores=scores.numpy().astype(float),
                    classes=classes.numpy().astype(int),
                )
            )
    return found


def without_difficult(truth: GroundTruth) -> GroundTruth:
    """Difficult objects gone, so that a detection of one is wrong."""
    easy = ~truth.difficult
    return replace(
        truth,
        boxes=truth.boxes[easy],
        classes=truth.classes[easy],
        difficult=np.zeros(int(easy.sum()), dtype=bool),
    )


def judge(
    way: str,
    detections: list[Detections],
    truths: list[GroundTruth],
    names: tuple[str, ...],
    plus_one: bool = False,
) -> dict[str, str | int | float]:
    """The mAP at IoU 0.5 of these detections, printed, with what it was measured on."""
    result = evaluate_voc(detections, truths, names, plus_one=plus_one)
    print(f"{100 * result.map_area:5.1f} %  {way}")
    return {
        "way": way,
        "images": len(truths),
        "objects": sum(entry.num_objects for entry in result.classes),
        "voc_ap50": round(result.map_area, 6),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.original_evaluation")
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True)
    add("--data-dir", type=Path, default=DEFAULT_DATA_DIRS["voc2007"])
    add("--device", default="auto")
    add("--limit", type=positive, help="only the first so many images")
    options = parser.parse_args(arguments)
    detector = load_detector(options.checkpoint, options.device)
    side = detector.config.image_size
    dataset = VOC2007DetectionTiny(options.data_dir, "val", image_size=side)
    check_classes(detector.class_names, dataset.class_names)
    indices = list(range(len(dataset)))[: options.limit]
    thresholds = (detector.config.score_threshold, detector.config.nms_threshold)
    detections = detect_dataset(
        detector, dataset, indices, *thresholds, batch_size=BATCH
    )
    truths = [dataset.ground_truth(index) for index in indices]
    names = dataset.class_names
    way = "whole photographs, as everywhere in this project"
    ways = [judge(way, detections, truths, names)]
    detections = detect_squares(detector, dataset, indices, *thresholds)
    truths = [square_truth(truth, side) for truth in truths]
    ways.append(judge("centre squares only", detections, truths, names))
    way = "and one pixel added to widths and heights"
    ways.append(judge(way, detections, truths, names, plus_one=True))
    truths = [without_difficult(truth) for truth in truths]
    way = "and difficult objects left out, not ignored"
    ways.append(judge(way, detections, truths, names, plus_one=True))
    detections = [entry for entry in detections if len(entry.boxes)]
    has_any = {entry.image_id for entry in detections}
    truths = [truth for truth in truths if truth.image_id in has_any]
    way = "and images without detections left out"
    ways.append(judge(way, detections, truths, names, plus_one=True))
    settings = {"score_threshold": thresholds[0], "nms_threshold": thresholds[1]}
    write_result("original_evaluation", {**settings, "ways": ways})
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
