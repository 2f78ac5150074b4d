"""The names of the levels; grader/sandbox/levels.py says which one a machine gives."""

import enum


class Level(enum.Enum):
    """How strong the walls are; the value is the name in reports."""

    BUBBLEWRAP = "bubblewrap"
    OWN_USER = "own user"
    NONE = "none"
