"""What is said of each exercise: three hints, and what its checks leave out."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.command import CourseError
from core.field_types import Text, check_value, read_table

FOLDER = Path(__file__).parent
FILES = "hints*.toml"  # hints.toml, and files of their own for more parts
LEVELS = ("a nudge", "a plan", "nearly code")


@dataclass(frozen=True)
class Hints:
    """The texts of one exercise.

    Attributes:
        read: a heading of its notebook, "And back again".
        unseen: what only hidden tests try.
        levels: three hints, each says more than the one before.
    """

    read: str
    unseen: str
    levels: tuple[str, str, str]


@lru_cache
def read_hints() -> dict[str, Hints]:
    """Number of the exercise -> its texts, of all files hints*.toml.

    Raises:
        CourseError: a file is missing or broken.
    """
    found: dict[str, Hints] = {}
    for path in sorted(FOLDER.glob(FILES)):
        found |= _read(path)
    return found


@dataclass(frozen=True)
class _Table:
    read: Text
    unseen: Text
    nudge: Text
    plan: Text
    code: Text


def _read(path: Path) -> dict[str, Hints]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(
            f"{path}: cannot be read ({error}); fetch the course again"
        ) from error
    found = {}
    for number, content in tables.items():
        place = f"{path}: {number}"
        check_value(content, dict[str, Text], place)
        table = read_table(content, _Table, place)
        levels = (table.nudge.strip(), table.plan.strip(), table.code.strip())
        found[number] = Hints(table.read, table.unseen, levels)
    return found


def hints_of(number: str) -> Hints:
    """The texts of one exercise.

    Raises:
        CourseError: it has none.
    """
    found = read_hints().get(number)
    if found is None:
        raise CourseError(
            f"exercise {number} has no hint; write its table in a file "
            f"helpers/checks/{FILES}, as hints.toml says"
        )
    return found


def hint_text(number: str, level: int) -> str:
    """Hint of one level, 1 to 3, and how to see the next one."""
    text = hints_of(number).levels[level - 1]
    head = f"Hint {level} of {len(LEVELS)} for {number}, {LEVELS[level - 1]}:"
    return f"{head}\n\n{text}"
