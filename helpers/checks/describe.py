"""Numbers and places in the words of a message."""

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch

SHOWN_DIGITS = 6
SHOWN_PARTS = 3  # of a tuple, list or dict
SHOWN_NUMBERS = 12  # of a row; more would not fit a line
LONGEST_LINE = 100  # of a message; what is longer becomes three lines


def describe_place(
    first: list[int], names: str, place: str, expected: torch.Tensor
) -> str:
    """Where the first wrong value is, in the words of the caller."""
    if not first:
        return "wrong value"
    if _is_one_row(names, expected):
        return f"wrong value of {names.split(',')[first[0]]}"
    # Where the names say what a row holds, the row is place enough.
    shown = first[:-1] if names and len(first) > 1 else first
    index = shown[0] if len(shown) == 1 else tuple(shown)
    return f"wrong value at {place} {index}"


def _is_one_row(names: str, expected: torch.Tensor) -> bool:
    """Whether there is one name for each of the numbers."""
    return expected.dim() == 1 and 1 < len(names.split(",")) == len(expected)


def describe_row(
    got: torch.Tensor,
    expected: torch.Tensor,
    first: list[int],
    inputs: Mapping[str, torch.Tensor],
    names: str,
) -> list[str]:
    """The inputs, the expected and the given numbers at the first wrong place."""
    is_within_row = got.dim() > 1 or _is_one_row(names, expected)
    row = tuple(first[:-1]) if is_within_row else tuple(first)
    shown = [
        f"{name} {_numbers(value[first[0]] if value.dim() else value)}"
        for name, value in inputs.items()
        if value.dim() == 0 or (first and len(value) > first[0])
    ]
    lines = ["   ".join(shown)] if shown else []
    label = f" {names} =" if names else ""
    difference = (got - expected).abs()
    finite = difference[difference.isfinite()]
    largest = finite.max() if finite.numel() else difference.flatten()[:1].sum()
    right, mine = (f"expected{label}", _numbers(expected[row])), _numbers(got[row])
    difference_text = f"(largest difference {float(largest):.3g})"
    line = "     ".join([" ".join(right), f"got {mine}", difference_text])
    if len(line) <= LONGEST_LINE:
        return [*lines, line]
    below = f"{'got':<{len(right[0])}} {mine}"  # its numbers below the expected ones
    return [*lines, " ".join(right), below, difference_text]


def _numbers(values: torch.Tensor) -> str:
    flat = values.detach().cpu().reshape(-1).tolist()
    text = " ".join(_number(value) for value in flat[:SHOWN_NUMBERS])
    return text + (" ..." if len(flat) > SHOWN_NUMBERS else "")


def _number(value: float | int | bool) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.{SHOWN_DIGITS}g}"
    return str(value)


def describe_answer(value: Any) -> str:
    """What kind of thing a function has returned, in words.

    >>> describe_answer(({}, torch.zeros(2, 3)))
    'a tuple of 2: an empty dict, a tensor of shape (2, 3)'
    """
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list | dict):
        kind = type(value).__name__
        if not value:
            return f"an empty {kind}"
        more = ", ..." if len(value) > SHOWN_PARTS else ""
        if isinstance(value, dict):
            keys = ", ".join(repr(key)[:20] for key in islice(value, SHOWN_PARTS))
            return f"a dict with the keys {keys}{more}"
        parts = ", ".join(_kind(part) for part in value[:SHOWN_PARTS])
        return f"a {kind} of {len(value)}: {parts}{more}"
    return _kind(value)


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor) or (
        isinstance(value, tuple | list | dict) and not value
    ):
        return describe_answer(value)
    if isinstance(value, bool | int | float):
        return f"the number {value!r}"[:40]
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
