"""Time of evaluation and NMS against pycocotools and torchvision, in one run.

python -m benchmarks.evaluation; writes benchmarks/results/evaluation.json. Times are
CPU seconds of this process on one thread, the median of several runs, and include the
conversion of the lists to each library's form.
"""

import contextlib
import io
import json
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import TypeVar

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.ops import nms as torchvision_nms

from assignment.common import nms
from benchmarks.record import write_result
from data_scripts.command import EXIT_OK, CommandParser, run_command
from data_scripts.voc_format import VOC_CLASSES
from helpers.coco_ap import evaluate_coco
from helpers.metrics_types import Detections, GroundTruth
from helpers.voc_ap import evaluate_voc

NUM_IMAGES = 2510  # as VOC 2007 val
DETECTIONS_AN_IMAGE = 100
OBJECTS_AN_IMAGE = 3
WIDTH, HEIGHT = 500, 375
SEED = 0
LIBRARIES = ("faster-coco-eval", "pycocotools")
NMS_BOXES = 5000
NMS_THRESHOLD = 0.5
COCO_FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")

Result = TypeVar("Result")
Data = tuple[list[Detections], list[GroundTruth]]


def random_boxes(generator: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) XYXY in an image of WIDTH x HEIGHT pixels, sides from 8 pixels up."""
    sides = generator.uniform(8, (WIDTH * 0.7, HEIGHT * 0.7), (count, 2))
    corners = generator.uniform(0, 1, (count, 2)) * ((WIDTH, HEIGHT) - sides)
    return np.concatenate([corners, corners + sides], axis=1)


def make_data(num_images: int) -> Data:
    """Random objects; a third of the detections lie near one of them."""
    generator = np.random.default_rng(SEED)
    detections, truths = [], []
    for number in range(num_images):
        boxes = random_boxes(generator, OBJECTS_AN_IMAGE)
        classes = generator.integers(len(VOC_CLASSES), size=OBJECTS_AN_IMAGE)
        hard = generator.uniform(size=OBJECTS_AN_IMAGE) < 0.1
        size = (HEIGHT, WIDTH)
        truths.append(GroundTruth(f"{number:06d}", boxes, classes, hard, size))
        near = generator.integers(OBJECTS_AN_IMAGE, size=DETECTIONS_AN_IMAGE // 3)
        far = DETECTIONS_AN_IMAGE - len(near)
        moved = boxes[near] + generator.normal(0, 6, (len(near), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        found = np.concatenate([moved, random_boxes(generator, far)])
        kinds = generator.integers(len(VOC_CLASSES), size=far)
        scores = generator.uniform(size=DETECTIONS_AN_IMAGE)
        found_classes = np.concatenate([classes[near], kinds])
        detections.append(Detections(f"{number:06d}", found, scores, found_classes))
    return detections, truths


def pycocotools_figures(data: Data) -> list[float]:
    """AP, AP50, AP75, APs, APm, APl of pycocotools, from lists of ours."""
    detections, truths = data
    truth_set = COCO()
    truth_set.dataset = {
        "images": [
            {"id": i, "height": t.size[0], "width": t.size[1]}
            for i, t in enumerate(truths, 1)
        ],
        "categories": [{"id": i, "name": n} for i, n in enumerate(VOC_CLASSES, 1)],
        "annotations": [],
    }
    annotations = truth_set.dataset["annotations"]
    for i, truth in enumerate(truths, 1):
        for (x, y, x2, y2), kind, hard in zip(
            truth.boxes.tolist(), truth.classes, truth.difficult, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": int(kind) + 1,
                    "bbox": [x, y, x2 - x, y2 - y],
                    "area": (x2 - x) * (y2 - y),
                    "iscrowd": int(hard),
                }
            )
    rows = [
        {
            "image_id": i,
            "category_id": int(kind) + 1,
            "bbox": [x, y, x2 - x, y2 - y],
            "score": float(score),
        }
        for i, entry in enumerate(detections, 1)
        for (x, y, x2, y2), kind, score in zip(
            entry.boxes.tolist(), entry.classes, entry.scores, strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth_set.createIndex()
        evaluation = COCOeval(truth_set, truth_set.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[: len(COCO_FIGURES)]]


def cpu_seconds(work: Callable[[], Result], repeats: int) -> tuple[float, Result]:
    """Median of the CPU seconds that `work` takes, and what it returned last."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        times.append(time.process_time() - start)
    return statistics.median(times), result


def measure_evaluation(num_images: int, repeats: int) -> dict:
    """Times, and whether the library's figures are those of pycocotools."""
    data = make_data(num_images)
    voc, _ = cpu_seconds(lambda: evaluate_voc(*data, VOC_CLASSES), repeats)
    coco, found = cpu_seconds(lambda: evaluate_coco(*data, VOC_CLASSES), repeats)
    reference, expected = cpu_seconds(lambda: pycocotools_figures(data), repeats)
    largest = max(
        abs(found.summary[name] - value)
        for name, value in zip(COCO_FIGURES, expected, strict=True)
    )
    return {
        "images": num_images,
        "detections": num_images * DETECTIONS_AN_IMAGE,
        "voc_cpu_seconds": voc,
        "coco_cpu_seconds": coco,
        "pycocotools_cpu_seconds": reference,
        "pycocotools_over_voc": reference / voc,
        "pycocotools_over_coco": reference / coco,
        "largest_difference_from_pycocotools": largest,
    }


def measure_nms(repeats: int) -> dict:
    """Ours and torchvision's, on the same boxes."""
    generator = np.random.default_rng(SEED)
    boxes = torch.from_numpy(random_boxes(generator, NMS_BOXES))
    scores = torch.from_numpy(generator.uniform(size=NMS_BOXES))
    ours, kept = cpu_seconds(lambda: nms(boxes, scores, NMS_THRESHOLD), repeats)
    theirs, expected = cpu_seconds(
        lambda: torchvision_nms(boxes, scores, NMS_THRESHOLD), repeats
    )
    return {
        "boxes": NMS_BOXES,
        "kept": len(kept),
        "iou_threshold": NMS_THRESHOLD,
        "cpu_seconds": ours,
        "torchvision_cpu_seconds": theirs,
        "ours_over_torchvision": ours / theirs,
        "same_boxes_kept": torch.equal(kept, expected),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.evaluation", description=__doc__)
    parser.add_argument("--images", type=int, default=NUM_IMAGES)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    if options.images < 1 or options.repeats < 1:
        parser.error("--images and --repeats must be at least 1")
    torch.set_num_threads(1)
    figures = {
        "libraries": {name: version(name) for name in LIBRARIES},
        "evaluation": measure_evaluation(options.images, options.repeats),
        "nms": measure_nms(options.repeats),
    }
    print(json.dumps(figures, indent=2))
    print(f"wrote {write_result('evaluation', figures).name}")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
