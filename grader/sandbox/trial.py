"""Is a level what its name says here? Tried out as a run is, with nobody's code."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from core.command import CourseError
from grader.border.limits import Limits
from grader.sandbox.level import Level
from grader.sandbox.sandbox import Sandbox

WORKER = "grader/worker/trial.py"
SECONDS = 60.0
LONGEST_LINE = 4096


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
        problem: why nothing can be run at this level, in words; "" if it can.
        missing: what the kernel lacks of it: "Landlock", "seccomp".
    """

    problem: str = ""
    missing: tuple[str, ...] = ()


def try_level(level: Level) -> Trial:
    """Start the walls of a level around nothing, and take them down."""
    with tempfile.TemporaryDirectory(prefix="fcos-trial-") as name:
        try:
            sandbox = Sandbox(Path(name), level, Limits(), worker=WORKER)
        except CourseError as error:
            return Trial(str(error))
        try:
            return _read(sandbox)
        finally:
            sandbox.close()


def _read(sandbox: Sandbox) -> Trial:
    line = b""
    sandbox.control.settimeout(SECONDS)
    try:
        while not line.endswith(b"\n"):
            part = sandbox.control.recv(LONGEST_LINE)
            line += part
            if not part:
                return Trial(f"the sandbox does not start ({sandbox.last_words()})")
        missing = json.loads(line)["missing"]
    except TimeoutError:
        return Trial(f"the sandbox does not start within {SECONDS:.0f} s")
    except (OSError, ValueError, KeyError) as error:
        return Trial(f"the sandbox does not start ({type(error).__name__})")
    return Trial(missing=tuple(feature.partition(":")[0] for feature in missing))
