"""One test's process: loads the student's files when they are asked for, and answers.

Each request has a number, which the answer repeats; what it holds is data or handles,
see grader/border/wire.py.
"""

import random
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from grader.border.frames import ClosedError, receive_frame, send_frame
from grader.border.limits import MEBIBYTE
from grader.border.wire import decode, encode
from grader.border.wire_types import Handle, WireError, WireLimits
from grader.worker.errors import describe_error
from grader.worker.modules import Submission, SubmissionNames
from helpers.checks.pretended_gpu import GPU_HERE, Place, to_gpu
from helpers.checks.student import DirectStudent

STUDENT_METHODS = (
    "seed",
    "make_pyramid",
    "make_detector",
    "after_call",
    "gradients",
    "train",
)
START_SEED = 0  # what is random without a seed of the test is the same in each run


def seed_torch() -> None:
    """Called before the forks, which inherit it: it takes 3 ms."""
    torch.manual_seed(START_SEED)


def prepare_gpu(most_mb: int) -> None:
    """Whole float32 products, as the tolerances expect, and a part of its memory.

    Not before a fork, which CUDA does not survive.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, most_mb * MEBIBYTE / total))


def serve_test(channel: socket.socket, submission: Submission, device: str) -> None:
    """Answer requests until the grader is gone.

    Args:
        channel: to the grader.
        submission: the student's files.
        device: of the checks' tensors.
    """
    random.seed(START_SEED)  # which Python seeds anew in each fork
    submission.install()
    server = Server(submission, device)
    limits = WireLimits()
    while True:
        try:
            body = receive_frame(channel, limits.max_bytes + limits.max_outline)
        except ClosedError:
            return
        reply = server.answer(body)
        for stream in (sys.stdout, sys.stderr):
            with suppress(BaseException):  # a student may have put anything there
                stream.flush()
        send_frame(channel, reply, deadline=None)


class Server:
    """Performs requests on a submission.

    Args:
        submission: installed, see Submission.
        device: of the checks' tensors: "cpu", "cuda", or "pretend" for a GPU that is
            none.
    """

    def __init__(self, submission: Submission, device: str):
        self.submission = submission
        self.has_gpu = device == "cuda"
        self.names = {
            name: SubmissionNames(submission, name) for name in submission.visible
        }
        self.student = DirectStudent(self.names)
        self.objects: list[Any] = []
        self.number_of: dict[int, int] = {}
        self.wrong_places: list[Place] = []
        if device != "cpu":
            self._use_device("cuda")

    def answer(self, body: bytes | bytearray) -> bytes:
        """The reply to a request; an exception of the student's code is one, too."""
        number = -1
        try:
            request = decode(
                body, lambda handle: self.objects[handle.number], to_gpu=self._to_gpu
            )
            number = request["id"]
            arguments, named = request.get("args", ()), request.get("kwargs", {})
            value = self._operation(request)(*arguments, **named)
            if request["op"] != "places":
                self.wrong_places = GPU_HERE.wrong_places(value)
            return encode({"id": number, "value": value}, self._handle)
        except BaseException as error:  # noqa: BLE001 - SystemExit of a student, too
            # What filled the memory is still held there; no answer would fit beside it.
            traceback.clear_frames(error.__traceback__)
            described = describe_error(error, self.submission.folder)
            return encode({"id": number, "error": described})

    def _operation(self, request: dict[str, Any]) -> Callable[..., Any]:
        target = request.get("target")
        match request["op"]:
            case "name":
                return lambda: getattr(self.names[request["module"]], request["name"])
            case "call":
                return _callable(target)
            case "attribute":
                return lambda: getattr(target, request["name"])
            case "item":
                return lambda: target[request["key"]]  # type: ignore[index]
            case "device":
                return lambda: self._use_device(request["name"])
            case "places":
                return lambda: self.wrong_places
            case "length":
                return lambda: len(target)  # type: ignore[arg-type]
            case "student" if request["name"] in STUDENT_METHODS:
                return _callable(getattr(self.student, request["name"]))
        raise WireError("an unknown operation")

    def _use_device(self, device: str) -> None:
        """The inputs that come now are there; a GPU is pretended where none is lent."""
        self.student.device = torch.device(device)
        if not self.has_gpu:
            GPU_HERE.start(self.submission.folder, device)

    def _to_gpu(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to("cuda") if self.has_gpu else to_gpu(tensor)

    def _handle(self, value: Any) -> Handle:
        number = self.number_of.get(id(value))
        if number is None:
            number = len(self.objects)
            self.objects.append(value)  # kept, so that its id stays its own
            self.number_of[id(value)] = number
        return Handle(number, type(value).__name__)


def _callable(target: Any) -> Callable[..., Any]:
    call: Callable[..., Any] = target  # else Python says that it cannot be called
    return call
