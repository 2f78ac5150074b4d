"""Run the hidden tests against changed solutions, each in a process of its own.

A mutant is killed when a test fails. It may as well loop for ever, eat all memory or
end its process: all of that is noticed, so it counts as killed, too.
"""

import json
import os
import resource
import signal
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from grader.session.local_session import LocalSession
from grader.suites.mutation_suites import Suites, end_of_process, write_sources

MOST_BYTES = 6 * 2**30  # of data; the tests need less than 1 GiB
# CPU seconds for a test: so many times what the solution takes, and these
SLACK, SPARE_SECONDS = 4.0, 10.0
# A test that waits instead of computing ends after so many times its CPU seconds.
WAITS = 10
KILLED, SURVIVED, TIMEOUT, CRASHED = "killed", "survived", "timeout", "crashed"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A changed solution.

    Attributes:
        file: name of the changed file, "common.py".
        exercise: number of the exercise that it spoils.
        line: number of the first changed line.
        before: the lines that were changed, without indentation, joined by blanks.
        after: what stands there now, in the same form.
        source: text of the whole changed file.
    """

    file: str
    exercise: str
    line: int
    before: str
    after: str
    source: str


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        outcome: KILLED, SURVIVED, TIMEOUT or CRASHED.
        test: id of the test that was running at the end; "" if all passed.
        why: category or cause that the test named, or the signal.
        seconds: CPU time of the process.
    """

    outcome: str
    test: str
    why: str
    seconds: float


def run_mutants(
    mutants: Iterable[Mutant], suites: Suites, jobs: int
) -> Iterator[tuple[Mutant, Verdict]]:
    """Run the mutants, some at a time; yields each as soon as it is done."""
    waiting = iter(mutants)
    running: dict[int, tuple[Mutant, Path]] = {}
    with tempfile.TemporaryDirectory() as name:
        while True:
            while len(running) < jobs and (mutant := next(waiting, None)):
                folder = Path(tempfile.mkdtemp(dir=name))
                running[_start(mutant, suites, folder)] = (mutant, folder)
            if not running:
                return
            child, status, usage = os.wait4(-1, 0)
            if child in running:
                mutant, folder = running.pop(child)
                seconds = usage.ru_utime + usage.ru_stime
                yield mutant, _read_verdict(folder, status, seconds)


def _start(mutant: Mutant, suites: Suites, folder: Path) -> int:
    """Fork a process that tries a mutant; returns its number."""
    ids = suites.chosen(mutant.exercise)
    child = os.fork()
    if child:
        return child
    with end_of_process():
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _limit_time(0.0)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(null, stream)
        _try(mutant, suites, ids, folder)
    raise AssertionError("the child has ended")


def _limit_time(usual_seconds: float) -> None:
    """From now on the process has some time; then a signal ends it."""
    seconds = SPARE_SECONDS + SLACK * usual_seconds
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of the CPU
    signal.setitimer(signal.ITIMER_REAL, WAITS * seconds)


def _try(mutant: Mutant, suites: Suites, ids: Sequence[str], folder: Path) -> None:
    """Run tests until one fails; how far it came stands in a file."""
    torch.set_num_threads(1)
    write_sources({**suites.sources, mutant.file: mutant.source}, folder)
    note = folder / "verdict.json"
    session = LocalSession(folder)
    for test_id in ids:
        note.write_text(json.dumps(asdict(Verdict(CRASHED, test_id, "", 0))))
        _limit_time(suites.seconds[test_id])
        (told,) = suites.suite.run([test_id], session)
        if told.category:
            verdict = Verdict(KILLED, test_id, told.cause or told.category, 0)
            note.write_text(json.dumps(asdict(verdict)))
            return
    note.write_text(json.dumps(asdict(Verdict(SURVIVED, "", "", 0))))


def _read_verdict(folder: Path, status: int, seconds: float) -> Verdict:
    note = folder / "verdict.json"
    found = json.loads(note.read_text()) if note.is_file() else {}
    outcome, why = found.get("outcome", CRASHED), found.get("why", "")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        timeouts = (signal.SIGPROF, signal.SIGALRM)
        outcome = TIMEOUT if number in timeouts else CRASHED
        why = signal.Signals(number).name
    elif os.WEXITSTATUS(status):
        outcome, why = CRASHED, f"exit code {os.WEXITSTATUS(status)}"
    return Verdict(outcome, found.get("test", ""), why, seconds)
