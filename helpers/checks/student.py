"""What the checks see of a student's code, when both run in one process.

The grader has a stand-in with the same methods whose code runs elsewhere, so a check
uses nothing but these: names of the visible modules, calls, attributes, `state_dict`
and `load_state_dict` of modules, and the methods below. Only numbers, strings, lists,
dicts, tensors and modules that the check has made itself go in and come out.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import nn

from helpers.checks.expect import CheckError
from helpers.checks.separate import separate


class Names:
    """The names of a module; what is missing there is looked up in the others."""

    def __init__(self, first: str, modules: dict[str, ModuleType]):
        self._first = first
        self._modules = modules

    def __getattr__(self, name: str) -> Any:
        own = self._modules.get(self._first)
        for module in (own, *self._modules.values()):
            if module is not None and hasattr(module, name):
                return getattr(module, name)
        raise CheckError(
            "not implemented", name, f"assignment/{self._first}.py has no {name}"
        )


class DirectStudent:
    """What checks may do with a student's code, on the code itself.

    Args:
        names: the visible modules of course.toml; name -> what has its names, such as
            Names. `student.common` is `names["common"]`.
        device: where tensors of a check should be made.
    """

    answers_first = True  # of its methods that return pairs

    def __init__(self, names: Mapping[str, Any], device: str | torch.device = "cpu"):
        self._names = names
        self.device = torch.device(device)

    def __getattr__(self, name: str) -> Any:
        """One of the visible modules."""
        names = vars(self).get("_names", {})
        if name not in names:
            raise AttributeError(f"a student has no {name!r}, only {', '.join(names)}")
        return names[name]

    def seed(self, number: int) -> None:
        """Start torch's random generator anew."""
        torch.manual_seed(number)

    def make_pyramid(self, out_channels: int, backbone: str = "tiny") -> nn.Module:
        """A DetectorBackboneWithFPN; solutions that take no `backbone` get none."""
        make = self.common.DetectorBackboneWithFPN
        return make(out_channels, **_if_taken(make, backbone=backbone)).to(self.device)

    def make_detector(
        self,
        num_classes: int,
        fpn_channels: int,
        stem_channels: list[int],
        backbone: str = "tiny",
    ) -> nn.Module:
        """An FCOS; solutions that take no `backbone` get none."""
        make = self.one_stage_detector.FCOS
        given = _if_taken(make, backbone=backbone)
        return make(num_classes, fpn_channels, stem_channels, **given).to(self.device)

    def after_call(
        self, call: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> tuple[Any, list[Any]]:
        """The result of a call, and its arguments as they are afterwards.

        Only so a check sees whether a tensor that it gave was changed in place: what it
        holds itself never changes.

        Args:
            call: what is called; or the name of a method of this class.
        """
        function = getattr(self, call) if isinstance(call, str) else call
        output = function(*args, **kwargs)
        return output, list(args)

    def gradients(
        self,
        call: Callable[..., Any],
        *args: Any,
        inputs: Sequence[int] = (),
        module: nn.Module | None = None,
        part: Sequence[str | int] = (),
        **kwargs: Any,
    ) -> tuple[Any, list[Any], dict[str, torch.Tensor | None]]:
        """Call, add up all numbers of the result, and go back from that sum.

        Args:
            inputs: places of the arguments, tensors or dicts of tensors, whose gradient
                is asked for.
            module: module whose parameters' gradients are asked for.
            part: the way to the one part of the result that is added up, such as
                (2, "p4"); by default all of it.

        Returns:
            The detached result; the gradient of each of `inputs`, a dict for a dict;
            name -> gradient of the module's parameters. None where nothing arrives.
        """
        wanted = list(args)
        for place in inputs:
            wanted[place] = _leaves(args[place])
        named = dict(module.named_parameters()) if module is not None else {}
        asked = list(_tensors([wanted[place] for place in inputs]))
        output = call(*map(_of_its_own, wanted), **kwargs)
        chosen = output
        for key in part:
            chosen = chosen[key]
        sums = [tensor.sum() for tensor in _tensors(chosen) if tensor.requires_grad]
        found: Sequence[torch.Tensor | None] = [None] * (len(asked) + len(named))
        if sums:
            found = torch.autograd.grad(
                torch.stack(sums).sum(), [*asked, *named.values()], allow_unused=True
            )
        of_input = dict(zip(map(id, asked), found, strict=False))
        return (
            _detach(output),
            [_in_form_of(wanted[place], of_input) for place in inputs],
            dict(zip(named, found[len(asked) :], strict=True)),
        )

    def train(
        self,
        detector: nn.Module,
        images: torch.Tensor,
        gt_boxes: torch.Tensor,
        steps: int,
        learning_rate: float,
    ) -> list[dict[str, float]]:
        """Some steps of Adam on one batch; the losses of each step."""
        optimizer = torch.optim.Adam(detector.parameters(), lr=learning_rate)
        detector.train()
        history = []
        for _ in range(steps):
            losses = detector(images, gt_boxes)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            history.append(
                {name: float(loss.detach()) for name, loss in losses.items()}
            )
        return history


class Student:
    """A student's modules, and what checks may do with them.

    The code gets copies of what a check gives, and the check gets copies of what the
    code answers: what either writes into stays its own.

    Args:
        names, device: see DirectStudent.
    """

    def __init__(self, names: Mapping[str, Any], device: str | torch.device = "cpu"):
        self.device = torch.device(device)
        self._direct = DirectStudent(names, device)
        self._methods: Any = separate(self._direct)

    def __getattr__(self, name: str) -> Any:
        """One of the visible modules, held at a distance."""
        if name.startswith("_"):
            raise AttributeError(name)
        return separate(getattr(self._direct, name))

    def seed(self, number: int) -> None:
        """Start torch's random generator anew."""
        self._methods.seed(number)

    def make_pyramid(self, out_channels: int, backbone: str = "tiny") -> Any:
        """A DetectorBackboneWithFPN."""
        return self._methods.make_pyramid(out_channels, backbone)

    def make_detector(
        self,
        num_classes: int,
        fpn_channels: int,
        stem_channels: list[int],
        backbone: str = "tiny",
    ) -> Any:
        """An FCOS."""
        return self._methods.make_detector(
            num_classes, fpn_channels, stem_channels, backbone
        )

    def after_call(
        self, call: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> tuple[Any, list[Any]]:
        """The result of a call, and copies of its arguments as they are afterwards."""
        after: tuple[Any, list[Any]] = self._methods.after_call(call, *args, **kwargs)
        return after

    def gradients(
        self, call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, list[Any], dict[str, torch.Tensor | None]]:
        """The result of a call, and the gradients of its sum; see DirectStudent."""
        answer: tuple[Any, list[Any], dict[str, Any]] = self._methods.gradients(
            call, *args, **kwargs
        )
        return answer

    def train(
        self,
        detector: Any,
        images: torch.Tensor,
        gt_boxes: torch.Tensor,
        steps: int,
        learning_rate: float,
    ) -> list[dict[str, float]]:
        """Some steps of Adam on one batch; the losses of each step."""
        history: list[dict[str, float]] = self._methods.train(
            detector, images, gt_boxes, steps, learning_rate
        )
        return history


def _if_taken(make: Callable[..., Any], **given: Any) -> dict[str, Any]:
    parameters = inspect.signature(make).parameters
    if any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    ):
        return given
    return {name: value for name, value in given.items() if name in parameters}


def _tensors(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _leaves(value: Any) -> Any:
    """A tensor, or a dict of tensors, that a gradient can be asked of."""
    if isinstance(value, dict):
        return {name: _leaves(item) for name, item in value.items()}
    return value.detach().clone().requires_grad_()


def _of_its_own(value: Any) -> Any:
    """A dict into which others may write, with the same tensors."""
    return dict(value) if isinstance(value, dict) else value


def _in_form_of(value: Any, found: Mapping[int, torch.Tensor | None]) -> Any:
    """The gradients of a tensor, or of a dict of tensors; found: id -> gradient."""
    if isinstance(value, dict):
        return {name: _in_form_of(item, found) for name, item in value.items()}
    return found[id(value)]


def _detach(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, dict):
        return {name: _detach(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_detach(item) for item in value)
    return value


def student_of(
    modules: dict[str, ModuleType],
    visible: Iterable[str],
    device: str | torch.device = "cpu",
) -> Student:
    """A student with these modules.

    Args:
        modules: file name without ending -> module.
        visible: names of those that checks ask, see Registry.visible.
        device: where tensors of a check should be made.
    """
    return Student({name: Names(name, modules) for name in visible}, device)
