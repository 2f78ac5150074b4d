"""Containers without rights of root: the level that is announced is one that runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.command import EXIT_USAGE
from grader.sandbox.slots import FIRST_UID, NUM_SLOTS, may_become_others

ROOT = Path(__file__).resolve().parent.parent
LAST = FIRST_UID + NUM_SLOTS - 1
MAPPED = [sys.executable, str(ROOT / "tests" / "user_namespace.py")]
MAPS = {
    "one user": "0 0 1",
    "the last of ours only": f"0 0 1,{LAST} {LAST} 1",
}
START = """
import sys
from pathlib import Path
from grader.border.limits import Limits
from grader.sandbox.levels import Level, probe_level
from grader.sandbox.sandbox import Sandbox
probe = probe_level()
if probe.level is Level.NONE:
    sys.exit(f"none: {probe.reason}")
sandbox = Sandbox(Path("assignment"), probe.level, Limits())
first = sandbox.control.recv(100)
print(first.startswith(b'{"ready": true'), first)
sandbox.close()
"""

pytestmark = pytest.mark.skipif(
    not may_become_others()
    or subprocess.run([*MAPPED, "0 0 1", "true"]).returncode != 0,
    reason="only root makes such namespaces, where the kernel allows them",
)


def run(users: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MAPPED, users, sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.parametrize("users", MAPS.values(), ids=MAPS)
def test_the_level_that_is_announced_starts(users):
    """Or there is none, with the reason in a sentence; never an error of ours later."""
    done = run(users, "-c", START)
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.stderr.startswith("none: "), done.stderr
    else:
        assert done.stdout.startswith("True"), done.stdout


@pytest.mark.parametrize("users", MAPS.values(), ids=MAPS)
def test_a_level_that_was_asked_for_is_tried_first(users, tmp_path):
    """Before anybody is graded: exit code 2, and one sentence."""
    command = ["-m", "grader", "grade", str(tmp_path), "--out", str(tmp_path / "out")]
    done = run(users, *command, "--level", "own user")
    assert done.returncode == EXIT_USAGE, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: --level own user: does not work here")
    assert not (tmp_path / "out").exists()
