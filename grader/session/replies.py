"""What may be believed of an answer from the sandbox: only what has the right form."""

import re
from pathlib import Path
from typing import Any

from core.course import mentioned
from grader.border.wire_types import WireError
from helpers.checks.expect import CATEGORIES, CheckError
from helpers.checks.no_gpu import (
    MADE,
    NO_GPU,
    USE_INPUTS,
    device_cause,
    lacks_gpu,
    made_on,
)

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}\Z")
# The line of an import, and what Python says of one that finds nothing.
IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([\w.]{1,60})", re.MULTILINE)
NO_MODULE = re.compile(r"No module named '([\w.]{1,60})'\Z")
MOST_LINE = 1_000_000
MOST_ID = 12  # characters; longer ones are no exercise, but what a student writes
MOST_TEXT = 10_000


def is_reply(reply: Any, number: int) -> bool:
    """Whether this is an answer to the request with this number."""
    if not isinstance(reply, dict) or type(reply.get("id")) is not int:
        return False
    if reply["id"] != number:
        return False
    if set(reply) == {"id", "error"}:
        return isinstance(reply["error"], dict)
    return set(reply) == {"id", "value"}


def student_error(
    what: str, error: dict[str, Any], file_names: frozenset[str]
) -> CheckError:
    """The CheckError for an exception of the student's code.

    Args:
        what: was called, in words.
        error: as grader/worker/errors.py describes it, if the sandbox is honest.
        file_names: see python_names; no other may be named.

    Raises:
        WireError: no honest sandbox would send this.
    """
    parts = [error.get(key) for key in ("category", "type", "text", "traceback")]
    if not all(isinstance(part, str) and len(part) <= MOST_TEXT for part in parts):
        raise WireError("an exception that is not described")
    category, type_name, text, traceback = map(str, parts)
    if category not in CATEGORIES:
        raise WireError("an unknown category")
    file, line = error.get("file"), error.get("line")
    place = ""
    if _has_place(file, line, file_names):
        place = f" at line {line} of {file}"
    name = type_name if IDENTIFIER.match(type_name) else "an exception"
    exercise = mentioned(text)
    if category == "not implemented" and 0 < len(exercise) <= MOST_ID:
        message = f"Exercise {exercise} is not implemented{place}"
    elif name == "MissingPartError":
        message = "it is not in the files of the submission"
    else:
        message = _known_reason(name, text, file_names) + place
    cause = None
    if category == "exception":
        cause = NO_GPU if lacks_gpu(text) else device_cause(text)
        made = MADE.search(text)
        if made and not _has_place(made[3], int(made[2]), file_names):
            cause = None
    return CheckError(category, what, message, cause, traceback=traceback)


def _has_place(file: Any, line: Any, file_names: frozenset[str]) -> bool:
    """Whether a submission may have such a line."""
    return file in file_names and type(line) is int and 0 < line < MOST_LINE


def made_at(places: Any, device: str, file_names: frozenset[str]) -> str:
    """The cause of an answer on another device than its inputs.

    Args:
        places: what the sandbox said of the lines where its tensors were made.
        device: of the inputs, "cpu" or "cuda".
        file_names: see python_names.
    """
    other = "CPU" if device == "cuda" else "GPU"
    for place in places if isinstance(places, list) else []:
        match place:
            case (str(file), int(line)) if _has_place(file, line, file_names):
                return made_on(other, line, file)
    return f"an answer is on the {other}; {USE_INPUTS}"


def _known_reason(type_name: str, text: str, names: frozenset[str]) -> str:
    """The type; with it which module is missing, if a file says that name itself.

    Any other text could tell what a hidden test had as its input.
    """
    missing = NO_MODULE.match(text) if type_name == "ModuleNotFoundError" else None
    return (
        f"{type_name}: {missing[0]}" if missing and missing[1] in names else type_name
    )


def python_names(folder: Path) -> frozenset[str]:
    """Names of the Python files at the top of a folder, and of what they import."""
    names = set()
    for path in folder.glob("*.py"):
        names.add(path.name)
        if path.is_file() and not path.is_symlink():
            for found in IMPORT.findall(path.read_bytes()):
                parts = found.decode("ascii", "replace").split(".")
                names |= {".".join(parts[: end + 1]) for end in range(len(parts))}
    return frozenset(names)
