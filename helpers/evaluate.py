"""Evaluate a detector: python -m helpers.evaluate --checkpoint C --data shapes."""

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from core.command import (
    EXIT_OK,
    CommandParser,
    CourseError,
    fraction,
    make_out_folder,
    positive,
    run_command,
)
from core.files import json_bytes, write_json
from helpers.data.images import to_model_input
from helpers.data.voc import DEFAULT_DATA_DIRS, VOC2007DetectionTiny, check_objects
from helpers.drive.copies import keep_other
from helpers.evaluation.box_shift import BoxShift, median_box_shift, shift_line
from helpers.evaluation.coco_ap import CocoResult, evaluate_coco
from helpers.evaluation.report import (
    class_table,
    detections_as_lists,
    draw_precision_recall,
    metrics_dict,
    summary_lines,
)
from helpers.evaluation.types import Detections
from helpers.evaluation.voc_ap import VocResult, evaluate_voc
from helpers.models.detector import LoadedDetector, load_detector, predict
from helpers.training.checkpoint import versions


@dataclass(frozen=True)
class Evaluation:
    """Everything that an evaluation found out."""

    detections: list[Detections]
    voc: VocResult
    coco: CocoResult
    shift: BoxShift


def batches_of_one_size(
    dataset: VOC2007DetectionTiny, indices: list[int], batch_size: int
) -> Iterator[list[int]]:
    """Indices in batches whose images have the same size, so that none is padded."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for index in indices:
        by_size.setdefault(dataset.size(index), []).append(index)
    for same_size in by_size.values():
        for start in range(0, len(same_size), batch_size):
            yield same_size[start : start + batch_size]


def detect_dataset(
    detector: LoadedDetector,
    dataset: VOC2007DetectionTiny,
    indices: list[int],
    score_threshold: float,
    nms_threshold: float,
    *,
    batch_size: int,
) -> list[Detections]:
    """Detections of images of a data set, in pixels of the originals, in order."""
    found: dict[int, Detections] = {}
    bar = tqdm(total=len(indices), desc="detect", unit="image", dynamic_ncols=True)
    with bar:
        for batch in batches_of_one_size(dataset, indices, batch_size):
            inputs = [
                to_model_input(dataset.image(index), detector.config.image_size)
                for index in batch
            ]
            tensors = [tensor for tensor, _ in inputs]
            predictions = predict(detector, tensors, score_threshold, nms_threshold)
            for index, (_, scale), prediction in zip(
                batch, inputs, predictions, strict=True
            ):
                boxes, classes, scores = (part.numpy() for part in prediction)
                found[index] = Detections(
                    image_id=dataset.records[index].path.stem,
                    boxes=boxes.astype(float) / scale,
                    scores=scores.astype(float),
                    classes=classes.astype(int),
                )
            bar.update(len(batch))
    return [found[index] for index in indices]


def evaluate_detector(
    detector: LoadedDetector,
    dataset: VOC2007DetectionTiny,
    score_threshold: float | None = None,
    nms_threshold: float | None = None,
    *,
    batch_size: int = 16,
    plus_one: bool = False,
    limit: int | None = None,
) -> Evaluation:
    """Detect all images of a data set and compare with its true boxes.

    Args:
        detector: from load_detector.
        dataset: its class names must be the detector's.
        score_threshold: default: the detector's own.
        nms_threshold: default: the detector's own.
        batch_size: images that go through the network together.
        plus_one: see helpers.evaluation.voc_ap.box_iou.
        limit: only the first so many images.

    Raises:
        CourseError: the class lists differ, or an image cannot be read.
    """
    check_classes(detector.class_names, dataset.class_names)
    config = detector.config
    indices = list(range(len(dataset)))[:limit]
    detections = detect_dataset(
        detector,
        dataset,
        indices,
        config.score_threshold if score_threshold is None else score_threshold,
        config.nms_threshold if nms_threshold is None else nms_threshold,
        batch_size=batch_size,
    )
    truths = [dataset.ground_truth(index) for index in indices]
    names = dataset.class_names
    voc = evaluate_voc(detections, truths, names, plus_one=plus_one)
    coco = evaluate_coco(detections, truths, names)
    return Evaluation(detections, voc, coco, median_box_shift(detections, truths))


def check_classes(of_detector: tuple[str, ...], of_data: tuple[str, ...]) -> None:
    """Raise a CourseError where detector and data set have different classes."""
    if tuple(of_detector) == tuple(of_data):
        return
    raise CourseError(
        f"the checkpoint knows the {len(of_detector)} classes {_shorten(of_detector)}, "
        f"the data set has the {len(of_data)} classes {_shorten(of_data)}; give the "
        "data set that the checkpoint was trained on"
    )


def _shorten(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown}, ..."


def write_and_keep(path: Path, content: Any) -> None:
    """Write a JSON file; what another call wrote there stays beside it."""
    kept = keep_other(path, json_bytes(content))
    if kept is not None:
        print(f"the {path.name} of before is kept as {kept.name}")
    write_json(path, content)


def make_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(prog="python -m helpers.evaluate", description=__doc__)
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="checkpoint.pt or its folder")
    add("--data", choices=sorted(DEFAULT_DATA_DIRS), required=True)
    add("--data-dir", type=Path, help="default data/shapes or data/voc2007")
    add("--split", default="val")
    add("--out", type=Path, help="default: the folder 'eval' beside the checkpoint")
    add("--device", default="auto")
    add("--score-threshold", type=fraction, help="default: the recipe's")
    add("--nms-threshold", type=fraction, help="default: the recipe's")
    add("--batch-size", type=positive, default=16)
    add("--limit", type=positive, help="only the first so many images")
    add("--plus-one", action="store_true", help="count the last pixel in IoU")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    options = make_parser().parse_args(arguments)
    detector = load_detector(options.checkpoint, options.device)
    dataset = VOC2007DetectionTiny(
        options.data_dir or DEFAULT_DATA_DIRS[options.data],
        options.split,
        image_size=detector.config.image_size,
        whole_image=True,
    )
    if len(dataset) == 0:
        raise CourseError(f"the split {options.split!r} lists no images; take another")
    check_objects(dataset)
    check_classes(detector.class_names, dataset.class_names)
    checkpoint = options.checkpoint
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    out = options.out or folder / "eval"
    make_out_folder(out)
    result = evaluate_detector(
        detector,
        dataset,
        options.score_threshold,
        options.nms_threshold,
        batch_size=options.batch_size,
        plus_one=options.plus_one,
        limit=options.limit,
    )
    print(class_table(result.voc, result.coco))
    print(summary_lines(result.voc, result.coco))
    print(shift_line(result.shift))
    record = {
        "command": shlex.join(
            ["python", "-m", "helpers.evaluate", *(arguments or sys.argv[1:])]
        ),
        "versions": versions(),
        "images": len(result.detections),
        "plus_one": options.plus_one,
        **metrics_dict(result.voc, result.coco, result.shift),
    }
    write_and_keep(out / "metrics.json", record)
    lists = detections_as_lists(result.detections, detector.class_names)
    write_and_keep(out / "detections.json", lists)
    draw_precision_recall(result.voc, out / "precision_recall.png")
    print(f"wrote metrics.json, detections.json and precision_recall.png in {out}")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
