"""What hints.toml says of each exercise: three hints, and what its checks leave out."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from data_scripts.command import CourseError

FILE = Path(__file__).with_name("hints.toml")
LEVELS = ("a nudge", "a plan", "nearly code")


@dataclass(frozen=True)
class Hints:
    """The texts of one exercise.

    Attributes:
        needs: numbers of the exercises whose functions this one calls.
        read: a heading of its notebook, "And back again".
        unseen: what only hidden tests try.
        levels: three hints, each says more than the one before.
    """

    needs: tuple[str, ...]
    read: str
    unseen: str
    levels: tuple[str, str, str]


@lru_cache
def read_hints() -> dict[str, Hints]:
    """Number of the exercise -> its texts.

    Raises:
        CourseError: the file is missing or broken.
    """
    try:
        tables = tomllib.loads(FILE.read_text("utf-8"))
        return {
            number: Hints(
                tuple(table.get("needs", ())),
                table["read"],
                table["unseen"],
                (table["nudge"].strip(), table["plan"].strip(), table["code"].strip()),
            )
            for number, table in tables.items()
        }
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(
            f"{FILE}: cannot be read ({error}); fetch the course again"
        ) from error


def hint_text(number: str, level: int) -> str:
    """Hint of one level, 1 to 3, and how to see the next one."""
    text = read_hints()[number].levels[level - 1]
    head = f"Hint {level} of {len(LEVELS)} for {number}, {LEVELS[level - 1]}:"
    return f"{head}\n\n{text}"
