"""Stand-ins for what files of EECS 498's assignment 4 import beside torch.

Its files begin with `from a4_helper import *`, and those that were written on Colab may
mount a drive. In the sandbox these modules are found by their short names, unless the
submission brings its own that can be loaded. They load nothing but what torch loads;
what needs data or a screen raises NotAllowedError when called.
"""

from collections.abc import Callable
from typing import Any

from grader.worker.vision import NotAllowedError

# Found by these names, and what is in them.
NAMES = ("a4_helper", "eecs598", "google")


def not_here(name: str) -> Callable[..., Any]:
    """A function of this name, which cannot be called while grading."""

    def refuse(*args: Any, **named: Any) -> Any:
        raise NotAllowedError(f"{name} is for notebooks; nothing is shown or trained")

    refuse.__name__ = refuse.__qualname__ = name
    return refuse


class NotebookShell:
    """What `get_ipython()` gives in a script: magics and shell commands do nothing."""

    def run_line_magic(self, *args: Any, **named: Any) -> None:
        """%matplotlib inline."""

    run_cell_magic = system = magic = getoutput = run_line_magic
