"""Which walls a grading run has, said before it starts."""

import sys
from collections.abc import Sequence
from pathlib import Path

from core.command import CourseError
from grader.sandbox.levels import (
    Level,
    Probe,
    missing_walls,
    probe_level,
    require_closed,
    require_walls,
)
from grader.sandbox.trial import try_level

ORDER = (Level.BUBBLEWRAP, Level.OWN_USER, Level.NONE)  # from the strongest


def choose_level(
    wanted: str | None, unsafe: bool, alone_with: Sequence[Path] | None = None
) -> Level:
    """The strongest level of this machine, or a weaker one that was asked for.

    Args:
        wanted: name of a level.
        unsafe: grade although there are no walls, or they have a gap.
        alone_with: on a service that grades one submission in a container of its own:
            all that it must not read. Where there is no Landlock, a user of its own is
            enough if all of this is root's alone.

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
    problem = try_level(level).problem if level is not probe.level else ""
    if problem:
        raise CourseError(f"--level {wanted}: does not work here ({problem})")
    if level is Level.NONE and probe.level is not Level.NONE and not unsafe:
        raise CourseError("--level none: has no walls; say --unsafe too if you mean it")
    gaps = ""
    if alone_with is not None and level is not Level.NONE:
        missing = missing_walls(level)
        if "Landlock" in missing:
            require_closed(alone_with)
        gaps = "".join(f"; no {feature} here" for feature in missing)
    else:
        require_walls(Probe(level, probe.reason), unsafe)
    print(f"sandbox level: {level.value} ({probe.reason}){gaps}", file=sys.stderr)
    return level
