"""Which walls this machine gives, tried out, and whether they are enough.

1. BUBBLEWRAP: namespaces of its own for files, processes, network and the rest.
2. OWN_USER: in a container that allows no namespaces; a user of its own, Landlock and a
   filter of system calls as far as the kernel has them.
3. NONE: a process of its own with limits; for one's own work only.
"""

import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from core.command import CourseError
from grader.sandbox.bubblewrap import why_no_bubblewrap
from grader.sandbox.level import Level
from grader.sandbox.slots import may_become_others, open_to_others
from grader.sandbox.trial import try_level
from grader.worker.landlock import has_landlock
from grader.worker.lockdown import has_seccomp


@dataclass(frozen=True)
class Probe:
    """What this machine gives.

    Attributes:
        level: the strongest level that works here.
        reason: why it is this one, and how to get a better one; a sentence or two.
    """

    level: Level
    reason: str


def probe_level() -> Probe:
    """The strongest level that works on this machine, tried out as a run uses it."""
    problem = why_no_bubblewrap() or try_level(Level.BUBBLEWRAP).problem
    if not problem:
        return Probe(Level.BUBBLEWRAP, "bubblewrap works here")
    if may_become_others():
        own_problem = try_level(Level.OWN_USER).problem
        if own_problem:
            return Probe(
                Level.NONE, f"{problem}; and with a user of its own {own_problem}"
            )
        parts = [
            "a filter of system calls" if has_seccomp() else "no seccomp here",
            "Landlock" if has_landlock() else "no Landlock here",
        ]
        reason = f"{problem}; instead a user of its own, {', '.join(parts)}"
        return Probe(Level.OWN_USER, reason)
    return Probe(
        Level.NONE, f"{problem}; and only root could start a user of its own instead"
    )


def missing_walls(level: Level) -> tuple[str, ...]:
    """What this kernel lacks of what the level promises, tried out; in words."""
    if level is Level.NONE:
        return ("a sandbox",)
    missing = set(try_level(level).missing)
    if level is Level.OWN_USER and not has_landlock():
        missing.add("Landlock")
    if not has_seccomp():
        missing.add("seccomp")
    return tuple(sorted(missing))


def danger_of(level: Level, missing: Collection[str]) -> str:
    """What the code of submissions can do where this is missing, in words."""
    if level is Level.NONE:
        return (
            "without a sandbox, submissions can do all that you can: read hidden "
            "tests and other students' work, change grades, use the network"
        )
    dangers = []
    if "Landlock" in missing:
        dangers.append(
            "read what is not root's alone: hidden tests, their references and other "
            "students' work"
        )
    if "seccomp" in missing:
        dangers.append("start programs, and leave files for later tests")
        if level is Level.OWN_USER:
            dangers.append("use the network")
    gaps = " and ".join(missing)
    return f"without {gaps}, submissions can {'; '.join(dangers)}"


def require_walls(probe: Probe, unsafe: bool) -> None:
    """Refuse to run other people's code without walls, unless that was asked for.

    With --unsafe the danger is printed, before anything else.

    Args:
        probe: the level that is going to be used, and why.
        unsafe: --unsafe was said.

    Raises:
        CourseError: there are none, or they have a gap.
    """
    missing = missing_walls(probe.level)
    if not missing:
        return
    danger = danger_of(probe.level, missing)
    if unsafe:
        print(f"--unsafe: {danger}; only for code that you have read", file=sys.stderr)
    elif probe.level is Level.NONE:
        raise CourseError(
            f"this machine gives no sandbox ({probe.reason}); grade on one that does, "
            "or say --unsafe for code that you have read yourself"
        )
    else:
        raise CourseError(
            f"sandbox level {probe.level.value}: {danger} ({probe.reason}); grade on "
            "a machine with bubblewrap or a newer kernel, or say --unsafe for code "
            "that you have read yourself"
        )


def require_closed(paths: Iterable[Path]) -> None:
    """For one submission alone: what it must not read is closed to other users.

    Args:
        paths: files, and folders with all that is in them.

    Raises:
        CourseError: one can be opened.
    """
    path = open_to_others(paths)
    if path is not None:
        raise CourseError(
            f"{path}: every user can open it, and this kernel has no Landlock to keep "
            "submissions from it; make it root's alone (chmod -R go-rwx)"
        )
