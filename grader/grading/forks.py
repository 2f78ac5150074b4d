"""Trusted processes, a fork for each submission: torch and pytest are imported once.

A job answers with a file. One that hangs is killed, one that dies says so, and in
neither case do the others notice.
"""

import ctypes
import gc
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from core.command import ENDING_SIGNALS
from core.files import write_atomically
from grader.border.limits import limit_own_memory
from grader.suites.suite_run import TOO_MUCH_MEMORY

# Threads do not survive a fork, so this process must never have started one.
CONTEXT = multiprocessing.get_context("fork")
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
POLL_S = 1.0
KILL_WAIT_S = 10
LOG_END = 2000  # characters that may be searched for the last line
# Beyond what torch and the tests take: many times the answers of one test, which the
# tests copy and compare. Not a student's code but its answers fill it.
MEMORY_MB = 3072


@dataclass(frozen=True)
class Job:
    """Something to do in a process of its own.

    Attributes:
        id: of the submission.
        work: gives the answer, which JSON can hold.
        folder: new folder for the answer and the log.
        seconds: when it is killed.
    """

    id: str
    work: Callable[[], Any]
    folder: Path
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What became of a job: its answer, or one sentence why there is none."""

    job: Job
    value: Any = None
    problem: str = ""


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    started: float


def prepare_forks() -> None:
    """Call this before the first fork, when torch and pytest are imported.

    Nothing of torch may be used before: its threads would be missing in the forks.
    """
    import torchvision  # of the tests, and 1.5 s in each fork otherwise  # noqa: F401

    gc.collect()
    gc.freeze()  # a search for garbage would copy the pages of every object


def end_forks() -> None:
    """Call this behind the last fork: what is frozen would be called a leak at exit."""
    gc.unfreeze()


def run_jobs(
    jobs: Iterable[Job],
    slots: int,
    watch: Callable[[Mapping[str, float]], None] = lambda running: None,
) -> Iterator[Answer]:
    """Run jobs, at most `slots` at once; answers come as they are ready.

    Jobs are asked for one at a time, so the iterable may prepare each when it is due.
    When the caller stops early, whatever runs is killed.

    Args:
        jobs: are asked for when there is a slot.
        slots: most that run at once.
        watch: is told every second which run, and for how many seconds.
    """
    waiting = iter(jobs)
    running: list[_Running] = []
    try:
        while True:
            while len(running) < slots and (job := next(waiting, None)) is not None:
                try:
                    running.append(_start(job))
                except OSError as error:
                    why = f"the grader cannot start a process ({error.strerror})"
                    yield Answer(job, problem=why)
            if not running:
                return
            connection.wait([fork.process.sentinel for fork in running], POLL_S)
            now = time.monotonic()
            watch({fork.job.id: now - fork.started for fork in running})
            for fork in [fork for fork in running if _is_over(fork)]:
                running.remove(fork)
                yield _collect(fork)
    finally:
        for fork in running:
            _kill(fork.process)


def _start(job: Job) -> _Running:
    job.folder.mkdir(mode=0o700)
    process = CONTEXT.Process(target=_child, args=(job,), daemon=False)
    process.start()
    return _Running(job, process, time.monotonic())


def _child(job: Job) -> None:
    """Do the job; signals are for the parent, which ends this process itself."""
    for number in (signal.SIGINT, *ENDING_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    _die_with_parent()
    # The sandbox opens its own folders for another user; a stricter mask would not.
    os.umask(0o022)
    os.setsid()  # so that all that it starts can be killed with it
    log = (job.folder / "log.txt").open("a", encoding="utf-8", buffering=1)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log
    limit_own_memory(MEMORY_MB)
    try:
        answer = json.dumps(job.work())
    except MemoryError:
        answer = json.dumps({"problem": TOO_MUCH_MEMORY})
    write_atomically(job.folder / "answer.json", answer)


def _die_with_parent() -> None:
    """Even after kill -9 of the command nothing goes on, or holds its lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _is_over(running: _Running) -> bool:
    late = time.monotonic() - running.started > running.job.seconds
    return late or not running.process.is_alive()


def _collect(running: _Running) -> Answer:
    job, process = running.job, running.process
    late = process.is_alive()
    _kill(process)
    path = job.folder / "answer.json"
    if path.exists():
        try:
            return Answer(job, value=json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, MemoryError, RecursionError) as error:
            why = f"the grader's answer cannot be read ({type(error).__name__})"
            return Answer(job, problem=why)
    if late:
        return Answer(job, problem=f"grading did not end within {job.seconds:.0f} s")
    return Answer(job, problem=_why(process.exitcode, job.folder / "log.txt"))


def _why(exit_code: int | None, log: Path) -> str:
    if exit_code is not None and exit_code < 0:
        return f"the grader's process was ended by signal {-exit_code}"
    lines = (
        log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    )
    last = lines[-1][-LOG_END:] if lines else "no message"
    return f"the grader's process failed ({last})"


def _kill(process: BaseProcess) -> None:
    """End a job and what is left of its group."""
    if process.pid is not None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    process.join(KILL_WAIT_S)
