"""The line to one test's process: its deadline, its end, and what that means."""

import math
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grader.border.frames import (
    ClosedError,
    DeadlineError,
    TooLongError,
    has_more,
    receive_frame,
    send_frame,
)
from grader.border.limits import MEBIBYTE, Limits
from grader.border.wire import decode
from grader.border.wire_types import WireError
from grader.outcomes import USED_UP
from grader.session.calls import WIRE_LIMITS, Calls
from grader.session.output import OutputTail
from grader.session.replies import SubmittedNames
from helpers.checks.expect import CheckError

COMPUTED = "computed for more than"
SENT_TOO_MUCH = ("crashed", "sent what was not asked for")


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


class Connection(Calls):
    """The grader's end of the line to a test's process.

    Args:
        channel: the socket.
        output: what the process prints.
        limits: for the deadline of each call, and for messages.
        names: of the submission, the only ones that an answer may name.
        end: kills the process and says how it ended.
        ends_at: when all tests of the submission have to be over.
    """

    def __init__(
        self,
        channel: socket.socket,
        output: OutputTail,
        limits: Limits,
        names: SubmittedNames,
        end: Callable[[], Ending],
        ends_at: float = math.inf,
    ):
        super().__init__(names)
        self._channel = channel
        self._output = output
        self._limits = limits
        self._end = end
        self._ends_at = ends_at
        self._most_bytes = limits.answers_mb * MEBIBYTE  # that may still come

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _exchange(self, what: str, body: bytes) -> Any:
        deadline = time.monotonic() + self._limits.call_seconds
        deadline = min(deadline, self._ends_at)
        try:
            if has_more(self._channel):
                raise self._broken(what)
            send_frame(self._channel, body, deadline)
            answer = receive_frame(self._channel, self._most_bytes, deadline)
            self._most_bytes -= len(answer)
            reply = decode(
                answer,
                lambda handle: self._object(handle, what),
                WIRE_LIMITS,
                self.to_gpu,
            )
        except TooLongError as error:
            if error.length > WIRE_LIMITS.max_bytes + WIRE_LIMITS.max_outline:
                raise self._broken(what) from error  # no honest worker sends that
            message = f"its answers take more than {self._limits.answers_mb} MB"
            raise self._failed(what, "out of memory", message) from error
        except DeadlineError as error:
            seconds = self._limits.call_seconds
            is_over = time.monotonic() > self._ends_at
            message = USED_UP if is_over else f"no answer within {seconds:g} s"
            raise self._failed(what, "timeout", message) from error
        except ClosedError as error:
            raise self._failed(what, *self._why_ended()) from error
        except WireError as error:
            raise self._broken(what) from error
        if self._output.is_too_much:
            raise self._failed(what, *self._why_ended())
        if has_more(self._channel):
            raise self._broken(what)
        return reply

    def _broken(self, what: str) -> CheckError:
        reason = SENT_TOO_MUCH
        if has_more(self._channel):
            reason = self._why_ended_if_closed()
        return self._failed(what, *reason)

    def _why_ended_if_closed(self) -> tuple[str, str]:
        try:
            waiting = self._channel.recv(1, socket.MSG_PEEK)
        except OSError:
            waiting = b""
        return SENT_TOO_MUCH if waiting else self._why_ended()

    def _failed(self, what: str, category: str, message: str) -> CheckError:
        """Remember the end of this test's process, and make sure of it."""
        self._failure = (category, message)
        self._end()
        return CheckError(category, what, message)

    def _why_ended(self) -> tuple[str, str]:
        ending = self._end()
        if self._output.is_too_much:
            return "not allowed", f"printed more than {self._limits.output_mb} MB"
        if ending.status is None:
            return "crashed", "hung up"
        ended_by = os.WTERMSIG(ending.status)
        if ended_by == signal.SIGXCPU or ending.cpu >= self._limits.cpu_seconds:
            return "timeout", f"{COMPUTED} {self._limits.cpu_seconds} s"
        if ended_by == signal.SIGKILL:
            return "out of memory", "was killed, probably for its memory"
        if ended_by:
            return "crashed", f"ended by signal {signal.Signals(ended_by).name}"
        return "crashed", f"ended Python with exit code {os.WEXITSTATUS(ending.status)}"
