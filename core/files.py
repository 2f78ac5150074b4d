"""Files and folders that are there whole or not at all, however a command ends."""

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from core.command import CourseError

if sys.platform != "win32":
    import fcntl

LOCK_POLL_S = 0.2
MARKER_FILE = ".demo"  # says that a folder is a demo's own


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield an open file to fill; it takes the name `path` when the body ends.

    Until then an earlier file stays as it was, even if the power fails. What is filled
    is the sibling ".<name>.partial", which is removed after an exception. Of two
    writers the second waits for the first.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    file = _open_alone(partial)
    try:
        yield file
        file.flush()
        os.fsync(file.fileno())
        if sys.platform == "win32":
            file.close()  # no open file is given another name there
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say where
        raise
    finally:
        with contextlib.suppress(OSError):  # a full disk was said above
            file.close()


def _open_alone(path: Path) -> BinaryIO:
    """Open a file, empty, that nobody else writes until it is closed."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
    while True:
        handle = os.open(path, flags, 0o666)
        try:
            _wait_for_lock(handle)
            if _is_at(handle, path):  # whoever had it may have renamed it meanwhile
                os.ftruncate(handle, 0)
                return os.fdopen(handle, "wb")
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _wait_for_lock(handle: int) -> None:
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # some network drives have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that is complete under its name, even if the power fails.

    Args:
        path: the file; an earlier one is replaced.
        content: text becomes UTF-8; what cannot, such as half a character, a "?".

    Raises:
        OSError: it cannot be written; an earlier file is still there.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "replace")
    with new_file(path) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file as a whole; the same content gives the same bytes.

    Raises:
        OSError: it cannot be written; an earlier file is still there.
    """
    write_atomically(path, json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """What `write_json` writes."""
    return (json.dumps(content, indent=1) + "\n").encode()


@contextlib.contextmanager
def locked_folder(
    folder: Path, keep_waiting: Callable[[], bool] = lambda: False
) -> Iterator[int | None]:
    """Hold a lock on an existing folder; the system drops it even after kill -9.

    Args:
        folder: What to lock.
        keep_waiting: Asked again and again while another command holds the lock.

    Yields:
        The open file that carries the lock (a child process given it holds the lock
        too), or None on Windows, where two commands at once go unnoticed.

    Raises:
        CourseError: Another running command holds it, and there is no more waiting.
    """
    if sys.platform == "win32":
        yield None
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        while not _try_lock(handle):
            if not keep_waiting():
                raise CourseError(
                    f"{folder}: another command is writing here; end it or wait for it"
                )
            time.sleep(LOCK_POLL_S)
        yield handle
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def is_free(target: Path) -> bool:
    """Return True if nothing, or only an empty folder, is at `target`."""
    if target.is_dir():
        return not any(target.iterdir())
    return not target.exists()


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes the name `target` when the body ends.

    The folder is the sibling ".<name>.partial". What a killed run left there is
    removed first; after an exception the sibling is removed and `target` untouched.

    Raises:
        CourseError: `target` is taken, another command writes it, or writing fails.
    """
    target = Path(target).resolve()
    if not is_free(target):
        raise CourseError(f"{target}: exists already; give another folder")
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with locked_folder(partial):
            try:
                _clear(partial)
                yield partial
                if target.is_dir():
                    target.rmdir()  # Empty: Windows renames only onto nothing.
                partial.rename(target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except OSError as error:
        place = error.filename2 or error.filename or target  # not what it copied from
        raise CourseError(
            f"{place}: cannot write ({error.strerror}); "
            "free some space or choose another folder"
        ) from error


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


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
