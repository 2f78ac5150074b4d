"""Which walls a grading run has, said before it starts."""

import sys

from data_scripts.command import CourseError
from grader.sandbox.levels import Level, probe_level, require_walls

ORDER = (Level.BUBBLEWRAP, Level.OWN_USER, Level.NONE)  # from the strongest


def choose_level(wanted: str | None, unsafe: bool) -> Level:
    """The strongest level of this machine, or a weaker one that was asked for.

    Raises:
        CourseError: there are no walls, or none such, and --unsafe was not said.
    """
    probe = probe_level()
    level = Level(wanted) if wanted else probe.level
    if ORDER.index(level) < ORDER.index(probe.level):
        raise CourseError(
            f"--level {wanted}: this machine does not have it ({probe.reason}); leave "
            "the option out"
        )
    if level is Level.NONE and probe.level is not Level.NONE and not unsafe:
        raise CourseError("--level none: has no walls; say --unsafe too if you mean it")
    require_walls(probe, unsafe)
    print(f"sandbox level: {level.value} ({probe.reason})", file=sys.stderr)
    return level
