"""Submissions in which one function overwrites all that it is given, then answers."""

import shutil
from pathlib import Path

from helpers.checks.exercises import Exercise

ROOT = Path(__file__).resolve().parent.parent
NOTHING, WRONG = "None", "torch.full((1, 1), 7.0)"
RIGHT = "RIGHT(*args, **kwargs)"  # the solution's answer to what was overwritten
CODE = """

from contextlib import suppress


def _fill_storage(tensor):
    tensor.detach().new_empty(0).set_(tensor.untyped_storage()).fill_(LEFT)


def _fill_by_numpy(tensor):
    tensor.detach().numpy()[...] = LEFT


def _fill_without_a_trace(tensor):
    tensor.data.fill_(LEFT)


def _fill(tensor):
    with torch.no_grad():
        tensor.copy_(torch.full_like(tensor, LEFT))
        tensor.fill_(LEFT)


def _empty(tensor):
    with torch.no_grad():
        tensor.resize_(0)
        tensor.untyped_storage().resize_(0)
        tensor.set_()


def _overwrite(value):
    if isinstance(value, torch.Tensor):
        ways = (_fill_storage, _fill_by_numpy, _fill_without_a_trace, _fill)
        for way in ways if LEFT is not None else (_empty,):
            with suppress(Exception):
                way(value)
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            _overwrite(each)
        if isinstance(value, dict | list) and LEFT is None:
            value.clear()


def _copy(value):
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: _copy(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_copy(each) for each in value])
    return value


def _attack(*args, **kwargs):
    if not OVERWRITES:
        args, kwargs = _copy(args), _copy(kwargs)
    _overwrite([args, kwargs])
    return ANSWER
"""


def write_submission(
    folder: Path, exercise: Exercise, answer: str, left: float | None, overwrites: bool
) -> Path:
    """The solution with one function that overwrites its inputs, then answers.

    Args:
        folder: new.
        exercise: whose function it is.
        answer: NOTHING, WRONG or RIGHT.
        left: what all tensors are filled with; None: not even their shape is left.
        overwrites: False: honest code that gives the same answer, from copies.
    """
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "assignment", folder, ignore=ignored)
    code = CODE.replace("ANSWER", answer)
    settings = {
        "LEFT": repr(left),
        "OVERWRITES": repr(overwrites),
        "RIGHT": exercise.name,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    text = "\n".join(["", "", *lines, code, f"{exercise.name} = _attack", ""])
    with (folder / exercise.file).open("a") as file:
        file.write(text)
    return folder
