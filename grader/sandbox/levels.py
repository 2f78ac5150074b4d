"""Which walls this machine gives, tried out, and whether they are enough.

1. BUBBLEWRAP: namespaces of its own for files, processes, network and the rest.
2. OWN_USER: in a container that allows no namespaces; a user of its own, Landlock and a
   filter of system calls as far as the kernel has them.
3. NONE: a process of its own with limits; for one's own work only.
"""

import enum
from dataclasses import dataclass

from data_scripts.command import CourseError
from grader.sandbox.bubblewrap import why_no_bubblewrap
from grader.sandbox.slots import may_become_others
from grader.worker.landlock import landlock_version
from grader.worker.lockdown import has_seccomp


class Level(enum.Enum):
    """How strong the walls are; the value is the name in reports."""

    BUBBLEWRAP = "bubblewrap"
    OWN_USER = "own user"
    NONE = "none"


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
    """The strongest level that works on this machine, tried out."""
    problem = why_no_bubblewrap()
    if problem is None:
        return Probe(Level.BUBBLEWRAP, "bubblewrap works here")
    if may_become_others():
        parts = [
            "a filter of system calls" if has_seccomp() else "no seccomp here",
            "Landlock" if landlock_version() else "no Landlock here",
        ]
        reason = f"{problem}; instead a user of its own, {', '.join(parts)}"
        return Probe(Level.OWN_USER, reason)
    return Probe(
        Level.NONE, f"{problem}; and only root could start a user of its own instead"
    )


def require_walls(probe: Probe, unsafe: bool) -> None:
    """Refuse to run other people's code without walls, unless that was asked for.

    Raises:
        CourseError: there are none.
    """
    if probe.level is Level.NONE and not unsafe:
        raise CourseError(
            f"this machine gives no sandbox ({probe.reason}); grade on one that does, "
            "or say --unsafe for code that you have read yourself"
        )
