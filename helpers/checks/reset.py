"""Put the start of one exercise back, and keep the student's file."""

import ast
import contextlib
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from core.command import CourseError
from core.course import read_registry
from core.files import new_file
from helpers.checks.exercises import ROOT, Exercise
from helpers.checks.places import look_for, names_before, split_lines

# Written by the release tool; where the solutions are, it is not there. Number of an
# exercise -> its function, and name of a file -> all of it.
STUBS = Path("helpers/checks/stubs.json")
KEPT = Path("runs/kept")  # copies of files that were changed by a reset


class Done(NamedTuple):
    """What a reset did.

    Attributes:
        path: of the file that was changed.
        kept: the copy of it as it was; None if there was no file.
        note: a sentence, if more than the one function was put back; else empty.
    """

    path: Path
    kept: Path | None
    note: str


def reset(exercise: Exercise, root: Path = ROOT) -> Done:
    """Put an exercise back to its start, whatever became of its function or its file.

    Args:
        exercise: which.
        root: the folder of the course.

    Raises:
        CourseError: here are no stubs, or a file cannot be read or written.
    """
    stubs = _stubs_of(exercise, root)
    path = root / "assignment" / exercise.file
    content = _read(path)
    text = None
    with contextlib.suppress(UnicodeDecodeError):
        text = content.decode("utf-8") if content is not None else None
    new = _replaced(text, exercise, stubs) if text is not None else None
    note = ""
    if new is None:
        own = read_registry(root).exercises.values()
        others = [
            (other.id, other.function)
            for other in own
            if other.file == exercise.file and other.id != exercise.id
        ]
        new, note = _rebuilt(text, exercise, stubs, others)
    if text is not None and "\r\n" in text:
        new = new.replace("\n", "\r\n")
    kept = None if content is None else keep(content, exercise.file, root)
    try:
        path.parent.mkdir(exist_ok=True)
        replace_unchanged(path, content, new.encode())
    except OSError as error:
        raise CourseError(
            f"{path}: cannot be written ({error.strerror}); free space or close it"
        ) from error
    return Done(path, kept, note)


def _replaced(text: str, exercise: Exercise, stubs: dict[str, str]) -> str | None:
    """The file with the stub in the function's place, or in the place it should have.

    Returns:
        The new text, or None: it is not clear where that place is.
    """
    lines = split_lines(text)
    stub = stubs[exercise.id].splitlines()
    place = look_for(text, exercise.name)
    if place is not None:
        begin, end = place
        lines[begin - 1 : end] = stub
        return "\n".join(lines) + "\n"
    blanks = [""] if "." in exercise.name else ["", ""]
    for other in names_before(stubs[exercise.file], exercise.name):
        place = look_for(text, other)
        if place is not None:
            lines[place[1] : place[1]] = [*blanks, *stub]
            new = "\n".join(lines) + "\n"
            return new if look_for(new, exercise.name) else None
    return None


def _rebuilt(
    text: str | None,
    exercise: Exercise,
    stubs: dict[str, str],
    others: list[tuple[str, str]],
) -> tuple[str, str]:
    """The file as it was handed out, with what is left of the student's functions.

    Args:
        text: what is there; None if nothing can be read.
        others: number and function of the other exercises of this file.

    Returns:
        The new text, and a sentence about it.
    """
    mine = text if text is not None else ""
    new, saved = with_written(stubs[exercise.file], mine, others, stubs)
    note = f"assignment/{exercise.file} as a whole is as it was at the start"
    if saved:
        note += f", with your {', '.join(saved)} in it"
    return new, note


def with_written(
    new: str, mine: str, exercises: list[tuple[str, str]], stubs: dict[str, str]
) -> tuple[str, list[str]]:
    """A file with the functions of another one that is further on in some exercises.

    Args:
        new: the file.
        mine: the other one.
        exercises: number and function of those that may be taken over.
        stubs: number -> the function as it was handed out.

    Returns:
        The text, and the functions that are stubs in `new` and written in `mine`.
    """
    saved = []
    for number, name in exercises:
        stub = stubs[number].splitlines()
        written, place = look_for(mine, name), look_for(new, name)
        if written is None or place is None:
            continue
        function = split_lines(mine)[written[0] - 1 : written[1]]
        lines = split_lines(new)
        begin, end = place
        if function == stub or lines[begin - 1 : end] != stub:
            continue
        lines[begin - 1 : end] = function
        changed = "\n".join(lines) + "\n"
        with contextlib.suppress(SyntaxError, ValueError):
            ast.parse(changed)
            new = changed
            saved.append(name)
    return new, saved


def replace_unchanged(path: Path, before: bytes | None, content: bytes) -> None:
    """Write a file, unless it is no more what was read of it.

    Args:
        before: what was read, and is kept elsewhere; None if there was no file.

    Raises:
        CourseError: somebody has saved it meanwhile; it stays.
        OSError: it cannot be written; the same.
    """
    with new_file(path) as file:
        file.write(content)
        if _read(path) != before:
            raise CourseError(
                f"{path}: was saved meanwhile, so it stays as it is; call this again"
            )


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CourseError(
            f"{path}: cannot be read ({error.strerror}); repair it"
        ) from error


def _stubs_of(exercise: Exercise, root: Path) -> dict[str, str]:
    path = root / STUBS
    if not path.is_file():
        raise CourseError(
            "reset works in the students' version only: here are the solutions, and "
            "git has every earlier state"
        )
    stubs = read_stubs(root)
    if {exercise.id, exercise.file} <= set(stubs):
        return stubs
    raise CourseError(f"{path}: does not hold {exercise.id}; fetch the course again")


def read_stubs(root: Path = ROOT) -> dict[str, str]:
    """What was handed out, by number of an exercise and by file; empty without it."""
    with contextlib.suppress(OSError, ValueError):
        stubs = json.loads((root / STUBS).read_text("utf-8"))
        if isinstance(stubs, dict):
            return stubs
    return {}


def keep(content: bytes, file: str, root: Path) -> Path:
    """Write a copy into runs/kept, under a name with its date that is not taken."""
    folder = root / KEPT
    stem = f"{file.removesuffix('.py')}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    number = 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a file, or a link to nothing, has its name
        raise _not_kept(folder, error) from error
    while True:
        more = f"_{number}" if number > 1 else ""
        path = folder / f"{stem}{more}.py"
        try:
            copy = path.open("xb")
        except FileExistsError:
            number += 1
            continue
        except OSError as error:
            raise _not_kept(path, error) from error
        try:
            with copy:
                copy.write(content)
                copy.flush()
                os.fsync(copy.fileno())  # before anything takes its place
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            raise _not_kept(path, error) from error
        return path


def _not_kept(path: Path, error: OSError) -> CourseError:
    return CourseError(
        f"{path}: cannot be written ({error.strerror}); nothing was changed"
    )
