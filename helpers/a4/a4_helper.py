"""The helper names of EECS 498's assignment 4, so that its own cells run here.

After the first cell of a notebook, `from a4_helper import *`, `from eecs598 import
reset_seed`, `from common import ...` and `from one_stage_detector import ...` work.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data_scripts import download_voc2007
from helpers.a4.eecs598.utils import detection_visualizer
from helpers.data import voc
from helpers.data.images import denormalize
from helpers.training.loop import TrainingState, make_optimizer, train_loop
from helpers.training.recipes import RECIPES

__all__ = [
    "VOC2007DetectionTiny",
    "hello_helper",
    "inference_with_detector",
    "train_detector",
]


def hello_helper() -> None:
    """Show that this file can be imported."""
    print("Hello from a4_helper.py!")


class VOC2007DetectionTiny(voc.VOC2007DetectionTiny):
    """The course's data set with that assignment's arguments.

    Args:
        download: fetch VOC 2007 first if it is not there (450 MB).
        choices: more arguments of helpers.data.voc.VOC2007DetectionTiny.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        split: str = "train",
        download: bool = False,
        image_size: int = 224,
        **choices: Any,
    ):
        if download:
            download_voc2007.download(Path(dataset_dir))
        super().__init__(dataset_dir, split, image_size, **choices)


def train_detector(
    detector: nn.Module,
    train_loader: Iterable,
    learning_rate: float = 5e-3,
    weight_decay: float = 1e-4,
    max_iters: int = 5000,
    log_period: int = 20,
    device: str | torch.device = "cpu",
) -> list[dict[str, float]]:
    """Train with SGD as that assignment does, through the loader again and again.

    Returns:
        The mean losses of each log_period iterations.
    """
    recipe = dataclasses.replace(
        RECIPES["a4"],
        iterations=max_iters,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )
    detector.to(device)
    state = TrainingState(detector, make_optimizer(detector, recipe))
    history: list[dict[str, float]] = []
    train_loop(
        state,
        recipe,
        _again_and_again(train_loader, max_iters),
        torch.device(device),
        torch.float32,
        log_period=log_period,
        on_log=history.append,
    )
    return history


def _again_and_again(loader: Iterable, number: int) -> Iterator[Any]:
    while number > 0:
        for batch in loader:
            if number <= 0:
                return
            yield batch
            number -= 1


@torch.no_grad()
def inference_with_detector(
    detector: nn.Module,
    test_loader: Iterable,
    idx_to_class: Mapping[int, str],
    score_thresh: float,
    nms_thresh: float,
    output_dir: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> None:
    """Show what a detector finds; or write it, where output_dir is given.

    Args:
        test_loader: gives one image at a time.
        output_dir: gets detection-results/ and ground-truth/, one text file per image
            (also for images without detections). To measure, python -m helpers.evaluate
            is better: it counts what is difficult, and missed, as VOC does.
    """
    detector.to(device=device, dtype=dtype).eval()
    for paths, images, gt_boxes in test_loader:
        found = detector(
            images.to(device=device, dtype=dtype),
            test_score_thresh=score_thresh,
            test_nms_thresh=nms_thresh,
        )
        boxes, classes, scores = (part.cpu() for part in found)
        if output_dir is not None:
            name = f"{Path(paths[0]).stem}.txt"
            lines = [
                " ".join(
                    [
                        idx_to_class[int(class_id)],
                        f"{score:.4f}",
                        *(f"{value:.2f}" for value in box),
                    ]
                )
                for box, class_id, score in zip(boxes, classes, scores, strict=True)
            ]
            _write(Path(output_dir, "detection-results", name), lines)
            truth = gt_boxes[0][gt_boxes[0, :, 4] >= 0]
            lines = [
                " ".join(
                    [idx_to_class[int(row[4])], *(f"{value:.2f}" for value in row[:4])]
                )
                for row in truth
            ]
            _write(Path(output_dir, "ground-truth", name), lines)
            continue
        rows = torch.cat([boxes, classes[:, None], scores[:, None]], dim=1)
        detection_visualizer(denormalize(images[0]), idx_to_class, rows)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
