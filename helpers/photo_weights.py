"""A detector for photographs as one small file: make it, or fetch it by its hash.

Made by recipe cpu on VOC 2007, about a quarter of an hour of one processor core; run it
again to go on. python -m helpers.detect --checkpoint FILE PHOTO takes it at once.
"""

import dataclasses
import hashlib
import io
from pathlib import Path

import torch

from core.command import EXIT_OK, CommandParser, make_out_folder, run_command
from core.files import new_file
from helpers.models.detector import load_detector
from helpers.models.others_weights import fetch_by_hash
from helpers.train import train_run
from helpers.training.checkpoint import read_checkpoint
from helpers.training.recipes import Recipe, get_recipe

NAME = "photo_weights"
HASH_LENGTH = 8  # as many digits as torchvision has in its names
# What a detector needs; the rest of a checkpoint is there to go on with the training.
KEPT = ("format", "versions", "config", "recipe", "seed", "iteration")
RUN = "run"  # folder of the training


def make_weights(
    recipe: Recipe, data_dir: Path, out: Path, device: str = "auto", seed: int = 0
) -> Path:
    """Train, or go on, and write the weights that a detector needs.

    Args:
        out: gets the run and NAME-HASH.pth, where HASH is how its SHA-256 begins.

    Raises:
        CourseError, SignalError: as train_run.
    """
    checkpoint = train_run(
        recipe,
        data_dir,
        out / RUN,
        device,
        seed=seed,
        resume=True,
        go_on="the same command",
    )
    state = read_checkpoint(checkpoint)
    weights = state.get("average") or state["model"]
    small = {name: state[name] for name in KEPT} | {"model": weights}
    stream = io.BytesIO()
    torch.save(small, stream)
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    path = out / f"{NAME}-{digest[:HASH_LENGTH]}.pth"
    with new_file(path) as file:
        file.write(stream.getvalue())
    return path


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m helpers.photo_weights", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, default=Path("build") / NAME, help="folder of the file")
    add("--data-dir", type=Path, default=Path("data/voc2007"))
    add("--fetch", metavar="ADDRESS", help=f"of a {NAME}-HASH.pth that others made")
    add("--device", default="auto")
    add("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    make_out_folder(options.out)
    if options.fetch:
        path = fetch_by_hash(options.fetch, options.out)
    else:
        recipe = get_recipe("cpu")
        path = make_weights(
            recipe, options.data_dir, options.out, options.device, options.seed
        )
    detector = load_detector(path, "cpu")
    config = dataclasses.asdict(detector.config)
    print(f"{path}: {config['model']}, {len(detector.class_names)} classes")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
