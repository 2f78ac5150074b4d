"""Put the start of one exercise back, and keep the student's file."""

import ast
import json
import re
import time
from pathlib import Path

from core.command import CourseError
from core.files import write_atomically
from helpers.checks.exercises import ROOT, Exercise

# Written by the release tool; where the solutions are, it is not there.
STUBS = Path("helpers/checks/stubs.json")
KEPT = Path("runs/kept")  # copies of files that were changed by a reset


def reset(exercise: Exercise, root: Path = ROOT) -> tuple[Path, Path]:
    """Replace the function of an exercise by its stub.

    Args:
        exercise: which.
        root: the folder of the course.

    Returns:
        The changed file, and the copy of it as it was.

    Raises:
        CourseError: here are no stubs, the function is not in its file, or a file
            cannot be read or written.
    """
    stub = _read_stub(exercise, root)
    path = root / "assignment" / exercise.file
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path}: cannot be read ({error}); repair it") from error
    line_end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines()
    begin, end = find_function(text, exercise.name, path)
    lines[begin - 1 : end] = stub.splitlines()
    new = (line_end.join(lines) + line_end).encode()
    kept = _keep(content, exercise.file, root)
    try:
        write_atomically(path, new)
    except OSError as error:
        raise CourseError(
            f"{path}: cannot be written ({error.strerror}); free space or close it"
        ) from error
    return path, kept


def _read_stub(exercise: Exercise, root: Path) -> str:
    path = root / STUBS
    if not path.is_file():
        raise CourseError(
            "reset works in the students' version only: here are the solutions, and "
            "git has every earlier state"
        )
    try:
        return str(json.loads(path.read_text("utf-8"))[exercise.id])
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(
            f"{path}: does not hold {exercise.id}; fetch the course again"
        ) from error


def _keep(content: bytes, file: str, root: Path) -> Path:
    """Write a copy under a name that is not taken."""
    folder = root / KEPT
    stem = f"{file.removesuffix('.py')}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    number = 1
    while True:
        more = f"_{number}" if number > 1 else ""
        path = folder / f"{stem}{more}.py"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file_object:
                file_object.write(content)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise CourseError(
                f"{path}: cannot be written ({error.strerror}); nothing was changed"
            ) from error
        else:
            return path


def find_function(text: str, name: str, path: Path) -> tuple[int, int]:
    """First and last line of a function, counted from 1; decorators included.

    Works, from the indentation alone, where the file cannot be read by Python.

    Args:
        text: of the file.
        name: "iou" or "FCOS.inference".
        path: of the file, for the message.

    Raises:
        CourseError: it is not there.
    """
    try:
        found = _find_parsed(ast.parse(text).body, name.split("."))
    except (SyntaxError, ValueError):
        found = _find_by_indentation(text.splitlines(), name.split("."))
    if found is None:
        raise CourseError(
            f"{path}: has no {name} any more; take this file out of a fresh copy of "
            "the course"
        )
    return found


def _find_parsed(body: list[ast.stmt], parts: list[str]) -> tuple[int, int] | None:
    for node in reversed(body):  # of two with one name the last counts
        if isinstance(node, ast.ClassDef) and len(parts) > 1 and node.name == parts[0]:
            return _find_parsed(node.body, parts[1:])
        if isinstance(node, ast.FunctionDef) and parts == [node.name]:
            first = min(
                [node.lineno, *(decorator.lineno for decorator in node.decorator_list)]
            )
            return first, node.end_lineno or node.lineno
    return None


def _find_by_indentation(lines: list[str], parts: list[str]) -> tuple[int, int] | None:
    begin, indent = 0, ""
    for depth, part in enumerate(parts):
        word = "def" if depth == len(parts) - 1 else "class"
        start = re.compile(rf"(\s*){word} {re.escape(part)}\b")
        place = next(
            (index for index in range(begin, len(lines)) if start.match(lines[index])),
            None,
        )
        if place is None:
            return None
        begin = place + 1
        indent = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
    # The next line that is not deeper, and no end of the signature.
    other = re.compile(rf"(?!{indent}\s)\s*[\w@#]")
    end = next(
        (index for index in range(begin, len(lines)) if other.match(lines[index])), None
    )
    last = len(lines) if end is None else end
    while last > begin and not lines[last - 1].strip():
        last -= 1
    return begin, last
