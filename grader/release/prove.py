"""Prove a built release in a process of its own, away from the source."""

import json
import subprocess
import sys
from pathlib import Path

from core.command import CourseError
from core.course import PACKAGE, Registry

CHILD = Path(__file__).resolve().with_name("prove_child.py")
TIME_LIMIT_S = 300  # importing torch takes seconds; a loaded machine some more


def prove_release(copy: Path, registry: Registry) -> None:
    """Every exercise raises NotImplementedError with its id; the course imports.

    Args:
        copy: folder of the release; nothing is written there.
        registry: what its course.toml says.

    Raises:
        CourseError: an exercise answers otherwise, or a module cannot be imported.
    """
    asked = {
        "modules": [f"{PACKAGE}.{name}" for name in registry.modules],
        "exercises": [
            (f"{PACKAGE}.{exercise.module}", exercise.id, exercise.function)
            for exercise in registry.exercises.values()
        ],
    }
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-B", str(CHILD), json.dumps(asked)],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CourseError(
            f"{copy}: the release did not answer within {TIME_LIMIT_S} s; "
            "import its modules by hand to see what waits"
        ) from None
    try:
        problems = json.loads(answer.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        raise CourseError(
            f"the built release could not be tried out ({last}); repair the source"
        ) from None
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CourseError(
            f"the built release is not as it should be: {problems[0]}{more}; "
            "repair the source in assignment/"
        )
