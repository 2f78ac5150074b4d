"""Grade a class with attackers by the real command, and what must hold for them."""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.sandbox.levels import Level, probe_level
from tests.attack_archives import id_of_wrong, write_archives
from tests.attack_class import (
    CONTROL,
    FUNCTIONS,
    HONEST_RIGHT,
    ROOT,
    Attack,
    read_attacks,
    write_attack,
    write_honest,
    write_term,
)
from tests.attack_run import Listener, Ran, run_grade

ALL = read_attacks()
# It costs each test its whole time, so it is graded on few: behind the weaker walls.
ENDLESS_IMPORT = "endless_import"
ATTACKS = [attack for attack in ALL if attack.folder != ENDLESS_IMPORT]
FOLDERS = tuple(dict.fromkeys(attack.folder for attack in ATTACKS))
EXERCISES = (CONTROL, *FUNCTIONS)
# Small, so that what has no end reaches them soon.
LIMITS = (
    "cpu_seconds=2",
    "call_seconds=4",
    "memory_mb=256",
    "output_mb=1",
    "answers_mb=16",
)
SHORT = ("cpu_seconds=1", *LIMITS[1:])
JOBS = 4  # more than processors, since some of the attackers only wait
LEVEL = probe_level().level
# In CI a machine without walls is a failure: the command refuses to grade there.
needs_walls = pytest.mark.skipif(
    LEVEL is Level.NONE and not os.environ.get("CI"),
    reason="no sandbox on this machine: nothing hostile is run",
)


@dataclass
class Graded:
    """A run on a class, and what it wrote."""

    ran: Ran
    out: Path
    mark: str
    calls: int
    said: dict[str, str]

    def results(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(
            (self.out / name / "results.json").read_text()
        )
        return content

    def tests(self, name: str, exercise: str) -> list[dict[str, Any]]:
        chosen = (exercise,) if exercise != "all" else EXERCISES
        return [
            test for test in self.results(name)["tests"] if test["number"] in chosen
        ]


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that a sandbox's user could enter, if the walls let it."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-class-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def grade_class(
    folder: Path,
    names: tuple[str, ...],
    level: Level,
    limits: tuple[str, ...],
    exercises: tuple[str, ...],
) -> Graded:
    """Write a class of honest students and these attackers, and grade it.

    Args:
        folder: for the class and its results.
        names: of attackers, see attack_class.write_attack.
        level: of the sandbox.
        limits: of each test.
        exercises: that are graded.
    """
    mark = f"mark{secrets.token_hex(6)}"
    students, out, term = folder / "class", folder / "out", folder / "term"
    students.mkdir(parents=True)
    write_term(term, mark)
    write_honest(students)
    if names and CONTROL not in exercises:  # a few attackers only
        shutil.rmtree(students / HONEST_RIGHT)
    with Listener() as listener:
        places = {
            **{"@ROOT@": str(ROOT), "@CLASS@": str(students), "@OUT@": str(out)},
            **{"@TERM@": str(term), "@PORT@": str(listener.port), "@MARK@": mark},
            "@PID@": str(2**22 - 1),
        }
        for name in names:
            write_attack(students, name, places)
        said = write_archives(students, mark) if names == FOLDERS else {}
        options = [
            "--references",
            str(term),
            "--level",
            level.value,
            "--limits",
            *limits,
            "--exercises",
            *exercises,
        ]
        ran = run_grade(str(students), "--out", str(out), "--jobs", str(JOBS), *options)
    return Graded(ran, out, mark, listener.calls, said)


def expect_no_gain(graded: Graded, attack: Attack, exercises: tuple[str, ...]) -> None:
    """No more points than the honest wrong answer, in no more than the bound."""
    results = graded.results(attack.folder)
    assert results["execution_time"] < attack.seconds
    assert results["extra_data"]["status"] == "finished"
    for exercise in set(exercises) - {CONTROL}:
        is_in_all = FUNCTIONS[exercise][0] != FUNCTIONS["1.1"][0]  # of CONTROL's file
        if attack.exercise == exercise or (attack.exercise == "all" and is_in_all):
            honest = graded.results(id_of_wrong())["extra_data"]["exercises"][exercise]
            got = results["extra_data"]["exercises"][exercise]
            assert got["score"] <= honest["score"]
            assert attack.exercise == "all" or honest["score"] == attack.score


def expect_told(graded: Graded, attack: Attack) -> None:
    """Its tests end as attacks.toml says, and the student reads a clear line."""
    tests = graded.tests(attack.folder, attack.exercise)
    tests = [test for test in tests if test["status"] == "failed"]
    labels = {tag for test in tests for tag in test["tags"]}
    if attack.categories:
        assert labels <= set(attack.categories), labels
        assert attack.categories[0] in labels
    assert any(attack.says in test["output"] for test in tests)


def expect_nothing_outside(graded: Graded) -> None:
    """No process, no file, no connection, nothing that was found."""
    assert graded.ran.left == []
    assert graded.ran.forgotten == []
    assert graded.calls == 0
    for folder in (
        "/tmp",
        "/dev/shm",
        "/var/tmp",
        ROOT,
        Path.home(),
        graded.out.parent,
    ):
        assert list(Path(folder).glob(f"*{graded.mark}*")) == []
    for path in graded.out.rglob("*"):
        if path.is_file():
            assert "GOT-THROUGH" not in path.read_text(), path
