"""Train a detector: python -m helpers.train --data shapes --data-dir DIR --out RUN."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import torch

from core.command import (
    EXIT_OK,
    CommandParser,
    CourseError,
    SignalError,
    make_out_folder,
    name_and_value,
    run_command,
)
from core.files import locked_folder
from core.interrupt import StoppedError, StopRequest
from helpers.data.stream import TrainingStream, training_batches
from helpers.data.voc import DEFAULT_DATA_DIRS, VOC2007DetectionTiny, check_objects
from helpers.models.detector import build_detector, choose_device, with_classes
from helpers.training.checkpoint import check_is_same_run, read_saved, restore
from helpers.training.loop import (
    PRECISIONS,
    TrainingState,
    faster_precision,
    keep_freed_memory,
    make_optimizer,
    train_loop,
)
from helpers.training.recipes import RECIPES, Recipe, get_recipe, recipe_to_dict
from helpers.training.run_folder import RunFolder, checkpoint_path
from helpers.training.save_points import SavePoints

LOG_PERIOD = 20
SAVE_PERIOD = 200
MAX_SEED = 2**32 - 1
# Gets the state of a run and each line of its log, as soon as it is written.
Watch = Callable[[TrainingState, dict], None]


def train_run(
    recipe: Recipe,
    data_dir: Path,
    out: Path,
    device: str = "auto",
    *,
    seed: int = 0,
    resume: bool = False,
    precision: str = "auto",
    num_workers: int = 0,
    split: str = "train",
    save_every: int = SAVE_PERIOD,
    watch: Watch | None = None,
    go_on: str = "--resume",
) -> Path:
    """Train from start to end, or go on; returns the path of the checkpoint.

    Args:
        out: gets checkpoint.pt, log.jsonl and losses.png.
        seed: of the weights, the order of the images and their augmentation.
        resume: go on with the checkpoint in out.
        precision: "float32", "bfloat16", or "auto" for the faster one here.
        save_every: iterations between checkpoints; every few minutes there is one, too.
        watch: looks on; it must leave the model's mode and weights as they are.
        go_on: with what a stopped run goes on, for the message.

    Raises:
        CourseError: bad data, a run that is already there or going on, a loss that is
            not finite.
        SignalError: Ctrl-C or a signal that ends programs; the run is saved and the
            text says how to go on.
    """
    saved = read_saved(checkpoint_path(out), resume)
    chosen = choose_device(device)
    make_out_folder(out)
    with locked_folder(out):
        return _train(
            recipe,
            data_dir,
            out,
            chosen,
            seed=seed,
            saved=saved,
            precision=precision,
            num_workers=num_workers,
            split=split,
            save_every=save_every,
            watch=watch,
            go_on=go_on,
        )


def _train(
    recipe: Recipe,
    data_dir: Path,
    out: Path,
    device: torch.device,
    *,
    seed: int,
    saved: dict | None,
    precision: str,
    num_workers: int,
    split: str,
    save_every: int,
    watch: Watch | None,
    go_on: str,
) -> Path:
    """The run itself, alone in its folder; saved is the checkpoint to go on with."""
    if device.type == "cpu":
        keep_freed_memory()
    dataset = load_training_images(recipe, data_dir, split)
    config = with_classes(recipe.detector, dataset.class_names)
    recipe = dataclasses.replace(recipe, detector=config)
    torch.manual_seed(seed)
    model = build_detector(config, pretrained=saved is None)
    model.to(device).to(memory_format=torch.channels_last)
    state = TrainingState(model, make_optimizer(model, recipe))
    data = {"split": split, "images": len(dataset)}
    if saved is not None:
        path = checkpoint_path(out)
        check_is_same_run(
            saved, recipe, seed=seed, precision=precision, data=data, checkpoint=path
        )
        restore(state, saved, path)
        precision = saved["precision"]
    elif precision == "auto":
        precision = faster_precision(device)
    facts = {
        "config": dataclasses.asdict(config),
        "recipe": recipe_to_dict(recipe),
        "seed": seed,
        "precision": precision,
        "data": data,
    }
    folder = RunFolder(out, facts, state.iteration)
    length = recipe.iterations * recipe.batch_size
    stream = TrainingStream(dataset, length, seed, recipe.shuffle)
    batches = training_batches(stream, recipe.batch_size, state.iteration, num_workers)

    def log(entry: dict) -> None:
        folder.log(entry)
        if watch is not None:
            watch(state, entry)

    total, where = recipe.iterations, folder.checkpoint
    with StopRequest() as stop:
        points = SavePoints(lambda: folder.save(state), save_every, stop)
        try:
            train_loop(
                state,
                recipe,
                batches,
                device,
                PRECISIONS[precision],
                log_period=LOG_PERIOD,
                on_log=log,
                on_iteration=lambda: points.after(state.iteration),
                stop=stop,
            )
        except StoppedError:
            points.save(state.iteration)
            raise SignalError(
                f"stopped after {state.iteration} of {total} iterations, which are "
                f"saved in {where}; go on with {go_on}",
                stop.number,
            ) from None
        except KeyboardInterrupt:  # again, so in the middle of an iteration
            done = points.saved or (saved or {}).get("iteration", 0)
            raise SignalError(
                f"stopped at once after {state.iteration} of {total} iterations, of "
                f"which {done} are saved in {where}; go on with {go_on}",
                stop.number,
            ) from None
        points.save(state.iteration)
    folder.draw()
    return folder.checkpoint


def load_training_images(
    recipe: Recipe, data_dir: Path, split: str
) -> VOC2007DetectionTiny:
    """The images of a split as the recipe wants them.

    Raises:
        CourseError: the data is missing or broken, or the split has no images or not
            one object.
    """
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
    check_objects(dataset)
    return dataset


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m helpers.train", description=__doc__)
    parser.add_argument("--data", choices=sorted(DEFAULT_DATA_DIRS), required=True)
    parser.add_argument(
        "--data-dir", type=Path, help="default data/shapes or data/voc2007"
    )
    parser.add_argument("--split", default="train", help="train, trainval, ...")
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
        "--save-every",
        type=int,
        default=SAVE_PERIOD,
        metavar="N",
        help=f"iterations between checkpoints, default {SAVE_PERIOD}",
    )
    parser.add_argument(
        "--set",
        type=name_and_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one choice of the recipe, e.g. giou=false, iterations=500",
    )
    options = parser.parse_args(arguments)
    for name, low, high in (
        ("seed", 0, MAX_SEED),
        ("workers", 0, os.cpu_count() or 1),
        ("save_every", 1, MAX_SEED),
    ):
        if not low <= getattr(options, name) <= high:
            flag = name.replace("_", "-")
            parser.error(f"--{flag} must be between {low} and {high}")
    checkpoint = train_run(
        get_recipe(options.recipe, dict(options.set)),
        options.data_dir or DEFAULT_DATA_DIRS[options.data],
        options.out,
        options.device,
        seed=options.seed,
        resume=options.resume,
        precision=options.precision,
        num_workers=options.workers,
        split=options.split,
        save_every=options.save_every,
    )
    print(f"wrote {checkpoint}")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
