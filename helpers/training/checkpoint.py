"""Checkpoints: written whole or not at all, read without running any code in them."""

import contextlib
import os
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

FORMAT = 1
# What torch.load was seen to raise on truncated, damaged and foreign files.
UNREADABLE_ERRORS = (
    *(OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError),
    *(AttributeError, AssertionError, ArithmeticError, ImportError, MemoryError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error),
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
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, "versions": versions(), **state}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()  # half a file takes room where there is none
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
