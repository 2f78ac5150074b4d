"""The grader's line to the zygote of a sandbox: lines of JSON, with a deadline."""

import json
import socket
import time
from typing import Any

from grader.border.frames import DeadlineError, wait_for

LONGEST_LINE = 4096
ZYGOTE_SECONDS = 30  # to fork or to end a test, on a very busy machine


class ZygoteError(Exception):
    """The zygote does not do what it should; a new one is needed."""


def tell(
    control: socket.socket, request: dict[str, Any], files: list[int] | None = None
) -> dict[str, Any]:
    """Ask the zygote for something, and give it open files with that.

    Raises:
        ZygoteError: it does not answer as it should.
    """
    line = json.dumps(request).encode()
    try:
        socket.send_fds(control, [line], files or [])
    except OSError as error:
        raise ZygoteError from error
    return listen(control, ZYGOTE_SECONDS)


def listen(control: socket.socket, seconds: float) -> dict[str, Any]:
    """The zygote's next line.

    Raises:
        ZygoteError: there is none in time, or of another form.
    """
    deadline = time.monotonic() + seconds
    line = b""
    try:
        while not line.endswith(b"\n"):
            wait_for(control, deadline, for_reading=True)
            part = control.recv(LONGEST_LINE)
            line += part
            if not part or len(line) > LONGEST_LINE:
                raise ZygoteError
        said = json.loads(line)
    except (OSError, ValueError, DeadlineError) as error:
        raise ZygoteError from error
    if not isinstance(said, dict):
        raise ZygoteError
    return said
