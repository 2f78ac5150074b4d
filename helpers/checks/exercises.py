"""The exercises as the commands speak of them, and how a user may name one.

Nothing here needs torch, so that commands which only read are quick.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.command import CourseError
from core.course import ROOT, id_order, read_registry

MARK = "exercise_of_check"
ALIKE = 0.6  # of the letters; "nsm" is near "nms", "box" is near nothing
Check = TypeVar("Check", bound=Callable[..., Any])


@dataclass(frozen=True)
class Exercise:
    """One function that students write.

    Attributes:
        id: "3.2".
        name: qualified within its file, "FCOSPredictionNetwork.forward".
        file: within assignment/, "fcos_head.py".
        step: what its notebook is about, "The shared head".
        title: what it is, in a few words.
    """

    id: str
    name: str
    file: str
    step: str
    title: str

    @property
    def notebook(self) -> str:
        """Number of the notebook that teaches it, "3"."""
        return self.id.split(".")[0]

    @property
    def command(self) -> str:
        """What runs its checks."""
        return f"python -m helpers.check {self.id}"


def exercise(number: str) -> Callable[[Check], Check]:
    """Mark a check: `@exercise("3.2")` says what it belongs to."""

    def mark(check: Check) -> Check:
        setattr(check, MARK, number)
        return check

    return mark


def read_exercises(root: Path = ROOT) -> dict[str, Exercise]:
    """Number -> exercise, in the order of the course; those that are asked for.

    Raises:
        CourseError: course.toml or a file of assignment/ is missing or wrong.
    """
    registry = read_registry(root)
    found = {}
    for number, exercise in registry.asked(registry.parts).items():
        step = registry.steps[exercise.step].title
        found[number] = Exercise(
            number, exercise.function, exercise.file, step, exercise.title
        )
    return found


def find_exercises(wanted: str, exercises: dict[str, Exercise]) -> list[Exercise]:
    """The exercises that a user means: "3.2", all of step "3", or a name like "nms".

    Raises:
        CourseError: there is no such exercise; near ones are named.
    """
    word = wanted.strip().removesuffix("()")
    if word in exercises:
        return [exercises[word]]
    own = [exercise for exercise in exercises.values() if word == exercise.notebook]
    own = own or [
        exercise
        for exercise in exercises.values()
        if word in (exercise.name, exercise.name.split(".")[-1])
    ]
    if own and (len(own) == 1 or word.isdigit()):
        return own
    near = [exercise.id for exercise in own] or _near(word, exercises)
    advice = f"did you mean {' or '.join(near)}? " if near else ""
    raise CourseError(
        f"there is no exercise {wanted!r}; {advice}python -m helpers.check list "
        "shows all"
    )


def find_exercise(wanted: str, exercises: dict[str, Exercise]) -> Exercise:
    """The one exercise that a user means.

    Raises:
        CourseError: there is none, or the word means a whole step.
    """
    found = find_exercises(wanted, exercises)
    if len(found) != 1:
        raise CourseError(
            f"{wanted!r} is a whole step; choose one exercise of "
            + ", ".join(exercise.id for exercise in found)
        )
    return found[0]


def _near(word: str, exercises: dict[str, Exercise]) -> list[str]:
    """Numbers of exercises whose number or name is near to the word."""
    numbers = re.findall(r"\d+", word)
    if numbers and not re.search(r"[a-zA-Z]{2}", word):
        if len(numbers) == 1:  # "32" is near 3.2, "101" near 10.1 and 1.01
            digits = numbers[0]
            numbers = [digits[:-1], digits[-1:]]
            same = [number for number in exercises if number.replace(".", "") == digits]
            if same:
                return same
        same = [".".join(numbers[:2])]
        if same[0] in exercises:
            return same
        step = id_order(numbers[0])
        return [number for number in exercises if id_order(number)[:1] == step][-3:]
    by_name: dict[str, str] = {}
    for number, exercise in exercises.items():
        by_name[exercise.name.lower()] = number
        by_name.setdefault(exercise.name.split(".")[-1].lower(), number)
    close = difflib.get_close_matches(word.lower(), by_name, n=3, cutoff=ALIKE)
    close = close or [
        name for name in by_name if len(word) > 2 and word.lower() in name
    ]
    return list(dict.fromkeys(by_name[name] for name in close))[:3]
