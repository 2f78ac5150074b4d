"""The line to one test's process: requests with numbers, answers that are checked.

Whatever the process does, it can only make its own test fail: `ask` returns checked
data or raises a CheckError.
"""

import re
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from grader.frames import (
    ClosedError,
    DeadlineError,
    has_more,
    receive_frame,
    send_frame,
)
from grader.limits import Limits
from grader.output import OutputTail
from grader.proxy import RemoteObject
from grader.wire import decode, encode
from grader.wire_types import Handle, WireError, WireLimits
from grader.worker_child import tensors_in
from helpers.checks.expect import CATEGORIES, CheckError

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}\Z")
EXERCISE = re.compile(r"Exercise \d{1,2}\.\d{1,2}\b")
MOST_LINE = 1_000_000
MOST_TEXT = 10_000
WIRE_LIMITS = WireLimits()


@dataclass(frozen=True)
class Ending:
    """How a test's process ended.

    Attributes:
        status: as os.wait gives it; None: it had to be killed.
        cpu: seconds of the processor that it used.
        peak_kb: the most memory that it had at once.
    """

    status: int | None
    cpu: float
    peak_kb: int


class Connection:
    """The grader's end of the line to a test's process.

    Args:
        channel: the socket.
        output: what the process prints.
        limits: for the deadline of each call, and for messages.
        file_names: of the submission, the only ones an answer may name.
        end: kills the process and says how it ended.
    """

    def __init__(
        self,
        channel: socket.socket,
        output: OutputTail,
        limits: Limits,
        file_names: frozenset[str],
        end: Callable[[], Ending],
    ):
        self._channel = channel
        self._output = output
        self._limits = limits
        self._file_names = file_names
        self._end = end
        self._number = 0
        self._failure: tuple[str, str] | None = None

    def ask(self, what: str, request: dict[str, Any]) -> Any:
        """Send a request and return the value of its answer.

        Args:
            what: what is asked for, in words, for messages.

        Raises:
            CheckError: no value came, whatever the reason.
            TypeError: the request holds what cannot be sent; a mistake of the test.
        """
        if self._failure is not None:
            category, message = self._failure
            raise CheckError(category, what, f"{message} in an earlier call")
        self._number += 1
        request = {"id": self._number} | request
        try:
            body = encode(request, self._handle_of, WIRE_LIMITS)
        except WireError as error:
            raise TypeError(f"{what}: {error}") from error
        reply = self._exchange(what, body)
        if "error" in reply:
            raise self._student_error(what, reply["error"])
        self._update(what, request, reply["changed"])
        return reply["value"]

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _exchange(self, what: str, body: bytes) -> dict[str, Any]:
        deadline = time.monotonic() + self._limits.call_seconds
        most = WIRE_LIMITS.max_bytes + WIRE_LIMITS.max_outline
        try:
            if has_more(self._channel):
                raise self._broken(what)
            send_frame(self._channel, body, deadline)
            answer = receive_frame(self._channel, most, deadline)
            reply = decode(
                answer, lambda handle: self._object(handle, what), WIRE_LIMITS
            )
        except DeadlineError as error:
            seconds = self._limits.call_seconds
            message = f"no answer within {seconds:g} s"
            raise self._failed(what, "timeout", message) from error
        except ClosedError as error:
            raise self._failed(what, *self._why_ended()) from error
        except WireError as error:
            raise self._broken(what) from error
        if not self._is_reply(reply) or has_more(self._channel):
            raise self._broken(what)
        return dict(reply)

    def _is_reply(self, reply: Any) -> bool:
        if not isinstance(reply, dict) or type(reply.get("id")) is not int:
            return False
        if set(reply) == {"id", "error"}:
            return reply["id"] == self._number and isinstance(reply["error"], dict)
        is_value = set(reply) == {"id", "value", "changed"}
        return is_value and reply["id"] == self._number

    def _broken(self, what: str) -> CheckError:
        if has_more(self._channel):
            category, message = self._why_ended_if_closed()
            return self._failed(what, category, message)
        return self._failed(what, "crashed", "sent what was not asked for")

    def _why_ended_if_closed(self) -> tuple[str, str]:
        waiting = self._channel.recv(1, socket.MSG_PEEK)
        if waiting:
            return "crashed", "sent what was not asked for"
        return self._why_ended()

    def _failed(self, what: str, category: str, message: str) -> CheckError:
        """Remember the end of this test's process, and make sure of it."""
        self._failure = (category, message)
        self._end()
        return CheckError(category, what, message)

    def _why_ended(self) -> tuple[str, str]:
        ending = self._end()
        if self._output.is_too_much:
            return "not allowed", f"printed more than {self._limits.output_mb} MB"
        if ending.cpu >= self._limits.cpu_seconds:
            return "timeout", f"computed for more than {self._limits.cpu_seconds} s"
        status = ending.status
        if status is None or status == 0:
            return "crashed", "hung up"
        if status & 0x7F:
            name = signal.Signals(status & 0x7F).name
            if name == "SIGKILL":
                return "out of memory", "was killed, probably for its memory"
            return "crashed", f"ended by signal {name}"
        return "crashed", f"ended Python with exit code {status >> 8}"

    def _student_error(self, what: str, error: dict[str, Any]) -> CheckError:
        """The CheckError for an exception of the student's code, from checked parts."""
        category = error.get("category")
        type_name, text = error.get("type"), error.get("text")
        file, line = error.get("file"), error.get("line")
        frames = error.get("traceback")
        if not all(
            isinstance(each, str) and len(each) <= MOST_TEXT
            for each in (category, type_name, text, file, frames)
        ):
            return self._broken(what)
        if category not in CATEGORIES:
            return self._broken(what)
        if self._output.is_too_much:
            limit = self._limits.output_mb
            return self._failed(what, "not allowed", f"printed more than {limit} MB")
        place = ""
        if file in self._file_names and type(line) is int and 0 < line < MOST_LINE:
            place = f" at line {line} of {file}"
        name = str(type_name) if IDENTIFIER.match(str(type_name)) else "an exception"
        exercise = EXERCISE.match(str(text))
        if category == "not implemented" and exercise:
            message = f"{exercise[0]} is not implemented{place}"
        elif name == "MissingFileError":
            message = f"{what} is missing, because there is no file for it"
        else:
            message = name + place
        return CheckError(str(category), what, message, traceback=str(frames))

    def _update(self, what: str, request: dict[str, Any], changed: Any) -> None:
        """Change the test's own tensors where the call changed its arguments."""
        sent = list(tensors_in((request.get("args", ()), request.get("kwargs", {}))))
        if not isinstance(changed, list) or len(changed) > len(sent):
            raise self._broken(what)
        for entry in changed:
            if not isinstance(entry, list) or len(entry) != 2:
                raise self._broken(what)
            place, tensor = entry
            if type(place) is not int or not 0 <= place < len(sent):
                raise self._broken(what)
            mine = sent[place]
            if not isinstance(tensor, torch.Tensor) or tensor.shape != mine.shape:
                raise self._broken(what)
            with torch.no_grad():
                mine.copy_(tensor)

    def _handle_of(self, value: Any) -> Handle | None:
        if isinstance(value, RemoteObject) and value._asker is self:
            return value._handle
        return None

    def _object(self, handle: Handle, what: str) -> RemoteObject:
        return RemoteObject(self, handle, what)


def python_names(folder: Path) -> frozenset[str]:
    """Names of the Python files at the top of a folder."""
    return frozenset(path.name for path in folder.glob("*.py"))
