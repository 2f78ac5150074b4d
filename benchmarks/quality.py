"""Detection quality of a recipe: train, evaluate, and store the figures with the log.

With --transposed, x and y of the locations are swapped, in training and at inference,
as in the expected values of the handout that this course grew from.
"""

import contextlib
import shutil
from pathlib import Path
from unittest import mock

import torch

from assignment.one_stage_detector import FCOS
from benchmarks.record import RESULTS, write_result
from core.command import (
    EXIT_OK,
    CommandParser,
    fraction,
    name_and_value,
    run_command,
)
from helpers.data.voc import DEFAULT_DATA_DIRS, VOC2007DetectionTiny, check_objects
from helpers.evaluate import evaluate_detector
from helpers.evaluation.box_shift import shift_line
from helpers.evaluation.report import class_table, metrics_dict, summary_lines
from helpers.models.detector import load_detector
from helpers.train import train_run
from helpers.training.checkpoint import read_checkpoint
from helpers.training.loop import PRECISIONS
from helpers.training.recipes import RECIPES, get_recipe
from helpers.training.run_folder import read_log

right_locations = FCOS.locations


def transposed_locations(
    self: FCOS, features: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The locations with x and y swapped."""
    return {level: xy.flip(1) for level, xy in right_locations(self, features).items()}


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.quality", description=__doc__)
    add = parser.add_argument
    add("--recipe", choices=sorted(RECIPES), required=True)
    add("--data", choices=sorted(DEFAULT_DATA_DIRS), required=True)
    add("--data-dir", type=Path)
    add("--out", type=Path, required=True, help="folder of the run; resumed if there")
    add("--name", required=True, help="results/quality_NAME.json")
    add("--set", type=name_and_value, action="append", default=[], metavar="NAME=VALUE")
    add("--transposed", action="store_true", help="swap x and y of the locations")
    add("--score-threshold", type=fraction, help="default: the recipe's")
    add("--nms-threshold", type=fraction, help="default: the recipe's")
    add("--precision", choices=["auto", *PRECISIONS], default="auto")
    add("--device", default="auto")
    add("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    recipe = get_recipe(options.recipe, dict(options.set))
    data_dir = options.data_dir or DEFAULT_DATA_DIRS[options.data]
    change: contextlib.AbstractContextManager = contextlib.nullcontext()
    if options.transposed:
        change = mock.patch.object(FCOS, "locations", transposed_locations)
    with change:
        # A run that is done already is only looked at: is it of this very recipe?
        checkpoint = train_run(
            recipe,
            data_dir,
            options.out,
            options.device,
            seed=options.seed,
            resume=True,
            precision=options.precision,
            go_on="the same command",
        )
        detector = load_detector(checkpoint, options.device)
        size = recipe.detector.image_size
        dataset = VOC2007DetectionTiny(data_dir, "val", image_size=size)
        check_objects(dataset)
        thresholds = {
            "score_threshold": options.score_threshold,
            "nms_threshold": options.nms_threshold,
        }
        result = evaluate_detector(detector, dataset, **thresholds)
    print(class_table(result.voc, result.coco))
    print(summary_lines(result.voc, result.coco))
    print(shift_line(result.shift))
    log = read_log(options.out / "log.jsonl")
    saved = read_checkpoint(checkpoint)
    figures = {
        "recipe": saved["recipe"],
        "precision": saved["precision"],
        "transposed": options.transposed,
        **{f"given_{name}": value for name, value in thresholds.items()},
        "images_seen": recipe.iterations * recipe.batch_size,
        "training_cpu_seconds": log[-1]["cpu_seconds"],
        "training_seconds": log[-1]["seconds"],
        "validation_images": len(dataset),
        **metrics_dict(result.voc, result.coco, result.shift),
    }
    path = write_result(f"quality_{options.name}", figures)
    # With other thresholds it is the log of a result that is stored already.
    if options.score_threshold is None and options.nms_threshold is None:
        log_name = f"quality_{options.name}.log.jsonl"
        shutil.copy(options.out / "log.jsonl", RESULTS / log_name)
    print(f"wrote {path.name}")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
