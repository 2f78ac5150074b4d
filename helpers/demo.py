"""Draw a data set, train on it, evaluate, and show it: python -m helpers.demo."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    run_command,
)
from core.files import clear_folder, write_json
from data_scripts.make_shapes import DEFAULT_TRAIN, DEFAULT_VAL, make_shapes
from helpers.data.voc import VOC2007DetectionTiny
from helpers.evaluate import Evaluation, evaluate_detector
from helpers.evaluation.box_shift import shift_line
from helpers.evaluation.report import class_table, metrics_dict, summary_lines
from helpers.models.detector import load_detector
from helpers.show.demo_page import ClassResult, DemoReport, Step, write_page
from helpers.show.demo_svg import DrawnPicture, draw_picture
from helpers.train import train_run
from helpers.training.checkpoint import read_checkpoint, versions
from helpers.training.recipes import Recipe, get_recipe
from helpers.training.run_folder import read_log

GOAL_VOC_AP50 = 0.75
NUM_PICTURES = 12
LEAST_DRAWN_SCORE = 0.5
OWN_FOLDERS = ("shapes", "train")
# Label -> path, beside the page.
LINKED_FILES = {
    "all figures": "metrics.json",
    "training log": "train/log.jsonl",
    "loss picture": "train/losses.png",
}
T = TypeVar("T")


class Stopwatch:
    """Runs the steps of the demo one after the other and notes their times."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.steps: list[Step] = []

    def run(self, title: str, command: str, work: Callable[[], T]) -> T:
        """Run one step; the command is what does the same by hand."""
        print(f"{title}: {command}", flush=True)
        before = time.perf_counter()
        result = work()
        self.steps.append(Step(title, command, time.perf_counter() - before))
        return result

    def total(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start


@dataclass(frozen=True)
class DemoPlan:
    """What a demo does, and where.

    Attributes:
        out: folder of the demo; one of an earlier demo is cleared.
        recipe: how to train; the command takes "course".
        seed: of the drawn data and of the training.
        class_report: page of a graded class to link, seen from `out`.
    """

    out: Path
    recipe: Recipe
    train_images: int = DEFAULT_TRAIN
    val_images: int = DEFAULT_VAL
    device: str = "auto"
    seed: int = 0
    class_report: str | None = None

    @property
    def data_dir(self) -> Path:
        """Where the drawn data set goes."""
        return self.out / "shapes"

    @property
    def run_dir(self) -> Path:
        """Where the training run goes."""
        return self.out / "train"


def run_demo(plan: DemoPlan) -> float:
    """Draw, train, evaluate and write OUT/index.html and OUT/metrics.json.

    Returns:
        VOC mAP at IoU 0.5 (area) on the held-out images, in [0, 1].

    Raises:
        CourseError: the folder holds something else, or a step failed.
    """
    clear_folder(plan.out, OWN_FOLDERS)
    watch = Stopwatch()
    draw_and_train(plan, watch)
    detector = load_detector(plan.run_dir, plan.device)
    dataset = VOC2007DetectionTiny(
        plan.data_dir, "val", image_size=detector.config.image_size
    )
    result = watch.run(
        "Evaluate",
        f"python -m helpers.evaluate --data shapes --data-dir {plan.data_dir} "
        f"--checkpoint {plan.run_dir}",
        lambda: evaluate_detector(detector, dataset),
    )
    print(class_table(result.voc, result.coco))
    print(summary_lines(result.voc, result.coco))
    print(shift_line(result.shift))
    machine = {
        "system": f"{platform.system()}, {platform.machine()}",
        "device": detector.device.type,
        "threads": str(torch.get_num_threads()),
        "training precision": read_checkpoint(plan.run_dir)["precision"],
    }
    report = DemoReport(
        voc_ap50=result.voc.map_area,
        coco_ap=result.coco.summary["AP"],
        seconds=watch.total(),
        train_images=plan.train_images,
        val_images=plan.val_images,
        iterations=plan.recipe.iterations,
        least_score=LEAST_DRAWN_SCORE,
        pictures=_draw_pictures(dataset, result),
        log=read_log(plan.run_dir / "log.jsonl"),
        classes=_class_results(result),
        steps=tuple(watch.steps),
        versions=versions() | machine,
        files=LINKED_FILES | _class_link(plan),
    )
    write_page(report, plan.out / "index.html")
    write_json(plan.out / "metrics.json", _metrics(report, result, plan))
    return report.voc_ap50


def _class_link(plan: DemoPlan) -> dict[str, str]:
    return {"a graded class": plan.class_report} if plan.class_report else {}


def draw_and_train(plan: DemoPlan, watch: Stopwatch) -> None:
    """The two steps before evaluation."""
    watch.run(
        "Draw",
        f"python -m data_scripts.make_shapes --out {plan.data_dir} "
        f"--train {plan.train_images} --val {plan.val_images} --seed {plan.seed}",
        lambda: make_shapes(
            plan.data_dir, plan.train_images, plan.val_images, plan.seed
        ),
    )
    command = (
        f"python -m helpers.train --data shapes --data-dir {plan.data_dir} "
        f"--recipe {plan.recipe.name} --seed {plan.seed} --out {plan.run_dir}"
    )
    watch.run(
        "Train",
        command,
        lambda: train_run(
            plan.recipe,
            plan.data_dir,
            plan.run_dir,
            plan.device,
            seed=plan.seed,
            go_on=f"{command} --resume; another demo begins anew",
        ),
    )


def _draw_pictures(
    dataset: VOC2007DetectionTiny, result: Evaluation
) -> tuple[DrawnPicture, ...]:
    """The first pictures of the held-out images, good or bad."""
    return tuple(
        draw_picture(
            dataset.records[index].path,
            result.detections[index],
            dataset.ground_truth(index),
            dataset.class_names,
            LEAST_DRAWN_SCORE,
        )
        for index in range(min(NUM_PICTURES, len(dataset)))
    )


def _class_results(result: Evaluation) -> tuple[ClassResult, ...]:
    return tuple(
        ClassResult(row.name, row.num_objects, row.ap_area, coco_ap)
        for row, coco_ap in zip(result.voc.classes, result.coco.class_ap, strict=True)
    )


def _metrics(report: DemoReport, result: Evaluation, plan: DemoPlan) -> dict:
    """What goes into metrics.json: the main figures first, then all of them."""
    figures = metrics_dict(result.voc, result.coco, result.shift)
    return {
        "command": f"python -m helpers.demo --out {plan.out} --seed {plan.seed}",
        "recipe": plan.recipe.name,
        "iterations": plan.recipe.iterations,
        "train_images": plan.train_images,
        "val_images": plan.val_images,
        "voc_ap50": figures["voc_ap50"],
        "coco_ap": figures["coco"]["AP"],
        "seconds": round(report.seconds, 1),
        "seconds_by_step": {
            step.title.lower(): round(step.seconds, 1) for step in report.steps
        },
        "versions": report.versions,
        **figures,
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m helpers.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--class-report", help="page of a graded class to link, seen from --out"
    )
    options = parser.parse_args(arguments)
    plan = DemoPlan(
        options.out,
        get_recipe("course"),
        device=options.device,
        seed=options.seed,
        class_report=options.class_report,
    )
    quality = run_demo(plan)
    print(f"done; open {options.out / 'index.html'} in a browser")
    if quality < GOAL_VOC_AP50:
        print(
            f"mAP {quality:.3f} is below {GOAL_VOC_AP50}, which the reference solution "
            "reaches; run make test to find what is wrong"
        )
        return EXIT_PARTLY_FAILED
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
