"""Train a detector: python -m helpers.train --data shapes --data-dir DIR --out RUN."""

import dataclasses
import time
from pathlib import Path

import torch

from data_scripts.command import EXIT_OK, CommandParser, CourseError, run_command
from helpers.checkpoint import read_checkpoint, save_checkpoint
from helpers.data import VOC2007DetectionTiny
from helpers.detector import build_detector, choose_device, with_classes
from helpers.precision import faster_precision
from helpers.recipes import RECIPES, Recipe, get_recipe, recipe_to_dict
from helpers.run_log import append_log, cut_log, draw_losses, read_log
from helpers.stream import TrainingStream, training_batches
from helpers.training import TrainingState, make_optimizer, train_loop

LOG_PERIOD = 20
SAVE_PERIOD = 200  # a multiple of LOG_PERIOD, so that a resumed log has no gap
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DEFAULT_DATA_DIRS = {"shapes": Path("data/shapes"), "voc2007": Path("data/voc2007")}


def train_run(
    recipe: Recipe,
    data_dir: Path,
    out: Path,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    precision: str = "auto",
    num_workers: int = 0,
    split: str = "train",
) -> Path:
    """Train from start to end, or go on; returns the path of the checkpoint.

    Args:
        out: gets checkpoint.pt, log.jsonl and losses.png.
        seed: of the weights, the order of the images and their augmentation.
        resume: go on with the checkpoint in out.
        precision: "float32", "bfloat16", or "auto" for the faster one here.

    Raises:
        CourseError: bad data, a run that is already there, a loss that is not finite.
    """
    checkpoint = out / "checkpoint.pt"
    saved = _read_saved(checkpoint, resume)
    torch_device = choose_device(device)
    dataset = VOC2007DetectionTiny(
        data_dir,
        split,
        image_size=recipe.detector.image_size,
        augment=recipe.augment,
        whole_image=False,
        keep_in_memory=recipe.keep_in_memory,
    )
    if len(dataset) == 0:
        raise CourseError(f"the split {split!r} in {data_dir} lists no images")
    config = with_classes(recipe.detector, dataset.class_names)
    recipe = dataclasses.replace(recipe, detector=config)
    torch.manual_seed(seed)
    model = build_detector(config, pretrained=saved is None)
    model.to(torch_device).to(memory_format=torch.channels_last)
    state = TrainingState(model, make_optimizer(model, recipe))
    if saved is not None:
        _restore(state, saved, recipe, seed, checkpoint)
        precision = saved["precision"]
    if precision == "auto":
        faster = faster_precision(torch_device)
        precision = {value: key for key, value in PRECISIONS.items()}[faster]
    out.mkdir(parents=True, exist_ok=True)
    cut_log(out / "log.jsonl", state.iteration)
    length = recipe.iterations * recipe.batch_size
    stream = TrainingStream(dataset, length, seed, recipe.shuffle)
    batches = training_batches(stream, recipe.batch_size, state.iteration, num_workers)

    def save() -> None:
        save_checkpoint(
            checkpoint,
            {
                "config": dataclasses.asdict(config),
                "recipe": recipe_to_dict(recipe),
                "seed": seed,
                "precision": precision,
                "iteration": state.iteration,
                "model": state.model.state_dict(),
                "average": state.average,
                "optimizer": state.optimizer.state_dict(),
            },
        )

    start, start_cpu = time.perf_counter(), time.process_time()

    def on_log(entry: dict) -> None:
        entry["seconds"] = round(time.perf_counter() - start, 2)
        entry["cpu_seconds"] = round(time.process_time() - start_cpu, 2)
        append_log(out / "log.jsonl", entry)
        if state.iteration % SAVE_PERIOD == 0:
            save()

    try:
        train_loop(
            state,
            recipe,
            batches,
            torch_device,
            PRECISIONS[precision],
            LOG_PERIOD,
            on_log,
        )
    except KeyboardInterrupt:
        save()
        raise CourseError(
            f"stopped after {state.iteration} of {recipe.iterations} iterations, which "
            f"are saved in {checkpoint}; go on with --resume"
        ) from None
    save()
    draw_losses(read_log(out / "log.jsonl"), out / "losses.png")
    return checkpoint


def _read_saved(checkpoint: Path, resume: bool) -> dict | None:
    if resume and checkpoint.is_file():
        return read_checkpoint(checkpoint)
    if checkpoint.is_file():
        raise CourseError(
            f"{checkpoint} is already there; go on with it by --resume, or give "
            "another --out"
        )
    return None


def _restore(
    state: TrainingState, saved: dict, recipe: Recipe, seed: int, checkpoint: Path
) -> None:
    """Put a saved run back, if it is the run that was asked for."""
    if saved.get("recipe") != recipe_to_dict(recipe) or saved.get("seed") != seed:
        raise CourseError(
            f"{checkpoint} was made with another recipe, data set or seed; resume with "
            "the arguments of its first start, or give another --out"
        )
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.average = saved["average"]
    if state.average is not None:
        device = next(state.model.parameters()).device
        state.average = {k: v.to(device) for k, v in state.average.items()}
    state.iteration = saved["iteration"]


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m helpers.train", description=__doc__)
    parser.add_argument("--data", choices=sorted(DEFAULT_DATA_DIRS), required=True)
    parser.add_argument(
        "--data-dir", type=Path, help="default data/shapes or data/voc2007"
    )
    parser.add_argument("--recipe", choices=sorted(RECIPES), required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with a run")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--precision",
        choices=["auto", *PRECISIONS],
        default="auto",
        help="auto: faster",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that load data"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one choice of the recipe, e.g. giou=false, iterations=500",
    )
    options = parser.parse_args(arguments)
    overrides = {}
    for text in options.set:
        name, separator, value = text.partition("=")
        if not separator:
            parser.error(f"--set takes NAME=VALUE, not {text!r}")
        overrides[name] = value
    checkpoint = train_run(
        get_recipe(options.recipe, overrides),
        options.data_dir or DEFAULT_DATA_DIRS[options.data],
        options.out,
        options.device,
        options.seed,
        options.resume,
        options.precision,
        options.workers,
    )
    print(f"wrote {checkpoint}")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
