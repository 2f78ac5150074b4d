"""Stand-ins for what files of EECS 498's assignment 4 import beside torch.

Its files begin with `from a4_helper import *`. In the sandbox these modules are
found by their short names, unless the submission brings its own. They load nothing but
what torch loads; what needs data or a screen raises NotAllowedError when called.
"""

from collections.abc import Callable
from typing import Any

from grader.worker.vision import NotAllowedError

# Found by these names, and what is in them.
NAMES = ("a4_helper", "eecs598")


def not_here(name: str) -> Callable[..., Any]:
    """A function of this name, which cannot be called while grading."""

    def refuse(*args: Any, **named: Any) -> Any:
        raise NotAllowedError(f"{name} is for notebooks; nothing is shown or trained")

    refuse.__name__ = refuse.__qualname__ = name
    return refuse
