"""Comparisons whose failure says what is wrong, where, and why it may be so.

Tests call these functions instead of `assert`. A failure is a CheckError: its category
is one of CATEGORIES, its cause is the known mistake that gives just these numbers.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from reprlib import Repr
from typing import Any

import torch

from helpers.checks.describe import LONGEST_LINE, describe_place, describe_row
from helpers.checks.full_memory import is_out_of_memory
from helpers.checks.known_errors import known_error
from helpers.checks.patterns import SEEN, pattern_of, shape_pattern

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

# An answer that came, and came from these inputs; an exception may have other reasons.
OF_ANSWERS = ("wrong value", "wrong shape", "wrong dtype", "NaN", "wrong type")
# What odd inputs lead to: an empty minimum, sizes that do not fit. Any other type, such
# as an ImportError, a NameError or a MemoryError, has a reason of its own.
OF_INPUTS = (
    "IndexError",
    "RuntimeError",
    "ValueError",
    "ZeroDivisionError",
    "UnboundLocalError",
    "StopIteration",
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
    what: str,
    cause: str | None = None,
    plain: Callable[[], object] | None = None,
    kinds: Collection[str] = OF_INPUTS,
) -> Iterator[None]:
    """Around a call that a known mistake would make crash, in a `with` statement.

    Args:
        what: is called, in words.
        cause: the known mistake; it is true only if the usual case does not crash.
        plain: the same call with usual inputs, made only after a crash. Where it
            crashes as well no cause is given.
        kinds: the types of exceptions that the mistake raises; another has no cause.

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
        # The sandbox says the type first: "IndexError at line 3 of common.py".
        kind = error.message.split(maxsplit=1)[0].rstrip(":") if error.message else ""
        is_open = error.category == "exception" and error.cause is None
        if is_open and kind in kinds and _runs(plain):
            error.cause = cause
        raise
    except Exception as error:
        kind, said = type(error).__name__, str(error)
        told = known_error(said)
        is_other = told or is_out_of_memory(error, said)
        if kind in kinds and not is_other and _runs(plain):
            told = cause
        raise CheckError("exception", what, f"{kind}: {said}", told) from error


@contextmanager
def expect_as_usual(cause: str, usual: Callable[[], object]) -> Iterator[None]:
    """Around the check of an unusual case, in a `with` statement.

    Args:
        cause: what is unusual about it, and answered wrongly; given where the check has
            none, and true only if the two cases differ in nothing else.
        usual: the check of a usual case, made only after the other failed. Where it
            fails as well no cause is given.

    Raises:
        CheckError: that of the unusual case, with this cause.
    """
    try:
        yield
    except CheckError as error:
        said = error.category in OF_ANSWERS
        is_open = error.cause is None or error.cause in SEEN
        if said and is_open and _runs(usual):
            error.cause = cause
        raise


def _runs(plain: Callable[[], object] | None) -> bool:
    """Whether the usual call does not crash, or the usual check does not fail."""
    if plain is None:
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
            shape_pattern(tuple(got.shape), tuple(shape)),
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
        raise _wrong_dtype(what, dtype, got.dtype)
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
        causes: known mistake -> the values that it gives; named is what fits all that
            was got, or else what the wrong values have in common.
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
        raise _wrong_dtype(what, expected.dtype, got.dtype)
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
        find_cause(mine, causes, atol, rtol) or pattern_of(mine, right, ~is_close),
        describe_row(mine, right, first, inputs or {}, names),
    )


def find_cause(
    got: torch.Tensor, causes: Causes | None, atol: float, rtol: float
) -> str | None:
    """The known mistake that gives these numbers; all of them where several do."""

    def gives(values: torch.Tensor | Callable[[], torch.Tensor]) -> bool:
        wrong = (values() if callable(values) else values).detach().cpu().double()
        return wrong.shape == got.shape and bool(
            torch.isclose(got, wrong, atol=atol, rtol=rtol, equal_nan=True).all()
        )

    return any_of(cause for cause, values in (causes or {}).items() if gives(values))


def any_of(causes: Iterable[str]) -> str | None:
    """One sentence of the known mistakes that give an answer; None of none."""
    return "; or ".join(dict.fromkeys(causes)) or None


def _wrong_dtype(what: str, right: torch.dtype, got: torch.dtype) -> CheckError:
    cause = f"the dtype is {str(got)[6:]} and must be {str(right)[6:]}"
    return CheckError("wrong dtype", what, f"expected {right}, got {got}", cause)


def not_implemented(what: str) -> CheckError:
    """What a function that returns None gets."""
    return CheckError("not implemented", what, "returned None; is a return missing?")
