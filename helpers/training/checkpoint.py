"""Checkpoints: written whole, read without running any code in them, gone on with."""

import pickle
import platform
import struct
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from core.command import CourseError
from core.files import new_file
from helpers.training.loop import TrainingState
from helpers.training.recipes import Recipe, is_same_recipe

FORMAT = 1
# What torch.load was seen to raise on truncated, damaged and foreign files.
UNREADABLE_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    ImportError,
    MemoryError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
)
NEEDED_KEYS = {"format", "config", "iteration", "model", "versions"}


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": version("torchvision"),
        "numpy": np.__version__,
    }


def save_checkpoint(path: Path, state: dict) -> None:
    """Write a checkpoint; a crash in the middle leaves the old file as it was.

    Raises:
        CourseError: the file cannot be written, for example on a full disk.
    """
    try:
        with new_file(path) as file:
            torch.save({"format": FORMAT, "versions": versions(), **state}, file)
    except (OSError, RuntimeError) as error:
        raise CourseError(
            f"{path} cannot be written ({str(error).splitlines()[0]}); make room "
            "or give another --out"
        ) from error


def read_checkpoint(path: Path) -> dict:
    """Read a checkpoint of this course; tensors come to the CPU.

    Raises:
        CourseError: missing, truncated, or not a checkpoint of this course.
    """
    if path.is_dir():
        path = path / "checkpoint.pt"
    if not path.is_file():
        raise CourseError(
            f"there is no checkpoint {path}; train one with python -m helpers.train"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how foreign files were pickled
            state = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE_ERRORS as error:
        raise CourseError(_unreadable(path)) from error
    if not isinstance(state, dict) or not set(state) >= NEEDED_KEYS:
        raise CourseError(
            f"{path} is not a checkpoint of this course; give the checkpoint.pt that "
            "python -m helpers.train wrote"
        )
    if state["format"] != FORMAT:
        raise CourseError(
            f"{path} has checkpoint format {state['format']}, this version reads "
            f"{FORMAT}; update the course"
        )
    return state


def _unreadable(path: Path) -> str:
    return (
        f"{path} ({path.stat().st_size:,} bytes) is truncated or not a checkpoint; "
        "copy it again or train again with python -m helpers.train"
    )


def read_saved(checkpoint: Path, resume: bool) -> dict | None:
    """The checkpoint to go on with, or None for a run that starts.

    Raises:
        CourseError: there is a run that nobody asked to resume, or it is unreadable.
    """
    if not checkpoint.is_file():
        return None
    if resume:
        return read_checkpoint(checkpoint)
    raise CourseError(
        f"{checkpoint} is already there; go on with it by --resume, or give "
        "another --out"
    )


def check_is_same_run(
    saved: dict,
    recipe: Recipe,
    *,
    seed: int,
    precision: str,
    data: dict,
    checkpoint: Path,
) -> None:
    """A run may only go on with what it started with.

    Args:
        precision: as asked for; "auto" takes that of the checkpoint.
        data: what is known of the training images.

    Raises:
        CourseError: names what is different.
    """
    differs = [
        name
        for name, is_same in (
            ("recipe or classes", is_same_recipe(saved.get("recipe"), recipe)),
            ("seed", saved.get("seed") == seed),
            ("precision", precision in ("auto", saved.get("precision"))),
            ("training images", saved.get("data", data) == data),
        )
        if not is_same
    ]
    if differs:
        raise CourseError(
            f"{checkpoint} was made with other arguments ({', '.join(differs)}); "
            "resume with those of its first start, or give another --out"
        )


def restore(state: TrainingState, saved: dict, checkpoint: Path) -> None:
    """Put a saved run back.

    Raises:
        CourseError: the weights do not fit the detector.
    """
    try:
        state.model.load_state_dict(saved["model"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.average = saved["average"]
    except (RuntimeError, ValueError, KeyError) as error:
        raise CourseError(
            f"the weights in {checkpoint} do not fit the detector in assignment/ "
            f"({str(error).splitlines()[0]}); start again with another --out"
        ) from error
    if state.average is not None:
        device = next(state.model.parameters()).device
        state.average = {
            name: value.to(device) for name, value in state.average.items()
        }
    state.iteration = saved["iteration"]
    state.loss_sums = dict(saved.get("loss_sums", {}))
    state.loss_count = saved.get("loss_count", 0)
