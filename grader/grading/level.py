"""Which walls a grading run has, tried as `doctor` tries them, before it starts."""

import os
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
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

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
TRIAL_S = 900.0  # far above what the attacks take; then their process is ended
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
        CourseError: there are no walls, or none such, or they do not hold, and --unsafe
            was not said.
    """
    for name in ONE_THREAD:  # read when torch is imported
        os.environ[name] = "1"
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
    missing: tuple[str, ...] = ()
    if alone_with is not None and level is not Level.NONE:
        missing = missing_walls(level)
        if "Landlock" in missing:
            require_closed(alone_with)
    else:
        require_walls(Probe(level, probe.reason), unsafe)
    gaps = "".join(f"; no {feature} here" for feature in missing)
    held = "" if unsafe or level is Level.NONE else require_to_hold(level, missing)
    print(f"sandbox level: {level.value} ({probe.reason}{held}){gaps}", file=sys.stderr)
    return level


def require_to_hold(level: Level, missing: Collection[str] = ()) -> str:
    """Try the attacks of `doctor` that end by themselves; say in words that they did.

    Args:
        level: that is going to be used.
        missing: what this kernel lacks of it.

    Raises:
        CourseError: one got through, or it cannot be told.
    """
    # They import torch, after all that can be said without it.
    from grader.doctor.attacks import attacks_on
    from grader.doctor.examine import Verdict, examine
    from grader.grading.forks import Job, run_jobs

    attacks = [attack for attack in attacks_on(level, missing) if attack.is_quick]

    def work() -> list[tuple[str, str, str]]:
        return [
            (finding.attack, finding.verdict.value, finding.how)
            for finding in examine(level, attacks, missing)
        ]

    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fcos-walls-") as folder:
        (answer,) = run_jobs([Job("walls", work, Path(folder) / "walls", TRIAL_S)], 1)
    if answer.problem:
        raise CourseError(f"sandbox level {level.value}: {answer.problem}")
    for attack, verdict, how in answer.value:
        if verdict == Verdict.GOT_THROUGH.value:
            raise CourseError(
                f"sandbox level {level.value}: the attack {attack!r} got through "
                f"({how}); `python -m grader doctor` tries them all"
            )
        if verdict == Verdict.UNKNOWN.value:
            raise CourseError(
                f"sandbox level {level.value}: could not tell whether it stops the "
                f"attack {attack!r} ({how}); call this again when the machine is less "
                "busy"
            )
    seconds = time.perf_counter() - began
    return f"; {len(answer.value)} attacks stopped in {seconds:.1f} s"
