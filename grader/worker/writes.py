"""What files write while they are loaded, a log or a folder for runs, goes nowhere.

No test can make a file, so such a line in an honest file cost all its points.
This is a convenience in front of the walls and none of them: the kernel is asked first,
and what it refuses is written to /dev/null, which keeps nothing for another test.
"""

import builtins
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

TEMPORARY = "/tmp"
COLAB = (Path("/content"), Path("/kaggle/working"))
READ_ONLY = 30  # errno.EROFS
WRITING = frozenset("wax")


@contextmanager
def writes_go_nowhere(folder: Path) -> Iterator[None]:
    """While a file is loaded, new files and folders are refused without an error.

    Args:
        folder: the submission; below it, in /tmp, at home, and in Colab's folders.
            Elsewhere the refusal is told.
    """
    own = (folder.resolve(), Path(TEMPORARY).resolve(), Path.home(), *COLAB)
    replaced: list[tuple[Any, str, Any, Any]] = []
    for place, name, make in (
        (builtins, "open", _opening),
        (io, "open", _opening),
        (os, "open", _opening_low),
        (os, "mkdir", _making),
        (os, "chdir", _going),
        (tempfile, "NamedTemporaryFile", _naming),
        (torch, "save", _saving),
        (np, "savez", _saving),
        (np, "savez_compressed", _saving),
        (np, "savetxt", _saving),
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


def _opening_low(real: Callable[..., Any], own: tuple[Path, ...]) -> Callable[..., Any]:
    """os.open, which Path.touch and temporary files take."""

    def open_or_drop(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        try:
            number: int = real(path, flags, *arguments, **named)
        except OSError as error:
            if not (flags & os.O_CREAT and _is_harmless(error, path, own)):
                raise
            number = real(os.devnull, flags & (os.O_ACCMODE | os.O_CLOEXEC))
        return number

    return open_or_drop


def _naming(real: Callable[..., Any], own: tuple[Path, ...]) -> Callable[..., Any]:
    """A temporary file that was never made need not be removed."""

    def name_or_drop(*arguments: Any, **named: Any) -> Any:
        file = real(*arguments, **named)
        if not Path(file.name).exists():
            for part in (file, file._closer):
                part.delete = False
        return file

    return name_or_drop


def _saving(real: Callable[..., Any], own: tuple[Path, ...]) -> Callable[..., Any]:
    """Functions that write a file by its path, in ways of their own."""

    def save_or_drop(*arguments: Any, **named: Any) -> None:
        try:
            real(*arguments, **named)
        except Exception:
            given = [*arguments, *named.values()]
            paths = [part for part in given if isinstance(part, str | os.PathLike)]
            new = [path for path in paths if not Path(os.fsdecode(path)).exists()]
            if not any(_is_below(path, own) for path in new):
                raise

    return save_or_drop


def _going(real: Callable[..., Any], own: tuple[Path, ...]) -> Callable[..., Any]:
    """os.chdir to a folder of Colab, which is not here."""

    def go_or_stay(path: Any) -> None:
        try:
            real(path)
        except FileNotFoundError:
            if isinstance(path, int) or not _is_below(path, COLAB):
                raise

    return go_or_stay


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
    return Path(os.fsdecode(path)) == Path(os.devnull) or _is_below(path, own)


def _is_below(path: Any, places: tuple[Path, ...]) -> bool:
    full = Path(os.fsdecode(path)).resolve()
    return any(full == place or place in full.parents for place in places)


def _open_null(path: str, flags: int) -> int:
    """Without the flag that makes a file, which the walls refuse here, too."""
    return os.open(os.devnull, flags & (os.O_ACCMODE | os.O_CLOEXEC))
