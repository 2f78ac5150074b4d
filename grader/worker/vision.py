"""torchvision as students meet it in the sandbox: without network.

Solutions written for the assignment that this course grew from build
`torchvision.models.regnet_x_400mf(pretrained=True)`. In the sandbox every such
constructor, and `torch.hub.load_state_dict_from_url`, works offline: what would be
downloaded is replaced by the untrained weights that the constructor makes, which come
from the test's seed. Shapes, gradients and training can be checked with them; what
ImageNet taught the network cannot, so no test asks for it. RegNetX-400MF is small
here (see regnet.py), since its random start learns too slowly for a test.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models import _api

from grader.worker.regnet import small_regnet


class NotAllowedError(Exception):
    """The exercise asks to write this."""


def refusing(name: str) -> Callable[..., Any]:
    """A function that says it is closed."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotAllowedError(f"torchvision.ops.{name} is what an exercise asks for")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = "Closed: an exercise asks to write this."
    refuse.default = refuse  # type: ignore[attr-defined]
    return refuse


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
