"""What a test reports about an exception in a student's code: plain strings."""

import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from grader.border.wire_types import WireError
from grader.worker.modules import MissingPartError, SlowFileError
from helpers.checks.full_memory import is_out_of_memory
from helpers.checks.no_gpu import lacks_gpu

MOST_TEXT = 300  # characters of an exception's own text
MOST_TRACEBACK = 8000
MOST_FRAMES = 30
READ_ONLY = 30  # errno.EROFS


def describe_error(error: BaseException, folder: Path) -> dict[str, Any]:
    """Category, type, text, innermost own file and line, and own frames.

    Args:
        folder: the submission; frames of other files are left out.
    """
    file, line = _own_place(error, folder)
    return {
        "category": _category(error),
        "type": type(error).__name__[:MOST_TEXT],
        "text": _text(error)[:MOST_TEXT],
        "file": file,
        "line": line,
        "traceback": _own_traceback(error, folder)[-MOST_TRACEBACK:],
    }


def _category(error: BaseException) -> str:
    # By name, since the checks of a student's code import their own modules.
    name = type(error).__name__
    if isinstance(error, SlowFileError):
        return "timeout"
    if lacks_gpu(_text(error)):  # which torch calls not implemented, too
        return "exception"
    if isinstance(error, NotImplementedError | MissingPartError):
        return "not implemented"
    if isinstance(error, PermissionError) or name == "NotAllowedError":
        return "not allowed"
    if isinstance(error, OSError) and error.errno == READ_ONLY:
        return "not allowed"
    if is_out_of_memory(error, _text(error)):
        return "out of memory"
    if isinstance(error, WireError):
        return "wrong type"
    return "exception"


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - __str__ of a student may raise anything
        return ""
    # What cannot be encoded would stop the whole reply.
    return text.encode("utf-8", "replace").decode("utf-8")


def _own_place(error: BaseException, folder: Path) -> tuple[str, int]:
    """Name of the student's file and the line, innermost; ("", 0) where there is none.

    A file that cannot be read as Python has no frame, but its error says where.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        path = Path(error.filename)
        if path.parent == folder:
            return path.name, error.lineno
    own = [
        (Path(frame.f_code.co_filename).name, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename).parent == folder
    ]
    return own[-1] if own else ("", 0)


def _own_traceback(error: BaseException, folder: Path) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(_tail(error.__traceback__))
        if Path(frame.filename).parent == folder
    ]
    for frame in frames:
        frame.filename = Path(frame.filename).name
    lines = traceback.format_list(frames[-MOST_FRAMES:])
    try:
        lines += traceback.format_exception_only(error)
    except BaseException:  # noqa: BLE001 - as above
        lines.append(type(error).__name__)
    text = "".join(lines).replace(f"{folder}/", "")
    return text.encode("utf-8", "replace").decode("utf-8")


def _tail(start: TracebackType | None) -> TracebackType | None:
    """The last frames only: a thousand of an endless recursion are slow to read."""
    count, node = 0, start
    while node is not None:
        count, node = count + 1, node.tb_next
    node = start
    for _ in range(count - 5 * MOST_FRAMES):
        node = node.tb_next if node is not None else None
    return node
