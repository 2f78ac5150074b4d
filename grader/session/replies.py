"""What may be believed of an answer from the sandbox: only what has the right form."""

import re
from pathlib import Path
from typing import Any

from grader.border.wire_types import WireError
from helpers.checks.expect import CATEGORIES, CheckError

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}\Z")
EXERCISE = re.compile(r"Exercise \d{1,2}\.\d{1,2}\b")
MOST_LINE = 1_000_000
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
        file_names: of the submission; no other may be named.

    Raises:
        WireError: no honest sandbox would send this.
    """
    parts = [error.get(each) for each in ("category", "type", "text", "traceback")]
    if not all(isinstance(each, str) and len(each) <= MOST_TEXT for each in parts):
        raise WireError("an exception that is not described")
    category, type_name, text, traceback = map(str, parts)
    if category not in CATEGORIES:
        raise WireError("an unknown category")
    file, line = error.get("file"), error.get("line")
    place = ""
    if file in file_names and type(line) is int and 0 < line < MOST_LINE:
        place = f" at line {line} of {file}"
    name = type_name if IDENTIFIER.match(type_name) else "an exception"
    exercise = EXERCISE.match(text)
    if category == "not implemented" and exercise:
        message = f"{exercise[0]} is not implemented{place}"
    elif name == "MissingPartError":
        message = "it is not in the files of the submission"
    else:
        message = name + place
    return CheckError(category, what, message, traceback=traceback)


def python_names(folder: Path) -> frozenset[str]:
    """Names of the Python files at the top of a folder."""
    return frozenset(path.name for path in folder.glob("*.py"))
