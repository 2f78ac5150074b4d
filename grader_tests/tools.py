"""What the hidden suites share."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from helpers.checks import answers
from helpers.checks.again import copied, is_same
from helpers.checks.expect import (
    CheckError,
    expect_equal,
    expect_tensor,
    expect_true,
    not_implemented,
)
from helpers.checks.no_gpu import is_of_devices
from helpers.checks.pretended_gpu import tensors_in
from helpers.checks.student import Student

GOLDEN_RATIO = 0.6180339887498949  # multiples of it spread evenly over [0, 1)
CHANGED_IN_PLACE = "the input is changed in place; work on a copy"
DTYPE_LOST = "the result does not follow the dtype of the input"
TRIES = 3  # a call that was slow once is tried again
RANDOM = "two calls with the same inputs get two answers; dropout has no place here"
ONLY_TWO_IN_FRONT = (
    "right for two dimensions in front, wrong for three; there may be any number"
)
SKIPPED = "a stride leaves places out; it must be 1"
# On a GPU, a real or a pretended one, each small operator costs 10 us more.
GPU_SLOWER = 10
HOPELESS = 5  # ... unless it took so many times as long as it may


def spread(
    *shape: int, low: float = 0.0, high: float = 1.0, start: int = 1
) -> torch.Tensor:
    """Float64 numbers between low and high that look random and need no storing."""
    count = int(torch.tensor(shape).prod())
    index = torch.arange(start, start + count, dtype=torch.float64)
    # The square keeps rows and columns of the shape from repeating each other.
    fraction = (index * GOLDEN_RATIO + index**2 * 0.0137) % 1
    return (low + (high - low) * fraction).reshape(shape)


def spread_boxes(
    count: int, width: float, height: float, start: int = 1
) -> torch.Tensor:
    """(count, 4) float64 XYXY boxes of many shapes inside an image of that size."""
    numbers = spread(count, 4, start=start)
    sides = 4 + numbers[:, 2:] ** 2 * torch.tensor([width - 5, height - 5])
    corner = numbers[:, :2] * (torch.tensor([width, height]) - sides)
    return torch.cat((corner, corner + sides), dim=1)


def give(
    student: Student, tensor: torch.Tensor, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """A copy of a tensor as the code under test gets it; the test keeps its own."""
    return tensor.to(student.device, dtype, copy=True)


def on_each_device(
    student: Any, plain: Callable[[Any], None], *edges: Callable[[Any], None]
) -> None:
    """Run a test with its inputs on a GPU, and then on the CPU beside a GPU.

    An answer that is not where the inputs are fails it. Where no GPU is lent it is a
    pretended one (helpers/checks/pretended_gpu.py).

    Args:
        edges: tests of edge cases, run on the GPU: only devices count here, since
            whatever else is wrong there has cost its points already.
    """
    with_gpu = student.on_device("cuda")
    plain(with_gpu)
    for test in edges:
        try:
            test(with_gpu)
        except CheckError as error:
            if is_of_devices(error.cause):
                raise
    plain(student.on_device("cpu"))


def expect_inputs_kept(
    student: Student,
    what: str,
    call: Any,
    *args: Any,
    check: Callable[[Any], None] | None = None,
) -> None:
    """A call leaves its tensors, lists and dicts as they were, and answers right.

    Args:
        check: raises a CheckError unless the answer is right. Without it a call that
            does nothing would pass.
    """
    before = copied(args)
    answer, after = student.after_call(call, *args)
    kept = is_same(before, after)
    expect_true(kept, what, "an input has other values", CHANGED_IN_PLACE)
    if check is not None:
        check(answer)


@contextmanager
def named_if_random(call: Any, *args: Any) -> Iterator[None]:
    """Around the check of an answer, in a `with` statement; it may be drawn.

    Raises:
        CheckError: that of the check; where it has no cause, and two further calls
            answer differently, with that cause.
    """
    try:
        yield
    except CheckError as error:
        if error.cause is None and error.category == "wrong value":
            first, second = (call(*copied(args)) for _ in range(2))
            error.cause = None if is_same(first, second) else RANDOM
        raise


def expect_dtype(got: torch.Tensor, dtype: torch.dtype, what: str) -> None:
    """The dtype follows the input."""
    message = f"{dtype} goes in, {got.dtype} comes out"
    expect_true(got.dtype == dtype, what, message, DTYPE_LOST)


def expect_same_size(
    got: Any, given: torch.Tensor, what: str, causes: Mapping[int, str]
) -> None:
    """A layer's answer is as high and as wide as the map that it was given.

    Args:
        got: the answer, (B, C, H, W).
        given: the map, (B, C, H, W) with H and W of more than 10.
        what: the layer, for messages.
        causes: by how many rows and columns a known mistake changes the map -> mistake.
    """
    answer = expect_tensor(got, what)
    size, right = tuple(answer.shape[2:]), tuple(given.shape[2:])
    cause = None
    if len(size) == 2:
        rows, columns = size[0] - right[0], size[1] - right[1]
        cause = causes.get(rows) if rows == columns else None
        # What a 3x3 with padding, or a 1x1, leaves of a map at strides 2, 3 and 4.
        if any(size == tuple(-(-side // by) for side in right) for by in (2, 3, 4)):
            cause = SKIPPED
    expect_equal(size, right, f"{what} on a map of {right[0]} x {right[1]}", cause)


def expect_keys(got: Any, keys: list[str], what: str) -> None:
    """A dict with these levels, in any order."""
    if got is None:
        raise not_implemented(what)
    answers.expect_keys(got, keys, f"{what}: levels")


def expect_faster(
    call: Callable[[], Any],
    check: Callable[[Any], None],
    slow_seconds: float,
    what: str,
    cause: str,
    few: Callable[[], Any] | None = None,
) -> None:
    """A call takes less time than a plain Python loop took just now, and is right.

    Args:
        call: what must be fast; called a few times if need be.
        check: raises a CheckError unless the answer is right; gets that of each call.
        slow_seconds: of the loop, for the same work.
        few: the same call for a few rows; only where that is quick is the cause, a
            loop over rows, true.
    """
    for number in range(TRIES):
        answer, seconds = _timed(call)
        check(answer)
        if any(tensor.is_cuda for tensor in tensors_in(answer)):
            seconds /= GPU_SLOWER
        if seconds < slow_seconds:
            return
        # The first call may run the student's file, and all that it imports.
        if number and seconds > HOPELESS * slow_seconds:
            break
    message = f"took longer than a plain Python loop ({slow_seconds:.2f} s)"
    is_loop = few is not None and _timed(few)[1] < seconds / 10
    raise CheckError("timeout", what, message, cause if is_loop else None)


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    answer = call()
    return answer, time.perf_counter() - started


def seconds_of_loop(loop: Callable[[], Any], share: float) -> float:
    """Time of a loop that does only this share of the work, taken for the whole."""
    return _timed(loop)[1] / share
