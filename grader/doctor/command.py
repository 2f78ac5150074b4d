"""`python -m grader doctor`: which walls this machine gives, tried with real attacks.

A made-up hostile submission (grader/doctor/probes.py) is run in the sandbox as a
student's would be, and everything that it gets through is reported.
"""

import argparse
from typing import Any

from core.command import EXIT_OK, EXIT_PARTLY_FAILED, harmless
from grader.doctor.examine import Verdict, examine
from grader.sandbox.levels import Level, probe_level


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
    """Print a line for each attack; exit code 1 if not all were stopped."""
    probe = probe_level()
    print(f"This machine gives: {probe.level.value} ({probe.reason}).")
    level = Level(options.level) if options.level else probe.level
    print(f"Attacks on: {level.value}")
    count = dict.fromkeys(Verdict, 0)
    for finding in examine(level):
        word = finding.verdict.value
        print(f"{word:<15} {finding.attack:<34} {harmless(finding.how)}", flush=True)
        count[finding.verdict] += 1
    if count[Verdict.GOT_THROUGH]:
        print(
            f"{count[Verdict.GOT_THROUGH]} attacks got through: do not grade other "
            "people's work."
        )
        return EXIT_PARTLY_FAILED
    if count[Verdict.UNKNOWN]:
        print(
            f"{count[Verdict.UNKNOWN]} attacks ended before they could be told from "
            "an accident: call this again when the machine is less busy."
        )
        return EXIT_PARTLY_FAILED
    print("All attacks were stopped.")
    return EXIT_OK
