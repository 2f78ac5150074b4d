"""The folder of a demo: cleared by the next demo, and by nothing else."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from core.command import CourseError

MARKER_FILE = ".demo"  # says that a folder is a demo's own


def clear_folder(out: Path, own: Sequence[str]) -> None:
    """Make room for a demo: create the folder, or clear one of an earlier demo.

    Args:
        out: folder of the demo.
        own: names of folders in it that go.

    Raises:
        CourseError: there are files that no demo wrote, or it cannot be written.
    """
    marker = out / MARKER_FILE
    try:
        if out.exists() and not marker.is_file() and any(out.iterdir()):
            raise CourseError(
                f"{out} holds files that no demo wrote; give another --out"
            )
        for name in own:
            if (out / name).exists():
                shutil.rmtree(out / name)
        out.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as error:
        raise CourseError(
            f"{out} cannot be written ({error.strerror}); give another --out"
        ) from error
