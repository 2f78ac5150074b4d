"""What an exercise asks to write, and torchvision has: its checks refuse to take it."""

import contextlib
import functools
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.course import PACKAGE, Registry
from helpers.checks.expect import CheckError

LIBRARY = "torchvision"
IMPORT = re.compile(rb"^\s*(from|import)\b.*torchvision", re.MULTILINE)
HOMES = ("ops", "ops.boxes", "ops.focal_loss", "ops.giou_loss", "ops.diou_loss",
         "ops.ciou_loss")  # fmt: skip


class ClosedAnswers:
    """Functions of torchvision that refuse to be called by a student's code.

    The grader has them not at all. Here they are wrapped where files of assignment/
    import torchvision, and refuse while checks of an exercise run that closes them.

    Args:
        registry: says which exercise closes what.
        root: the folder that holds assignment/.
    """

    def __init__(self, registry: Registry, root: Path):
        self._registry = registry
        self._folder = (root / PACKAGE).resolve()
        self.exercise: str | None = None  # whose checks run

    @contextlib.contextmanager
    def wrapped(self) -> Iterator[None]:
        """To be entered before assignment/ is loaded, which may import them."""
        before: list[tuple[Any, str, Any]] = []
        if self._is_imported():
            for home in HOMES:
                module = importlib.import_module(f"{LIBRARY}.{home}")
                for name in self._registry.closed():
                    value = vars(module).get(name)
                    if callable(value) and not isinstance(value, type):
                        before.append((module, name, value))
        for module, name, value in before:
            setattr(module, name, self._refusing(name, value))
        try:
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)

    def _is_imported(self) -> bool:
        """Whether a file imports torchvision; else nobody need wait for it."""
        for path in self._folder.glob("*.py"):
            with contextlib.suppress(OSError):
                if IMPORT.search(path.read_bytes()):
                    return True
        return False

    def _refusing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def refuse(*args: Any, **kwargs: Any) -> Any:
            number = self.exercise
            is_closed = number and name in self._registry.closed_for(number)
            if number and is_closed and self._called_by_student():
                raise CheckError(
                    "not allowed",
                    self._registry.exercises[number].function,
                    f"{LIBRARY}.ops.{name} is what you are to write here; the grader "
                    "does not have it",
                )
            return function(*args, **kwargs)

        return refuse

    def _called_by_student(self) -> bool:
        frame = sys._getframe(2)
        while frame is not None:
            if self._folder in Path(frame.f_code.co_filename).resolve().parents:
                return True
            if frame.f_back is None:
                return False
            frame = frame.f_back
        return False
