"""Requests to a student's code, and what is believed of the answers.

Whatever the other side does, it can only make its own test fail: `ask` returns checked
data or raises a CheckError.
"""

from pathlib import Path
from typing import Any

import torch

from grader.border.wire import encode
from grader.border.wire_types import Handle, WireError, WireLimits
from grader.session.proxy import RemoteObject
from grader.session.replies import SubmittedNames, is_reply, made_at, student_error
from helpers.checks.expect import CheckError
from helpers.checks.pretended_gpu import GPU_HERE, tensors_in, to_gpu

WIRE_LIMITS = WireLimits()
NO_FOLDER = Path("-")  # no file of a student runs in this process
NAMES = {"cpu": "the CPU", "cuda": "the GPU"}


class Calls:
    """Numbers the requests of one test and checks the answers.

    Args:
        names: of the submission, the only ones that an answer may name.
        has_gpu: this process computes on a GPU, too; else it pretends one.
    """

    def __init__(self, names: SubmittedNames, has_gpu: bool = False):
        self._names = names
        self._has_gpu = has_gpu
        self._device: str | None = None
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
                self._expect_device(reply["value"], what)
                return reply["value"]
            found = student_error(what, reply["error"], self._names)
        except WireError as error:
            raise self._broken(what) from error
        raise found

    def use_device(self, device: str) -> None:
        """From now on inputs are there, and so must be all tensors of an answer.

        Args:
            device: "cuda", or "cpu" beside a GPU.
        """
        self.ask("a test with a GPU", {"op": "device", "name": device})
        self.pretend_gpu(device)
        self._device = device

    def pretend_gpu(self, device: str) -> None:
        """Let this process make tensors of that device."""
        if not self._has_gpu:
            GPU_HERE.start(NO_FOLDER, device)

    def to_gpu(self, tensor: torch.Tensor) -> torch.Tensor:
        """What came from the other side's GPU, on this side's."""
        return tensor.to("cuda") if self._has_gpu else to_gpu(tensor)

    def _expect_device(self, value: Any, what: str) -> None:
        device, self._device = self._device, None  # while the worker is asked
        found = {tensor.device.type for tensor in tensors_in(value)}
        if device is not None and found - {device}:
            places = self.ask(what, {"op": "places"})
            cause = made_at(places, device, self._names)
            message = f"the inputs are on {NAMES[device]}, an answer is not"
            raise CheckError("wrong value", what, message, cause)
        self._device = device

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
