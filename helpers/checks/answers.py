"""What an answer must be before a check looks into it.

A few bytes can stand for millions of rows, names or layers. These functions look at
the kind and the size first, so that nothing else need expect the worst.
"""

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

import torch

from helpers.checks.expect import (
    CheckError,
    expect_equal,
    expect_tensor,
    not_implemented,
)

MOST_WEIGHTS = 2000  # entries of a state_dict; a detector of the course has 200
MOST_NUMBERS = 2**24  # in all of them; the original's backbone has 5 million
LONGEST_NAME, DEEPEST_NAME = 200, 20  # characters, modules within modules


def expect_keys(got: Any, keys: Collection[str], what: str) -> dict[str, Any]:
    """A dict with just these keys, in any order; returned."""
    if got is None:
        raise not_implemented(what)
    if not isinstance(got, dict):
        kind = type(got).__name__
        raise CheckError("wrong type", what, f"expected a dict, got {kind}")
    if got.keys() != set(keys):
        names = sorted(map(str, islice(got, len(keys) + 3)))
        expect_equal(names, sorted(keys), what)
    return got


def expect_parts(got: Any, names: Collection[str], what: str) -> Sequence[Any]:
    """A tuple or list with one part for each of these names; returned."""
    if got is None:
        raise not_implemented(what)
    wanted = ", ".join(names)
    if not isinstance(got, tuple | list):
        kind = type(got).__name__
        message = f"expected a tuple or list ({wanted}), got a {kind}"
        raise CheckError("wrong type", what, message)
    expect_equal(len(got), len(names), f"{what}: number of results, of {wanted}")
    return got


def expect_indices(got: Any, what: str, most: int) -> list[int]:
    """A tensor (K,) of at most so many indices, int64; returned as a list."""
    indices = expect_tensor(got, what, dtype=torch.int64)
    if indices.dim() != 1 or len(indices) > most:
        raise CheckError(
            "wrong shape",
            what,
            f"expected at most {most} indices in one dimension, got shape "
            f"{tuple(indices.shape)}",
        )
    listed: list[int] = indices.tolist()
    return listed


def weights_in_common(module: Any, what: str) -> list[list[str]]:
    """Names of a module's state_dict that hold one and the same tensor, by groups.

    Each gets a number of its own; what is found in two of them was written last.
    """
    state = expect_state(module.state_dict(), what)
    numbered = {
        name: torch.full_like(value, float(number))
        for number, (name, value) in enumerate(state.items(), start=1)
    }
    module.load_state_dict(numbered)
    after = expect_state(module.state_dict(), what)
    groups: dict[float, list[str]] = {}
    for name in state:
        found = after.get(name)
        if found is not None and found.numel():
            groups.setdefault(float(found.flatten()[0]), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def expect_state(got: Any, what: str) -> dict[str, torch.Tensor]:
    """What state_dict() of a module of the course can give: name -> tensor."""
    if not isinstance(got, dict):
        kind = type(got).__name__
        raise CheckError("wrong type", what, f"state_dict() gives a {kind}")
    numbers = 0
    for name, value in islice(got.items(), MOST_WEIGHTS):
        is_name = isinstance(name, str) and len(name) <= LONGEST_NAME
        if not is_name or name.count(".") > DEEPEST_NAME:
            raise CheckError("wrong type", what, "state_dict() has an odd name")
        numbers += expect_tensor(value, f"{what}: {name}", most=MOST_NUMBERS).numel()
    if len(got) > MOST_WEIGHTS or numbers > MOST_NUMBERS:
        message = f"state_dict() has {len(got)} tensors with {numbers} numbers or more"
        raise CheckError("wrong shape", what, f"{message}; that is too much")
    return got
