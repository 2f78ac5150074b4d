"""Requests to a student's code, and what is believed of the answers.

Whatever the other side does, it can only make its own test fail: `ask` returns checked
data or raises a CheckError.
"""

from typing import Any

from grader.border.wire import encode
from grader.border.wire_types import Handle, WireError, WireLimits
from grader.session.proxy import RemoteObject
from grader.session.replies import SubmittedNames, is_reply, student_error
from helpers.checks.expect import CheckError

WIRE_LIMITS = WireLimits()


class Calls:
    """Numbers the requests of one test and checks the answers.

    Args:
        names: of the submission, the only ones that an answer may name.
    """

    def __init__(self, names: SubmittedNames):
        self._names = names
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
        if not is_reply(reply, self._number):
            raise self._broken(what)
        try:
            if "value" in reply:
                return reply["value"]
            found = student_error(what, reply["error"], self._names)
        except WireError as error:
            raise self._broken(what) from error
        raise found

    def _exchange(self, what: str, body: bytes) -> Any:
        """Send a request and return its answer, decoded and not yet believed."""
        raise NotImplementedError

    def _broken(self, what: str) -> CheckError:
        """The error for an answer that no honest code sends; the test is over."""
        return CheckError("crashed", what, "sent what was not asked for")

    def _handle_of(self, value: Any) -> Handle | None:
        if isinstance(value, RemoteObject) and value._asker is self:
            return value._handle
        return None

    def _object(self, handle: Handle, what: str) -> RemoteObject:
        return RemoteObject(self, handle, what)
