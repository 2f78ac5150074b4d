"""What may be believed of an answer from the sandbox: only what has the right form."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.course import mentioned
from grader.border.wire_types import WireError
from helpers.checks.expect import CheckError
from helpers.checks.known_errors import known_error
from helpers.checks.no_gpu import MADE, USE_INPUTS, made_on

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}\Z")
# The line of an import, and what Python says of one that finds nothing.
IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([\w.]{1,60})", re.MULTILINE)
NO_MODULE = re.compile(r"No module named '([\w.]{1,60})'\Z")
LINE_END = re.compile(rb"\r\n|\r|\n")
# Of helpers.checks.expect.CATEGORIES; the others are for this side to find out.
CATEGORIES_FROM_THERE = (
    "exception",
    "not implemented",
    "not allowed",
    "out of memory",
    "timeout",  # of a file while it is loaded
    "wrong type",
)
SLOW_TO_LOAD = "takes too long while it is loaded"
MOST_ID = 12  # characters; longer ones are no exercise, but what a student writes
MOST_TEXT = 10_000


@dataclass(frozen=True)
class SubmittedNames:
    """What an answer may name of a submission.

    Attributes:
        lines: name of a Python file at its top -> how many lines it has.
        modules: what its files import, "a", "a.b".
    """

    lines: dict[str, int]
    modules: frozenset[str]

    def has_place(self, file: Any, line: Any) -> bool:
        """Whether there is such a line in such a file."""
        return (
            isinstance(file, str)
            and type(line) is int
            and 1 <= line <= self.lines.get(file, 0)
        )


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
    what: str, error: dict[str, Any], names: SubmittedNames
) -> CheckError:
    """The CheckError for an exception of the student's code.

    Args:
        what: was called, in words.
        error: as grader/worker/errors.py describes it, if the sandbox is honest.
        names: of the submission; no other may be named.

    Raises:
        WireError: no honest sandbox would send this.
    """
    parts = [error.get(key) for key in ("category", "type", "text", "traceback")]
    if not all(isinstance(part, str) and len(part) <= MOST_TEXT for part in parts):
        raise WireError("an exception that is not described")
    category, type_name, text, traceback = map(str, parts)
    if category not in CATEGORIES_FROM_THERE:
        raise WireError("an unknown category")
    file, line = error.get("file"), error.get("line")
    place = ""
    if names.has_place(file, line):
        place = f" at line {line} of {file}"
    type_name = type_name if IDENTIFIER.match(type_name) else "an exception"
    exercise = mentioned(text)
    if category == "not implemented" and 0 < len(exercise) <= MOST_ID:
        message = f"Exercise {exercise} is not implemented{place}"
    elif category == "timeout":
        is_named = type_name == "SlowFileError" and text in names.lines
        message = f"{text if is_named else 'a file'} {SLOW_TO_LOAD}"
    elif type_name == "MissingPartError":
        message = "it is not in the files of the submission"
    else:
        message = _known_reason(type_name, text, names.modules) + place
    cause = known_error(text) if category == "exception" else None
    made = MADE.search(text)
    if made and not names.has_place(made[3], int(made[2])):
        cause = None
    return CheckError(category, what, message, cause, traceback=traceback)


def made_at(places: Any, device: str, names: SubmittedNames) -> str:
    """The cause of an answer on another device than its inputs.

    Args:
        places: what the sandbox said of the lines where its tensors were made.
        device: of the inputs, "cpu" or "cuda".
        names: of the submission.
    """
    other = "CPU" if device == "cuda" else "GPU"
    for place in places if isinstance(places, list) else []:
        match place:
            case (str(file), int(line)) if names.has_place(file, line):
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


def submitted_names(folder: Path) -> SubmittedNames:
    """What the Python files at the top of a folder are called and import."""
    lines, modules = {}, set()
    for path in folder.glob("*.py"):
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes()
            lines[path.name] = len(LINE_END.split(text))
            for found in IMPORT.findall(text):
                parts = found.decode("ascii", "replace").split(".")
                modules |= {".".join(parts[: end + 1]) for end in range(len(parts))}
                # torch.utils.tensorboard wants a package called tensorboard
                modules |= set(parts)
    return SubmittedNames(lines, frozenset(modules))
