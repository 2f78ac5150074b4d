"""torchvision as students meet it in the sandbox: without network, without answers.

Without network: solutions written for the assignment that this course grew from build
`torchvision.models.regnet_x_400mf(pretrained=True)`. In the sandbox every such
constructor, and `torch.hub.load_state_dict_from_url`, works offline: what would be
downloaded is replaced by the untrained weights that the constructor makes, which come
from the test's seed. Shapes, gradients and training can be checked with them; what
ImageNet taught the network cannot, so no test asks for it. RegNetX-400MF is small
here (see regnet.py), since its random start learns too slowly for a test.

Without answers: the functions of `torchvision.ops` that an exercise asks to write can
be imported, because a file may import what it does not use, and raise NotAllowedError
when they are called, as does the operator `torch.ops.torchvision.nms`.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Collection
from importlib.abc import MetaPathFinder
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models import _api

from grader.worker.regnet import small_regnet

# Beside a function that an exercise asks for, its file holds what it is made of; these
# parts do not answer any exercise.
OPEN_NAMES = (
    "box_area",
    "box_convert",
    "clip_boxes_to_image",
    "remove_small_boxes",
    "masks_to_boxes",
    "_upcast",
    "_loss_inter_union",
)
OPERATOR = "nms"  # also to be had as torch.ops.torchvision.nms


class NotAllowedError(Exception):
    """The exercise asks to write this."""


# Keeps the replaced operators registered as long as the process lives.
_LIBRARIES: list[torch.library.Library] = []


def prepare_torchvision(
    closed_ops: Collection[str], allowed_ops: Collection[str] = ()
) -> None:
    """Make torchvision of this process as the sandbox needs it.

    Args:
        closed_ops: functions of torchvision.ops that exercises ask to write.
        allowed_ops: functions of torchvision.ops that may be called all the same, e.g.
            "sigmoid_focal_loss" for classes of the original assignment.
    """
    work_offline()
    close_ops(closed_ops, allowed_ops)


def close_ops(asked: Collection[str], allowed: Collection[str] = ()) -> None:
    """Replace the functions that exercises ask for by ones that raise."""
    closed = {
        id(function): _refusing(name, function)
        for name, function in closed_functions(asked).items()
        if name not in allowed
    }
    for module_name, module in list(sys.modules.items()):
        if not module_name.startswith("torchvision"):
            continue
        for name, value in list(vars(module).items()):
            if id(value) in closed:
                setattr(module, name, closed[id(value)])
    if OPERATOR in asked and OPERATOR not in allowed:
        _close_operator()
    loaded = {name for name in sys.modules if name.startswith("torchvision.ops")}
    sys.meta_path.insert(0, _LoadedOnce(loaded))


def closed_functions(asked: Collection[str]) -> dict[str, Callable[..., Any]]:
    """The functions of torchvision.ops, by name, that answer an exercise.

    Args:
        asked: those that exercises ask to write. What else their files hold may be the
            answer in other words, so it is closed too, but for OPEN_NAMES.
    """
    functions: dict[str, Callable[..., Any]] = {}
    files = {getattr(torchvision.ops, name).__module__ for name in asked}
    for file in sorted(files):
        for name, value in vars(sys.modules[file]).items():
            is_own = getattr(value, "__module__", "") == file
            if inspect.isfunction(value) and is_own and name not in OPEN_NAMES:
                functions[name] = value
    return functions


class _LoadedOnce(MetaPathFinder):
    """Modules that, loaded again, would be as they were before."""

    def __init__(self, names: Collection[str]):
        self.names = names

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Only asked for a module that is not loaded, or that is loaded again."""
        if fullname in self.names:
            raise NotAllowedError(f"{fullname} cannot be loaded again")


def _refusing(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotAllowedError(f"torchvision.ops.{name} is what an exercise asks for")

    refuse.__name__ = refuse.__qualname__ = original.__name__
    refuse.__doc__ = "Closed: an exercise asks to write this."
    return refuse


def _close_operator() -> None:
    library = torch.library.Library("torchvision", "IMPL")
    if hasattr(torch.ops.torchvision, OPERATOR):
        for backend in ("CPU", "CUDA"):
            library.impl(OPERATOR, _refusing(OPERATOR, _refusing), backend)
    _LIBRARIES.append(library)


def work_offline() -> None:
    """Let constructors with weights, and torch.hub, do without a download."""
    _api.WeightsEnum.get_state_dict = _no_weights
    for name in ("load_state_dict_from_url", "download_url_to_file"):
        replacement = _no_weights if "load" in name else _no_download
        setattr(torch.hub, name, replacement)
        for module_name, module in list(sys.modules.items()):
            if module_name.startswith("torchvision") and hasattr(module, name):
                setattr(module, name, replacement)
    for module in (torchvision.models, torchvision.models.regnet):
        module.regnet_x_400mf = small_regnet
    _api.BUILTIN_MODELS["regnet_x_400mf"] = small_regnet
    load = nn.Module.load_state_dict

    @functools.wraps(load)
    def load_unless_none(
        self: nn.Module, state_dict: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if isinstance(state_dict, NoWeights):
            return nn.modules.module._IncompatibleKeys([], [])
        return load(self, state_dict, *args, **kwargs)

    nn.Module.load_state_dict = load_unless_none  # type: ignore[method-assign]


class NoWeights(dict[str, torch.Tensor]):
    """What a download would have given: loading it leaves a network as it was made."""


def _no_weights(*args: Any, **kwargs: Any) -> NoWeights:
    return NoWeights()


def _no_download(*args: Any, **kwargs: Any) -> None:
    raise NotAllowedError("nothing can be downloaded while grading")
