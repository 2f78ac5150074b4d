"""The bare names by which files of the original assignment import each other."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("assignment", "helpers/a4")


def add_old_names() -> None:
    """Let Python find `common`, `one_stage_detector`, `a4_helper` and `eecs598`.

    They come last, so that no other package of that name is hidden.
    """
    for folder in FOLDERS:
        if str(ROOT / folder) not in sys.path:
            sys.path.append(str(ROOT / folder))
