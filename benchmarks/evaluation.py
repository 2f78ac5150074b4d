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
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.ops import nms as torchvision_nms

from assignment.common import nms
from benchmarks.record import write_result
from core.command import EXIT_OK, CommandParser, run_command
from data_scripts.voc_format import VOC_CLASSES
from helpers.evaluation.coco_ap import evaluate_coco
from helpers.evaluation.types import Detections, GroundTruth
from helpers.evaluation.voc_ap import evaluate_voc

NUM_IMAGES = 2510  # as VOC 2007 val
DETECTIONS_AN_IMAGE = 100
OBJECTS_AN_IMAGE = 3
WIDTH, HEIGHT = 500, 375
SEED = 0
LIBRARIES = ("faster-coco-eval", "pycocotools")
NMS_BOXES = 5000
NMS_THRESHOLDS = (0.3, 0.5, 0.7)
COCO_FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")

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
            {"id": number, "height": truth.size[0], "width": truth.size[1]}
            for number, truth in enumerate(truths, 1)
        ],
        "categories": [
            {"id": class_id, "name": name}
            for class_id, name in enumerate(VOC_CLASSES, 1)
        ],
        "annotations": [],
    }
    annotations = truth_set.dataset["annotations"]
    for number, truth in enumerate(truths, 1):
        for (x, y, x2, y2), kind, hard in zip(
            truth.boxes.tolist(), truth.classes, truth.difficult, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(kind) + 1,
                    "bbox": [x, y, x2 - x, y2 - y],
                    "area": (x2 - x) * (y2 - y),
                    "iscrowd": int(hard),
                }
            )
    rows = [
        {
            "image_id": number,
            "category_id": int(kind) + 1,
            "bbox": [x, y, x2 - x, y2 - y],
            "score": float(score),
        }
        for number, entry in enumerate(detections, 1)
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


def cpu_seconds_in_turn(
    works: dict[str, Callable[[], Any]], repeats: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Median CPU seconds of each work, taking turns, and what each returned last."""
    times: dict[str, list[float]] = {name: [] for name in works}
    results = {}
    for _ in range(repeats):
        for name, work in works.items():
            start = time.process_time()
            results[name] = work()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(own) for name, own in times.items()}, results


def measure_evaluation(num_images: int, repeats: int) -> dict:
    """Times, and whether the library's figures are those of pycocotools."""
    data = make_data(num_images)
    seconds, results = cpu_seconds_in_turn(
        {
            "voc": lambda: evaluate_voc(*data, VOC_CLASSES),
            "coco": lambda: evaluate_coco(*data, VOC_CLASSES),
            "pycocotools": lambda: pycocotools_figures(data),
        },
        repeats,
    )
    largest = max(
        abs(results["coco"].summary[name] - value)
        for name, value in zip(COCO_FIGURES, results["pycocotools"], strict=True)
    )
    return {
        "images": num_images,
        "detections": num_images * DETECTIONS_AN_IMAGE,
        "voc_cpu_seconds": seconds["voc"],
        "coco_cpu_seconds": seconds["coco"],
        "pycocotools_cpu_seconds": seconds["pycocotools"],
        "pycocotools_over_voc": seconds["pycocotools"] / seconds["voc"],
        "pycocotools_over_coco": seconds["pycocotools"] / seconds["coco"],
        "largest_difference_from_pycocotools": largest,
    }


def handout_boxes() -> tuple[torch.Tensor, torch.Tensor]:
    """The 5,000 boxes (whole numbers) and scores of the old handout's check of NMS."""
    torch.manual_seed(0)
    boxes = (100.0 * torch.rand(NMS_BOXES, 4)).round()
    boxes[:, 2:] += boxes[:, :2] + 1.0
    return boxes, torch.randn(NMS_BOXES)


def measure_nms(iou_threshold: float, repeats: int) -> dict:
    """Ours and torchvision's on the same boxes; they may differ at exact ties only.

    In float32 the two round an IoU equal to the threshold to different sides; in
    float64 both are exact enough to agree.
    """
    boxes, scores = handout_boxes()
    seconds, kept = cpu_seconds_in_turn(
        {
            "ours": lambda: nms(boxes, scores, iou_threshold),
            "torchvision": lambda: torchvision_nms(boxes, scores, iou_threshold),
        },
        repeats,
    )
    in_one = set(kept["ours"].tolist()) ^ set(kept["torchvision"].tolist())
    exact = (
        nms(boxes.double(), scores.double(), iou_threshold),
        torchvision_nms(boxes.double(), scores.double(), iou_threshold),
    )
    return {
        "iou_threshold": iou_threshold,
        "boxes": NMS_BOXES,
        "kept": len(kept["torchvision"]),
        "kept_by_only_one_float32": len(in_one),
        "same_in_float64": torch.equal(*exact),
        "cpu_seconds": seconds["ours"],
        "torchvision_cpu_seconds": seconds["torchvision"],
        "ours_over_torchvision": seconds["ours"] / seconds["torchvision"],
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
        "nms": [measure_nms(value, options.repeats) for value in NMS_THRESHOLDS],
    }
    print(json.dumps(figures, indent=2))
    print(f"wrote {write_result('evaluation', figures).name}")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
