"""What files write while they are loaded, a log or a folder for runs, goes nowhere.

No test can make a file, so such a line in an honest file cost all its points.
This is a convenience in front of the walls and none of them: the kernel is asked first,
and what it refuses is written to /dev/null, which keeps nothing for another test.
"""

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = "/tmp"
READ_ONLY = 30  # errno.EROFS
WRITING = frozenset("wax")


@contextmanager
def writes_go_nowhere(folder: Path) -> Iterator[None]:
    """While a file is loaded, new files and folders are refused without an error.

    Args:
        folder: the submission; below it, and in /tmp. Elsewhere the refusal is told.
    """
    own = (folder.resolve(), Path(TEMPORARY).resolve())
    replaced: list[tuple[Any, str, Any, Any]] = []
    for place, name, make in (
        (builtins, "open", _opening),
        (io, "open", _opening),
        (os, "mkdir", _making),
    ):
        real = getattr(place, name)
        replaced.append((place, name, real, make(real, own)))
        setattr(place, name, replaced[-1][-1])
    try:
        yield
    finally:
        for place, name, real, ours in replaced:
            if getattr(place, name) is ours:
                setattr(place, name, real)


def _opening(real: Callable[..., Any], own: tuple[Path, ...]) -> Callable[..., Any]:
    def open_or_drop(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        try:
            return real(file, mode, *arguments, **named)
        except OSError as error:
            if not (WRITING & set(mode) and _is_harmless(error, file, own)):
                raise
        named["opener"] = _open_null
        return real(file, mode, *arguments[:5], **named)

    return open_or_drop


def _making(real: Callable[..., Any], own: tuple[Path, ...]) -> Callable[..., Any]:
    def mkdir_or_not(path: Any, *arguments: Any, **named: Any) -> None:
        try:
            real(path, *arguments, **named)
        except OSError as error:
            if not _is_harmless(error, path, own):
                raise

    return mkdir_or_not


def _is_harmless(error: OSError, path: Any, own: tuple[Path, ...]) -> bool:
    """Whether a wall refused to make something where an honest file would."""
    if not (isinstance(error, PermissionError) or error.errno == READ_ONLY):
        return False
    if isinstance(path, int):
        return False
    full = Path(os.fsdecode(path)).resolve()
    return full == Path(os.devnull) or any(place in full.parents for place in own)


def _open_null(path: str, flags: int) -> int:
    """Without the flag that makes a file, which the walls refuse here, too."""
    return os.open(os.devnull, flags & (os.O_ACCMODE | os.O_CLOEXEC))
