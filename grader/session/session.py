"""A submission in its sandbox: a fresh process for each test.

with Session(folder, Level.BUBBLEWRAP, Limits()) as session:
    student = session.student()
    student.common.nms(boxes, scores, 0.5)
    run = session.end_test()
"""

import math
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from core.command import CourseError
from core.course import Registry, read_registry
from grader.border.limits import MEBIBYTE, Limits
from grader.sandbox.sandbox import Level, Sandbox
from grader.session.connection import Connection, Ending
from grader.session.control import ZygoteError, listen, tell
from grader.session.library_parts import LibraryParts
from grader.session.output import OutputTail
from grader.session.proxy import RemoteStudent
from grader.session.replies import submitted_names
from helpers.checks.expect import CheckError
from helpers.checks.pretended_gpu import GPU_HERE, torch_name

START_FACTOR = 4  # see grader/worker/loading.py, and some more
LOADS_AT_ONCE = 0.2  # seconds that are not worth counting
GRACE_S = 1.0  # for a process that hung up to end by itself


@dataclass(frozen=True)
class TestRun:
    """What a test used.

    Attributes:
        output: the end of what the student's code printed; to be escaped.
        seconds: of the processor.
        peak_memory: the most bytes of memory at once, those of torch included.
    """

    __test__ = False  # pytest shall not take it for a test

    output: str
    seconds: float
    peak_memory: int


class Session:
    """Serves tests of one submission.

    Args:
        submission: folder with the student's *.py files, already checked; copied.
        level: of the sandbox's walls.
        limits: of each test.
        device: where checks make their tensors: "cpu", "cuda", or "pretend" for a GPU
            that is none.
        allowed_ops: names of torchvision.ops that are not closed.
        hash_seed: of Python's strings.
        registry, parts: of the course; by default this checkout's.

    Attributes:
        start_cpu_seconds: processor time until the sandbox was ready.
        cpu_seconds: processor time in the sandbox until the last test ended; of the
            last sandbox, if one died.
        missing: protections that this kernel does not have, in words.
        load_seconds: of the processor, to load the files; each test has it on top.
        next_limits: of the tests from now on, without what loading takes.
        ends_at: when all tests have to be over, on the clock of time.monotonic.
        given: for the tests that begin from now on, parts of the solution in place of
            the student's own, see grader/suites/given_parts.py.
    """

    def __init__(
        self,
        submission: Path,
        level: Level,
        limits: Limits | None = None,
        *,
        device: str = "cpu",
        allowed_ops: tuple[str, ...] = (),
        hash_seed: int = 0,
        registry: Registry | None = None,
        parts: Sequence[str] = (),
    ):
        self.submission = submission
        self.level = level
        self.limits = limits or Limits()
        self.device = device
        self.allowed_ops = allowed_ops
        self.hash_seed = hash_seed
        self.registry = registry or read_registry()
        self._parts = LibraryParts(
            submission, self.registry, parts, allowed_ops, level is not Level.NONE
        )
        self.start_cpu_seconds = self.cpu_seconds = self._tests_cpu = 0.0
        self.missing: list[str] = []
        self.load_seconds = self._load_clock = 0.0
        self.next_limits = self.limits
        self.ends_at = math.inf
        self.given = b""
        self._sandbox: Sandbox | None = None
        self._starts = 0
        self._test: _Test | None = None

    @property
    def name(self) -> str:
        """A word in the arguments of the running sandbox's processes only."""
        return self._sandbox.folder.name if self._sandbox is not None else "none"

    def __enter__(self) -> Self:
        """Start the sandbox.

        Raises:
            CourseError: it does not start.
        """
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def student(self, exercise: str = "") -> RemoteStudent:
        """The student's code in a fresh process; an earlier one ends.

        Args:
            exercise: that is tested: what it does not close of torchvision can be
                called. "": what no exercise closes.

        Raises:
            CheckError: the sandbox died too often; "crashed".
        """
        if self._test is not None:
            self.end_test()
        while True:
            try:
                if self._sandbox is None:
                    self._start()
                self._test = self._fork(exercise)
            except ZygoteError:
                self._stop()
                if self._starts > self.limits.restarts:
                    raise CheckError(
                        "crashed", "the submission", "its sandbox ended too often"
                    ) from None
            else:
                names, device = self.registry.visible, torch_name(self.device)
                if device != "cpu":
                    self._test.connection.pretend_gpu(device)
                return RemoteStudent(self._test.connection, names, device)

    def end_test(self) -> TestRun:
        """End the process of the test, with all that it left behind."""
        GPU_HERE.stop()
        test, self._test = self._test, None
        if test is None:
            return TestRun("", 0.0, 0)
        ending = test.end(grace=0.0)
        test.connection.close()
        return TestRun(test.output.text(), ending.cpu, ending.peak_kb * 1024)

    def _start(self) -> None:
        self._starts += 1
        if self._starts > self.limits.restarts + 1:
            raise ZygoteError
        self._sandbox = Sandbox(
            self.submission,
            self.level,
            self.limits,
            device=self.device,
            visible=self.registry.visible,
            closed=self._parts.closed,
            hash_seed=self.hash_seed,
        )
        try:
            # What does not end while it is loaded takes its time first.
            loading = START_FACTOR * self.limits.call_seconds
            ready = listen(self._sandbox.control, self.limits.start_seconds + loading)
            self.start_cpu_seconds = float(ready["cpu"])
            self.missing = [str(feature) for feature in ready["missing"]]
            self.load_seconds = float(ready["loading"]["cpu"])
            self._load_clock = float(ready["loading"]["seconds"])
        except (ZygoteError, KeyError, TypeError, ValueError) as error:
            said = self._sandbox.last_words()
            self._stop()
            raise CourseError(f"the sandbox does not start ({said})") from error

    def _stop(self) -> None:
        test, self._test = self._test, None
        if test is not None:
            test.connection.close()
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.close()

    def _fork(self, exercise: str) -> "_Test":
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        limits = self._with_loading(self.next_limits)
        files = [writing, *self._parts.open_files(exercise)]
        if self.given:
            files.append(_file_of(self.given))
        try:
            request = {
                "do": "fork",
                "cpu_seconds": limits.cpu_seconds,
                "has_given": bool(self.given),
            }
            self._tell(request, [theirs.fileno(), *files])
        except ZygoteError:
            ours.close()
            os.close(reading)
            raise
        finally:
            theirs.close()
            for file in files:
                os.close(file)
        output = OutputTail(reading, self.limits.output_mb * MEBIBYTE)
        test = _Test(self, output)
        names = submitted_names(self.submission)
        test.connection = Connection(
            ours, output, limits, names, test.end, self.ends_at
        )
        return test

    def _with_loading(self, limits: Limits) -> Limits:
        """What it takes to load the files is no part of a test's own time."""
        if self.load_seconds < LOADS_AT_ONCE and self._load_clock < LOADS_AT_ONCE:
            return limits
        return replace(
            limits,
            cpu_seconds=limits.cpu_seconds + math.ceil(self.load_seconds),
            call_seconds=limits.call_seconds + math.ceil(self._load_clock),
        )

    def end_process(self, grace: float) -> Ending:
        """Have the zygote end the test's process; without one, end the sandbox."""
        try:
            said = self._tell({"do": "end", "grace": grace})
            status = said["status"]
            status = int(status) if status is not None else None
            ending = Ending(status, float(said["cpu"]), int(said["peak_kb"]))
            self._tests_cpu += ending.cpu
            self.cpu_seconds = self._tests_cpu + float(said["own"])
            return ending
        except (ZygoteError, KeyError, TypeError, ValueError):
            sandbox, self._sandbox = self._sandbox, None
            if sandbox is not None:
                sandbox.close()
            return Ending(None, 0.0, 0)

    def _tell(
        self, request: dict[str, Any], files: list[int] | None = None
    ) -> dict[str, Any]:
        if self._sandbox is None:
            raise ZygoteError
        return tell(self._sandbox.control, request, files)


def _file_of(data: bytes) -> int:
    """An open file in memory that holds this, to be read from its start."""
    number = os.memfd_create("given")
    with os.fdopen(os.dup(number), "wb") as file:
        file.write(data)
    os.lseek(number, 0, os.SEEK_SET)
    return number


class _Test:
    """The process of one test; ended once, however often one asks."""

    connection: Connection

    def __init__(self, session: Session, output: OutputTail):
        self.output = output
        self._session = session
        self._ending: Ending | None = None

    def end(self, grace: float = GRACE_S) -> Ending:
        if self._ending is None:
            self._ending = self._session.end_process(grace)
        return self._ending
