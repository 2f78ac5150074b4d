"""Comparisons whose failure says what is wrong, where, and why it may be so.

Tests call these functions instead of `assert`. A failure is a CheckError: its category
is one of CATEGORIES, its cause is the known mistake that gives just these numbers.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from reprlib import Repr
from typing import Any

import torch

from helpers.checks.describe import LONGEST_LINE, describe_place, describe_row
from helpers.checks.no_gpu import NO_GPU, lacks_gpu

CATEGORIES = (
    "wrong value",
    "wrong shape",
    "wrong dtype",
    "NaN",
    "wrong type",
    "not allowed",
    "not implemented",
    "blocked",
    "exception",
    "timeout",
    "crashed",
    "out of memory",
)

# Exceptions that never come from an input: of a file, of memory, of what is closed.
OTHER_REASON = re.compile(
    r"\b(ImportError|ModuleNotFoundError|SyntaxError|IndentationError|TabError|"
    r"MissingPartError|MemoryError|OutOfMemoryError|OSError|PermissionError|"
    r"TimeoutError|NotAllowedError)\b"
)

# Of an answer, which may hold thousands of tensors, only the beginning is put in words.
SHORT = Repr()
SHORT.maxlist = SHORT.maxtuple = SHORT.maxdict = 50
SHORT.maxstring = SHORT.maxother = 200
MOST_NUMBERS = 2**20  # of a tensor whose shape is not known; the course's have few
# What a known mistake would have answered: its numbers, or a function that makes them.
Causes = Mapping[str, torch.Tensor | Callable[[], torch.Tensor]]


@dataclass
class CheckError(AssertionError):
    """An answer that is not as it should be.

    Attributes:
        category: one of CATEGORIES.
        what: the function and the case that were checked, in words.
        message: what is wrong there; may hold inputs and expected numbers.
        cause: the likely mistake, a fixed sentence of the test without any numbers.
        lines: inputs, expected and given numbers at the first wrong place.
        traceback: the frames of the student's own files, where an exception ended it.
    """

    category: str
    what: str
    message: str
    cause: str | None = None
    lines: list[str] = field(default_factory=list)
    traceback: str = ""

    def __str__(self) -> str:
        text = "\n  ".join([f"{self.what}: {self.message}", *self.lines])
        return f"{text}\n  Likely: {self.cause}" if self.cause else text


def expect_true(
    condition: bool, what: str, message: str, cause: str | None = None
) -> None:
    """Raise a CheckError of category "wrong value" unless the condition holds."""
    if not condition:
        raise CheckError("wrong value", what, message, cause)


@contextmanager
def expect_runs(
    what: str, cause: str | None = None, plain: Callable[[], object] | None = None
) -> Iterator[None]:
    """Around a call that a known mistake would make crash, in a `with` statement.

    Args:
        what: is called, in words.
        cause: the known mistake; it is true only if the usual case does not crash.
        plain: the same call with usual inputs, made only after a crash. Where it
            crashes as well, or a file cannot be loaded, no cause is given.

    Raises:
        CheckError: the call raised; of category "exception", with this cause.
    """
    if cause and plain is None:
        raise ValueError(f"{what}: a cause needs the plain call that must not crash")
    try:
        yield
    except NotImplementedError:
        raise
    except CheckError as error:
        if error.category == "exception" and error.cause is None:
            error.cause = cause if _is_special(error, plain) else None
        raise
    except Exception as error:
        kind = type(error).__name__
        told = cause if _is_special(error, plain) else None
        told = NO_GPU if lacks_gpu(str(error)) else told
        raise CheckError("exception", what, f"{kind}: {error}", told) from error


def _is_special(error: Exception, plain: Callable[[], object] | None) -> bool:
    """Whether it crashed for its inputs: the plain call does not crash."""
    kind = " ".join(base.__name__ for base in type(error).__mro__)
    if isinstance(error, CheckError):  # of the sandbox: the type is in its message
        kind = error.message
    if plain is None or OTHER_REASON.search(kind):
        return False
    try:
        plain()
    except (Exception, SystemExit):  # noqa: BLE001 - of a student: may be any
        return False
    return True


def expect_equal(got: Any, expected: Any, what: str, cause: str | None = None) -> None:
    """Numbers, strings, keys: what is not a tensor. Lists and tuples are alike."""
    if got is None:
        raise not_implemented(what)
    got = list(got) if isinstance(got, tuple) else got
    expected = list(expected) if isinstance(expected, tuple) else expected
    if got != expected:
        shown = SHORT.repr(got)[:200]
        message = f"expected {expected!r}, got {shown}"
        if len(message) <= LONGEST_LINE - len(what):
            raise CheckError("wrong value", what, message, cause)
        lines = [f"expected {expected!r}", f"got      {shown}"]
        raise CheckError("wrong value", what, "wrong value", cause, lines)


def expect_tensor(
    got: Any,
    what: str,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: torch.dtype | None = None,
    shape_causes: Mapping[str, tuple[int, ...]] | None = None,
    most: int = MOST_NUMBERS,
) -> torch.Tensor:
    """A tensor of this shape and dtype without NaN; returned, detached, on the CPU.

    Args:
        shape_causes: known mistake -> the shape that it gives.
        most: numbers that it may have where no shape is given; nobody looks at more.
    """
    if got is None:
        raise not_implemented(what)
    if not isinstance(got, torch.Tensor):
        kind = type(got).__name__
        raise CheckError("wrong type", what, f"expected a tensor, got {kind}")
    if shape is not None and tuple(got.shape) != tuple(shape):
        cause = next(
            (
                cause
                for cause, wrong in (shape_causes or {}).items()
                if tuple(got.shape) == wrong
            ),
            None,
        )
        raise CheckError(
            "wrong shape",
            what,
            f"expected shape {tuple(shape)}, got {tuple(got.shape)}",
            cause,
        )
    if shape is None and got.numel() > most:
        message = f"got {got.numel()} numbers, shape {tuple(got.shape)}"
        raise CheckError("wrong shape", what, f"{message}; that is too much")
    if dtype is not None and got.dtype != dtype:
        raise CheckError("wrong dtype", what, f"expected {dtype}, got {got.dtype}")
    got = got.detach().cpu()
    if got.is_floating_point() and bool(got.isnan().any()):
        count = int(got.isnan().sum())
        raise CheckError("NaN", what, f"{count} of {got.numel()} values are NaN")
    return got


def expect_close(
    got: Any,
    expected: torch.Tensor,
    what: str,
    *,
    inputs: Mapping[str, torch.Tensor] | None = None,
    names: str = "",
    place: str = "index",
    causes: Causes | None = None,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    check_dtype: bool = True,
) -> None:
    """The values of a tensor, and its shape and dtype.

    Args:
        got: what the function under test returned.
        expected: what it should be.
        what: the function and the case, e.g. "fcos_get_deltas_from_locations".
        inputs: name -> tensor whose first dimension runs along with that of `expected`;
            the row of the first wrong value is shown.
        names: of the numbers in a row, e.g. "l,t,r,b".
        place: what the first dimension counts, e.g. "location"; with `names`, the
            message says only this index.
        causes: known mistake -> the values that it gives; the first that fits what was
            got is named.
        atol, rtol: tolerances; a caller who changes them says why.
        check_dtype: whether the dtypes must agree.

    Raises:
        CheckError: not a tensor, another shape or dtype, NaN, or other values.
    """
    try:
        got = expect_tensor(got, what, shape=tuple(expected.shape))
    except CheckError as error:
        if error.category == "NaN":
            error.cause = find_cause(got.detach().cpu().double(), causes, atol, rtol)
        raise
    if check_dtype and got.dtype != expected.dtype:
        raise CheckError(
            "wrong dtype", what, f"expected {expected.dtype}, got {got.dtype}"
        )
    expected = expected.detach().cpu()
    mine, right = got.double(), expected.double()
    is_close = torch.isclose(mine, right, atol=atol, rtol=rtol)
    if bool(is_close.all()):
        return
    first = [int(index) for index in torch.nonzero(~is_close)[0]]
    raise CheckError(
        "wrong value",
        what,
        describe_place(first, names, place, expected),
        find_cause(mine, causes, atol, rtol),
        describe_row(mine, right, first, inputs or {}, names),
    )


def find_cause(
    got: torch.Tensor, causes: Causes | None, atol: float, rtol: float
) -> str | None:
    """The known mistake that gives these numbers, if any."""
    for cause, values in (causes or {}).items():
        wrong = (values() if callable(values) else values).detach().cpu().double()
        if wrong.shape == got.shape and bool(
            torch.isclose(got, wrong, atol=atol, rtol=rtol, equal_nan=True).all()
        ):
            return cause
    return None


def not_implemented(what: str) -> CheckError:
    """What a function that returns None gets."""
    return CheckError("not implemented", what, "returned None; is a return missing?")
