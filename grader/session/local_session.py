"""The API of Session in this process: for maintainers, and for code one trusts.

There are no walls here, and one generous limit of time. Requests and answers take the
same way through messages as in a sandbox: a test that passes here passes there.
"""

import contextlib
import io
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from core.course import read_registry
from core.time_limit import time_limit
from grader.border.wire import decode
from grader.session.calls import WIRE_LIMITS, Calls
from grader.session.output import TAIL
from grader.session.proxy import RemoteStudent
from grader.session.replies import submitted_names
from grader.session.session import TestRun
from grader.worker.bytecode import compile_here
from grader.worker.child import Server
from grader.worker.given import Given
from grader.worker.modules import Submission
from helpers.checks.pretended_gpu import CPU, GPU_HERE, default_device, torch_name

CALL_LIMIT_S = 60.0  # of one call; a loop without an end says where it stood


class LocalSession:
    """Serves tests of one submission without a sandbox.

    Args:
        submission: folder with the student's *.py files.
        device: where checks make their tensors: "cpu", "cuda", or "pretend" for a GPU
            that is none.

    Attributes:
        given: as Session's.
    """

    def __init__(self, submission: Path, device: str = "cpu"):
        self.submission = submission
        self.given = b""
        self.device = device
        self._compiled = compile_here(Submission(submission, ()).files)
        self._calls: _LocalCalls | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_test()

    def student(self, exercise: str = "") -> RemoteStudent:
        """The student's code, its files loaded anew; an earlier test ends."""
        self.end_test()
        self._calls = _LocalCalls(
            self.submission, self._compiled, self.device, self.given
        )
        names = self._calls.submission.visible
        return RemoteStudent(self._calls, names, torch_name(self.device))

    def end_test(self) -> TestRun:
        """Forget the student's modules; memory is not measured here."""
        calls, self._calls = self._calls, None
        if calls is None:
            return TestRun("", 0.0, 0)
        calls.submission.remove()
        GPU_HERE.stop()
        seconds = time.process_time() - calls.started
        return TestRun(calls.printed.getvalue()[-TAIL:], seconds, 0)


class _LocalCalls(Calls):
    """Answers in this process, with the submission importable meanwhile."""

    def __init__(self, folder: Path, compiled: bytes, device: str, given: bytes):
        super().__init__(submitted_names(folder), has_gpu=device == "cuda")
        self.submission = Submission(folder, read_registry().visible)
        self.submission.compiled = compiled
        self.submission.given = Given(given) if given else None
        self.submission.install()
        self.server = Server(self.submission, device)
        self.printed = io.StringIO()
        self.started = time.process_time()
        self.default_device: torch.device | None = None

    def _exchange(self, what: str, body: bytes) -> Any:
        with (
            contextlib.redirect_stdout(self.printed),
            contextlib.redirect_stderr(self.printed),
            self._own_default_device(),
            time_limit(CALL_LIMIT_S),
        ):
            answer = self.server.answer(body)
        return decode(
            answer, lambda handle: self._object(handle, what), WIRE_LIMITS, self.to_gpu
        )

    @contextlib.contextmanager
    def _own_default_device(self) -> Iterator[None]:
        """What the student's code sets is for itself, and not for the tests."""
        torch.set_default_device(self.default_device)
        yield
        device = default_device()
        # The one that torch has anyhow: set, it would slow down each call of torch.
        self.default_device = None if device == CPU else device
        torch.set_default_device(None)
