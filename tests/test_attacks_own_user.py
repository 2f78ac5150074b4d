"""Attacks behind the walls that a container allows: the level own-user."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.sandbox.sandbox import Level
from grader.sandbox.slots import may_become_others
from tests.attack_grading import (
    ALL,
    LEVEL,
    SHORT,
    Graded,
    expect_no_gain,
    expect_nothing_outside,
    expect_told,
    grade_class,
    needs_walls,
    open_folder,
)

AS_OWN_USER = [attack for attack in ALL if attack.own_user]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder for the classes of this file."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def weaker(place: Path) -> Graded:
    """Some attackers behind the walls that a container allows."""
    level = Level.OWN_USER if may_become_others() else LEVEL
    names = tuple(dict.fromkeys(attack.folder for attack in AS_OWN_USER))
    return grade_class(place / "weaker", names, level, SHORT, ("6.2",))


@needs_walls
@pytest.mark.parametrize("attack", AS_OWN_USER, ids=lambda attack: attack.name)
def test_an_attack_gains_nothing_at_the_level_own_user(weaker, attack):
    """The walls of a container hold, too."""
    expect_no_gain(weaker, attack, ("6.2",))
    expect_told(weaker, attack)


@needs_walls
def test_nothing_happens_outside_the_level_own_user(weaker):
    """No process, file or connection is left; the class has its pages."""
    expect_nothing_outside(weaker)
    assert (weaker.out / "index.html").is_file()
