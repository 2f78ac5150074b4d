"""What the tests of step 10 share: layers of known weights, in whatever modules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from grader_tests.head_parts import BEGIN
from grader_tests.oracles.step10 import EPS
from grader_tests.tools import spread
from helpers.checks.answers import expect_state
from helpers.checks.expect import CheckError, expect_runs, expect_true, not_implemented
from helpers.checks.student import Student

NOT_TRAINED = "a layer is not trained: it is frozen, or its answer is detached"
PLAIN_DICT = "layers in a plain dict, which PyTorch does not see; make a ModuleDict"
PLAIN_LIST = "layers in a plain list, which PyTorch does not see; make a Sequential"
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "leaky": F.leaky_relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
}
Layer = Mapping[str, torch.Tensor]  # "weight" and "bias" of a convolution or a norm


def expect_module(got: Any, what: str, device: torch.device) -> Any:
    """A module of PyTorch, moved to this device; returned."""
    if got is None:
        raise not_implemented(what)
    if isinstance(got, dict | list | tuple):
        cause = PLAIN_DICT if isinstance(got, dict) else PLAIN_LIST
        message = f"expected a module, got a {type(got).__name__}"
        raise CheckError("wrong type", what, message, cause)
    if device.type != "cpu":
        got.to(str(device))
    return got


def make_stem(
    student: Student, in_channels: int, widths: list[int], norm_groups: int
) -> Any:
    """A stem where the student's code runs."""
    with expect_runs("make_stem"):
        stem = student.fcos_published.make_stem(in_channels, widths, norm_groups)
    return expect_module(stem, "make_stem", student.device)


def make_head(
    student: Student,
    num_classes: int,
    in_channels: int,
    widths: list[int],
    levels: Sequence[str],
    **choices: Any,
) -> Any:
    """A PublishedHead with a config of these choices."""
    version = student.fcos_published.FCOSConfig(**choices)
    make = student.fcos_published.PublishedHead
    with expect_runs("PublishedHead"):
        head = make(num_classes, in_channels, widths, version, tuple(levels))
    if student.device.type != "cpu":
        head.to(str(student.device))
    return head


def layers_of(state: Mapping[str, torch.Tensor], begin: str = "") -> list[str]:
    """Names of the convolutions and norms in order, whatever modules hold them."""
    names = [name.rpartition(".")[0] for name in state if name.startswith(begin)]
    return list(dict.fromkeys(names))


def write_layers(
    state: dict[str, torch.Tensor], begin: str, layers: Sequence[Layer], what: str
) -> None:
    """Put known weights into a state, one layer after the other.

    Raises:
        CheckError: there are other layers than these.
    """
    names = layers_of(state, begin)
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    for number, layer in enumerate(layers):
        for kind, value in layer.items():
            place = ".".join([*names[number : number + 1], kind])
            if shapes.get(place) != tuple(value.shape) or len(names) != len(layers):
                own = {n: s for n, s in shapes.items() if n.startswith(begin)}
                message = f"other layers than expected: {own}"
                raise CheckError("wrong shape", what, message)
            state[place] = value.to(state[place], copy=True)


def stored_layers(weights: Mapping[str, torch.Tensor], place: str) -> list[Layer]:
    """The layers of an oracle, "stem_cls.0.weight" and so on, in order."""
    layers: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in weights.items():
        if name.startswith(place):
            number, kind = name.removeprefix(place).split(".")
            layers.setdefault(int(number), {})[kind] = value
    return [layers[number] for number in sorted(layers)]


def write_head(head: Any, state: dict[str, torch.Tensor]) -> None:
    """Write new weights into stems, predictors and scales, and nowhere else."""
    begin = (*BEGIN, "scales.")
    own = {name: value for name, value in state.items() if name.startswith(begin)}
    head.load_state_dict(own, strict=False)


def with_spread_weights(module: Any, what: str, large: float = 1.0) -> Any:
    """The same module with weights between -large and large; scales of .3 to .9."""
    state = expect_state(module.state_dict(), what)
    for number, (name, value) in enumerate(state.items(), start=1):
        if name.startswith("scales."):
            state[name] = spread(1, low=0.3, high=0.9, start=number).to(value)[0]
        else:
            numbers = spread(*value.shape, low=-large, high=large, start=7 * number)
            state[name] = numbers.to(value)
    if any(name.startswith("stem_cls.") for name in state):
        write_head(module, state)
    else:
        module.load_state_dict(state)
    return module


def expect_trained(
    student: Student, module: Any, given: torch.Tensor, what: str
) -> None:
    """A gradient arrives at every parameter of a module that answers a map."""
    _, _, gradients = student.gradients(module, given, module=module)
    for name, gradient in gradients.items():
        arrives = gradient is not None and bool(gradient.abs().sum() > 0)
        message = f"no gradient arrives at {name}"
        expect_true(arrives, f"{what}: gradients", message, NOT_TRAINED)


def apply_layers(
    x: torch.Tensor,
    layers: Sequence[Layer],
    groups: int,
    order: str = "norm relu",
    border: str = "constant",
) -> torch.Tensor:
    """A stem in float64, or what it is with a known mistake.

    Args:
        layers: convolutions and, if there are any, a norm behind each.
        groups: of the norms; 0 makes each channel a group.
        order: of what follows a convolution: "norm relu", "relu norm", "relu", "norm";
            "leaky" and others of ACTIVATIONS may stand for "relu".
        border: what is around a map, see torch.nn.functional.pad; zeros by default.
    """
    for place, layer in enumerate(layers):
        weight, bias = layer["weight"].double(), layer["bias"].double()
        if weight.dim() == 1:
            continue
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=border), weight, bias)
        behind = layers[place + 1] if place + 1 < len(layers) else None
        for step in order.split():
            if step in ACTIVATIONS:
                x = ACTIVATIONS[step](x)
            elif behind is not None and behind["weight"].dim() == 1:
                weight, bias = behind["weight"].double(), behind["bias"].double()
                x = F.group_norm(x, groups or x.shape[1], weight, bias, EPS)
    return x
