"""How long a submission's files take to load, measured before the first test.

Each test loads the files in a process of its own, so that no state crosses from one
test to the next; what that takes is measured here and given to each test on top of its
own time. A file that never ends costs its time once: then it is refused at once.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from grader.border.limits import Limits
from grader.worker.modules import Submission

NEARLY = 0.9  # of the limit; the kernel counts more coarsely than it reports
MOST_NOTES = 2**16
SECOND_SHARE = 1 / 3  # of the time, for what is left when one file did not end
# Does something in a process behind the walls of a test, for at most so many seconds,
# and says how that ended; see Zygote.run_alone.
Run = Callable[[Callable[[], None], float], dict[str, Any]]


@dataclass
class Loading:
    """What was measured.

    Attributes:
        cpu: processor seconds that loading takes.
        seconds: on the clock.
        slow: the name of the file that does not end, if there is one.
    """

    cpu: float = 0.0
    seconds: float = 0.0
    slow: list[str] = field(default_factory=list)


def measure_loading(submission: Submission, limits: Limits, run: Run) -> Loading:
    """Load all files that tests ask for; without the one that does not end, if so.

    Args:
        submission: what is slow is noted there.
        limits: of the process that loads them.
        run: see Run.
    """
    found = _load(submission, limits, run, limits.call_seconds)
    if found.slow:
        submission.slow |= set(found.slow)
        rest = _load(submission, limits, run, SECOND_SHARE * limits.call_seconds)
        # Two such files: what tests need of the second they find out themselves.
        known = not rest.slow
        found = Loading(rest.cpu * known, rest.seconds * known, found.slow)
    return found


def _load(submission: Submission, limits: Limits, run: Run, most: float) -> Loading:
    names = [name for name in submission.visible if name in submission.files]
    names = [name for name in names if name not in submission.slow]
    reading, writing = os.pipe()

    def work() -> None:
        submission.note = lambda what, name: _write(writing, f"{what} {name}\n")
        submission.install()
        for name in names:
            with suppress(BaseException):
                submission.load(name)

    began = time.monotonic()
    ending = run(work, most)
    found = Loading(float(ending["cpu"]), time.monotonic() - began)
    os.close(writing)
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb", buffering=0) as notes:
        said = (notes.read(MOST_NOTES) or b"").decode("utf-8", "replace")
    if _is_late(ending, limits):
        # What a file says here concerns its own submission alone.
        found.slow += [name for name in _unended(said) if name in submission.files]
    return found


def _write(file: int, text: str) -> None:
    os.write(file, text.encode())


def _unended(said: str) -> list[str]:
    """The innermost file that began and did not end, if there is one."""
    begun: list[str] = []
    for line in said.splitlines():
        what, _, name = line.partition(" ")
        if what == "begins":
            begun.append(name)
        elif begun and begun[-1] == name:
            begun.pop()
    return begun[-1:]


def _is_late(ending: dict[str, Any], limits: Limits) -> bool:
    """Whether the process did not end by itself; an accident is one, too."""
    status = ending["status"]
    if status is None:
        return True
    return os.WIFSIGNALED(status) and (
        os.WTERMSIG(status) == signal.SIGXCPU
        or ending["cpu"] > NEARLY * limits.cpu_seconds
    )
