"""What each level keeps a submission from; docs/sandbox.md has the same table."""

from collections.abc import Collection
from dataclasses import dataclass

from grader.sandbox.levels import Level


@dataclass(frozen=True)
class Promise:
    """A row of the table.

    Attributes:
        words: what a submission cannot do.
        own_user_needs: what of the kernel the level "own user" keeps it with; "": it
            needs nothing more than another user and limits.
        bubblewrap_needs: the same of bubblewrap, beside its namespaces.
        without_walls: whether limits alone keep it.
    """

    words: str
    own_user_needs: str = ""
    bubblewrap_needs: str = ""
    without_walls: bool = False

    def holds(self, level: Level, missing: Collection[str] = ()) -> bool:
        """Whether a level keeps it where the kernel lacks these features."""
        if level is Level.NONE:
            return self.without_walls
        own = level is Level.OWN_USER
        needs = self.own_user_needs if own else self.bubblewrap_needs
        return needs not in missing


LANDLOCK, SECCOMP = "Landlock", "seccomp"
HIDDEN = Promise("read hidden tests, references, solution, grades", LANDLOCK)
SIBLINGS = Promise("read other submissions", LANDLOCK)
FILES = Promise("read other files that all users may read", LANDLOCK)
MEMORY = Promise("read memory and environment of the grader")
COMMANDS = Promise("see which commands run, with their arguments", LANDLOCK)
NETWORK = Promise("use the network", SECCOMP)
MAKING = Promise("make files, start programs, signal others", SECCOMP, SECCOMP)
ENDLESS = Promise("go on for ever, take all memory, print for ever", without_walls=True)
ANSWERS = Promise(
    "answer what was not asked, or end as if all were well", without_walls=True
)
PROMISES = (
    HIDDEN,
    SIBLINGS,
    FILES,
    MEMORY,
    COMMANDS,
    NETWORK,
    MAKING,
    ENDLESS,
    ANSWERS,
)
