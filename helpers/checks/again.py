"""What a call leaves behind: nothing in its inputs, and nothing for the next call."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from helpers.checks.answers import expect_state, weights_in_common
from helpers.checks.expect import CheckError, expect_true
from helpers.checks.patterns import SEEN

KEPT = "an answer to an earlier call comes back; keep nothing between calls"
TELLING = 4  # numbers; fewer may be those of an earlier answer by chance
# The arguments of a call, and what raises a CheckError unless the answer is right.
Case = tuple[Sequence[Any], Callable[[Any], None]]


def expect_own_answers(call: Callable[..., Any], *cases: Case) -> None:
    """Each call is answered by its own inputs, also after others that look like them.

    All cases are asked in turn, and once more the first; with arguments of the same
    shapes and other numbers, code that keeps an answer gives it again.

    Args:
        call: what is tested.
        cases: two or more, whose right answers differ from one another.

    Raises:
        CheckError: of the case that is not answered right.
    """
    earlier: list[Any] = []
    for args, check in (*cases, cases[0]):
        answer = call(*copied(args))
        try:
            check(answer)
        except CheckError as error:
            is_kept = any(is_same(old, answer) for old in earlier)
            is_open = error.cause is None or error.cause in SEEN
            if is_open and is_kept and _size(answer) >= TELLING:
                error.cause = KEPT
            raise
        earlier.append(answer)


def _size(value: Any) -> int:
    """How many numbers of tensors an answer has."""
    if isinstance(value, torch.Tensor):
        return value.numel()
    items = value.values() if isinstance(value, dict) else value
    return sum(map(_size, items)) if isinstance(value, dict | list | tuple) else 0


def copied(value: Any) -> Any:
    """Tensors, lists, tuples and dicts of their own; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    return value


def is_same(old: Any, new: Any) -> bool:
    """Whether two values are made of the same numbers, names and dtypes.

    A list and a tuple are alike. Modules, of which no copy comes back, always are.
    """
    if isinstance(old, torch.Tensor):
        is_alike = isinstance(new, torch.Tensor) and new.dtype == old.dtype
        return is_alike and torch.equal(old.detach().cpu(), new.detach().cpu())
    if isinstance(old, dict):
        if not isinstance(new, dict) or list(old) != list(new):
            return False
        return is_same(list(old.values()), list(new.values()))
    if isinstance(old, list | tuple):
        if not isinstance(new, list | tuple) or len(old) != len(new):
            return False
        return all(map(is_same, old, new))
    if isinstance(old, int | float | str | None):
        return isinstance(new, int | float | str | None) and old == new
    return True


def expect_own_weights(
    what: str, modules: Sequence[Any], within: str, between: str
) -> None:
    """What is written into one parameter is not found in another, of any module.

    Args:
        modules: one or more, made one after the other.
        within: the known mistake where one module uses a parameter twice.
        between: the known mistake where two of them share one.
    """
    for module in modules:
        shared = weights_in_common(module, what)
        message = f"{', '.join(shared[0]) if shared else ''} are one and the same"
        expect_true(not shared, what, message, within)
    expect_unshared(what, modules, between)


def expect_unshared(what: str, modules: Sequence[Any], between: str) -> None:
    """What is written into one module is not found in one that was made before.

    Args:
        modules: made one after the other.
        between: the known mistake where two of them share a parameter.
    """
    for number, module in enumerate(modules):
        _write(module, what, 1.0)
        before = expect_state(module.state_dict(), what)
        for other in modules[:number]:
            _write(other, what, 2.0)
        after = expect_state(module.state_dict(), what)
        changed = [
            name for name in before if not torch.equal(before[name], after[name])
        ]
        message = f"{len(changed)} parameters belong to an earlier one, too"
        expect_true(not changed, what, message, between)


def _write(module: Any, what: str, value: float) -> None:
    state = expect_state(module.state_dict(), what)
    module.load_state_dict(
        {name: torch.full_like(weight, value) for name, weight in state.items()}
    )
