"""The folder of a sandbox: taken with a lock, so that what a kill left is found."""

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "fcos-grader-run-"
LOCK = "lock"
HOUR_S = 3600


def new_folder() -> tuple[Path, int]:
    """A new empty folder and its open lock; removes those whose grader was killed."""
    _sweep()
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():
            return folder, lock
        os.close(lock)  # another grader took it for a leftover before it was locked


def remove_folder(folder: Path, lock: int) -> None:
    """Remove a folder with all that is in it, and let its lock go."""
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _sweep() -> None:
    """Remove folders of this user that no running grader holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            status = folder.lstat()
        except FileNotFoundError:
            continue  # another grader has removed it since
        try:
            if status.st_uid != os.geteuid() or folder.is_symlink():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            # Being made at this moment, or what was left of a removal.
            if time.time() - status.st_mtime > HOUR_S:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # its grader runs
        finally:
            os.close(lock)
