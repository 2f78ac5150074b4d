"""The map of the course: which exercise is where. Read from notebooks/README.md.

Nothing here needs torch, so that commands which only read are quick.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from data_scripts.command import CourseError

ROOT = Path(__file__).resolve().parents[2]
MAP = Path("notebooks/README.md")
# | [2 Backbone and FPN](02_b.ipynb) | 2.1 | `make_fpn_layers` | `common.py` |
ROW = re.compile(
    r"^\|([^|]*)\|\s*(\d\.\d)\s*\|\s*`([\w.]+)`\s*\|\s*`(\w+\.py)`\s*\|", re.MULTILINE
)
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
TITLE = r"Exercise {} \(about \d+ lines\): (.+)"
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
        title: first line of its docstring; empty if the file does not have it.
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
    """Number -> exercise, in the order of the map.

    Raises:
        CourseError: the map or a file of assignment/ is missing.
    """
    found = {}
    step = ""
    for first, number, name, file in ROW.findall(_read(root / MAP)):
        heading = LINK.sub(r"\1", first).strip()
        step = heading.removeprefix(number.split(".")[0]).strip() or step
        source = _read(root / "assignment" / file)
        title = re.search(TITLE.format(re.escape(number)), source)
        text = title[1].strip().rstrip(".") if title else ""
        found[number] = Exercise(number, name, file, step, text)
    if not found:
        raise CourseError(
            f"{root / MAP}: no exercise stands in its table; fetch the course again"
        )
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise CourseError(
            f"{path}: cannot read it ({error.strerror}); fetch the course again"
        ) from error


def find_exercises(wanted: str, exercises: dict[str, Exercise]) -> list[Exercise]:
    """The exercises that a user means: "3.2", all of step "3", or a name like "nms".

    Raises:
        CourseError: there is no such exercise; near ones are named.
    """
    word = wanted.strip().removesuffix("()")
    if word in exercises:
        return [exercises[word]]
    own = [each for each in exercises.values() if word == each.notebook]
    own = own or [
        each
        for each in exercises.values()
        if word in (each.name, each.name.split(".")[-1])
    ]
    if own and (len(own) == 1 or word.isdigit()):
        return own
    near = [each.id for each in own] or _near(word, exercises)
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
            + ", ".join(each.id for each in found)
        )
    return found[0]


def _near(word: str, exercises: dict[str, Exercise]) -> list[str]:
    """Numbers of exercises whose number or name is near to the word."""
    digits = re.findall(r"\d", word)
    if digits and not re.search(r"[a-zA-Z]{2}", word):
        same = ".".join(digits[:2])
        if same in exercises:
            return [same]
        return [number for number in exercises if number[0] == digits[0]][-3:]
    by_name: dict[str, str] = {}
    for number, each in exercises.items():
        by_name[each.name.lower()] = number
        by_name.setdefault(each.name.split(".")[-1].lower(), number)
    close = difflib.get_close_matches(word.lower(), by_name, n=3, cutoff=ALIKE)
    close = close or [
        name for name in by_name if len(word) > 2 and word.lower() in name
    ]
    return list(dict.fromkeys(by_name[name] for name in close))[:3]
