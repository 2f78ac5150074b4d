"""Stored inputs and expected values of the hidden tests."""

import os
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file

# Names another folder, so that a term can have references of its own.
FOLDER_VARIABLE = "COURSE_REFERENCES"
STORED = Path(__file__).resolve().parent / "references"


def reference_folder() -> Path:
    """The folder in use: that of the environment variable, or the stored one."""
    return Path(os.environ.get(FOLDER_VARIABLE) or STORED)


def load_reference(step: str, folder: Path | None = None) -> dict[str, torch.Tensor]:
    """All tensors of a step; changing them changes nothing for the next caller.

    Args:
        step: "step1" to "step8".
        folder: instead of the folder in use.
    """
    stored = _read(str((folder or reference_folder()) / f"{step}.safetensors"))
    return {name: tensor.clone() for name, tensor in stored.items()}


def load_cases(step: str, function: str) -> dict[str, dict[str, torch.Tensor]]:
    """What is stored for a function: case -> name -> tensor.

    "iou.odd.boxes1" is found as load_cases("step1", "iou")["odd"]["boxes1"].
    """
    cases: dict[str, dict[str, torch.Tensor]] = {}
    for full_name, tensor in load_reference(step).items():
        owner, case, name = full_name.split(".", 2)
        if owner == function:
            cases.setdefault(case, {})[name] = tensor
    return cases


def load_strides(step: str, function: str) -> dict[int, dict[str, torch.Tensor]]:
    """The same by stride in pixels, for cases that are called "stride8" and so on."""
    cases = load_cases(step, function)
    return {int(name.removeprefix("stride")): case for name, case in cases.items()}


@cache
def _read(path: str) -> dict[str, torch.Tensor]:
    return load_file(path)
