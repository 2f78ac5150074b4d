"""Attacks run in the sandbox of a level, as a student's submission would be."""

import enum
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grader.doctor.attacks import ATTACKS, LIMITS, Attack, Targets, start_victim
from grader.sandbox.levels import Level
from grader.sandbox.sandbox import ROOT

if TYPE_CHECKING:
    from grader.session.session import Session

PROBES = Path(__file__).resolve().with_name("probes.py")
SECRET_VARIABLE = "FCOS_GRADER_DOCTOR"
TRIES = 3  # of an attack whose end says nothing
PATIENCE_S = 30.0  # for processes that were killed to be gone, on a busy machine
PAUSE_S = 0.05


class Verdict(enum.Enum):
    """What is known of an attack; the value is the word for it."""

    STOPPED = "stopped"
    UNKNOWN = "could not tell"
    GOT_THROUGH = "GOT THROUGH"


@dataclass(frozen=True)
class Finding:
    """What became of one attack.

    Attributes:
        attack: in words.
        verdict: whether the sandbox held.
        how: what stopped it, or what it got, in words.
    """

    attack: str
    verdict: Verdict
    how: str

    @property
    def is_stopped(self) -> bool:
        """Whether the sandbox is known to have held."""
        return self.verdict is Verdict.STOPPED


def examine(
    level: Level, attacks: Sequence[Attack] = ATTACKS, known: Collection[str] = ()
) -> Iterator[Finding]:
    """Run attacks at this level.

    Args:
        level: of the sandbox.
        attacks: that are tried, in this order.
        known: features of which it is known that this kernel lacks them.

    Raises:
        CourseError: its sandbox does not start.
    """
    # Imports torch, for which no other command of `python -m grader` shall wait.
    from grader.session.session import Session

    with tempfile.TemporaryDirectory(prefix="fcos-doctor-") as name:
        submission = Path(name) / "submission"
        submission.mkdir()
        shutil.copyfile(PROBES, submission / "common.py")
        with _targets(Path(name)) as targets, Session(submission, level, LIMITS) as run:
            for feature in run.missing:
                if feature.partition(":")[0] in known:
                    continue
                through = Verdict.GOT_THROUGH
                yield Finding("use what this kernel cannot forbid", through, feature)
            for attack in attacks:
                yield _try_again(run, attack, targets)
            sandbox = run.name
    left, verdict = _left_behind(sandbox, 0)
    yield Finding("stay when all is over", verdict, f"{left} processes are left")


def _try_again(session: "Session", attack: Attack, targets: Targets) -> Finding:
    """Try an attack until its end says something."""
    for _ in range(TRIES):
        finding = _try(session, attack, targets)
        targets.renew_victim()
        if finding.verdict is not Verdict.UNKNOWN:
            break
    return finding


def _try(session: "Session", attack: Attack, targets: Targets) -> Finding:
    from helpers.checks.expect import CheckError

    before = len(processes_named(session.name))
    said, how = "", "refused"
    for _ in range(attack.times):
        try:
            student = session.student()
            said = getattr(student.common, attack.name)(*attack.arguments(targets))
        except CheckError as error:
            # The sandbox ended the test; the category says why.
            how = f"{error.category}: {error.message}"
            if error.category in attack.got_through_by:
                return Finding(attack.words, Verdict.GOT_THROUGH, how)
            if error.category not in ("not allowed", *attack.stopped_by):
                return Finding(attack.words, Verdict.UNKNOWN, how)
        finally:
            session.end_test()
        if said:
            return Finding(attack.words, Verdict.GOT_THROUGH, str(said))
    if targets.victim.poll() is not None:
        how = "a process of the grader has ended"
        return Finding(attack.words, Verdict.GOT_THROUGH, how)
    left, verdict = _left_behind(session.name, before)
    if left:
        how = f"left {left} processes behind"
    return Finding(attack.words, verdict, how)


def _left_behind(sandbox: str, expected: int) -> tuple[int, Verdict]:
    """How many processes of a sandbox are too many, when they had time to end.

    One that was killed, and had no turn since to hear of it, is no attack.
    """
    until = time.monotonic() + PATIENCE_S
    while len(found := processes_named(sandbox)) > expected:
        if time.monotonic() > until:
            is_alive = sum(not _is_killed(pid) for pid in found) > expected
            verdict = Verdict.GOT_THROUGH if is_alive else Verdict.UNKNOWN
            return len(found) - expected, verdict
        time.sleep(PAUSE_S)
    return 0, Verdict.STOPPED


def _is_killed(pid: int) -> bool:
    """Whether a process has still to hear that it was killed."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return True
    pending = [line.split()[1] for line in lines if line.startswith(("SigP", "ShdP"))]
    return any(int(signals, 16) >> (signal.SIGKILL - 1) & 1 for signals in pending)


def processes_named(word: str) -> list[int]:
    """Numbers of the processes that have this word among their arguments."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                arguments = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in arguments:
                found.append(int(path.name))
    return found


@contextmanager
def _targets(folder: Path) -> Iterator[Targets]:
    """A sibling's submission, a secret, a server and a process that may be killed."""
    sibling = folder / "sibling" / "common.py"
    sibling.parent.mkdir()
    sibling.write_text("SOLUTION = 42\n")
    secret = f"secret-{os.getpid()}-of-the-doctor"
    os.environ[SECRET_VARIABLE] = secret
    with socket.create_server(("127.0.0.1", 0)) as server:
        hidden = [str(ROOT / name) for name in ("grader_tests", "tests", "grader")]
        port, victim = server.getsockname()[1], start_victim(secret)
        siblings = [str(sibling), str(sibling.parent)]
        targets = Targets(hidden, siblings, secret, port, victim)
        try:
            yield targets
        finally:
            targets.end_victim()
            del os.environ[SECRET_VARIABLE]
