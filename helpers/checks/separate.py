"""A student's code as checks call it in one process: copies go in, copies come out.

Code may write into what it is given, by mistake or not. Whatever it does there, the
numbers that a check works with afterwards are still those that it made itself.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn


class Last:
    """What the student's code has returned last, for a message about it."""

    answer: Any = None


LAST = Last()


class Separate:
    """A module, class, function or other object of the student, held at a distance.

    It can be called, indexed, measured and asked for attributes, like the stand-in that
    the grader has for it.
    """

    def __init__(self, target: Any):
        self._target = target

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it with copies of all tensors, lists, tuples and dicts."""
        answer = self._target(*_inside(args), **_inside(kwargs))
        is_ours = hasattr(getattr(self._target, "__self__", None), "answers_first")
        LAST.answer = answer[0] if is_ours and isinstance(answer, tuple) else answer
        return _result(answer)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and printing ask for such; not a check
            raise AttributeError(name)
        value = getattr(self._target, name)
        return separate(value) if callable(value) else _result(value)

    def __getitem__(self, key: int | str) -> Any:
        return _result(self._target[key])

    def __len__(self) -> int:
        return len(self._target)

    def __iter__(self) -> Iterator[Any]:
        return map(_result, self._target)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return repr(self._target)


def separate(target: Any) -> Separate:
    """Hold an object at a distance; messages still call it by its own type."""
    kind = type(type(target).__name__, (Separate,), {})
    held: Separate = kind(target)
    return held


def _inside(value: Any) -> Any:
    """What the student's code gets for an argument of a check."""
    if isinstance(value, Separate):
        return value._target
    return _copy(value, _inside)


def _result(value: Any) -> Any:
    """What the check gets for an answer of the student's code."""
    return separate(value) if isinstance(value, nn.Module) else _copy(value, _result)


def _copy(value: Any, of_item: Callable[[Any], Any]) -> Any:
    """A tensor, list, tuple or dict of its own; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: of_item(item) for name, item in value.items()}
    if isinstance(value, list):
        return [of_item(item) for item in value]
    if isinstance(value, tuple):
        return tuple(of_item(item) for item in value)
    return value
