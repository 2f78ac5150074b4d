"""`python -m grader doctor`: which walls this machine gives, tried with real attacks.

A made-up hostile submission (grader/doctor/probes.py) is run in the sandbox as a
student's would be, and everything that it gets through is reported.
"""

import argparse
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.command import EXIT_OK, EXIT_PARTLY_FAILED, harmless
from grader.doctor.attacks import ATTACKS, LIMITS, Attack, Targets, start_victim
from grader.sandbox.levels import Level, probe_level
from grader.sandbox.sandbox import ROOT

if TYPE_CHECKING:
    from grader.session.session import Session

PROBES = Path(__file__).resolve().with_name("probes.py")
SECRET_VARIABLE = "FCOS_GRADER_DOCTOR"
PATIENCE_S = 3.0  # for processes that were killed to be gone
PAUSE_S = 0.05


@dataclass(frozen=True)
class Finding:
    """What became of one attack.

    Attributes:
        attack: in words.
        is_stopped: whether the sandbox held.
        how: what stopped it, or what it got, in words.
    """

    attack: str
    is_stopped: bool
    how: str


def add_doctor_parser(commands: Any) -> None:
    """Add the sub-command to `python -m grader`."""
    doctor = commands.add_parser(
        "doctor",
        help="try attacks on the sandbox of this machine",
        description="Say which sandbox this machine gives, and try attacks on it.",
    )
    doctor.add_argument(
        "--level",
        choices=[level.value for level in Level],
        help="try this one; by default the strongest that works here",
    )
    doctor.set_defaults(run=run_doctor)


def run_doctor(options: argparse.Namespace) -> int:
    """Print a line for each attack; exit code 1 if one got through."""
    probe = probe_level()
    print(f"This machine gives: {probe.level.value} ({probe.reason}).")
    level = Level(options.level) if options.level else probe.level
    print(f"Attacks on: {level.value}")
    got_through = 0
    for finding in examine(level):
        word = "stopped" if finding.is_stopped else "GOT THROUGH"
        print(f"{word:<12} {finding.attack:<42} {harmless(finding.how)}", flush=True)
        got_through += not finding.is_stopped
    if got_through:
        print(f"{got_through} attacks got through: do not grade other people's work.")
        return EXIT_PARTLY_FAILED
    print("All attacks were stopped.")
    return EXIT_OK


def examine(level: Level, attacks: Sequence[Attack] = ATTACKS) -> Iterator[Finding]:
    """Run attacks at this level.

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
                yield Finding("use what this kernel cannot forbid", False, feature)
            for attack in attacks:
                yield _try(run, attack, targets)
                targets.renew_victim()
            sandbox = run.name
    left = _wait_for_end(sandbox, 0)
    yield Finding("stay when all is over", not left, f"{left} processes are left")


def _try(session: "Session", attack: Attack, targets: Targets) -> Finding:
    from helpers.checks.expect import CheckError

    before = len(processes_named(session.name))
    said, how = "", "refused"
    for _ in range(attack.times):
        student = session.student()
        try:
            said = getattr(student.common, attack.name)(*attack.arguments(targets))
        except CheckError as error:
            # The sandbox ended the test; the category says why.
            how = f"{error.category}: {error.message}"
        session.end_test()
        if said:
            return Finding(attack.words, False, str(said))
    if targets.victim.poll() is not None:
        return Finding(attack.words, False, "a process of the grader has ended")
    left = _wait_for_end(session.name, before)
    if left:
        return Finding(attack.words, False, f"left {left} processes behind")
    return Finding(attack.words, True, how)


def _wait_for_end(sandbox: str, expected: int) -> int:
    """How many processes of a sandbox are too many, when they had time to end."""
    until = time.monotonic() + PATIENCE_S
    while True:
        left = len(processes_named(sandbox)) - expected
        if left <= 0 or time.monotonic() > until:
            return max(left, 0)
        time.sleep(PAUSE_S)


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
        files = [str(ROOT / name) for name in ("grader_tests", "tests", "grader")]
        files += [str(sibling), str(sibling.parent)]
        targets = Targets(files, secret, server.getsockname()[1], start_victim(secret))
        try:
            yield targets
        finally:
            targets.end_victim()
            del os.environ[SECRET_VARIABLE]
